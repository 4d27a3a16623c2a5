"""What a gate tells of itself, through every mount."""

from urllib.parse import urljoin

import pytest

from modelgate import Deployment, Gate, Schema
from modelgate.schema import Column
from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted, make_gate


def get(mounted, path, key=KEY):
    return mounted.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})


def test_metadata_of_deployment(mount):
    gate = Gate(
        [
            Deployment(
                "sum",
                lambda table: table["amount"],
                schema=Schema.of(
                    amount=Column(
                        "amount", "number", minimum=0, maximum=9, description="in euros", typical_value=4.5
                    ),
                    plan=["free", "pro"],
                    note=Column(
                        "note", "text", required=False, nullable=True, max_length=80, pattern="^[a-z]"
                    ),
                ),
                target="total",
                version="7",
                model_id="sum-7",
            ),
            Deployment("hidden", len, schema=Schema.of(a=float).with_options(show_schema=False)),
        ],
        keys="open",
        dialects=["plexe"],
    )
    mounted = Mounted(mount, gate)

    assert {
        "name": "sum",
        "version": "7",
        "function": True,
        "model_id": "sum-7",
        "input": [
            {
                "name": "amount", "type": "number", "required": True, "nullable": False,
                "rule": "must be a number between 0 and 9", "minimum": 0, "maximum": 9, "description": "in euros", "example": 4.5,
            },
            {"name": "plan", "type": "text", "required": True, "nullable": False,
             "rule": "must be one of free, pro", "levels": ["free", "pro"], "example": "free"},
            {"name": "note", "type": "text", "required": False, "nullable": True,
             "rule": "must be text of at most 80 characters that matches ^[a-z]",
             "pattern": "^[a-z]", "max_length": 80, "example": "text"},
        ],
        "output": [{"name": "total"}],
        "requests": [
            {"dialect": "plexe", "method": "POST", "path": "predict/sum", "headers": {"x-api-key": "{key}"},
             "body": "{row}", "media_type": "application/json"},
        ],
        "reports": ["traffic"],
    } == get(mounted, "/deployments/sum", None).json()  # fmt: skip
    assert 403 == get(mounted, "/deployments/hidden", None).status


def test_metadata_has_classes_of_the_model(mounted):
    assert [{"name": "prediction", "classes": ["barbera", "barolo", "grignolino"]}] == get(
        mounted, "/deployments/wine"
    ).json()["output"]


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/deployments/wine", None, 401),
        ("/deployments/wine", OTHER_KEY, 403),
        ("/deployments/nothing", KEY, 403),
        ("/deployments/paused", OTHER_KEY, 403),
        ("/deployments/vanished", OTHER_KEY, 404),
        ("/health/nothing", None, 404),
    ],
)
def test_metadata_needs_a_key_for_the_deployment(mounted, path, key, status):
    assert status == get(mounted, path, key).status


def test_openapi_server_is_relative(mounted):
    """The example request works under any prefix."""
    path = "/deployments/wine/openapi.json"
    document = get(mounted, path).json()
    server = urljoin(mounted.prefix + path, document["servers"][0]["url"])
    example = document["components"]["requestBodies"]["simple"]["content"]["application/json"]["example"]
    answer = mounted.client.post(
        server.rstrip("/") + "/simple/wine", json=example, headers={"authorization": f"Bearer {KEY}"}
    )

    assert "/simple/wine" in document["paths"]
    assert (200, 1) == (answer.status, len(answer.json()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/deployments/wine", 200),
        ("/deployments/wine/openapi.json", 200),
        ("/metrics", 200),
        ("/v2/models/wine", 200),
        ("/deployments/win", 404),
        ("/nothing", 404),
        ("/predict/wine", 405),
    ],
)
def test_metadata_is_not_cached_by_proxies(mount, wine, path, status):
    """Unless it is public."""
    mounted = Mounted(mount, make_gate(wine, keys={KEY: "*"}))
    answer, health = get(mounted, path), get(mounted, "/health/live", None)

    assert (status, "private, no-store") == (answer.status, answer.header("cache-control"))
    assert None is health.header("cache-control")


def test_health_needs_no_key_and_no_model(mounted):
    assert (200, {"live": True}) == ((answer := get(mounted, "/health/live", None)).status, answer.json())
    assert (200, {"ready": True}) == ((answer := get(mounted, "/health/ready", None)).status, answer.json())


def test_readiness_fails_for_broken_model(mount, wine, tmp_path):
    """The gate is still live; a paused deployment is not checked."""
    mounted = Mounted(mount, make_gate(wine))
    broken = tmp_path / "broken.skops"
    broken.write_bytes(b"no model")
    mounted.gate.deployments.add(Deployment("corrupt", broken))

    assert (503, {"ready": False}) == ((answer := get(mounted, "/health/ready", None)).status, answer.json())
    assert 200 == get(mounted, "/health/live", None).status

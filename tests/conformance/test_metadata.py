"""What a gate tells of itself, through every mount."""

from urllib.parse import urljoin

import pytest

from conformance.conftest import Mounted
from conftest import KEY, OTHER_KEY
from modelgate import Deployment, Gate, Schema
from modelgate.schema import Column


def get(mounted, path, key=KEY):
    return mounted.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})


def test_the_fields_of_a_deployment(mount):
    """What it takes and gives, with its rules and an example."""
    gate = Gate(
        [
            Deployment(
                "sum",
                lambda table: table["amount"],
                schema=Schema.of(
                    amount=Column(
                        "amount", "number", minimum=0, maximum=9, description="in euros", typical=4.5
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
            Deployment("hidden", len, schema=Schema.of(a=float).reading(reveal=False)),
        ],
        keys="open",
        dialects=["plexe"],
    )
    mounted = Mounted(mount, gate)

    assert {
        "name": "sum",
        "version": "7",
        "model_id": "sum-7",
        "input": [
            {
                "name": "amount", "type": "number", "required": True, "nullable": False,
                "minimum": 0, "maximum": 9, "description": "in euros", "example": 4.5,
            },
            {"name": "plan", "type": "text", "required": True, "nullable": False, "levels": ["free", "pro"],
             "example": "free"},
            {"name": "note", "type": "text", "required": False, "nullable": True, "pattern": "^[a-z]",
             "max_length": 80, "example": "text"},
        ],
        "output": [{"name": "total"}],
        "requests": [
            {"dialect": "plexe", "method": "POST", "path": "predict/sum", "headers": {"x-api-key": "{key}"},
             "body": "{row}", "media_type": "application/json"},
        ],
    } == get(mounted, "/deployments/sum", None).json()  # fmt: skip
    assert 403 == get(mounted, "/deployments/hidden", None).status


def test_the_classes_of_a_classifier(mounted):
    """As the model tells them."""

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
def test_who_may_see_what(mounted, path, key, status):
    """The key decides, as for a request to score."""

    assert status == get(mounted, path, key).status


def test_the_server_of_the_openapi_document(mounted):
    """Its address is relative, and right below any prefix: the example asked there is answered."""
    path = "/deployments/wine/openapi.json"
    document = get(mounted, path).json()
    server = urljoin(mounted.prefix + path, document["servers"][0]["url"])
    example = document["components"]["requestBodies"]["simple"]["content"]["application/json"]["example"]
    answer = mounted.client.post(
        server.rstrip("/") + "/simple/wine", json=example, headers={"authorization": f"Bearer {KEY}"}
    )

    assert "/simple/wine" in document["paths"]
    assert (200, 1) == (answer.status, len(answer.json()))


def test_health_needs_no_key(mounted):
    """And no model: whoever watches the process has none of them."""

    assert (200, {"live": True}) == ((answer := get(mounted, "/health/live", None)).status, answer.json())
    assert (200, {"ready": True}) == ((answer := get(mounted, "/health/ready", None)).status, answer.json())


def test_a_model_that_cannot_be_loaded_is_not_ready(mounted, tmp_path):
    """Live all the same; a paused one is not asked."""
    broken = tmp_path / "broken.skops"
    broken.write_bytes(b"no model")
    mounted.gate.add(Deployment("corrupt", broken))

    assert (503, {"ready": False}) == ((answer := get(mounted, "/health/ready", None)).status, answer.json())
    assert 200 == get(mounted, "/health/live", None).status

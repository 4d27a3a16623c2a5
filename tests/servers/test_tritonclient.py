"""Triton's client, which speaks the Open Inference Protocol, against the example apps under their servers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from servers.serving import BEARER, WINE, Server, serving

CULTIVARS = ["cultivar-1", "cultivar-2"]
OTHER = {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}


def key() -> dict[str, str]:
    """A new dictionary each time: the client leaves header fields of its own in the one it is given."""
    return dict(BEARER)


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """The client as its users make it: an address with a prefix, and no scheme."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}/ml") as client:
        yield client


def tensors(rows: list[dict[str, Any]], *, binary: bool = True) -> list[Any]:
    """A tensor for each column."""
    made = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        values = values.astype(object) if values.dtype.kind == "U" else values.astype(np.float32)
        tensor = triton.InferInput(name, list(values.shape), triton.np_to_triton_dtype(values.dtype))
        made.append(tensor.set_data_from_numpy(values, binary_data=binary))
    return made


def labels(result: Any) -> list[str]:
    told = result.as_numpy("cultivar").tolist()
    return [label.decode() if isinstance(label, bytes) else label for label in told]


@pytest.mark.parametrize("rows", [[WINE], [WINE, OTHER] * 250], ids=["single", "batch"])
def test_infer_as_by_default(client: Any, rows: list[dict[str, Any]]) -> None:
    """Binary both ways, which is what the client does unless it is told otherwise."""
    result = client.infer("wine", tensors(rows), headers=key(), request_id="cask-17")

    told = result.as_numpy("cultivar_probabilities")
    assert (CULTIVARS * len(rows))[: len(rows)] == labels(result)
    assert (len(rows), 3) == told.shape
    assert np.allclose(1, told.sum(axis=1))
    assert "cask-17" == result.get_response()["id"]
    assert "wine" == result.get_response()["model_name"]
    assert ["cultivar-1", "cultivar-2", "cultivar-3"] == result.get_output("cultivar_probabilities")[
        "parameters"
    ]["classes"]


def test_infer_in_json(client: Any) -> None:
    """JSON both ways, of the output asked for alone, from a version named."""
    asked = [triton.InferRequestedOutput("cultivar", binary_data=False)]
    result = client.infer(
        "wine", tensors([WINE, OTHER], binary=False), model_version="1", outputs=asked, headers=key()
    )

    assert CULTIVARS == labels(result)
    assert result.get_output("cultivar_probabilities") is None
    assert CULTIVARS == result.get_output("cultivar")["data"]


def test_infer_one_tensor(client: Any) -> None:
    """All columns in one tensor, where NaN is a value that is missing."""
    values = np.full((2, 10), np.nan)
    values[1] = 1
    tensor = triton.InferInput("rows", [2, 10], "FP64").set_data_from_numpy(values)
    told = client.infer("diabetes", [tensor], headers=key()).as_numpy("progression")

    assert (2,) == told.shape
    assert (25 < told).all()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_infer_compressed(client: Any, coding: str) -> None:
    """The request compressed, and an answer asked for that may be."""
    result = client.infer(
        "wine",
        tensors([WINE]),
        headers=key(),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )

    assert ["cultivar-1"] == labels(result)


def test_infer_asynchronously(server: Server) -> None:
    """The client for asyncio, which names another content type."""

    async def infer() -> Any:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}/ml") as client:
            assert await client.is_server_ready()
            return await client.infer("wine", tensors([WINE, OTHER]), headers=key())

    assert CULTIVARS == labels(asyncio.run(infer()))


def test_health_and_metadata(client: Any) -> None:
    """What the client asks before it infers."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("wine", headers=key())
    assert not client.is_model_ready("wine", "2", headers=key())
    assert not client.is_model_ready("beer", headers=key())
    assert ["binary_tensor_data"] == client.get_server_metadata(headers=key())["extensions"]
    told = client.get_model_metadata("wine", headers=key())
    assert list(WINE) == [tensor["name"] for tensor in told["inputs"]]
    assert [("cultivar", "BYTES", [-1]), ("cultivar_probabilities", "FP64", [-1, 3])] == [
        (tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in told["outputs"]
    ]


@pytest.mark.parametrize(
    ("model", "row", "headers", "status", "told"),
    [
        ("wine", WINE, {}, "401", "Missing API key"),
        ("beer", WINE, BEARER, "404", "The model of this deployment could not be found"),
        (
            "wine",
            {name: WINE[name] for name in WINE if name not in ("hue", "colour")},
            BEARER,
            "400",
            "Prediction failed due to missing input data: hue, colour",
        ),
        (
            "wine",
            {**WINE, "hue": float("inf")},
            BEARER,
            "400",
            "Tensor 'hue': an infinity is among its elements",
        ),
        (
            "wine",
            {**WINE, "hue": "red"},
            BEARER,
            "400",
            "Invalid input data: hue must be a number",
        ),
    ],
)
def test_errors(
    client: Any, model: str, row: dict[str, Any], headers: dict[str, str], status: str, told: str
) -> None:
    """What goes wrong is raised with our sentence, and the status as text."""
    with pytest.raises(triton.InferenceServerException) as info:
        client.infer(model, tensors([row]), headers=dict(headers))

    assert (told, status) == (info.value.message(), info.value.status())


BUSY = """
from modelgate import Deployment, Gate, Overloaded, RateLimitExceeded, Schema

refusals = [Overloaded(1), RateLimitExceeded("1 per 1 minute", 1)]

def busy(request, call_next):
    if refusals and request.method == "POST":
        raise refusals.pop()
    return call_next(request)

double = Deployment("double", lambda table: table["x"] * 2, schema=Schema.of(x=float), layers=[busy])
gate = Gate([double], keys="open")
"""


@pytest.mark.parametrize(
    "command", ["uvicorn busy:gate.asgi --port PORT", "waitress --port=PORT busy:gate.wsgi"]
)
def test_retry(tmp_path: Path, command: str) -> None:
    """The client itself never tries again; its user, who reads 429 and 503, does, on the same connection."""
    (tmp_path / "busy.py").write_text(BUSY)
    told = []
    with (
        serving("busy", ["-m", *command.split()], tmp_path, cwd=tmp_path) as server,
        triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client,
    ):
        while len(told) < 3:
            try:
                values = client.infer("double", tensors([{"x": 4}])).as_numpy("prediction").tolist()
                break
            except triton.InferenceServerException as error:
                told.append((error.status(), error.message()))

    assert [8.0] == values
    assert [
        ("429", "Rate limit of 1 per 1 minute exceeded: try again in 1 s"),
        ("503", "The server is busy: try again in 1 s"),
    ] == told

"""Triton's client of the Open Inference Protocol, against the example apps under their servers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from support.servers import BEARER, WINE, Server, run_server
from support.waiting import SOON

PATIENT = {"connection_timeout": SOON, "network_timeout": SOON}
CULTIVARS = ["cultivar-1", "cultivar-2"]
OTHER = {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}


def make_headers() -> dict[str, str]:
    """Return a new dictionary: the client adds headers to the one it is given."""
    return dict(BEARER)


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """A client with a prefix in its address, and no scheme."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}/ml", **PATIENT) as client:
        yield client


def make_tensors(rows: list[dict[str, Any]], *, binary: bool = True) -> list[Any]:
    """Return a tensor for each column."""
    inputs = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        values = values.astype(object) if values.dtype.kind == "U" else values.astype(np.float32)
        tensor = triton.InferInput(name, list(values.shape), triton.np_to_triton_dtype(values.dtype))
        inputs.append(tensor.set_data_from_numpy(values, binary_data=binary))
    return inputs


def read_labels(result: Any) -> list[str]:
    values = result.as_numpy("cultivar").tolist()
    return [label.decode() if isinstance(label, bytes) else label for label in values]


@pytest.mark.parametrize("rows", [[WINE], [WINE, OTHER] * 250], ids=["single", "batch"])
def test_infer_with_binary_tensors(client: Any, rows: list[dict[str, Any]]) -> None:
    """The client's default."""
    result = client.infer("wine", make_tensors(rows), headers=make_headers(), request_id="cask-17")

    probabilities = result.as_numpy("cultivar_probabilities")
    assert (CULTIVARS * len(rows))[: len(rows)] == read_labels(result)
    assert (len(rows), 3) == probabilities.shape
    assert np.allclose(1, probabilities.sum(axis=1))
    assert "cask-17" == result.get_response()["id"]
    assert "wine" == result.get_response()["model_name"]
    assert ["cultivar-1", "cultivar-2", "cultivar-3"] == result.get_output("cultivar_probabilities")[
        "parameters"
    ]["classes"]


def test_infer_in_json(client: Any) -> None:
    """With a requested output and a model version."""
    requested = [triton.InferRequestedOutput("cultivar", binary_data=False)]
    result = client.infer(
        "wine",
        make_tensors([WINE, OTHER], binary=False),
        model_version="1",
        outputs=requested,
        headers=make_headers(),
    )

    assert CULTIVARS == read_labels(result)
    assert result.get_output("cultivar_probabilities") is None
    assert CULTIVARS == result.get_output("cultivar")["data"]


def test_infer_with_one_tensor_of_all_columns(client: Any) -> None:
    """NaN is a missing value."""
    values = np.full((2, 10), np.nan)
    values[1] = 1
    tensor = triton.InferInput("rows", [2, 10], "FP64").set_data_from_numpy(values)
    values = client.infer("diabetes", [tensor], headers=make_headers()).as_numpy("progression")

    assert (2,) == values.shape
    assert (25 < values).all()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_infer_with_compression(client: Any, coding: str) -> None:
    result = client.infer(
        "wine",
        make_tensors([WINE]),
        headers=make_headers(),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )

    assert ["cultivar-1"] == read_labels(result)


def test_infer_with_the_asyncio_client(server: Server) -> None:
    """It sends another content type."""

    async def infer() -> Any:
        async with triton_aio.InferenceServerClient(
            f"127.0.0.1:{server.port}/ml", conn_timeout=SOON
        ) as client:
            assert await client.is_server_ready()
            return await client.infer("wine", make_tensors([WINE, OTHER]), headers=make_headers())

    assert CULTIVARS == read_labels(asyncio.run(infer()))


def test_repository_index(client: Any) -> None:
    index = client.get_model_repository_index(headers=make_headers())

    names = ["bottles", "diabetes", "digits", "serving-temperature", "wine"]
    assert names == [model["name"] for model in index]
    assert {"READY"} == {model["state"] for model in index}
    with pytest.raises(triton.InferenceServerException, match="Missing API key"):
        client.get_model_repository_index()


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("wine", headers=make_headers())
    assert not client.is_model_ready("wine", "2", headers=make_headers())
    assert not client.is_model_ready("beer", headers=make_headers())
    assert ["binary_tensor_data"] == client.get_server_metadata(headers=make_headers())["extensions"]
    metadata = client.get_model_metadata("wine", headers=make_headers())
    assert list(WINE) == [tensor["name"] for tensor in metadata["inputs"]]
    assert [("cultivar", "BYTES", [-1]), ("cultivar_probabilities", "FP64", [-1, 3])] == [
        (tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in metadata["outputs"]
    ]


@pytest.mark.parametrize(
    ("model", "row", "headers", "status", "message"),
    [
        (
            "wine",
            WINE,
            {},
            "401",
            "Missing API key: send the key in the header field Authorization: Bearer <key>",
        ),
        (
            "beer",
            WINE,
            BEARER,
            "404",
            "Deployment 'beer' could not be found: choose from bottles, diabetes, digits, serving-temperature, wine",
        ),
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
            "Tensor 'hue': elements must be finite numbers, or NaN for null (got an infinity)",
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
def test_errors_are_raised_with_status_and_message(
    client: Any, model: str, row: dict[str, Any], headers: dict[str, str], status: str, message: str
) -> None:
    with pytest.raises(triton.InferenceServerException) as info:
        client.infer(model, make_tensors([row]), headers=dict(headers))

    assert (message, status) == (info.value.message(), info.value.status())


BUSY = """
from modelgate import Deployment, Gate, Overloaded, RateLimitExceeded, Schema

errors = [Overloaded(1), RateLimitExceeded("1 per 1 minute", 1)]

def busy(request, call_next):
    if errors and request.method == "POST":
        raise errors.pop()
    return call_next(request)

double = Deployment("double", lambda table: table["x"] * 2, schema=Schema.of(x=float), layers=[busy])
gate = Gate([double], keys="open")
"""


@pytest.mark.parametrize(
    "command", ["uvicorn busy:gate.asgi --port PORT", "waitress --port=PORT busy:gate.wsgi"]
)
def test_connection_is_usable_after_429_and_503(tmp_path: Path, command: str) -> None:
    """The client does not retry by itself."""
    (tmp_path / "busy.py").write_text(BUSY)
    errors = []
    with (
        run_server("busy", ["-m", *command.split()], tmp_path, cwd=tmp_path) as server,
        triton.InferenceServerClient(f"127.0.0.1:{server.port}", **PATIENT) as client,
    ):
        while len(errors) < 3:
            try:
                values = client.infer("double", make_tensors([{"x": 4}])).as_numpy("prediction").tolist()
                break
            except triton.InferenceServerException as error:
                errors.append((error.status(), error.message()))

    assert [8.0] == values
    assert [
        ("429", "Rate limit of 1 per 1 minute exceeded: try again in 1 s"),
        ("503", "The server is busy: try again in 1 s"),
    ] == errors

"""What KServe's ``InferenceRESTClient`` sends and reads, against the example apps under their servers.

The package brings gRPC, pandas and a web server with it, so its calls are written here, after
kserve/kserve, python/kserve/kserve/inference_client.py and protocol/infer_type.py (0.21).
"""

import json
import struct
import uuid
from typing import Any

import pytest

from servers.serving import BEARER, WINE, Answer, Server, ask

# What httpx sends of its own accord.
FIELDS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "User-Agent": "python-httpx/0.28.1",
    **BEARER,
}
OTHER = {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}
CULTIVARS = ["cultivar-1", "cultivar-2"]


def get(server: Server, path: str, headers: dict[str, str] = FIELDS) -> Answer:
    with server.connection() as connection:
        return ask(connection, "GET", f"/ml{path}", headers=headers)


def post(server: Server, path: str, body: bytes, kind: str = "application/json", **headers: str) -> Answer:
    with server.connection() as connection:
        return ask(connection, "POST", f"/ml{path}", body, {**FIELDS, "content-type": kind, **headers})


def infer(server: Server, *parts: bytes, **members: Any) -> dict[str, Any]:
    """The outputs by name, read as ``InferResponse.from_bytes`` reads them."""
    head = json.dumps({"id": str(uuid.uuid4()), "model_name": "wine", **members}).encode()
    fields = {"inference-header-content-length": str(len(head))} if parts else {}
    kind = "application/octet-stream" if parts else "application/json"
    answer = post(server, "/v2/models/wine/infer", head + b"".join(parts), kind, **fields)
    assert answer.status == 200, answer.body
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    told, rest = json.loads(answer.body[:length]), answer.body[length:]
    assert "wine" == told["model_name"]
    outputs = {}
    for output in told["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        outputs[output["name"]] = output["data"] if size is None else rest[:size]
        rest = rest if size is None else rest[size:]
    return outputs


def tensor(name: str, values: list[Any]) -> dict[str, Any]:
    datatype = "BYTES" if isinstance(values[0], str) else "FP64"
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values}


@pytest.mark.parametrize("rows", [[WINE], [WINE, OTHER] * 250], ids=["single", "batch"])
def test_infer(server: Server, rows: list[dict[str, Any]]) -> None:
    """Version 2 in JSON."""
    outputs = infer(server, inputs=[tensor(name, [row[name] for row in rows]) for name in WINE])

    assert (CULTIVARS * len(rows))[: len(rows)] == outputs["cultivar"]
    assert 3 * len(rows) == len(outputs["cultivar_probabilities"])


def test_infer_binary(server: Server) -> None:
    """Version 2 in bytes, both ways: of the requests some tensors, of the answer the output asked for."""
    raw = struct.pack("<d", WINE["proline"])
    inputs = [tensor(name, [value]) for name, value in WINE.items() if name != "proline"]
    sized = {"name": "proline", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
    asked = [{"name": "cultivar", "parameters": {"binary_data": True}}]

    assert {"cultivar": b"\x0a\0\0\0cultivar-1"} == infer(server, raw, inputs=[*inputs, sized], outputs=asked)


def test_predict(server: Server) -> None:
    """Version 1: rows by name, and in the schema's order."""
    for rows in ([WINE, OTHER], [list(WINE.values()), list(OTHER.values())]):
        answer = post(server, "/v1/models/wine:predict", json.dumps({"instances": rows}).encode())

        assert (200, {"predictions": CULTIVARS}) == (answer.status, answer.json())


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v2/health/live", "live"),
        ("/v2/health/ready", "ready"),
        ("/v2/models/wine/ready", "ready"),
        ("/v1/models/wine", "ready"),
    ],
)
def test_ready(server: Server, path: str, member: str) -> None:
    """The client reads JSON: ``is_server_live``, ``is_server_ready``, ``is_model_ready`` of both versions."""
    answer = get(server, path)

    assert (200, True) == (answer.status, answer.json()[member])


def test_alive(server: Server) -> None:
    """``is_server_live`` of version 1, which has no key to send."""
    assert {"status": "alive"} == get(server, "/", {}).json()


@pytest.mark.parametrize(
    ("path", "document", "status", "told"),
    [
        ("/v1/models/wine:predict", {"instances": [{}]}, 400, "missing input data: alcohol"),
        ("/v1/models/beer:predict", {"instances": [WINE]}, 404, "could not be found"),
        ("/v2/models/wine/infer", {"inputs": []}, 400, "inputs must have a tensor"),
        ("/v2/models/wine/versions/7/infer", {"inputs": [tensor("hue", [1])]}, 404, "has version 1"),
    ],
)
def test_errors(server: Server, path: str, document: object, status: int, told: str) -> None:
    """The client shows ``error`` where the Content-Type is application/json and nothing more."""
    answer = post(server, path, json.dumps(document).encode())

    assert (status, "application/json") == (answer.status, answer.headers["content-type"])
    assert told in answer.json()["error"]

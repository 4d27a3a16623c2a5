"""Requests and answers of KServe's ``InferenceRESTClient``, against the example apps under their servers.

The package depends on gRPC, pandas and a web server, so its calls are reproduced here, from
kserve/kserve, python/kserve/kserve/inference_client.py and protocol/infer_type.py (0.21).
"""

import json
import struct
import uuid
from typing import Any

import pytest

from support.servers import BEARER, WINE, Response, Server, send_request

# Headers that httpx sends by default.
FIELDS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "User-Agent": "python-httpx/0.28.1",
    **BEARER,
}
OTHER = {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}
CULTIVARS = ["cultivar-1", "cultivar-2"]


def get(server: Server, path: str, headers: dict[str, str] = FIELDS) -> Response:
    with server.connection() as connection:
        return send_request(connection, "GET", f"/ml{path}", headers=headers)


def post(server: Server, path: str, body: bytes, kind: str = "application/json", **headers: str) -> Response:
    with server.connection() as connection:
        return send_request(
            connection, "POST", f"/ml{path}", body, {**FIELDS, "content-type": kind, **headers}
        )


def infer(server: Server, *parts: bytes, **members: Any) -> dict[str, Any]:
    """Return the outputs by name, read as in ``InferResponse.from_bytes``."""
    head = json.dumps({"id": str(uuid.uuid4()), "model_name": "wine", **members}).encode()
    fields = {"inference-header-content-length": str(len(head))} if parts else {}
    kind = "application/octet-stream" if parts else "application/json"
    answer = post(server, "/v2/models/wine/infer", head + b"".join(parts), kind, **fields)
    assert answer.status == 200, answer.body
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    document, rest = json.loads(answer.body[:length]), answer.body[length:]
    assert "wine" == document["model_name"]
    outputs = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        outputs[output["name"]] = output["data"] if size is None else rest[:size]
        rest = rest if size is None else rest[size:]
    return outputs


def make_tensor(name: str, values: list[Any]) -> dict[str, Any]:
    datatype = "BYTES" if isinstance(values[0], str) else "FP64"
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values}


@pytest.mark.parametrize("rows", [[WINE], [WINE, OTHER] * 250], ids=["single", "batch"])
def test_infer_in_json(server: Server, rows: list[dict[str, Any]]) -> None:
    """Version 2 of the protocol."""
    outputs = infer(server, inputs=[make_tensor(name, [row[name] for row in rows]) for name in WINE])

    assert (CULTIVARS * len(rows))[: len(rows)] == outputs["cultivar"]
    assert 3 * len(rows) == len(outputs["cultivar_probabilities"])


def test_infer_with_binary_tensors(server: Server) -> None:
    """Some inputs and the requested output are binary."""
    raw = struct.pack("<d", WINE["proline"])
    inputs = [make_tensor(name, [value]) for name, value in WINE.items() if name != "proline"]
    sized = {"name": "proline", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
    requested = [{"name": "cultivar", "parameters": {"binary_data": True}}]

    assert {"cultivar": b"\x0a\0\0\0cultivar-1"} == infer(
        server, raw, inputs=[*inputs, sized], outputs=requested
    )


def test_predict_version_1(server: Server) -> None:
    """Rows as objects, and as lists in schema order."""
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
def test_health_endpoints(server: Server, path: str, member: str) -> None:
    """The client reads the JSON: ``is_server_live``, ``is_server_ready``, ``is_model_ready``."""
    answer = get(server, path)

    assert (200, True) == (answer.status, answer.json()[member])


def test_version_1_liveness_needs_no_key(server: Server) -> None:
    assert "alive" == get(server, "/", {}).json()["status"]


@pytest.mark.parametrize(
    ("path", "document", "status", "message"),
    [
        ("/v1/models/wine:predict", {"instances": [{}]}, 400, "missing input data: alcohol"),
        ("/v1/models/beer:predict", {"instances": [WINE]}, 404, "could not be found"),
        ("/v2/models/wine/infer", {"inputs": []}, 400, "inputs must have a tensor"),
        (
            "/v2/models/wine/versions/7/infer",
            {"inputs": [make_tensor("hue", [1])]},
            404,
            "no such version: use 1",
        ),
    ],
)
def test_errors(server: Server, path: str, document: object, status: int, message: str) -> None:
    """The client shows ``error`` only if the Content-Type is exactly application/json."""
    answer = post(server, path, json.dumps(document).encode())

    assert (status, "application/json") == (answer.status, answer.headers["content-type"])
    assert message in answer.json()["error"]

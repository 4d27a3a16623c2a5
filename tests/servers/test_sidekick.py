"""Peltarion's client sidekick, reproduced from its ``deployment.py`` and ``encode.py``, version 0.3.1.

The package is only on GitHub.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from threading import Thread
from typing import Any
from urllib.parse import urljoin

import numpy as np
import PIL.Image
import pytest
import requests
from werkzeug.serving import make_server

from modelgate import Column, Deployment, Gate, ImageSpec, Schema
from support.servers import KEY, WINE, Server
from support.waiting import SOON

FORWARD = "/deployment/{deploymentId}/forward"
EXPECTED: dict[str, Any] = {
    "numeric": (int, float),
    "text": str,
    "categorical": dict,
    "image": PIL.Image.Image,
}


class Sidekick:
    """Send the same requests as sidekick, and check the answers as strictly."""

    BATCH_SIZE = 128

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"User-Agent": "sidekick", "Authorization": f"Bearer {token}"})
        response = self._session.get(urljoin(url, "openapi.json"), timeout=SOON)
        response.raise_for_status()
        document = response.json()
        self.tensor_json = document["paths"][FORWARD]["x-peltarion-tensorjson"]
        schemas = document["components"]["schemas"]
        self.features_in = _features(schemas["input-row"]["properties"])
        self.features_out = _features(schemas["output-row-batch"]["properties"]["rows"]["properties"])

    def predict_many(self, items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return list(self._predict(iter(items)))

    def _predict(self, items: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        while batch := list(islice(items, self.BATCH_SIZE)):
            rows = [_check(item, self.features_in) for item in batch]
            rows = [{name: _encode(value) for name, value in row.items()} for row in rows]
            response = self._session.post(self._url, json={"rows": rows}, timeout=SOON)
            response.raise_for_status()
            answer = response.json()
            if "errorCode" in answer:
                raise OSError(answer["errorCode"])
            yield from (_check(row, self.features_out) for row in answer["rows"])


def _features(properties: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    annotations = {name: schema["x-peltarion"] for name, schema in properties.items()}
    return {name: (feature["type"], tuple(feature["shape"])) for name, feature in annotations.items()}


def _check(item: Mapping[str, Any], features: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Any]:
    for name, (kind, shape) in features.items():
        is_tensor = kind == "numeric" and (len(shape) > 1 or shape[0] > 1)
        if not isinstance(item[name], np.ndarray if is_tensor else EXPECTED[kind]):
            raise TypeError(name)
        if kind == "categorical" and len(item[name]) != shape[0]:
            raise ValueError(name)
        if is_tensor and item[name].shape != shape:
            raise ValueError(name)
    return {name: item[name] for name in features}


def _encode(value: Any) -> Any:
    """Encode a value as FloatTensorEncoder, ImageEncoder and the other encoders do."""
    if isinstance(value, np.ndarray):
        return {"shape": value.shape, "data": value.astype(np.float32).flatten().tolist()}
    if not isinstance(value, PIL.Image.Image):
        return value
    kind = str(value.format)
    if value.mode in ("RGBA", "LA"):
        value = value.convert(value.mode[:-1])
    with io.BytesIO() as content:
        value.save(content, format=kind)
        return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"


def make_client(server: Server, name: str, key: str = KEY) -> Sidekick:
    return Sidekick(f"http://127.0.0.1:{server.port}/ml/deployment/{name}/forward", key)


def test_classifier(server: Server) -> None:
    """The output is the probability of each class."""
    client = make_client(server, "wine")
    (prediction,) = client.predict_many([WINE])

    assert client.tensor_json is True
    assert client.features_in["colour"] == ("text", (1,))
    assert client.features_out == {"cultivar": ("categorical", (3,))}
    assert max(prediction["cultivar"], key=prediction["cultivar"].get) == "cultivar-1"
    assert pytest.approx(1) == sum(prediction["cultivar"].values())


def test_regressor_and_function(server: Server) -> None:
    rows = [dict.fromkeys(("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"), 0.0)]
    temperatures = make_client(server, "serving-temperature").predict_many(
        [{"alcohol": 14, "colour": "light"}]
    )

    assert 25 < make_client(server, "diabetes").predict_many(rows)[0]["progression"] < 346
    assert temperatures == [{"celsius": 9.0}]


def test_batches_keep_the_order(server: Server) -> None:
    """300 rows are sent in three requests."""
    rows = [{"alcohol": 12 + index % 5, "colour": "light"} for index in range(300)]
    predictions = make_client(server, "serving-temperature").predict_many(rows)

    assert predictions == [{"celsius": 8 + index % 5 / 2} for index in range(300)]


@pytest.mark.parametrize(
    ("status", "name", "key"), [(401, "wine", "wrong"), (404, "cellar", KEY)], ids=["key", "deployment"]
)
def test_document_needs_a_valid_key_and_deployment(server: Server, status: int, name: str, key: str) -> None:
    with pytest.raises(requests.HTTPError) as info:
        make_client(server, name, key)

    assert info.value.response.status_code == status


def test_invalid_row_is_rejected_with_400(server: Server) -> None:
    with pytest.raises(requests.HTTPError) as info:
        make_client(server, "wine").predict_many([{**WINE, "colour": "blue"}])

    assert info.value.response.status_code == 400
    assert info.value.response.json()["errorCode"] == "JsonPropertyTypeMismatch"


def open_image(kind: str, mode: str, pixels: Any) -> PIL.Image.Image:
    """Return an image as it is after reading it from a file: with a format."""
    with io.BytesIO() as content:
        PIL.Image.fromarray(pixels).convert(mode).save(content, kind)
        image = PIL.Image.open(io.BytesIO(content.getvalue()))
    image.load()
    return image


@pytest.fixture(scope="module")
def images_and_tensors() -> Iterator[Sidekick]:
    """A deployment whose prediction depends on each pixel and on each element."""
    schema = Schema.of(
        photo=ImageSpec(size=(64, 64), mode="L"),
        window=Column("window", "tensor", shape=(2, 3)),
        level=Column("level", "tensor", shape=(1,)),
    )
    outputs = ["pixels", "window", "level"]
    gate = Gate([Deployment("sum", sum_elements, schema=schema, target=outputs)], keys={KEY: "sum"})
    server = make_server("127.0.0.1", 0, gate.wsgi)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Sidekick(f"http://127.0.0.1:{server.port}/deployment/sum/forward", KEY)
    finally:
        server.shutdown()
        thread.join(SOON)
        server.server_close()


def sum_elements(table: Any) -> Any:
    weights = np.array([[1, 10, 100], [1000, 10_000, 100_000]])
    return {
        "pixels": table["photo"].mean(axis=(1, 2)),
        "window": (table["window"] * weights).sum(axis=(1, 2)),
        "level": table["level"][:, 0],
    }


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("GIF", "P"), ("BMP", "RGB")]
)
def test_image_and_tensors(images_and_tensors: Sidekick, kind: str, mode: str) -> None:
    photo = open_image(kind, mode, np.full((64, 64), 40, np.uint8))
    window = np.array([[1, 2, 3], [4, 5, 6]])
    (prediction,) = images_and_tensors.predict_many([{"photo": photo, "window": window, "level": 0.5}])

    assert {"pixels": 40, "window": 654_321, "level": 0.5} == prediction
    assert {
        "photo": ("image", (64, 64)),
        "window": ("numeric", (2, 3)),
        "level": ("numeric", (1,)),
    } == images_and_tensors.features_in


def test_batch_of_images_of_more_than_a_mebibyte(images_and_tensors: Sidekick) -> None:
    """sidekick sends 128 images in one request, whatever their size."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    item = {"photo": open_image("BMP", "L", noise), "window": np.ones((2, 3)), "level": 1}
    predictions = images_and_tensors.predict_many([item] * 128)

    assert [predictions[0]] * 128 == predictions
    assert pytest.approx(noise.mean(), rel=0.05) == predictions[0]["pixels"]


def test_photo_of_a_digit(server: Server) -> None:
    photo = open_image("PNG", "L", np.full((24, 24), 255, np.uint8))
    (prediction,) = make_client(server, "digits").predict_many([{"photo": photo}])

    assert {str(digit) for digit in range(10)} == set(prediction["digit"])

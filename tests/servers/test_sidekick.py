"""Peltarion's client sidekick, reproduced from its ``deployment.py`` and ``encode.py``, version 0.3.1.

The package is only on GitHub.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from support.servers import KEY, WINE, Server
from support.waiting import SOON

FORWARD = "/deployment/{deploymentId}/forward"
EXPECTED: dict[str, Any] = {"numeric": (int, float), "text": str, "categorical": dict}


class Deployment:
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
        if not isinstance(item[name], EXPECTED[kind]):
            raise TypeError(name)
        if kind == "categorical" and len(item[name]) != shape[0]:
            raise ValueError(name)
        assert kind != "numeric" or shape == (1,)  # sidekick takes any other shape for a tensor
    return {name: item[name] for name in features}


def make_client(server: Server, name: str, key: str = KEY) -> Deployment:
    return Deployment(f"http://127.0.0.1:{server.port}/ml/deployment/{name}/forward", key)


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

"""Peltarion's client sidekick, written after ``sidekick/deployment.py`` and ``encode.py`` of sidekick 0.3.1.

The package itself is on GitHub alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from servers.serving import KEY, WINE, Server

FORWARD = "/deployment/{deploymentId}/forward"
EXPECTED: dict[str, Any] = {"numeric": (int, float), "text": str, "categorical": dict}


class Deployment:
    """Asks with the requests that sidekick makes, and is as strict as it is."""

    BATCH_SIZE = 128

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"User-Agent": "sidekick", "Authorization": f"Bearer {token}"})
        response = self._session.get(urljoin(url, "openapi.json"), timeout=20)
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
            rows = [_checked(item, self.features_in) for item in batch]
            response = self._session.post(self._url, json={"rows": rows}, timeout=20)
            response.raise_for_status()
            told = response.json()
            if "errorCode" in told:
                raise OSError(told["errorCode"])
            yield from (_checked(row, self.features_out) for row in told["rows"])


def _features(properties: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    told = {name: schema["x-peltarion"] for name, schema in properties.items()}
    return {name: (feature["type"], tuple(feature["shape"])) for name, feature in told.items()}


def _checked(item: Mapping[str, Any], features: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Any]:
    for name, (kind, shape) in features.items():
        if not isinstance(item[name], EXPECTED[kind]):
            raise TypeError(name)
        if kind == "categorical" and len(item[name]) != shape[0]:
            raise ValueError(name)
        assert kind != "numeric" or shape == (1,)  # any other is a tensor to sidekick
    return {name: item[name] for name in features}


def deployment(server: Server, name: str, key: str = KEY) -> Deployment:
    return Deployment(f"http://127.0.0.1:{server.port}/ml/deployment/{name}/forward", key)


def test_classifier(server: Server) -> None:
    """Numbers and text in, the probability of each class out."""
    client = deployment(server, "wine")
    (told,) = client.predict_many([WINE])

    assert client.tensor_json is True
    assert client.features_in["colour"] == ("text", (1,))
    assert client.features_out == {"cultivar": ("categorical", (3,))}
    assert max(told["cultivar"], key=told["cultivar"].get) == "cultivar-1"
    assert pytest.approx(1) == sum(told["cultivar"].values())


def test_regressor(server: Server) -> None:
    """A number of the model, and one of the app's own function."""
    rows = [dict.fromkeys(("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"), 0.0)]
    temperatures = deployment(server, "serving-temperature").predict_many(
        [{"alcohol": 14, "colour": "light"}]
    )

    assert 25 < deployment(server, "diabetes").predict_many(rows)[0]["progression"] < 346
    assert temperatures == [{"celsius": 9.0}]


def test_batches(server: Server) -> None:
    """Three hundred rows come in three requests, and are answered in order."""
    rows = [{"alcohol": 12 + at % 5, "colour": "light"} for at in range(300)]
    told = deployment(server, "serving-temperature").predict_many(rows)

    assert told == [{"celsius": 8 + at % 5 / 2} for at in range(300)]


@pytest.mark.parametrize(
    ("status", "name", "key"), [(401, "wine", "wrong"), (404, "cellar", KEY)], ids=["key", "deployment"]
)
def test_refused_at_construction(server: Server, status: int, name: str, key: str) -> None:
    """The document is shown to whoever may ask the deployment."""
    with pytest.raises(requests.HTTPError) as info:
        deployment(server, name, key)

    assert info.value.response.status_code == status


def test_refused_row(server: Server) -> None:
    """A value that is not allowed is a 400, whose words the caller can read."""
    with pytest.raises(requests.HTTPError) as info:
        deployment(server, "wine").predict_many([{**WINE, "colour": "blue"}])

    assert info.value.response.status_code == 400
    assert info.value.response.json()["errorCode"] == "JsonPropertyTypeMismatch"

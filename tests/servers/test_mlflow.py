"""MLflow's scoring client, reproduced from ``mlflow/pyfunc/scoring_server/client.py`` of MLflow 3.17.

The package is no dependency of the tests: even mlflow-skinny brings forty others, restricts versions of
modelgate's dependencies, and warns on import.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from support.servers import KEY, WINE, Server
from support.waiting import SOON

DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
TEMPERATURE = {"alcohol": 14.0, "colour": "light"}


class ScoringServerClient:
    """Send the same requests as MLflow's client, and read the answers in the same way."""

    def __init__(self, host: str, port: str) -> None:
        self.url_prefix = f"http://{host}:{port}"

    def ping(self) -> None:
        status = requests.get(url=self.url_prefix + "/ping", timeout=SOON)
        if status.status_code != 200:
            raise Exception(f"ping failed (error code {status.status_code})")

    def get_version(self) -> str:
        return requests.get(url=self.url_prefix + "/version", timeout=SOON).text

    def invoke(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        if isinstance(data, pd.DataFrame):
            body: Any = {"dataframe_split": data.to_dict(orient="split")}
        else:
            body = {"inputs": data.tolist() if isinstance(data, np.ndarray) else data}
        if params is not None:
            body["params"] = params
        response = requests.post(
            url=self.url_prefix + "/invocations",
            data=json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=SOON,
        )
        if response.status_code != 200:
            raise Exception(
                f"Invocation failed (error code {response.status_code}, response: {response.text})"
            )
        return json.loads(response.text)["predictions"]


@pytest.fixture
def make_client(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a client of a deployment. Its key can only come from netrc."""
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login anyone password {KEY}\n")
    return lambda name: ScoringServerClient("127.0.0.1", f"{server.port}/ml/mlflow/{name}")


def test_dataframe(make_client: Any) -> None:
    assert make_client("wine").invoke(pd.DataFrame([WINE])) == ["cultivar-1"]
    assert make_client("wine").invoke(pd.DataFrame([WINE] * 500)) == ["cultivar-1"] * 500


def test_array_and_list(make_client: Any) -> None:
    """Arrays are rows in schema order; lists of objects are rows by name."""

    assert len(make_client("diabetes").invoke(np.zeros((3, 10)))) == 3
    assert make_client("serving-temperature").invoke([TEMPERATURE]) == [9.0]


def test_nan_in_a_dataframe_is_null(make_client: Any) -> None:
    client, row = make_client("diabetes"), dict.fromkeys(DIABETES, 0.0)
    frame = pd.DataFrame([row, {**row, "bmi": np.nan}])

    assert client.invoke(frame) == client.invoke([row, {**row, "bmi": None}])


def test_ping_and_version(make_client: Any) -> None:
    make_client("wine").ping()

    assert make_client("wine").get_version() == "2.0.0"
    with pytest.raises(Exception, match="error code 503"):
        make_client("cellar").ping()


def test_errors_are_raised_with_status_and_message(make_client: Any, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"error code 400.*BAD_REQUEST.*\"missing_columns\":\[\"colour\"\]"):
        make_client("wine").invoke(pd.DataFrame([WINE]).drop(columns="colour"))
    with pytest.raises(Exception, match=r"error code 400.*params must be left out or empty"):
        make_client("wine").invoke(pd.DataFrame([WINE]), params={"temperature": 0.5})
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login anyone password wrong\n")
    with pytest.raises(Exception, match=r"error code 401.*Invalid API key"):
        make_client("wine").invoke(pd.DataFrame([WINE]))

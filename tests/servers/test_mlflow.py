"""MLflow's scoring client, written after ``mlflow/pyfunc/scoring_server/client.py`` of MLflow 3.17.

The package itself is no dependency of the tests: even mlflow-skinny brings forty others, bounds what
versions some of modelgate's own may have, and warns when it is imported.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from servers.serving import KEY, WINE, Server

DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
TEMPERATURE = {"alcohol": 14.0, "colour": "light"}


class ScoringServerClient:
    """Asks with the requests that MLflow's client makes, and reads their answers as it does."""

    def __init__(self, host: str, port: str) -> None:
        self.url_prefix = f"http://{host}:{port}"

    def ping(self) -> None:
        status = requests.get(url=self.url_prefix + "/ping", timeout=20)
        if status.status_code != 200:
            raise Exception(f"ping failed (error code {status.status_code})")

    def get_version(self) -> str:
        return requests.get(url=self.url_prefix + "/version", timeout=20).text

    def invoke(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        if isinstance(data, pd.DataFrame):
            told: Any = {"dataframe_split": data.to_dict(orient="split")}
        else:
            told = {"inputs": data.tolist() if isinstance(data, np.ndarray) else data}
        if params is not None:
            told["params"] = params
        response = requests.post(
            url=self.url_prefix + "/invocations",
            data=json.dumps(told),
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
        if response.status_code != 200:
            raise Exception(
                f"Invocation failed (error code {response.status_code}, response: {response.text})"
            )
        return json.loads(response.text)["predictions"]


@pytest.fixture
def client_of(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a deployment. It can send a key only if requests finds it in the file netrc."""
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login anyone password {KEY}\n")
    return lambda name: ScoringServerClient("127.0.0.1", f"{server.port}/ml/mlflow/{name}")


def test_dataframe(client_of: Any) -> None:
    """One row and many, as a DataFrame."""

    assert client_of("wine").invoke(pd.DataFrame([WINE])) == ["cultivar-1"]
    assert client_of("wine").invoke(pd.DataFrame([WINE] * 500)) == ["cultivar-1"] * 500


def test_array_and_list(client_of: Any) -> None:
    """An array is rows in the schema's order, a list of objects is rows by name."""

    assert len(client_of("diabetes").invoke(np.zeros((3, 10)))) == 3
    assert client_of("serving-temperature").invoke([TEMPERATURE]) == [9.0]


def test_missing_values(client_of: Any) -> None:
    """NaN in a DataFrame goes out as NaN, and is null."""
    client, row = client_of("diabetes"), dict.fromkeys(DIABETES, 0.0)
    frame = pd.DataFrame([row, {**row, "bmi": np.nan}])

    assert client.invoke(frame) == client.invoke([row, {**row, "bmi": None}])


def test_health(client_of: Any) -> None:
    """The deployment is ready, and MLflow's version is told."""
    client_of("wine").ping()

    assert client_of("wine").get_version() == "2.0.0"
    with pytest.raises(Exception, match="error code 503"):
        client_of("cellar").ping()


def test_errors(client_of: Any, tmp_path: Path) -> None:
    """A refusal is the client's exception, with the status and the words of the gate."""
    with pytest.raises(Exception, match=r"error code 400.*BAD_REQUEST.*\"missing_columns\":\[\"colour\"\]"):
        client_of("wine").invoke(pd.DataFrame([WINE]).drop(columns="colour"))
    with pytest.raises(Exception, match=r"error code 400.*params must be left out or empty"):
        client_of("wine").invoke(pd.DataFrame([WINE]), params={"temperature": 0.5})
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login anyone password wrong\n")
    with pytest.raises(Exception, match=r"error code 401.*Invalid API key"):
        client_of("wine").invoke(pd.DataFrame([WINE]))

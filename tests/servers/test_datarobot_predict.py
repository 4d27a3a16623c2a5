"""datarobot-predict, the client of DataRobot's prediction servers, and snippets from its documentation."""

import datetime
import json
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import datarobot
import numpy as np
import pandas
import pytest
import requests
import urllib3
from datarobot.errors import ClientError
from datarobot.rest import RESTClientObject
from datarobot_predict import TimeSeriesType
from datarobot_predict import deployment as datarobot_predict

from support.servers import BEARER, KEY, ROOT, WINE, Server, run_server
from support.waiting import SOON

PREDAPI = "/ml/predApi/v1.0/deployments"
DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
OTHER_WINE = {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}
FRAME = pandas.DataFrame([WINE, OTHER_WINE])
CSV = FRAME.to_csv(index=False)
BOTTLES = pandas.DataFrame(runpy.run_path(str(ROOT / "examples/bottles.py"))["sales"](60))

# The client passes an option whose meaning urllib3 will change.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using an empty collection for 'allowed_methods':FutureWarning"
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@contextmanager
def open_client(server: Server, key: str = KEY, scheme: str | None = None) -> Iterator[str]:
    """Set up the client as its users do, except for the request of DataRobot's version; yields the base URL."""
    base = f"http://127.0.0.1:{server.port}"
    account = RESTClientObject(auth=key, endpoint=f"{base}/api/v2", authentication_type=scheme)
    datarobot.client.set_client(account)
    datarobot_predict.clear_context()
    try:
        yield base
    finally:
        datarobot_predict.get_client().close()
        account.close()


@pytest.mark.parametrize("scheme", [None, "Token", "Bearer"])
@pytest.mark.parametrize("path", ["/ml/predApi/v1.0", "/ml"])
def test_classifier(server: Server, path: str, scheme: str | None) -> None:
    """A DataFrame in, a DataFrame out, in the same order."""
    with open_client(server, scheme=scheme) as base:
        result = datarobot_predict.predict("wine", FRAME, prediction_endpoint=base + path)

    names = [f"cultivar_cultivar-{number}_PREDICTION" for number in (1, 2, 3)]
    assert [*names, "cultivar_PREDICTION"] == list(result.dataframe.columns)
    assert ["cultivar-1", "cultivar-2"] == result.dataframe["cultivar_PREDICTION"].tolist()
    assert pytest.approx([1, 1]) == result.dataframe[names].sum(axis=1).tolist()
    assert "true" == result.response_headers["X-DataRobot-Model-Cache-Hit"]
    assert "wine" == result.response_headers["X-DataRobot-Model-Id"]


def test_regressor_takes_missing_values(server: Server) -> None:
    frame = pandas.DataFrame([dict.fromkeys(DIABETES), dict.fromkeys(DIABETES, 1.5)])
    with open_client(server) as base:
        result = datarobot_predict.predict("diabetes", frame, prediction_endpoint=f"{base}/ml/predApi/v1.0")

    assert ["progression_PREDICTION"] == list(result.dataframe.columns)
    assert result.dataframe["progression_PREDICTION"].between(25, 346).all()


def test_deployment_in_the_url(server: Server) -> None:
    """As for the Portable Prediction Server."""
    with open_client(server) as base:
        result = datarobot_predict.predict(None, FRAME, prediction_endpoint=f"{base}{PREDAPI}/wine")

    assert 2 == len(result.dataframe)


@pytest.mark.parametrize("columns", ["all", {"alcohol", "colour"}, {"name of it"}])
def test_passthrough_columns(server: Server, columns: str | set[str]) -> None:
    """Including columns that the model does not know."""
    frame = FRAME.assign(**{"name of it": ["é, ü", "line\nbreak"]})
    with open_client(server) as base:
        result = datarobot_predict.predict(
            "wine", frame, passthrough_columns=columns, prediction_endpoint=f"{base}/ml/predApi/v1.0"
        )

    expected = list(frame.columns) if columns == "all" else sorted(columns)
    pandas.testing.assert_frame_equal(frame[expected], result.dataframe[expected])


def test_many_rows_keep_their_order(server: Server) -> None:
    frame = pandas.concat([FRAME] * 30_000, ignore_index=True)
    with open_client(server) as base:
        result = datarobot_predict.predict("wine", frame, prediction_endpoint=f"{base}/ml/predApi/v1.0")

    assert ["cultivar-1", "cultivar-2"] * 30_000 == result.dataframe["cultivar_PREDICTION"].tolist()


def test_errors_with_any_letters(server: Server) -> None:
    frame = FRAME.rename(columns={"hue": "teinté"})
    with open_client(server) as base, pytest.raises(ClientError, match="missing input data: hue") as info:
        datarobot_predict.predict("wine", frame, prediction_endpoint=f"{base}/ml/predApi/v1.0")

    assert 422 == info.value.status_code
    with open_client(server) as base, pytest.raises(ClientError, match=r"\[u'teinté'\]") as info:
        datarobot_predict.predict(
            "wine", FRAME, passthrough_columns={"teinté"}, prediction_endpoint=f"{base}/ml/predApi/v1.0"
        )

    assert 400 == info.value.status_code


def test_explanations(tmp_path: Path) -> None:
    """Also of rows of which only some are outside the thresholds."""
    command = ["-m", "uvicorn", "servers.explaining_app:app", "--app-dir", "tests", "--port", "PORT"]
    frame = pandas.DataFrame({"age": [25.0, 40.5, 58.0], "plan": ["free", "pro", "pro"]})
    with run_server("explaining", command, tmp_path) as running, open_client(running) as base:
        result = datarobot_predict.predict(
            "churn",
            frame,
            max_explanations=2,
            threshold_low=0.2,
            threshold_high=0.8,
            prediction_endpoint=f"{base}/predApi/v1.0",
        )
    table = result.dataframe

    assert ["age", None, "age"] == table["EXPLANATION_1_FEATURE_NAME"].astype(object).where(
        table["EXPLANATION_1_FEATURE_NAME"].notna(), None
    ).tolist()
    assert [25.0, 58.0] == table["EXPLANATION_1_ACTUAL_VALUE"].dropna().tolist()
    assert ["---", "+++"] == table["EXPLANATION_1_QUALITATIVE_STRENGTH"].dropna().tolist()
    assert ["free", "pro"] == table["EXPLANATION_2_ACTUAL_VALUE"].dropna().tolist()
    strengths = table[["EXPLANATION_1_STRENGTH", "EXPLANATION_2_STRENGTH"]].dropna().sum(axis=1)
    margins = strengths + float(result.response_headers["X-Explanation-Base-Value"])
    probabilities = table["churn_yes_PREDICTION"].iloc[[0, 2]]
    assert pytest.approx(probabilities.tolist(), abs=1e-9) == (1 / (1 + np.exp(-margins))).tolist()
    assert ("linear", "margin") == (
        result.response_headers["X-Explanation-Method"],
        result.response_headers["X-Explanation-Space"],
    )


def test_explanations_are_rejected(server: Server) -> None:
    """Rather than silently omitted."""
    with (
        open_client(server) as base,
        pytest.raises(ClientError, match="explanations are not available for this model") as info,
    ):
        datarobot_predict.predict(
            "serving-temperature",
            FRAME[["alcohol", "colour"]],
            max_explanations=3,
            prediction_endpoint=f"{base}/ml/predApi/v1.0",
        )

    assert 422 == info.value.status_code


def test_wrong_key(server: Server) -> None:
    with open_client(server, "mg_nobody-knows-this-key") as base, pytest.raises(ClientError) as info:
        datarobot_predict.predict("wine", FRAME, prediction_endpoint=f"{base}/ml/predApi/v1.0")

    assert (401, {"message": "Invalid API token"}) == (info.value.status_code, info.value.json)


def test_forecasts(server: Server) -> None:
    """History in, one row for each wine and day of the next week out."""
    with open_client(server) as base:
        result = datarobot_predict.predict("bottles", BOTTLES, prediction_endpoint=f"{base}/ml/predApi/v1.0")
        earlier = datarobot_predict.predict(
            "bottles",
            BOTTLES,
            forecast_point=datetime.datetime(2023, 12, 10),
            relax_known_in_advance_features_check=True,
            prediction_endpoint=f"{base}/ml/predApi/v1.0",
        )
    frame = result.dataframe

    assert [
        "wine",
        "FORECAST_POINT",
        "date",
        "FORECAST_DISTANCE",
        "bottles (actual)_PREDICTION",
        "PREDICTION_80_PERCENTILE_LOW",
        "PREDICTION_80_PERCENTILE_HIGH",
    ] == list(frame.columns)
    assert [1, 2, 3, 4, 5, 6, 7] * 2 == frame["FORECAST_DISTANCE"].tolist()
    assert {"2023-12-31T00:00:00Z"} == set(frame["FORECAST_POINT"])
    assert ["Barolo"] * 7 + ["Grignolino"] * 7 == frame["wine"].tolist()
    assert {"2023-12-10T00:00:00Z"} == set(earlier.dataframe["FORECAST_POINT"])


def test_historical_forecasts(server: Server) -> None:
    """Each date from all forecast points; the client sends the whole range of dates that it knows."""
    with open_client(server) as base:
        options = {"time_series_type": TimeSeriesType.HISTORICAL, "prediction_endpoint": f"{base}/ml"}
        everything = datarobot_predict.predict("bottles", BOTTLES, **options).dataframe
        week = datarobot_predict.predict(
            "bottles",
            BOTTLES,
            predictions_start_date=datetime.datetime(2023, 12, 1),
            predictions_end_date=datetime.datetime(2023, 12, 8),
            **options,
        ).dataframe
    dates = everything["date"]

    assert ("2023-11-16", "2023-12-31") == (dates.min(), dates.max())
    assert 2 * 7 * 7 == len(week)
    pandas.testing.assert_frame_equal(
        everything[(dates >= "2023-12-01") & (dates < "2023-12-08")].reset_index(drop=True), week
    )


def test_incomplete_history_is_named(server: Server) -> None:
    history = BOTTLES.drop(index=55)
    with open_client(server) as base, pytest.raises(ClientError, match="no row for 2023-12-27") as info:
        datarobot_predict.predict("bottles", history, prediction_endpoint=f"{base}/ml/predApi/v1.0")

    assert 422 == info.value.status_code


def test_client_retries_503_and_429(tmp_path: Path) -> None:
    command = ["-m", "uvicorn", "servers.impatient_app:app", "--app-dir", "tests", "--port", "PORT"]
    frame = pandas.DataFrame({"amount": [1.5, 2.0]})
    with run_server("impatient", command, tmp_path) as running, open_client(running) as base:
        answers = [
            datarobot_predict.predict("double", frame, prediction_endpoint=f"{base}/predApi/v1.0")
            for _ in range(2)
        ]
        log = running.log.read_text("utf-8")

    assert [[3.0, 4.0]] * 2 == [result.dataframe["amount_PREDICTION"].tolist() for result in answers]
    assert 1 == log.count(" 503 ")
    assert " 429 " in log


def predictions_url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}{PREDAPI}/wine/predictions"


def read_cultivars(response: requests.Response) -> list[str]:
    assert (200, "application/json") == (response.status_code, response.headers["Content-Type"])
    return [row["prediction"] for row in response.json()["data"]]


def test_session_snippet(server: Server) -> None:
    """ "Using persistent HTTP connections": one row at a time as text/json."""
    with requests.Session() as session:
        session.headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/json"}
        labels = [
            read_cultivars(session.post(predictions_url(server), data=json.dumps(row)))
            for row in (WINE, OTHER_WINE)
        ]

    assert [["cultivar-1"], ["cultivar-2"]] == labels


def test_retrying_snippet(server: Server) -> None:
    """ "Knowing the limitations": an adapter that retries (its option is now allowed_methods)."""
    retry = urllib3.Retry(total=3, allowed_methods=frozenset(["GET", "POST", "HEAD"]))
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        headers = {**BEARER, "DataRobot-Key": "any", "Content-Type": "text/csv"}
        response = session.post(predictions_url(server), headers=headers, data=CSV)

    assert ["cultivar-1", "cultivar-2"] == read_cultivars(response)


def test_file_upload_without_content_type(server: Server) -> None:
    response = requests.post(
        predictions_url(server), headers=BEARER, files={"file": ("wines.csv", BytesIO(CSV.encode()))}
    )

    assert ["cultivar-1", "cultivar-2"] == read_cultivars(response)


def test_basic_authentication(server: Server) -> None:
    """ "Request schema": the user name with the API token."""
    response = requests.post(predictions_url(server), auth=("user@example.com", KEY), json=[WINE])

    assert ["cultivar-1"] == read_cultivars(response)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("", ["-F", "file=@wines.csv"]),
        ("?passthroughColumns=alcohol&passthroughColumns=hue", ["-F", "file=@wines.csv"]),
        ("", ["--data-binary", "@wines.csv", "-H", "content-type: text/plain"]),
        (
            "",
            [
                "--data-binary",
                "@wines.csv.gz",
                "-H",
                "Content-Type: text/csv",
                "-H",
                "Content-Encoding: gzip",
            ],
        ),
        ("", ["--data", "@wines.json", "-H", "Content-Type: application/json"]),
    ],
)
def test_curl_snippets(server: Server, tmp_path: Path, path: str, options: list[str]) -> None:
    """ "File input", "Request schema", "In-body text input", "JSON input"."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "wines.csv").write_text(CSV)
    (tmp_path / "wines.json").write_text(json.dumps([WINE, OTHER_WINE]))
    FRAME.to_csv(tmp_path / "wines.csv.gz", index=False)
    command = [
        "curl",
        "--silent",
        "--noproxy",
        "*",
        "--max-time",
        str(SOON),
        "-X",
        "POST",
        predictions_url(server) + path,
    ]
    output = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {KEY}", *options],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    ).stdout
    rows = json.loads(output)["data"]

    assert ["cultivar-1", "cultivar-2"] == [row["prediction"] for row in rows]
    if path:
        assert [{"alcohol": 14.23, "hue": 1.04}, {"alcohol": 12.0, "hue": 1.04}] == [
            row["passthroughValues"] for row in rows
        ]

"""Forecasts in the dialects that have them: requests as on the page "DataRobot Prediction API", section
"Making predictions with time series" (docs.datarobot.com), and in modelgate's own format.
"""

import csv
import io
import json

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from modelgate import (
    ConfigurationError,
    Deployment,
    Exposure,
    Gate,
    InvalidInput,
    PredictionError,
    Schema,
    score,
)
from modelgate.dialects import DataRobot
from modelgate.forecasting import DirectForecaster, ForecastOptions, TimeSeriesSpec
from modelgate.humility import OutlyingInput
from modelgate.testing import Client
from support.series import SPEC, Drift, daily, drift_rows, sales_rows

PREDICT = "/predApi/v1.0/deployments/sales/predictions"
NATIVE = "/deployments/sales/predict"
ROWS = drift_rows()

# "Making predictions with time series". The document leaves out two members of the last row.
SAMPLE = """
{
  "data": [
    {
      "seriesId": 1,
      "forecastPoint": "2018-01-09T00:00:00Z",
      "rowId": 365,
      "timestamp": "2018-01-10T00:00:00.000000Z",
      "predictionValues": [
        {
          "value": 45180.4041874386,
          "label": "target (actual)"
        }
      ],
      "forecastDistance": 1,
      "prediction": 45180.4041874386
    },
    {
      "seriesId": 1,
      "forecastPoint": "2018-01-09T00:00:00Z",
      "rowId": 366,
      "timestamp": "2018-01-11T00:00:00.000000Z",
      "predictionValues": [
        {
          "value": 47742.9432499386,
          "label": "target (actual)"
        }
      ],
      "forecastDistance": 2,
      "prediction": 47742.9432499386
    },
    {
      "seriesId": 1,
      "forecastPoint": "2018-01-09T00:00:00Z",
      "rowId": 367,
      "timestamp": "2018-01-12T00:00:00.000000Z",
      "predictionValues": [
        {
          "value": 46394.5698978878,
          "label": "target (actual)"
        }
      ],
      "forecastDistance": 3,
      "prediction": 46394.5698978878
    },
    {
      "seriesId": 2,
      "forecastPoint": "2018-01-09T00:00:00Z",
      "rowId": 697,
      "timestamp": "2018-01-10T00:00:00.000000Z",
      "predictionValues": [
        {
          "value": 39794.833199375,
          "label": "target (actual)"
        }
      ]
    }
  ]
}
"""


class Plan(Drift):
    """Predicts the plan, which is known in advance."""

    def forecast(self, window, horizon, future):
        return future.columns["plan"]


class Fixed(Drift):
    """Predicts *values*, with intervals of ±1 for 80 % and ±2 for 90 %."""

    levels = (80, 90)

    def __init__(self, values=None):
        super().__init__()
        self.fixed = values

    def forecast(self, window, horizon, future):
        return super().forecast(window, horizon, future) if self.fixed is None else self.fixed

    def intervals(self, window, future, values, level):
        width = (level - 70) / 10
        return np.stack([values - width, values + width], axis=1)


def create_client(interface, forecaster, **options):
    gate = Gate([Deployment("sales", forecaster, **options)], keys="open")
    return Client(getattr(gate, interface))


def test_sample_response_of_the_document(interface):
    expected = json.loads(SAMPLE)["data"]
    rows = [{"date": date, "series": 1, "target": 1.0, "plan": None} for date in daily("2017-01-10", 365)]
    rows += [
        {"date": row["timestamp"][:10], "series": 1, "target": None, "plan": row["prediction"]}
        for row in expected[:3]
    ]
    rows += [{"date": date, "series": 2, "target": 1.0, "plan": None} for date in daily("2017-02-15", 329)]
    rows += [{"date": "2018-01-10", "series": 2, "target": None, "plan": 39794.833199375}]
    spec = TimeSeriesSpec(
        date_column="date",
        target="target",
        series_id="series",
        step="1D",
        feature_derivation_window=(-27, 0),
        forecast_window=(1, 7),
        known_in_advance=["plan"],
    )
    response = create_client(interface, Plan(spec)).post(PREDICT, json=rows)
    data = response.json()["data"]

    assert [*map(list, expected[:3]), [*expected[3], "forecastDistance", "prediction"]] == [*map(list, data)]
    assert expected == [{name: row[name] for name in like} for row, like in zip(data, expected, strict=True)]
    assert 200 == response.status


@pytest.mark.parametrize("series", ["north", 7], ids=["text", "number"])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_series_id_keeps_its_type(series, kind, interface):
    forecaster = Drift()
    forecaster.series = None
    rows = [{**row, "store": series} for row in drift_rows([1])]
    content = (
        {"json": rows} if kind == "json" else {"body": to_csv(rows), "headers": {"content-type": "text/csv"}}
    )
    data = create_client(interface, forecaster).post(PREDICT, **content).json()["data"]

    assert [series] * 3 == [row["seriesId"] for row in data]


def to_csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def test_single_series_has_a_null_id(interface):
    spec = msgspec.structs.replace(SPEC, series_id=None)
    data = create_client(interface, Drift(spec)).post(PREDICT, json=drift_rows([1])).json()["data"]

    assert [None] * 3 == [row["seriesId"] for row in data]


def test_intervals_and_original_timestamps():
    gate = Gate([Deployment("sales", Fixed())], keys="open", dialects=[DataRobot(original_timestamps=True)])
    row = Client(gate.wsgi).post(PREDICT, json=ROWS).json()["data"][0]

    assert {"80": {"low": 104.0, "high": 106.0}, "90": {"low": 103.0, "high": 107.0}} == row[
        "predictionIntervals"
    ]
    assert "2018-01-06" == row["originalFormatTimestamp"]


def test_csv_has_the_columns_of_the_output_format(interface):
    response = create_client(interface, Fixed()).post(
        f"{PREDICT}?passthroughColumnsSet=all", json=ROWS, headers={"accept": "text/csv"}
    )
    lines = response.body.decode().splitlines()

    assert "text/csv; charset=utf-8" == response.header("content-type")
    assert (
        "store,FORECAST_POINT,date,FORECAST_DISTANCE,sales (actual)_PREDICTION,PREDICTION_80_PERCENTILE_LOW,"
        "PREDICTION_80_PERCENTILE_HIGH,PREDICTION_90_PERCENTILE_LOW,PREDICTION_90_PERCENTILE_HIGH,sales,promo"
    ) == lines[0]
    assert "1,2018-01-05T00:00:00Z,2018-01-06,1,105.0,104.0,106.0,103.0,107.0,,0" == lines[1]
    assert 7 == len(lines)


@pytest.mark.parametrize(
    "query",
    [
        "forecastPoint=2018-01-04T00:00:00",
        "forecastPoint=2018-01-04T00:00:00&relaxKnownInAdvanceFeaturesCheck=False",
        "forecastPoint=2018-01-04T00:00:00?relaxKnownInAdvanceFeaturesCheck=true",
        "forecastPoint=2018-01-04T00%3A00%3A00Z&maxExplanations=0",
    ],
)
def test_forecast_point(query, interface):
    """Also in a URL with two question marks, as in the document's own example."""
    data = create_client(interface, Drift()).post(f"{PREDICT}?{query}", json=ROWS).json()["data"]

    assert {"2018-01-04T00:00:00Z"} == {row["forecastPoint"] for row in data}
    assert [4, 5, 6, 12, 13, 14] == [row["rowId"] for row in data]


def test_relaxed_checks():
    rows = [row for row in ROWS if row["sales"] is not None]
    client = create_client("wsgi", Drift())
    rejected = client.post(PREDICT, json=rows)
    accepted = client.post(f"{PREDICT}?relaxKnownInAdvanceFeaturesCheck=True", json=rows)

    assert 422 == rejected.status
    assert [10, 11, 12, 13, 14, 15] == [row["rowId"] for row in accepted.json()["data"]]


def test_range_of_dates(interface):
    """With the dates that `datarobot-predict` sends unless others are chosen."""
    client = create_client(interface, Drift())
    everything = "predictionsStartDate=1900-01-01T00%3A00%3A00.000000Z&predictionsEndDate=2262-04-11T23%3A47%3A16.854775%2B00%3A00"
    data = client.post(f"{PREDICT}?{everything}", json=ROWS).json()["data"]
    part = client.post(f"{PREDICT}?predictionsStartDate=2018-01-07&predictionsEndDate=2018-01-08", json=ROWS)

    assert ["2018-01-04T00:00:00Z"] * 6 + ["2018-01-05T00:00:00Z"] * 6 == [
        row["forecastPoint"] for row in data
    ]
    assert [3, 3, 2, 2] == [row["forecastDistance"] for row in part.json()["data"]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("forecastPoint=", "'forecastPoint': blank value is not allowed"),
        ("forecastPoint=2018-01-05&forecastPoint=2018-01-05", "'forecastPoint': is sent twice"),
        ("forecastPoint=soon", "The forecast point must be a date"),
        ("relaxKnownInAdvanceFeaturesCheck=1", "must be true or false"),
        ("predictionsStartDate=2018-01-05", "must be sent together"),
        (
            "forecastPoint=2018-01-05&predictionsStartDate=2018-01-05&predictionsEndDate=2018-01-06",
            "exclude each other",
        ),
        ("forecastpoint=2018-01-05", "is not allowed key"),
    ],
)
def test_invalid_options(query, message):
    response = create_client("wsgi", Drift()).post(f"{PREDICT}?{query}", json=ROWS)

    assert 422 == response.status
    assert message in response.json()["message"]


def test_incomplete_history_is_a_422(interface):
    response = create_client(interface, Drift()).post(PREDICT, json=ROWS[1:3] + ROWS[4:])

    assert (
        422,
        {
            "message": "Series '1' needs 'sales' for all 4 steps from 2018-01-02 to 2018-01-05: there is no row"
            " for 2018-01-04"
        },
    ) == (response.status, response.json())


def test_hidden_schema_hides_the_error():
    schema = SPEC.schema().with_options(show_schema=False)
    response = create_client("wsgi", Drift(), schema=schema).post(PREDICT, json=ROWS[1:3] + ROWS[4:])

    assert {"message": "Invalid input data"} == response.json()


@pytest.mark.parametrize(
    "values", [[np.nan] * 6, [1.0, 2, 3, 4, 5, np.inf], [1.0]], ids=["nan", "inf", "short"]
)
@pytest.mark.parametrize("path", [PREDICT, NATIVE])
def test_invalid_result_of_a_forecaster_is_a_500(values, path, interface):
    """Never a row."""
    response = create_client(interface, Fixed(np.array(values))).post(path, json=ROWS)

    assert 500 == response.status
    assert "The model failed to score this request" in response.body.decode()


def test_nan_can_be_null():
    client = create_client("wsgi", Fixed(np.array([1.0, 2, 3, 4, 5, np.nan])), nonfinite="null")

    assert [1.0, 2, 3, 4, 5, None] == [
        row["prediction"] for row in client.post(NATIVE, json=ROWS).json()["forecast"]
    ]


def test_native_format(interface):
    response = create_client(interface, Fixed(), version="3").post(
        f"{NATIVE}?passthrough=promo", json=ROWS[:8]
    )
    answer = response.json()

    assert {
        "series": 1,
        "forecast_point": "2018-01-05T00:00:00Z",
        "step": 1,
        "date": "2018-01-06",
        "timestamp": "2018-01-06T00:00:00.000000Z",
        "row": 5,
        "prediction": 105.0,
        "intervals": {"80": {"low": 104.0, "high": 106.0}, "90": {"low": 103.0, "high": 107.0}},
        "passthrough": {"promo": 0},
    } == answer["forecast"][0]
    assert ({"forecast", "model_version", "request_id"}, "3", 3) == (
        set(answer),
        answer["model_version"],
        len(answer["forecast"]),
    )


@pytest.mark.parametrize(
    ("media_type", "options", "start"),
    [
        (
            "text/csv",
            "?passthrough=promo",
            b"promo,series,forecast_point,step,date,timestamp,row,prediction,low_80,",
        ),
        (
            "application/x-ndjson",
            "?passthrough=promo",
            b'{"series":1,"forecast_point":"2018-01-05T00:00:00Z",',
        ),
        ("application/x-npy", "", b"\x93NUMPY"),
    ],
)
def test_native_format_in_other_media_types(media_type, options, start):
    client = create_client("wsgi", Fixed())
    response = client.post(f"{NATIVE}{options}", json=ROWS, headers={"accept": media_type})

    assert (200, start) == (response.status, response.body[: len(start)])


def test_native_options():
    client = create_client("wsgi", Drift())
    rows = [row for row in ROWS if row["date"] != "2018-01-08"]
    response = client.post(f"{NATIVE}?forecast_point=2018-01-05&relax_known_in_advance=true", json=rows)
    wrong = client.post(f"{NATIVE}?forecastPoint=2018-01-05", json=rows)

    assert [1, 2, 1, 2] == [row["step"] for row in response.json()["forecast"]]
    assert "forecast_point, start, end, relax_known_in_advance" in wrong.json()["detail"]


def test_passthrough_columns_of_rows_that_were_not_sent_are_null():
    rows = [row for row in ROWS if row["sales"] is not None or row["store"] == 1]
    client = create_client("wsgi", Drift())
    response = client.post(
        f"{PREDICT}?passthroughColumns=promo&relaxKnownInAdvanceFeaturesCheck=true", json=rows
    )

    assert [0, 0, 0, None, None, None] == [
        row["passthroughValues"]["promo"] for row in response.json()["data"]
    ]


@pytest.mark.parametrize("path", ["/simple/sales", "/mlflow/sales/invocations", "/v2/models/sales/infer"])
def test_other_dialects_have_no_forecasts(path, interface):
    rows = [{**row, "store": str(row["store"])} for row in ROWS]
    names = list(rows[0])
    body = {
        "/mlflow/sales/invocations": {
            "dataframe_split": {"columns": names, "data": [list(row.values()) for row in rows]}
        },
        "/v2/models/sales/infer": {
            "inputs": [
                {
                    "name": name,
                    "shape": [4],
                    "datatype": "BYTES" if name in ("date", "store") else "FP64",
                    "data": [row[name] for row in rows[1:5]],
                }
                for name in names
            ]
        },
    }.get(path, rows)
    spec = msgspec.structs.replace(SPEC, known_in_advance=[])
    response = create_client(interface, Drift(spec)).post(path, json=body)

    assert (400, True) == (response.status, "predicts time series" in response.body.decode())


@pytest.mark.parametrize(
    "path",
    [
        f"{PREDICT}?forecastPoint=1961-01-01T00:00:00",
        f"{PREDICT}?relaxKnownInAdvanceFeaturesCheck=True",
        f"{PREDICT}?predictionsStartDate=1900-01-01",
        f"{NATIVE}?forecast_point=2018-01-05",
    ],
)
def test_other_models_have_no_forecasts(path, interface):
    gate = Gate([Deployment("sales", lambda table: table["a"], schema=Schema.of(a=float))], keys="open")
    response = Client(getattr(gate, interface)).post(path, json=[{"a": 1}])

    assert (422 if path.startswith(PREDICT) else 400) == response.status
    assert "Time series predictions are not available for this deployment" in response.body.decode()


def test_score_without_a_server():
    gate = Gate([Deployment("sales", Drift())], keys="open")
    prediction = gate.score("sales", ROWS, forecast=ForecastOptions(forecast_point="2018-01-04"))

    assert [104, 105, 106, 204, 205, 206] == prediction.values.tolist()
    assert ["2018-01-05", "2018-01-06", "2018-01-07"] == list(prediction.forecast.dates[:3])
    assert score(Drift(), ROWS).values.tolist() == gate.score("sales", ROWS).values.tolist()
    with pytest.raises(InvalidInput, match="no row for 2018-01-03"):
        gate.score("sales", ROWS[:2] + ROWS[3:])


def test_levels_of_intervals_can_be_requested():
    spec = msgspec.structs.replace(SPEC, feature_derivation_window=(-13, 0), forecast_window=(1, 7))
    forecaster = DirectForecaster(Ridge(), spec, levels=[80]).fit(sales_rows())
    client, rows = create_client("wsgi", forecaster), list(forecaster.example)
    default, chosen, too_high = (
        client.post(f"{NATIVE}{query}", json=rows) for query in ("", "?intervals=50,95", "?intervals=99.99")
    )
    first = chosen.json()["forecast"][0]["intervals"]

    assert ["80"] == list(default.json()["forecast"][0]["intervals"])
    assert first["95"]["low"] < first["50"]["low"] < first["50"]["high"] < first["95"]["high"]
    assert (400, True) == (too_high.status, "request 80" in too_high.json()["detail"])


def test_too_many_levels_of_intervals_are_rejected():
    """Each would be computed, even if all are equal."""
    response = create_client("wsgi", Fixed()).post(f"{NATIVE}?intervals={'80,' * 10}80", json=ROWS)

    assert (400, "intervals must be at most 10 levels (got 11)") == (
        response.status,
        response.json()["detail"],
    )


def test_intervals_of_a_forecaster_without_any_are_rejected():
    with pytest.raises(InvalidInput, match="leave out the option intervals"):
        Gate([Deployment("sales", Drift())], keys="open").score("sales", ROWS, intervals=[80])


@pytest.mark.parametrize(
    "option",
    [
        {"explanations": "auto"},
        {"threshold": 0.0},
        {"positive_class": 1},
        {"exposure": Exposure("promo", model_predicts="rate")},
        {"humility": [OutlyingInput("promo", 0, 1)]},
        {"target": "price"},
        {"input": "frame"},
        {"example": ROWS[0]},
        {"schema": Schema.of(date=str, store=int, sales=float)},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_that_do_not_fit_a_forecaster_are_rejected(option):
    with pytest.raises(ConfigurationError, match=f"{next(iter(option))} must .* forecaster"):
        Gate([Deployment("sales", Drift(), **option)], keys="open")


@pytest.mark.parametrize(("column", "kind"), [("date", "datetime"), ("sales", "text"), ("promo", "text")])
def test_columns_of_another_kind_are_rejected(column, kind):
    with pytest.raises(ConfigurationError, match=f"schema must have the column '{column}' .*got '{kind}'"):
        Gate([Deployment("sales", Drift(), columns={column: kind})], keys="open")


def test_decimals_of_another_output_are_rejected():
    with pytest.raises(ConfigurationError, match=r"only output names as keys: sales \(got price\)"):
        Gate([Deployment("sales", Drift(), decimals={"price": 2})], keys="open")


def test_response_curves_are_rejected(interface):
    body = {"row": ROWS[0], "column": "promo", "values": [0, 1]}
    response = create_client(interface, Drift()).post("/deployments/sales/curves", json=body)

    assert 400 == response.status


def test_decimals_round_predictions():
    gate = Gate([Deployment("sales", Fixed(np.arange(6) / 3), decimals=1)], keys="open")

    assert [0, 0.3, 0.7, 1, 1.3, 1.7] == gate.score("sales", ROWS).values.tolist()


def test_custom_layers_see_one_value_per_predicted_row():
    gate = Gate([Deployment("sales", Drift(), scoring_layers=[])], keys="open")

    assert 6 == len(gate.score("sales", ROWS))


@pytest.mark.slow
def test_direct_forecaster_predicts_many_rows_at_once(interface):
    spec = msgspec.structs.replace(SPEC, feature_derivation_window=(-13, 0), forecast_window=(1, 7))
    rows = sales_rows()
    forecaster = DirectForecaster(Ridge(), spec).fit(rows)
    answer = (
        create_client(interface, forecaster)
        .post(f"{NATIVE}?start=2016-03-01&end=2016-06-01", json=rows[:400])
        .json()["forecast"]
    )
    actual = [rows[row["row"]]["sales"] for row in answer]
    covered = [
        low <= value <= high
        for row, value in zip(answer, actual, strict=True)
        for low, high in [row["intervals"]["80"].values()]
    ]

    assert 644 == len(answer)
    assert 0.5 < np.mean(covered) < 0.99


def test_forecaster_that_fails_is_rejected_at_construction():
    """The example of a forecaster must be predictable."""
    forecaster = Fixed(np.array([np.nan]))
    forecaster.example = ROWS
    with pytest.raises(ConfigurationError, match="model must be able to predict its example"):
        Gate([Deployment("sales", forecaster)], keys="open")


def test_nan_is_a_prediction_error():
    gate = Gate([Deployment("sales", Fixed(np.full(6, np.nan)))], keys="open")
    with pytest.raises(PredictionError) as info:
        gate.score("sales", ROWS)

    assert "NaN" in str(info.value.__cause__)

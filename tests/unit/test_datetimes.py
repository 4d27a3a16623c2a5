"""Datetime columns: what callers send, and what models get."""

import datetime
import zoneinfo

import msgspec
import numpy as np
import pandas
import polars
import pyarrow
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from modelgate import (
    CSV,
    Column,
    ConfigurationError,
    Deployment,
    Gate,
    InvalidValues,
    ModelPackage,
    Predictor,
    Schema,
    drive,
    score,
)
from modelgate.client.rows import to_rows
from modelgate.errors import RequestError
from modelgate.schema import SplitRows, Table
from modelgate.schema.json_schema import to_json_schema
from modelgate.testing import Client

NAIVE = Column("when", "datetime")
BERLIN = Column("when", "datetime", timezone="Europe/Berlin")
NULLABLE = Schema([Column("when", "datetime", nullable=True), Column("n")])
HOURS = pandas.date_range("2024-03-30", periods=40, freq="h")
ZONES = [None, "Europe/Berlin", "UTC", "UTC-03:30"]


def make_frame(zone, unit):
    """Hours around the start of daylight saving time."""
    hours = HOURS if zone is None else HOURS.tz_localize("UTC").tz_convert(zone)
    return pandas.DataFrame({"when": pandas.Series(hours).dt.as_unit(unit), "load": np.arange(40.0)})


def fit_hours(frame):
    """Return a model of the hour, the number behind the datetime, and the dtypes that it was called with."""
    dtypes = []

    def derive(rows):
        dtypes.append(rows.dtypes.astype(str).tolist())
        number = rows["when"].astype("int64") % 1009
        return pandas.DataFrame({"hour": rows["when"].dt.hour, "number": number, "load": rows["load"]})

    model = make_pipeline(FunctionTransformer(derive), LogisticRegression())
    return model.fit(frame, np.arange(40) % 2), dtypes


def moments(schema, body):
    return schema.read(body)["when"].astype("datetime64[us]").astype(str).tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ZONES)
def test_model_gets_the_dtype_of_its_training_data(zone, unit):
    """From JSON, CSV and frames, in any resolution and time zone, also for the numbers behind the datetimes."""
    frame = make_frame(zone, unit)
    model, dtypes = fit_hours(frame)
    schema = Schema.from_model(model, frame)
    gate = Gate([Deployment("hours", model, schema=schema)], keys="open")
    expected = model.predict_proba(frame)
    bodies = [
        frame,
        CSV(frame.to_csv(index=False).encode()),
        frame.to_json(orient="records", date_format="iso", date_unit="ns").encode(),
        to_rows(frame).body(),
        frame.to_dict("records"),
    ]
    if zone != "UTC-03:30":  # polars has no such time zones
        schema_overrides = {"when": polars.Datetime("us", zone)}  # polars 1.0 would drop the time zone
        bodies.append(polars.DataFrame(frame.to_dict("records"), schema_overrides=schema_overrides))

    assert ["datetime", "number"] == [column.kind for column in schema]
    for body in bodies:
        np.testing.assert_allclose(expected, gate.score("hours", body).outputs[0].probabilities, rtol=1e-12)
    assert 1 == len({tuple(names) for names in dtypes})


def test_package_serves_dates_of_pyarrow():
    """The model gets values with the attributes of dates."""
    days = [datetime.date(2024, month, 1) for month in range(1, 13)]
    frame = pandas.DataFrame({"day": pandas.array(days, dtype=pandas.ArrowDtype(pyarrow.date32()))})

    def month(rows):
        return np.array([[day.month] for day in rows["day"]])

    model = make_pipeline(FunctionTransformer(month), LinearRegression()).fit(frame, np.arange(12.0))
    package = ModelPackage.from_estimator(model, frame, format="joblib")

    np.testing.assert_allclose([4.0], score(model, {"day": "2024-05-17"}, schema=package.schema).values)


@pytest.mark.parametrize("zone", ZONES)
def test_package_serves_datetimes(zone, tmp_path):
    """Its statistics and sample rows are JSON."""
    frame = make_frame(zone, "us")
    model, _ = fit_hours(frame)
    package = ModelPackage.from_estimator(model, frame, format="joblib")
    gate = Gate([Deployment("m", package)], keys="open")

    np.testing.assert_allclose(
        model.predict_proba(frame), gate.score("m", frame).outputs[0].probabilities, rtol=1e-12
    )
    assert {"nulls": 0, "earliest": "2024-03-30T00:00:00.000000", "latest": "2024-03-31T15:00:00.000000"} == (
        package.statistics["columns"]["when"]
    )
    assert frame["when"][0] == pandas.Timestamp(package.background[0]["when"])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-06", "2024-01-06T00:00:00.000000"),
        ("2024-01-06T10:00", "2024-01-06T10:00:00.000000"),
        ("2024-01-06 10:00:59", "2024-01-06T10:00:59.000000"),
        ("2024-01-06T10:00:00.5", "2024-01-06T10:00:00.500000"),
        ("2024-01-06T10:00:00.123456789", "2024-01-06T10:00:00.123456"),
        ("2024-01-06T10:00:00Z", "2024-01-06T10:00:00.000000"),
        ("2024-01-06T10:00:00+00:00", "2024-01-06T10:00:00.000000"),
    ],
)
def test_accepted_texts(text, moment):
    schema = Schema([NAIVE])
    bodies = [
        msgspec.json.encode({"when": text}),
        msgspec.json.encode([{"when": text}, {"when": text}]),
        CSV(f"when\n{text}\n".encode()),
        CSV(f'when\n" {text} "\n'.encode()),
        {"when": text},
        SplitRows(["when"], [[text]]),
    ]

    for body in bodies:
        assert {moment} == set(moments(schema, body))


@pytest.mark.parametrize(
    "text", ["2024-01-06T10:00:00+01:00", "2024-01-06T09:00:00Z", "2024-01-06 05:30:00-0330"]
)
def test_offset_is_converted_to_the_time_zone_of_the_column(text):
    table = Schema([BERLIN]).read({"when": text})
    berlin = datetime.datetime(2024, 1, 6, 10, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))

    assert ["2024-01-06T09:00:00.000000"] == table["when"].astype(str).tolist()
    assert [{"when": berlin}] == table.rows()
    assert ["2024-01-06T10:00:00+01:00"] == [value.isoformat() for value in table.to_pandas()["when"]]


@pytest.mark.parametrize(
    "value",
    [
        "2024-02-30",
        "2024-01-06T24:00:00",
        "2024-01-06T10",
        "2024-01-06T10:00.5",
        "20240106",
        "06.01.2024",
        "2024-W01-6",
        "2024-01-06T10:00:00+01:00",
        "2024-01-06T10:00:00 Europe/Berlin",
        "1677-12-31",
        "\u0662024-01-06",
        "now",
        "",
        1704535200000,
        True,
    ],
)
def test_other_values_are_rejected_with_an_example(value):
    expected = (
        "when must be a date and time without UTC offset, such as 2024-01-06T10:00:00, from 1678 to 2261"
    )

    for body in (msgspec.json.encode({"when": value}), {"when": value}):
        with pytest.raises(InvalidValues) as info:
            Schema([NAIVE]).read(body)
        assert f"Invalid input data: {expected}" == info.value.message
    with pytest.raises(InvalidValues):
        Schema([NAIVE]).read(CSV(f"when,n\n{value},1\n".encode()))


@pytest.mark.parametrize("text", ["2024-01-06T10:00:00", "2024-01-06", "0001-01-01T00:00:00+01:00"])
def test_time_zone_needs_an_offset(text):
    """Without one, the moment would be a guess."""
    with pytest.raises(
        InvalidValues, match=r"with UTC offset, such as 2024-01-06T10:00:00\+01:00, from 1678 to 2261$"
    ):
        Schema([BERLIN]).read({"when": text})


def test_range_depends_on_the_resolution():
    schema = Schema([Column("when", "datetime", resolution="s")])

    assert ["0001-01-01T00:00:00.000000", "9999-12-31T00:00:00.000000"] == moments(
        schema, b'[{"when": "0001-01-01"}, {"when": "9999-12-31"}]'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'[{"when": null, "n": 1}, {"when": "2024-01-06", "n": 2}]',
        CSV(b"when,n\n,1\n2024-01-06,2\n"),
        pandas.DataFrame({"when": [pandas.NaT, pandas.Timestamp("2024-01-06")], "n": [1, 2]}),
        [{"when": None, "n": 1}, {"when": datetime.date(2024, 1, 6), "n": 2}],
        {"when": np.array(["NaT", "2024-01-06"], "datetime64[D]"), "n": np.array([1, 2])},
    ],
    ids=["json", "csv", "frame", "dates", "numpy"],
)
def test_null_is_nat(body):
    table = NULLABLE.read(body)

    assert [True, False] == np.isnat(table["when"]).tolist()
    assert [True, False] == table.to_pandas()["when"].isna().tolist()
    assert "datetime64" in str(table.slice(0, 1).to_pandas()["when"].dtype)
    assert [None, datetime.datetime(2024, 1, 6)] == [row["when"] for row in table.rows()]
    assert [[None, 1.0], [datetime.datetime(2024, 1, 6), 2.0]] == table.to_array().tolist()


def test_null_is_rejected_unless_nullable():
    with pytest.raises(InvalidValues, match="when must not be null"):
        Schema([NAIVE]).read(b'{"when": null}')


@pytest.mark.parametrize("default", ["2024-01-06", datetime.datetime(2024, 1, 6), datetime.date(2024, 1, 6)])
@pytest.mark.parametrize("body", [b'[{"n": 1}]', CSV(b"n\n1\n"), {"n": 1}], ids=["json", "csv", "python"])
def test_default_is_a_datetime(default, body):
    schema = Schema([Column("when", "datetime", default=default), Column("n")])

    assert ["2024-01-06T00:00:00.000000"] == moments(schema, body)


def test_rows_of_one_caller_do_not_change_the_dtype_of_another():
    """A null stands beside a datetime in one batch."""
    frame = make_frame(None, "us")
    model, _ = fit_hours(frame)
    predictor = Predictor(make_pipeline("passthrough", model), Schema.from_model(model, frame))
    tables = [predictor.schema.read(frame[i : i + 1]) for i in range(3)]

    joined = drive(predictor.predict(Table.concat(tables))).values.tolist()

    assert joined == [drive(predictor.predict(table)).values.tolist()[0] for table in tables]
    assert predictor._function.dtype_key is None


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_schema_file(zone, suffix, tmp_path):
    schema = Schema.from_sample(make_frame(zone, "ms"))
    schema.save(tmp_path / f"schema{suffix}")

    assert schema.columns == Schema.load(tmp_path / f"schema{suffix}").columns
    assert ("datetime", zone, "ms") == (
        schema.columns[0].kind,
        schema.columns[0].timezone,
        schema.columns[0].resolution,
    )


@pytest.mark.parametrize(
    "text", ["2024-01-06", "2024-01-06T10:00:00", r"2024-01-06T10\u003a00", r"2024-01-06T10\u003a00\u003a00"]
)
@pytest.mark.parametrize(
    ("more", "message"),
    [('"z": 2', "z is not expected"), ('"n": 2', "a member twice"), (r'"\u007a": 2', "z is not")],
)
def test_colons_of_a_datetime_hide_no_other_member(text, more, message):
    """The fast path compares the number of colons in the body with that of the columns."""
    schema = Schema([NAIVE, Column("n")]).with_options(extra_columns="forbid")

    assert 1 == len(schema.read(f'{{"when": "{text}", "n": 1}}'.encode()))
    with pytest.raises(RequestError, match=message):
        schema.read(f'{{"when": "{text}", "n": 1, {more}}}'.encode())


def test_toml_datetime_is_a_default(tmp_path):
    (tmp_path / "schema.toml").write_text(
        '[[column]]\nname = "when"\nkind = "datetime"\ndefault = 2024-01-06T10:00:00\n'
    )

    assert "2024-01-06T10:00:00" == Schema.load(tmp_path / "schema.toml").columns[0].default


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (
            polars.Series("when", [datetime.datetime(2024, 1, 6)], polars.Datetime("ms", "UTC")),
            Column(
                "when",
                "datetime",
                timezone="UTC",
                resolution="ms",
                typical_value="2024-01-06T00:00:00+00:00",
            ),
        ),
        (
            polars.Series("when", [datetime.date(2024, 1, 6), None]),
            Column("when", "datetime", nullable=True, typical_value="2024-01-06"),
        ),
        (
            pandas.Series([datetime.date(2024, 1, 6)], name="when", dtype=object),
            Column("when", "datetime", typical_value="2024-01-06"),
        ),
        (
            pandas.Series([], name="when", dtype="datetime64[ns]"),
            Column("when", "datetime", resolution="ns"),
        ),
        (pandas.Series([datetime.time(10)], name="when"), Column("when", "text", typical_value="10:00:00")),
    ],
    ids=["polars", "polars date", "objects", "empty", "time"],
)
def test_columns_of_a_sample(series, expected):
    assert [expected] == list(Schema.from_sample(series.to_frame()))


def test_training_array_of_datetimes():
    rows = HOURS.to_numpy().astype("datetime64[D]").reshape(-1, 1)
    model = make_pipeline(
        FunctionTransformer(lambda X: X.astype("datetime64[D]").astype(int)), LogisticRegression()
    ).fit(rows, np.arange(40) % 2)
    schema = Schema.from_model(model, rows)

    assert [("datetime", "s")] == [(column.kind, column.resolution) for column in schema]
    assert model.predict(rows).tolist() == score(model, rows, schema=schema).values.tolist()


def test_json_schema():
    column = Column("when", "datetime", nullable=True, typical_value="2024-01-06")

    assert {"type": ["string", "null"], "format": "date-time", "examples": ["2024-01-06"]} == to_json_schema(
        column
    )


def test_every_dialect_accepts_its_own_example():
    """OpenAPI, the console and the request templates have an example that works."""
    schema = Schema([BERLIN, Column("n")])
    gate = Gate([Deployment("m", lambda table: table["n"], schema=schema)], keys="open")
    client = Client(gate.wsgi)
    described = msgspec.json.decode(client.get("/deployments/m").body)
    document = msgspec.json.decode(client.get("/deployments/m/openapi.json").body)

    assert "2024-01-06T10:00:00+01:00" == described["input"][0]["example"]
    assert "datetime" == described["input"][0]["type"]
    assert "date-time" == document["components"]["schemas"]["Row"]["properties"]["when"]["format"]
    tensors = {
        "inputs": [
            {"name": "when", "shape": [1], "datatype": "BYTES", "data": ["2024-01-06T10:00:00Z"]},
            {"name": "n", "shape": [1], "datatype": "FP64", "data": [1.0]},
        ]
    }
    assert 200 == client.post("/v2/models/m/infer", json=tensors).status


def test_error_names_the_column():
    gate = Gate(
        [Deployment("m", lambda table: table["n"], schema=Schema([BERLIN, Column("n")]))], keys="open"
    )
    body = {"deployment": "m", "input_data": {"when": "yesterday", "n": 1}}

    assert {
        "when": "must be a date and time with UTC offset, such as 2024-01-06T10:00:00+01:00, from 1678 to 2261"
    } == Client(gate.wsgi).post("/api/predict", json=body).json()["errors"]


def test_handler_gets_datetimes_in_utc():
    table = Schema.of(when=datetime.datetime).read({"when": "2024-01-06"})

    assert (np.dtype("datetime64[us]"), 1) == (table["when"].dtype, len(table))
    assert Schema.of(when="datetime").columns == Schema.of(when=datetime.datetime).columns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "text", "timezone": "UTC"}, "timezone must be left out for the kind text"),
        ({"kind": "number", "resolution": "s"}, "resolution must be left out for the kind number"),
        ({"timezone": "Mars/Crater"}, "timezone must be a time zone such as Europe/Berlin"),
        ({"timezone": 3}, "timezone must be a time zone such as Europe/Berlin"),
        ({"timezone": "UTC+99:00"}, "timezone must be a time zone such as Europe/Berlin"),
        ({"resolution": "D"}, "resolution must be one of s, ms, us, ns"),
        ({"levels": ("2024-01-06", "today")}, "levels must be values of the kind datetime .got 'today'"),
        ({"default": "today"}, "default must be a value that the column allows"),
        ({"minimum": 3}, "minimum must be left out for the kind datetime"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Column("when", **{"kind": "datetime", **options})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()], ids=["one-hot", "ordinal"]
)
def test_dates_that_an_encoder_was_fitted_on_are_levels(encoder, unit):
    """Whatever their text."""
    dates = pandas.Series(pandas.to_datetime(["2024-01-06T00:00:00", "2024-02-07T10:00:00"] * 20)).dt.as_unit(
        unit
    )
    frame = pandas.DataFrame({"when": dates})
    model = make_pipeline(encoder, LogisticRegression()).fit(frame, [0, 1] * 20)
    gate = Gate([Deployment("m", model)], keys="open")
    rows = [
        b'{"when": "2024-02-07 10:00"}',
        b'{"when": "2024-02-07T10:00:00Z"}',
        CSV(b"when\n2024-02-07 10:00:00.000\n"),
    ]

    assert ("2024-01-06T00:00:00", "2024-02-07T10:00:00") == Schema.from_model(model).columns[0].levels
    np.testing.assert_allclose(model.predict_proba(frame), gate.score("m", frame).probabilities)
    for row in rows:
        np.testing.assert_allclose(model.predict_proba(frame[1:2]), gate.score("m", row).probabilities)
    with pytest.raises(InvalidValues, match="when must be one of 2024-01-06T00:00:00, 2024-02-07T10:00:00"):
        gate.score("m", {"when": "2024-02-07"})
    with pytest.raises(ConfigurationError, match="column 'when': kind must be datetime, as in training"):
        Gate([Deployment("m", model, schema=Schema.of(when=str))], keys="open")


def test_levels_may_be_dates():
    column = Column("when", "datetime", (datetime.date(2024, 1, 6), "2024-01-07T00:00:00"))

    assert ("2024-01-06", "2024-01-07T00:00:00") == column.levels
    assert [True, False] == [column.allows(text) for text in ("2024-01-07", "2024-01-08")]
    assert ["2024-01-06", "2024-01-07T00:00:00"] == to_json_schema(column)["enum"]

"""The client, against gates in the same process and against servers that misbehave."""

import asyncio
import contextlib
import csv
import datetime
import io
import itertools
import re
import socket
import sys
import threading
from decimal import Decimal
from fractions import Fraction
from traceback import TracebackException

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import (
    CSV,
    Column,
    Deployment,
    Explain,
    Explanations,
    Exposure,
    Gate,
    Output,
    Prediction,
    RateLimit,
    Schema,
    Wait,
    adrive,
    drive,
    errors,
)
from modelgate.client import (
    AsyncClient,
    Client,
    ClientError,
    ConnectionFailed,
    OutputPredictions,
    UnexpectedResponse,
    session,
)
from modelgate.client.errors import parse_invalid_rows
from modelgate.client.retry import Retry, retry_after
from modelgate.client.rows import records, to_rows
from modelgate.client.session import Session, deployment_url
from modelgate.errors import ModelgateError
from modelgate.humility import OutlyingInput, OverridePrediction, ThrowError
from modelgate.testing import FakeClock
from support.marks import slow
from support.waiting import SOON

KEY = "mg_the-key-of-the-client-tests"
URL = "http://app/churn"
SCHEMA = Schema.of(age=float, plan=["free", "pro"])
ROWS = [{"age": float(at), "plan": "pro"} for at in range(25)]


def churn(table):
    probabilities = np.clip(table["age"] / 100, 0, 1)
    labels = np.where(probabilities > 0.1, "yes", "no").astype(object)
    return Prediction(
        [Output("churn", labels, ["no", "yes"], np.column_stack([1 - probabilities, probabilities]))]
    )


def build_gate(model=churn, schema=SCHEMA, *, limits="100000/minute", layers=(), keys=None, **options):
    deployment = Deployment("churn", model, schema=schema, layers=layers, **options)
    return Gate([deployment], keys=keys or {KEY: "churn"}, limits=limits)


def build_client(gate, url=URL, key=KEY, **options):
    return Client(url, key=key, http=httpx.Client(transport=httpx.WSGITransport(gate.wsgi)), **options)


def predict(gate, interface, rows, explain=None, **options):
    """Score *rows* with either client."""
    call = {"passthrough": options.pop("passthrough", ()), "explain": explain}
    if interface == "wsgi":
        return build_client(gate, **options).predict(rows, **call)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gate.asgi))
    return asyncio.run(AsyncClient(URL, key=KEY, http=http, **options).predict(rows, **call))


@pytest.fixture(params=[*slow("wsgi"), "asgi"])
def interface(request):
    return request.param


@pytest.fixture
def waits(monkeypatch):
    """Record the waits instead of sleeping."""
    recorded = []

    def sleep(seconds):
        recorded.append(seconds)
        yield from ()

    monkeypatch.setattr(session, "sleep", sleep)
    return recorded


# ---- rows


FRAMES = {
    "dicts": ROWS,
    "pandas": pd.DataFrame(ROWS, index=range(100, 125)),
    "polars": pl.DataFrame(ROWS),
    "CSV": CSV(pd.DataFrame(ROWS).to_csv(index=False).encode()),
}


@pytest.mark.parametrize("rows", FRAMES.values(), ids=FRAMES)
def test_client_scores_all_row_types(interface, rows):
    predictions = predict(build_gate(version="3"), interface, rows, batch_rows=10)

    assert ["no"] * 11 + ["yes"] * 14 == predictions.values
    assert ["no", "yes"] == predictions.classes
    assert [0.76, 0.24] == predictions.probabilities[24]
    assert ("3", 25, 3) == (predictions.version, len(predictions), len(set(predictions.request_ids)))


def test_client_scores_a_dict_and_no_rows(interface):
    """No rows need no request."""

    assert ["yes"] == predict(build_gate(), interface, ROWS[20]).values
    assert [] == predict(build_gate(), interface, []).values


def test_client_returns_explanations(interface):
    """As `Gate.score` does, for each batch."""
    background = Explanations(background=[{"age": 40, "plan": "free"}])
    gate = build_gate(explanations=background)
    request = Explain(2, threshold_low=0.055, threshold_high=0.2)
    predictions = predict(gate, interface, ROWS, explain=request, batch_rows=10)
    scored = gate.score("churn", ROWS, explain=request)

    assert [6, 4] == [
        len([row for row in part if row.contributions])
        for part in (predictions.explanations[:10], predictions.explanations[10:])
    ]
    for received, expected in zip(predictions.explanations, scored.explanations, strict=True):
        assert (expected.label, expected.base_value, expected.remaining) == (
            received.label,
            received.base_value,
            received.remaining,
        )
        assert list(expected.contributions) == received.contributions
    assert predict(gate, interface, ROWS).explanations is None


def test_client_reports_a_deployment_without_explanations(interface):
    with pytest.raises(errors.ExplanationsUnavailable, match="not available for this model"):
        predict(build_gate(), interface, ROWS[:1], explain=3)
    with pytest.raises(errors.InvalidInput, match="whole number of at least 1"):
        predict(build_gate(), interface, ROWS[:1], explain=0)


def test_rows_encode_missing_values_as_null():
    frame = pd.DataFrame(
        {
            "age": [1.5, np.nan],
            "count": pd.array([1, None], dtype="Int64"),
            "when": pd.to_datetime(["2027-01-31", None]),
        }
    )
    body = to_rows(frame).body()

    assert (
        b'[{"age":1.5,"count":1,"when":"2027-01-31T00:00:00"},{"age":null,"count":null,"when":null}]' == body
    )
    assert b'[{"age":2}]' == to_rows([{"age": np.int64(2)}]).body()
    assert (
        b'[{"age":null,"share":0.5}]'
        == to_rows([{"age": np.float16("nan"), "share": np.longdouble(0.5)}]).body()
    )


def test_rows_encode_numpy_dates_and_masks():
    date = np.datetime64("2027-01-31", "ns")

    assert b'[{"when":"2027-01-31T00:00:00"}]' == to_rows([{"when": date}]).body()
    assert b'[{"age":null}]' == to_rows([{"age": np.ma.masked}]).body()
    with pytest.raises(errors.InvalidInput, match="values that JSON can represent"):
        to_rows([{"age": np.timedelta64(1, "ns")}]).body()


def test_row_without_a_finite_prediction_is_numbered_from_the_start():
    """Whichever batch it was in, and also if it was alone in one."""
    gate = build_gate(lambda table: np.where(table["age"] == 7, np.inf, table["age"]))

    for size in (1, 2, 5):
        with pytest.raises(errors.PredictionError, match=r"is not a finite number.* \(row 7\)"):
            build_client(gate, batch_rows=size).predict(ROWS)


def build_humble_gate(action):
    return build_gate(lambda table: table["age"], humility=[OutlyingInput("age", upper=5, action=action)])


def test_row_rejected_by_a_humility_rule_is_numbered_from_the_start(interface):
    with pytest.raises(errors.HumilityError, match="action triggered") as info:
        predict(build_humble_gate(ThrowError()), interface, ROWS[:8], batch_rows=5)

    assert [6, 7] == info.value.rows == info.value.details["rows"]


def test_predictions_have_the_triggered_humility_rules(interface):
    """An overridden number is no class, even in the first row."""
    gate = build_humble_gate(OverridePrediction(-1))
    predictions = predict(gate, interface, [ROWS[6], *ROWS[:7]], batch_rows=3)

    name, [[rule], *others, [_]] = "Outlying Input Trigger (age)", predictions.humility
    assert [-1, 0, 1, 2, 3, 4, 5, -1] == predictions.values
    assert (name, 24) == (rule.name, len(rule.rule_id))
    assert [[]] * 6 == others
    assert predictions.classes is None
    assert predict(gate, interface, ROWS[:2]).humility is None


def test_adjusted_predictions_are_returned_on_request():
    """For each output, in batches too."""
    exposure = Exposure("years", model_predicts="rate")
    rows = [{**row, "years": 2} for row in ROWS[:3]]
    client = build_client(build_gate(lambda table: table["age"], exposure=exposure), batch_rows=2)
    several = build_client(
        build_gate(lambda table: {"a": table["age"], "b": table["age"] + 1}, exposure=exposure)
    )

    assert [0, 1, 2] == client.predict(rows, adjusted=True).adjusted
    assert [0, 2, 4] == client.predict(rows).values
    assert client.predict(rows).adjusted is None
    assert [1, 2, 3] == several.predict(rows, adjusted=True).outputs["b"].adjusted
    with pytest.raises(errors.InvalidInput, match="which has no exposure"):
        build_client(build_gate()).predict(ROWS[:1], adjusted=True)


UTC = datetime.UTC
VALUES = {
    "decimal": Decimal("1.50"),
    "long decimal": Decimal("12345678901234567890"),
    "decimal that is no number": Decimal("NaN"),
    "fraction": Fraction(1, 3),
    "date": datetime.date(2024, 1, 6),
    "time": datetime.datetime(2024, 1, 6, 10, 0, 0, 123),
    "time in a zone": datetime.datetime(2024, 1, 6, 10, tzinfo=UTC),
    "pandas": pd.Timestamp("2024-01-06T10:00:00+02:00"),
    "no time": pd.NaT,
    "no value": pd.NA,
    "numpy time": np.datetime64("2024-01-06T10"),
    "numpy integer": np.int64(3),
    "numpy number": np.float32(0.1),
    "numpy boolean": np.True_,
    "numpy text": np.str_("x"),
    "array": np.array(2.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "wrap", [dict, lambda row: [row], lambda row: pd.DataFrame([row])], ids=["row", "rows", "frame"]
)
def test_model_gets_the_same_value_from_the_client_and_in_process(value, wrap):
    """As `Gate.score` converts it: a Decimal to a number, a date to its ISO 8601 text."""
    schema = Schema([Column("value", "any", nullable=True)])
    gate = build_gate(lambda table: [repr(value) for value in table["value"]], schema)

    expected = gate.score("churn", {"value": value}).values.tolist()
    assert expected == build_client(gate).predict(wrap({"value": value})).values


def test_decimals_of_polars_are_numbers():
    frame = pl.DataFrame({"age": [Decimal("1.50"), None]}, schema={"age": pl.Decimal(10, 2)})

    assert b'[{"age":1.5},{"age":null}]' == to_rows(frame).body()


@pytest.mark.parametrize("rows", ["age\n1\n", 5, [5], b"age", pd.Series([1.0])], ids=repr)
def test_client_rejects_other_types(rows):
    with pytest.raises(TypeError, match="must be a dict, a list of dicts, a DataFrame or CSV"):
        build_client(build_gate()).predict(rows)


def test_client_rejects_values_without_json():
    infinite = [
        number_type("inf") for number_type in (float, np.float64, np.float32, np.float16, np.longdouble)
    ]
    for value in (
        object(),
        *infinite,
        Decimal("1e400"),
        Decimal("-inf"),
        np.array(np.inf),
        np.array([1, 2]),
        "\ud800",
    ):
        with pytest.raises(errors.InvalidInput, match="values that JSON can represent"):
            build_client(build_gate()).predict({"age": value})


def test_client_rejects_duplicate_columns():
    frame = pd.DataFrame([[1.0, 2.0]], columns=["age", "age"])
    with pytest.raises(errors.InvalidInput, match="the column 'age' twice"):
        build_client(build_gate()).predict(frame)


def test_predictions_of_regression_and_several_outputs(interface):
    regression = predict(build_gate(lambda table: table["age"] * 2), interface, ROWS[:3])
    outputs = predict(
        build_gate(lambda table: {"a": table["age"], "b": table["age"] + 1}), interface, ROWS[:2]
    )

    assert ([0.0, 2.0, 4.0], None, None) == (regression.values, regression.classes, regression.probabilities)
    assert [{"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 2.0}] == outputs.values
    assert (None, None) == (outputs.classes, outputs.probabilities)


def test_predictions_of_several_outputs_are_named(interface):
    """Each output has its own classes, in batches of any size."""

    def model(table):
        probabilities = np.clip(table["age"] / 100, 0, 1)
        labels = np.where(probabilities > 0.1, 1, 0)
        return Prediction(
            [
                Output("a", labels, [0, 1], np.column_stack([1 - probabilities, probabilities])),
                Output("a_1", probabilities),
            ]
        )

    for size in (1, 2):
        predictions = predict(build_gate(model), interface, [ROWS[0], ROWS[20]], batch_rows=size)

        assert [{"a": 0, "a_1": 0.0}, {"a": 1, "a_1": 0.2}] == predictions.values
        assert (None, None) == (predictions.classes, predictions.probabilities)
        assert {
            "a": OutputPredictions([0, 1], [0, 1], [[1.0, 0.0], [0.8, 0.2]]),
            "a_1": OutputPredictions([0.0, 0.2]),
        } == predictions.outputs


@pytest.mark.parametrize(
    "labels",
    [["1", "2"], [1, 2], [0.5, 1.5], [False, True], ["null", "true"], ["a", "b", "c"]],
    ids=repr,
)
def test_classes_have_the_types_of_the_labels(interface, labels):
    """In JSON the names of members are text, also those of numbers."""

    def model(table):
        values = np.array([labels[0]] * len(table), dtype=object)
        return Prediction([Output("x", values, labels, np.full((len(table), len(labels)), 1 / len(labels)))])

    predictions = predict(build_gate(model), interface, ROWS[:2])

    assert repr(labels) == repr(predictions.classes)
    assert [[1 / len(labels)] * len(labels)] * 2 == predictions.probabilities


def test_passthrough_columns_are_returned_with_the_predictions(interface):
    rows = [{**row, "id": f"a{index}", "n": index} for index, row in enumerate(ROWS[:3])]
    predictions = predict(build_gate(), interface, rows, batch_rows=2, passthrough=["id", "n"])

    assert [{"id": f"a{index}", "n": index} for index in range(3)] == predictions.passthrough
    assert None is predict(build_gate(), interface, rows).passthrough
    with pytest.raises(errors.UnknownColumns) as info:
        predict(build_gate(), interface, rows, passthrough=["ID"])
    assert ["ID"] == info.value.columns


def test_model_replaced_between_batches_is_an_error(interface):
    """Joined, the probabilities of one model would be under the classes of the other."""
    calls = itertools.count()

    def model(table):
        labels = ["no", "yes"] if next(calls) % 2 else ["yes", "no"]
        probabilities = np.full((len(table), 2), 0.5)
        return Prediction([Output("x", np.array(labels)[[0] * len(table)], labels, probabilities)])

    with pytest.raises(UnexpectedResponse, match="the model was replaced during the call"):
        predict(build_gate(model), interface, ROWS[:4], batch_rows=2)


@pytest.mark.parametrize("value", ["yes", "prediction", True, 5, None], ids=repr)
def test_predictions_of_any_value(interface, value):
    predictions = predict(
        build_gate(lambda table: np.array([value] * len(table), dtype=object)), interface, ROWS[:2]
    )

    assert ([value, value], None, None) == (
        predictions.values,
        predictions.classes,
        predictions.probabilities,
    )


def test_warnings_of_batches_are_deduplicated(interface):
    gate = build_gate(schema=SCHEMA.with_options(unknown_levels="warn"))
    predictions = predict(gate, interface, [{"age": 1, "plan": "team"}] * 4, batch_rows=2)

    assert 1 == len(predictions.warnings)


# ---- batches


def test_batches_adapt_to_server_limits(interface):
    """Sends the server's maximum of rows if it is known, otherwise halves the batch."""
    by_rows = predict(build_gate(max_rows=7), interface, ROWS)
    by_bytes = predict(build_gate(), interface, ROWS, batch_bytes=100)
    by_rate = predict(
        build_gate(limits=[RateLimit("10/second; 100000/minute", cost="rows")]),
        interface,
        ROWS[:20],
        attempts=9,
    )

    assert 4 == len(by_rows.request_ids)
    assert 25 / 3 <= len(by_bytes.request_ids)
    assert by_rows.values == by_bytes.values
    assert by_rows.values[:20] == by_rate.values


@pytest.mark.parametrize("max_rows", [0, -1, 10**9, "many", None])
def test_batches_ignore_invalid_max_rows(max_rows):
    refusal = {"code": "invalid_input", "detail": "too many", "max_rows": max_rows}
    client, got = build_scripted_client(httpx.Response(400, json=refusal), *[DONE] * 2)

    assert [1.5, 1.5] == client.predict(ROWS[:2]).values
    assert 3 == len(got)


def test_batches_of_one_row_raise_the_servers_error(interface):
    with pytest.raises(errors.BatchTooLarge, match="rate limit allows at most 1 at once"):
        predict(build_gate(limits=[RateLimit("1/minute", cost=lambda request: 2)]), interface, ROWS[:2])


def test_progress_reports_rows_done_and_total(interface):
    steps = []
    http = httpx.Client(transport=httpx.WSGITransport(build_gate().wsgi))
    Client(URL, key=KEY, http=http, batch_rows=10).predict(
        ROWS, progress=lambda *counts: steps.append(counts)
    )

    assert [(10, 25), (20, 25), (25, 25)] == steps


@pytest.mark.slow
@given(st.integers(1, 30), st.integers(20, 2000))
def test_batches_of_any_size_give_the_same_predictions(rows, size):
    predictions = build_client(GATE, batch_rows=rows, batch_bytes=size).predict(ROWS)

    assert (EXPECTED.values, EXPECTED.probabilities) == (predictions.values, predictions.probabilities)


GATE = build_gate()
EXPECTED = build_client(GATE).predict(ROWS)


# ---- CSV


@pytest.mark.slow
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=2)
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_records_keep_their_bytes_and_line_numbers(cells, end, has_final_end):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows([["a", "b"], *cells])
    raw = text.getvalue().encode()
    numbered = list(records(io.BytesIO(raw if has_final_end else raw.removesuffix(end.encode()))))

    assert len(cells) + 1 == len(numbered)
    assert raw.replace(b"\r\n", b"\n") == b"".join(record for _, record in numbered).replace(b"\r\n", b"\n")
    assert list(itertools.accumulate((r.count(b"\n") for _, r in numbered[:-1]), initial=1)) == [
        n for n, _ in numbered
    ]


def test_records_skip_empty_lines():
    raw = b'a,b\n\n1,"x\n\ny"\n\r\n2,5" pipe\n\n'

    assert [(1, b"a,b\n"), (3, b'1,"x\n\ny"\n'), (7, b'2,5" pipe\n')] == list(records(io.BytesIO(raw)))


def test_records_report_an_unclosed_quote():
    """Fails at its first line, without reading the rest of the file."""
    lines = itertools.chain([b"a,b\n", b"1,2\n", b'3,"4\n'], itertools.repeat(b"5,6\n"))
    with pytest.raises(errors.MalformedBody, match="Line 3 of the CSV cannot be read: field larger"):
        list(records(lines))


def test_errors_count_rows_across_batches(interface):
    rows = [*ROWS[:22], {"age": "old", "plan": "pro"}, {"age": "old", "plan": "team"}, *ROWS[:6]]
    with pytest.raises(errors.InvalidValues) as info:
        predict(build_gate(), interface, rows, batch_rows=10)
    with pytest.raises(errors.InvalidValues) as single:
        predict(build_gate(), interface, rows, batch_rows=1)
    with pytest.raises(
        errors.MalformedBody, match=r"^Row 2 of the CSV has 1 cells: send 2, as in the header"
    ):
        predict(build_gate(), interface, CSV(b'age,plan\n1,pro\n2,"pro"\n3\n'), batch_rows=2)

    assert {
        "age": "must be a number (row 22, 23)",
        "plan": "must be one of free, pro (row 23)",
    } == info.value.errors
    assert "age must be a number (row 22, 23)" in str(info.value)
    assert "Invalid input data: age must be a number (row 22)" == str(single.value)


def test_rows_find_the_row_of_a_line():
    rows = to_rows(CSV(b'"a\nb",c\n1,2\n3,"4\n\n5"\n6,7\n'))

    assert [None, None, 0, 1, 1, 1, 2, None] == [rows.row_at(line) for line in range(1, 9)]


def test_invalid_rows_are_parsed_from_messages():
    messages = {
        "a": "must be a number (row 1, 3); must not be null (row 2)",
        "b": "must be one of x (y), z (row 3)",
    }

    assert (
        {
            1: ["a must be a number"],
            3: ["a must be a number", "b must be one of x (y), z"],
            2: ["a must not be null"],
        },
        True,
    ) == parse_invalid_rows(messages)
    assert ({1: ["a is odd"]}, False) == parse_invalid_rows({"a": "is odd (row 1 and 7 more)"})
    assert ({}, False) == parse_invalid_rows({"a": "is odd"})
    assert ({}, False) == parse_invalid_rows({})


# ---- errors


def test_errors_have_the_gates_attributes(interface):
    with pytest.raises(errors.MissingColumns) as info:
        predict(build_gate(), interface, [{"age": 1}])

    assert ["plan"] == info.value.missing_columns
    assert f"request id {info.value.request_id}" in info.value.__notes__


def test_errors_of_a_hidden_schema_name_no_columns(interface):
    with pytest.raises(errors.InvalidInput, match="Invalid input data"):
        predict(build_gate(schema=SCHEMA.with_options(show_schema=False)), interface, [{"age": 1}])


@pytest.mark.parametrize(
    ("url", "key", "error_type", "message"),
    [
        (URL, "mg_another-key", errors.Unauthorized, "Check that the key is complete"),
        (URL, None, errors.Unauthorized, "No key was sent"),
        ("http://app/price", KEY, errors.InsufficientScope, "access to this deployment"),
        ("http://app/other/churn", KEY, errors.NotFound, "https://host/ml/churn"),
    ],
)
def test_errors_give_advice_and_hide_the_key(url, key, error_type, message):
    with pytest.raises(error_type, match=message) as info:
        build_client(build_gate(), url, key).predict(ROWS)

    assert KEY not in repr(info.value) + str(info.value)


def test_prediction_errors_are_not_retried(interface):
    calls = []

    def fail(table):
        calls.append(table)
        raise ValueError("secret")

    with pytest.raises(errors.PredictionError, match="in the server's log") as info:
        predict(build_gate(fail), interface, ROWS)

    assert 1 == len(calls)
    assert "secret" not in str(info.value)


def build_scripted_client(*answers, url="http://app/ml/churn", **options):
    """Return a client whose server sends *answers* in turn, and the list of its requests."""
    remaining, requests = list(answers), []

    def handle(request):
        requests.append(request)
        answer = remaining.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Client(url, key=KEY, http=httpx.Client(transport=httpx.MockTransport(handle)), **options), requests


def build_page(status, text="<html>no</html>", **headers):
    return httpx.Response(status, text=text, headers={"content-type": "text/html; charset=utf-8", **headers})


DONE = httpx.Response(200, json={"predictions": [{"prediction": 1.5}], "model_version": "1"})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (build_page(404), "returned 404 with text/html, which is not a response of a gate"),
        (build_page(200), "returned 200 with text/html"),
        (build_page(500), "returned 500 with text/html"),
        (httpx.Response(404, json={"detail": "Not Found"}), "returned 404 with application/json"),
        (httpx.Response(404, json=[]), "not a response of a gate"),
        (httpx.Response(204), "returned 204 with no content type"),
        (
            build_page(301, location="https://else.where/ml/churn?a=b"),
            "redirect to https://else.where/ml/churn. It was not followed",
        ),
        (build_page(307, location="/ml/churn/"), "redirect to the path /ml/churn/"),
        (
            httpx.Response(200, json={"predictions": [], "model_version": "1"}),
            "the response to 1 rows has 0 predictions",
        ),
        (httpx.Response(200, json={"predictions": [1]}), "does not have the format of the dialect native: "),
        (
            httpx.Response(200, json={"predictions": [{}], "model_version": "1"}),
            "does not have the format of the dialect native: .*`prediction`",
        ),
        (build_page(302), "a redirect without a target"),
    ],
)
def test_unexpected_responses_are_not_retried(answer, message):
    client, requests = build_scripted_client(answer)
    with pytest.raises(UnexpectedResponse, match=message) as info:
        client.predict(ROWS[0])

    assert 1 == len(requests)
    assert isinstance(info.value, ClientError)


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/json ; charset=utf-8"])
def test_media_type_of_a_response_may_have_any_form(content_type):
    answer = httpx.Response(200, content=DONE.content, headers={"content-type": content_type})

    assert [1.5] == build_scripted_client(answer)[0].predict(ROWS[0]).values


ONE = {"prediction": 1}
EXPLANATION = {"method": "linear", "space": "prediction"}


@pytest.mark.parametrize(
    ("rows", "base_values", "message"),
    [
        ([{"outputs": {"a": ONE}}, {"outputs": {"b": ONE}}], None, "different outputs"),
        ([{"outputs": {"a": ONE}}, ONE], None, "different outputs"),
        ([ONE, {"outputs": {"a": ONE}}], None, "different members"),
        ([{"outputs": {"a": {"outputs": {}}}}] * 2, None, "different members"),
        ([{**ONE, "probabilities": {"a": 0.2, "b": 0.8}}, ONE], None, "different members"),
        (
            [{**ONE, "probabilities": {"a": 0.2, "b": 0.8}}, {**ONE, "probabilities": {"b": 0.8, "a": 0.2}}],
            None,
            "different members",
        ),
        ([{**ONE, "intervals": {"90": {"low": 0, "high": 1}}}, ONE], None, "different members"),
        ([{**ONE, "adjusted_prediction": 1}, ONE], None, "different members"),
        ([ONE, ONE], {}, "Base values"),
        ([{"outputs": {"a": ONE}}] * 2, {}, "Base values"),
        ([{"outputs": {"a": ONE}}] * 2, {"a": 1}, "Base values"),
    ],
    ids=str,
)
def test_rows_that_contradict_each_other_are_unexpected(rows, base_values, message):
    """Nothing is attributed to a wrong class, output or row."""
    content = {"predictions": rows, "model_version": "1"}
    if base_values is not None:
        content["explanation"] = {**EXPLANATION, "base_values": base_values}
    with pytest.raises(
        UnexpectedResponse, match=f"does not have the format of the dialect native: .*{message}"
    ):
        build_scripted_client(httpx.Response(200, json=content))[0].predict(ROWS[:2])


@pytest.mark.parametrize(
    ("status", "error_type"),
    [(401, errors.Unauthorized), (403, errors.Forbidden), (413, errors.BodyTooLarge)],
)
def test_proxy_errors_are_mapped_by_status(status, error_type):
    with pytest.raises(error_type, match=f"app returned {status}"):
        build_scripted_client(build_page(status))[0].predict(ROWS[0])


# ---- trying again


def build_proxy_error(status, **members):
    """Return an error of a proxy that sends JSON and request ids, as a gate does."""
    return httpx.Response(status, json=members, headers={"retry-after": "7", "x-request-id": "a-b-c"})


BUSY = httpx.Response(
    503, json={"code": "overloaded", "detail": "The server is busy"}, headers={"retry-after": "7"}
)


@pytest.mark.parametrize(
    "answer",
    [
        BUSY,
        build_page(429, **{"retry-after": "7"}),
        build_page(502, **{"retry-after": "7"}),
        build_page(504, **{"retry-after": "7"}),
        httpx.Response(
            504, json={"code": "deadline_exceeded", "detail": "slow"}, headers={"retry-after": "7"}
        ),
        httpx.Response(409, json={"code": "request_in_progress"}, headers={"retry-after": "7"}),
        build_proxy_error(502, error="Bad gateway"),
        build_proxy_error(504, message="Endpoint request timed out"),
        build_proxy_error(503, code="not_found", message="no healthy upstream"),
        build_proxy_error(502, code="internal_error", message="upstream failed"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("Server disconnected"),
    ],
    ids=[
        "503",
        "429",
        "502",
        "504",
        "504 of a gate",
        "409 of a gate",
        "JSON 502",
        "JSON 504",
        "503 with a code",
        "502 with a code",
        "refused",
        "cut",
        "disconnected",
    ],
)
def test_retries_temporary_errors(waits, answer):
    client, requests = build_scripted_client(answer, answer, DONE)
    predictions = client.predict(ROWS[0])

    assert ([1.5], 3, 2) == (predictions.values, len(requests), len(waits))
    assert requests[0].content == requests[2].content
    assert 1 == len({request.headers["idempotency-key"] for request in requests})
    if isinstance(answer, httpx.Response):
        assert all(7 <= seconds <= 8 for seconds in waits)


@pytest.mark.parametrize(
    "answer", [httpx.ReadTimeout("slow"), httpx.UnsupportedProtocol("ws"), build_page(500)]
)
def test_retries_no_other_errors(waits, answer):
    client, requests = build_scripted_client(answer)
    with pytest.raises(ClientError):
        client.predict(ROWS[0])

    assert ([], 1) == (waits, len(requests))


def test_batches_have_idempotency_keys_of_their_own():
    client, requests = build_scripted_client(DONE, DONE, batch_rows=1)
    client.predict(ROWS[:2])

    assert 2 == len({request.headers["idempotency-key"] for request in requests})


BLAMED = r"URL|address|complete"


@pytest.mark.parametrize(
    "answer",
    [
        build_page(502),
        build_page(504),
        build_page(500),
        build_page(404),
        build_page(401),
        httpx.Response(404, json={"code": "not_found", "detail": "no such deployment"}),
        httpx.Response(401, json={"code": "unauthorized", "detail": "Invalid API key"}),
        httpx.ConnectError("refused"),
    ],
    ids=["502", "504", "500", "page 404", "page 401", "404", "401", "refused"],
)
def test_errors_blame_nothing_that_has_worked(answer):
    """Neither the URL nor the key, once a batch has succeeded with both."""
    client, _ = build_scripted_client(DONE, answer, batch_rows=1, attempts=1)
    with pytest.raises(errors.ModelgateError) as info:
        client.predict(ROWS[:2])

    assert not re.search(BLAMED, str(info.value))


def test_gateway_errors_do_not_blame_the_url():
    with pytest.raises(UnexpectedResponse, match=r"a proxy did not get a response from the server in time$"):
        build_scripted_client(build_page(502), attempts=1)[0].predict(ROWS[0])


def test_retries_stop_after_the_last_attempt(waits):
    client, requests = build_scripted_client(*[BUSY] * 3, attempts=3)
    with pytest.raises(errors.Overloaded, match="busy") as info:
        client.predict(ROWS[0])

    assert (3, 2, 7) == (len(requests), len(waits), info.value.retry_after)
    assert "given up after 3 attempts" in info.value.__notes__


def test_retries_do_not_wait_beyond_the_deadline(waits):
    client, requests = build_scripted_client(build_page(429, **{"retry-after": "61"}), deadline=60)
    with pytest.raises(errors.RateLimitExceeded) as info:
        client.predict(ROWS[0])

    assert ([], 1, 61) == (waits, len(requests), info.value.retry_after)


def test_retry_pause_is_backoff_with_full_jitter():
    low, high = (
        Retry(random=lambda: 0.0, clock=FakeClock(0)),
        Retry(attempts=99, random=lambda: 1.0, clock=FakeClock(0)),
    )

    assert [0, 0, 3] == [low.pause(1, None, 9), low.pause(3, None, 9), low.pause(1, 3.0, 9)]
    assert [0.5, 1, 2, 30] == [high.pause(attempt, None, 99) for attempt in (1, 2, 3, 50)]
    assert 3.5 == high.pause(1, 3.0, 9)
    assert None is low.pause(5, None, 9) is high.pause(1, 9.0, 9)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 59),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:50 GMT"}, 9),
        ({"retry-after": "Fri, 31 Dec 1999 23:58:59 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1" * 400}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_parsed(headers, seconds):
    """RFC 9110, section 10.2.3; a date is compared with the server's own clock."""

    assert seconds == retry_after(headers, 946684740.0)


def test_sleep_blocks_or_awaits(monkeypatch):
    seconds = []
    monkeypatch.setattr("time.sleep", seconds.append)
    wait = next(session.sleep(0.25))
    drive(session.sleep(0.25))
    asyncio.run(adrive(session.sleep(0.0)))

    assert isinstance(wait, Wait)
    assert [0.25] == seconds


@contextlib.contextmanager
def run_cutting_server(cuts):
    """Run a server that closes the connection of the first *cuts* requests, after 0, 20, 40… bytes."""
    body = DONE.content
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )

    def serve():
        for index in range(cuts + 1):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer if index == cuts else answer[: index * 20])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/ml/churn"
        thread.join(SOON)


@pytest.mark.parametrize("is_async", [False, True], ids=["Client", "AsyncClient"])
def test_retries_closed_connections(waits, is_async):
    async def predict_async(url):
        async with AsyncClient(url, http=None) as client:
            return await client.predict(ROWS[0])

    with run_cutting_server(2) as url:
        if is_async:
            predictions = asyncio.run(predict_async(url))
        else:
            with Client(url) as client:
                predictions = client.predict(ROWS[0])

    assert ([1.5], 2) == (predictions.values, len(waits))


@pytest.mark.parametrize("is_async", [False, True], ids=["Client", "AsyncClient"])
def test_timeout_limits_slow_responses(waits, is_async):
    """The server sends a byte every 50 ms, so that no single read times out."""
    stop = threading.Event()

    def serve():
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while not stop.wait(0.05):
                connection.sendall(b" ")

    async def predict_async(url):
        async with AsyncClient(url, timeout=1) as client:
            await client.predict(ROWS[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/ml/churn"
        thread = threading.Thread(target=serve)
        thread.start()
        timer = threading.Timer(SOON, stop.set)
        timer.start()
        with pytest.raises(ConnectionFailed, match="did not respond within 1 s"):
            if is_async:
                asyncio.run(predict_async(url))
            else:
                with Client(url, timeout=1) as client:
                    client.predict(ROWS[0])
        timer.cancel()
        stop.set()
        thread.join(SOON)

    assert [] == waits


def test_connection_refused_names_the_address(waits):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}/ml/churn", attempts=2) as client,
        pytest.raises(ConnectionFailed, match=f"127.0.0.1:{port} cannot be reached .* check the address"),
    ):
        client.predict(ROWS[0])

    assert 1 == len(waits)


# ---- options


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host/churn", "http://host/deployments/churn"),
        ("https://host:8443/ml/churn/", "https://host:8443/ml/deployments/churn"),
        ("http://[::1]:80/ml/deployments/churn", "http://[::1]:80/ml/deployments/churn"),
    ],
)
def test_deployment_url(url, expected):
    assert expected == deployment_url(url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("host/ml/churn", {}, "url must be the URL of a deployment"),
        ("ftp://host/churn", {}, "url must be the URL of a deployment"),
        ("http://[host/churn", {}, "url must be the URL of a deployment"),
        (None, {}, "url must be the URL of a deployment"),
        ("http://host/", {}, "add the deployment's name to the path"),
        ("http://me:s3cret@host/churn", {}, "without user, password"),
        ("http://host/churn?key=s3cret", {}, "without user, password"),
        ("http://me:s3cret/@host/churn", {}, "whose port is a number from 0 to 65535"),
        ("http://host:65536/churn", {}, "whose port is a number from 0 to 65535"),
        (URL, {"key": "s3cret\n"}, "key must be printable ASCII"),
        (URL, {"key": ""}, "key must be printable ASCII"),
        (
            URL,
            {"key_header": "api-key"},
            r'key_header must be "authorization" or "x-api-key" \(got .api-key.\)',
        ),
        (URL, {"attempts": 0}, r"attempts must be a whole number of at least 1 \(got 0\)"),
        (URL, {"deadline": 0}, r"deadline must be a number of seconds above 0 \(got 0\)"),
        (URL, {"timeout": float("nan")}, r"timeout must be a number of seconds above 0 \(got nan\)"),
        (URL, {"batch_rows": 0}, r"batch_rows must be a whole number of at least 1 \(got 0\)"),
        (URL, {"batch_bytes": 1.5}, r"batch_bytes must be a whole number of at least 1 \(got 1.5\)"),
    ],
)
def test_options_are_checked(url, options, message):
    """The errors quote no secret."""
    with pytest.raises(errors.ConfigurationError, match=message) as info:
        Client(url, http=httpx.Client(), **options)

    assert "s3cret" not in str(info.value)


def test_key_is_only_in_its_header():
    client, requests = build_scripted_client(DONE)
    client.predict(ROWS[0])

    assert "Client('http://app/ml/churn')" == repr(client)
    assert f"Bearer {KEY}" == requests[0].headers["authorization"]
    assert KEY not in str(requests[0].url) + repr(requests[0].headers) + requests[0].content.decode()


@pytest.mark.parametrize(
    "answer", [httpx.Response(401), httpx.Response(200, text="x"), httpx.ConnectError("x")]
)
def test_key_is_not_in_the_local_variables_of_an_error(waits, answer):
    """Error tracking stores them."""

    def respond(request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = Client(URL, key=KEY, http=httpx.Client(transport=httpx.MockTransport(respond)))
    with pytest.raises(ModelgateError) as raised:
        client.predict(ROWS[0])
    trace = TracebackException.from_exception(raised.value, capture_locals=True)

    assert KEY not in "".join(
        line for frame in list(trace.stack)[1:] for line in map(str, frame.locals.items())
    )
    assert trace.__suppress_context__ or trace.__context__ is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "key", "warned"),
    [
        ("http://app.example/ml/churn", KEY, True),
        ("http://192.0.2.1:8000/ml/churn", KEY, True),
        ("https://app.example/ml/churn", KEY, False),
        ("http://app.example/ml/churn", None, False),
        ("http://localhost:8000/ml/churn", KEY, False),
        ("http://[::1]:8000/ml/churn", KEY, False),
    ],
)
@pytest.mark.parametrize("client_type", [Client, AsyncClient])
def test_key_over_plain_http_is_logged(caplog, client_type, url, key, warned):
    client_type(url, key=key)

    assert warned == ("the API key is sent to" in caplog.text)
    assert KEY not in caplog.text


def test_key_can_be_sent_beside_a_token_of_a_platform():
    http = build_scripted_client(DONE)[0]._session.http
    http.headers["authorization"] = "Bearer a-token-of-the-platform"
    sent = []
    http.event_hooks["request"].append(sent.append)
    Client(URL, key=KEY, key_header="x-api-key", http=http).predict(ROWS[0])

    assert (KEY, "Bearer a-token-of-the-platform") == (
        sent[0].headers["x-api-key"],
        sent[0].headers["authorization"],
    )


@pytest.mark.parametrize(
    ("key_header", "other"), [("authorization", "x-api-key"), ("x-api-key", "authorization")]
)
def test_key_in_the_wrong_field_is_explained(key_header, other):
    """A gate with key_header has not seen the key, so it is not called incomplete."""
    gate = Gate(
        [Deployment("churn", lambda table: table["age"], schema=SCHEMA)],
        keys={KEY: "churn"},
        key_header=other,
    )
    http = httpx.Client(transport=httpx.WSGITransport(gate.wsgi))
    client = Client("http://app/churn", key=KEY, key_header=key_header, http=http)
    with pytest.raises(errors.Unauthorized) as info:
        client.predict(ROWS[0])

    advice = f"The key was sent in {key_header}: pass key_header=…, or --key-header on the command line."
    assert str(info.value).startswith("Missing API key: ")
    assert str(info.value).endswith(advice)


@pytest.mark.parametrize(
    ("client_type", "http", "accepted"),
    [(Client, httpx.AsyncClient(), "httpx.Client"), (AsyncClient, httpx.Client(), "httpx.AsyncClient")],
)
def test_http_client_of_the_other_kind_is_rejected(client_type, http, accepted):
    message = rf"http must be an {accepted} \(got {type(http).__name__}\)"
    with pytest.raises(errors.ConfigurationError, match=message):
        client_type(URL, http=http)


def test_http_client_of_the_caller_stays_open():
    http = httpx.Client()
    with Client(URL, http=http):
        pass

    assert not http.is_closed


def test_httpx_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(errors.ConfigurationError, match=r'pip install "modelgate\[client\]"'):
        Client(URL)


def test_session_reports_waits(waits):
    reported = []
    http = build_scripted_client(BUSY, DONE)[0]._session.http
    options = {"batch_rows": 1, "batch_bytes": 1000, "on_wait": lambda *wait: reported.append(wait)}
    drive(Session(URL, None, Retry(), http, **options).predict(ROWS[0]))

    assert [(waits[0], "The server is busy")] == [(seconds, str(error)) for seconds, error in reported]

"""Documents of the DataRobot Prediction API.

The examples are those of the public page "DataRobot Prediction API" (docs.datarobot.com), as last
updated on February 16, 2024; headings in quotes are its own. "Output format" is the page of that name
in the reference of batch predictions, "Prediction API reference" the one of the errors. The documents
fix no white space in JSON: they are compared as they come out of an encoder without any.
"""

import base64
import bz2
import gzip
import json
import math
import re
import threading
import tracemalloc

import msgspec
import numpy as np
import pandas
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate import (
    BodyLimit,
    Column,
    ConfigurationError,
    Deployment,
    Explanations,
    Exposure,
    Gate,
    Output,
    Prediction,
    Schema,
)
from modelgate import errors as tree
from modelgate.dialects import DataRobot, datarobot
from modelgate.dialects import _row_body as row_bodies
from modelgate.http import PLAIN_JSON
from modelgate.humility import NoOperation, OverridePrediction, ThrowError, UncertainPrediction
from modelgate.testing import Client, request

KEY = "the-API-key-of-a-deployment"
BEARER = {"authorization": f"Bearer {KEY}"}
PREDICT = "/predApi/v1.0/deployments/5f4e1b/predictions"
SCHEMA = Schema.of(a=float, b=float, c=float)

# "JSON input"
ROWS = [{"a": 1, "b": 2, "c": 3}, {"a": 7, "b": 8, "c": 9}]
# "In-body text input"
CSV = b"a,b,c\n1,2,3\n7,8,9\n"

# "File input"
FILE_RESPONSE = """
{
  "data": [
    {
      "predictionValues": [
        {
          "value": 0.2570950924,
          "label": 1
        },
        {
          "value": 0.7429049076,
          "label": 0
        }
      ],
      "predictionThreshold": 0.5,
      "prediction": 0,
      "rowId": 0
    },
    {
      "predictionValues": [
        {
          "value": 0.7631880558,
          "label": 1
        },
        {
          "value": 0.2368119442,
          "label": 0
        }
      ],
      "predictionThreshold": 0.5,
      "prediction": 1,
      "rowId": 1
    }
  ]
}
"""
# "Response schema"
PASSTHROUGH_RESPONSE = """
{
  "data": [
    {
      "predictionValues": [
        {
          "value": 0.6856798909,
          "label": 1
        },
        {
          "value": 0.3143201091,
          "label": 0
        }
      ],
      "predictionThreshold": 0.5,
      "prediction": 1,
      "rowId": 0,
      "passthroughValues": {
        "Latitude": -25.433508,
        "Longitude": 22.759397
      }
    },
    {
      "predictionValues": [
        {
          "value": 0.765656753,
          "label": 1
        },
        {
          "value": 0.234343247,
          "label": 0
        }
      ],
      "predictionThreshold": 0.5,
      "prediction": 1,
      "rowId": 1,
      "passthroughValues": {
        "Latitude": 41.051128,
        "Longitude": 14.49598
      }
    }
  ]
}
"""


def build_classifier(*probabilities, classes=(0, 1), positive=1):
    """Return a model that predicts the given probabilities of the second class, row by row."""

    def predict(table):
        table_probabilities = np.array(
            [[round(1 - value, 10), value] for value in probabilities[: len(table)]]
        )
        labels = np.array(classes, dtype=object)[table_probabilities.argmax(1)]
        return Prediction([Output("readmitted", labels, list(classes), table_probabilities, positive)])

    return predict


FILE_MODEL = build_classifier(0.2570950924, 0.7631880558)


def build_client(
    function, interface, *, dialect=None, schema=SCHEMA, limits=None, body_limit=None, **options
):
    deployment = Deployment("5f4e1b", function, schema=schema, **{"decimals": None, **options})
    gate = Gate(
        [deployment],
        keys={KEY: "5f4e1b"},
        dialects=[dialect or DataRobot()],
        limits=limits,
        body_limit=body_limit,
    )
    return Client(getattr(gate, interface), headers=BEARER)


# "Making predictions with humility monitoring", "No Operation" and "Override Prediction"
HUMILITY_RESPONSE = """
{
  "data": [
    {
      "predictionValues": [
        {
          "value": 122.8034057617,
          "label": "length"
        }
      ],
      "prediction": 122.8034057617,
      "rowId": 99,
      "humility": [
        {
          "ruleId": "5ebad4735f11b33a38ff3e0d",
          "triggered": true,
          "ruleName": "Uncertain Prediction Trigger"
        }
      ]
    }
  ]
}
"""
OVERRIDE_RESPONSE = """
{
  "data": [
    {
      "predictionValues": [
        {
          "value": 122.8034057617,
          "label": "length"
        }
      ],
      "prediction": 5220,
      "rowId": 99,
      "humility": [
        {
          "ruleId": "5ebad4735f11b33a38ff3e0d",
          "triggered": true,
          "ruleName": "Uncertain Prediction Trigger"
        }
      ]
    }
  ]
}
"""
# "Throw Error"
HUMILITY_ERROR = b'{"message":"Humility ReturnError action triggered."}'


def compact_json(document):
    return msgspec.json.encode(json.loads(document))


def build_form(*parts, boundary="---form"):
    """Return the body of a form and its content type; a part is (disposition and further headers, content)."""
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary.encode(), head, content)
        for head, content in parts
    )
    return body + b"--%b--\r\n" % boundary.encode(), f"multipart/form-data; boundary={boundary}"


FORM, FORM_TYPE = build_form(
    (b'name="file"; filename="dataset.csv"\r\nContent-Type: application/octet-stream', CSV)
)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", msgspec.json.encode(ROWS)),
        ("text/json", json.dumps(ROWS).encode()),
        ("text/csv", CSV),
        ("text/csv;charset=utf8", CSV),
        ("text/csv; charset=UTF-16", CSV.decode().encode("utf-16")),
        ("text/plain", CSV),
        (FORM_TYPE, FORM),
    ],
)
def test_request_formats(interface, content_type, body):
    """ "JSON input", "File input", "In-body text input", "Request schema"."""
    answer = build_client(FILE_MODEL, interface).post(
        PREDICT, body=body, headers={"content-type": content_type}
    )

    assert (200, compact_json(FILE_RESPONSE)) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'[{"age": 1,}]', r"trailing comma in object \(byte 11\)"),
        (b'{"age": 1', "truncated"),
        (b" [ {'age': 1}]", r"\(byte 4\)"),
        (b'[{"age": NaN}]', r"which has no NaN \(byte 9\)"),
        (b'{"age": 1} x', r"trailing characters \(byte 12\)"),
    ],
)
def test_json_with_errors_in_plain_text_is_not_read_as_csv(interface, body, place):
    client = build_client(FILE_MODEL, interface)
    answer = client.post(PREDICT, body=body, headers={"content-type": "text/plain"})

    assert 400 == answer.status
    assert re.match("The body looks like JSON, but is not valid JSON.*" + place, answer.json()["message"])


def test_csv_header_in_brackets_is_read_as_csv(interface):
    client = build_client(FILE_MODEL, interface)
    answer = client.post(PREDICT, body=b"[id],[age]\n1,2\n", headers={"content-type": "text/plain"})

    assert 422 == answer.status
    assert "missing input data" in answer.json()["message"]


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("bz2", bz2.compress)])
def test_request_content_encodings(interface, coding, pack):
    """ "Request schema", Content-Encoding."""
    answer = build_client(FILE_MODEL, interface).post(
        PREDICT, body=pack(CSV), headers={"content-type": "text/csv", "content-encoding": coding}
    )

    assert compact_json(FILE_RESPONSE) == answer.body


def test_request_of_session_snippet(interface):
    """ "Using persistent HTTP connections": one bare object per request, as text/json."""
    schema = Schema.of(Feature1=float, Feature2=str)
    client = build_client(build_classifier(0.75), interface, schema=schema)
    row = json.dumps({"Feature1": 42, "Feature2": "text value 1"}).encode()
    answer = client.post(PREDICT, body=row, headers={"content-type": "text/json"})

    assert [0] == [row["rowId"] for row in answer.json()["data"]]


def test_response_headers(interface):
    """ "File input": the headers of the example, except those of the server itself."""
    answer = build_client(FILE_MODEL, interface, model_id="5ebad473").post(PREDICT, json=ROWS)

    assert answer.header("x-datarobot-execution-time").isdigit()
    assert "true" == answer.header("x-datarobot-model-cache-hit")
    assert "5ebad473" == answer.header("x-datarobot-model-id")
    assert answer.header("x-request-id") == answer.header("x-datarobot-request-id")
    assert CORS.items() <= dict(answer.headers).items()


CORS = {
    "access-control-allow-methods": "OPTIONS, POST",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": (
        "Content-Type,Content-Length,X-DataRobot-Execution-Time,X-DataRobot-Model-Cache-Hit,"
        "X-DataRobot-Model-Id,X-DataRobot-Request-Id"
    ),
    "access-control-allow-headers": "Content-Type,Authorization,datarobot-key",
}


@pytest.mark.parametrize("path", [PREDICT, "/deployments/5f4e1b/predictions"])
def test_preflight_needs_no_key(interface, path):
    gate = Gate([Deployment("5f4e1b", FILE_MODEL, schema=SCHEMA)], keys={KEY: "*"})
    answer = Client(getattr(gate, interface)).request("OPTIONS", path)

    assert (204, b"") == (answer.status, answer.body)
    assert CORS.items() <= dict(answer.headers).items()


def test_model_cache_hit_header(interface):
    """ "Model caching"."""
    from modelgate import MemoryStore

    store = MemoryStore({"readmitted": FILE_MODEL})
    deployment = Deployment("5f4e1b", "store:readmitted", schema=SCHEMA)
    gate = Gate([deployment], keys={KEY: "*"}, dialects=["datarobot"], store=store)
    client = Client(getattr(gate, interface), headers=BEARER)
    cache_hits = [client.post(PREDICT, json=ROWS).header("x-datarobot-model-cache-hit") for _ in range(2)]

    assert ["false", "true"] == cache_hits


GEO = Schema.of(Latitude=float)
GEO_CSV = b"Longitude,Latitude,Name\n22.759397,-25.433508,\n14.49598,41.051128,x\n"
GEO_MODEL = build_classifier(0.6856798909, 0.765656753)


def test_passthrough_columns_are_echoed(interface):
    """ "Response schema": unchanged, whether the model uses them or not."""
    client = build_client(GEO_MODEL, interface, schema=GEO)
    path = f"{PREDICT}?passthroughColumns=Latitude&passthroughColumns=Longitude"
    answer = client.post(path, body=GEO_CSV, headers={"content-type": "text/csv"})

    assert compact_json(PASSTHROUGH_RESPONSE) == answer.body


def test_passthrough_columns_set_echoes_all(interface):
    """ "Request schema", passthroughColumnsSet=all."""
    client = build_client(GEO_MODEL, interface, schema=GEO)
    headers = {"content-type": "text/csv"}
    answer = client.post(f"{PREDICT}?passthroughColumnsSet=all", body=GEO_CSV, headers=headers)

    expected = [
        {"Longitude": 22.759397, "Latitude": -25.433508, "Name": None},
        {"Longitude": 14.49598, "Latitude": 41.051128, "Name": "x"},
    ]
    assert expected == [row["passthroughValues"] for row in answer.json()["data"]]


@pytest.mark.parametrize("cell", ["1e999", "-1e400", "1" * 5000])
def test_passthrough_cells_beyond_float64_are_text(interface, cell):
    """Most readers of JSON reject such a number, or read infinity."""
    body = f"Latitude,Longitude,Name\n1,2,{cell}\n".encode()
    client = build_client(GEO_MODEL, interface, schema=GEO)
    path = f"{PREDICT}?passthroughColumns=Name"
    answer = client.post(path, body=body, headers={"content-type": "text/csv"})

    assert [{"Name": cell}] == [row["passthroughValues"] for row in json.loads(answer.body)["data"]]


def test_passthrough_columns_keep_json_digits(interface):
    """A column may be missing in a row, and its name may be any text."""
    rows = b'[{"Latitude": 1.50, "\xc3\xa9t\xc3\xa9 1": "=x"}, {"Latitude": 2}]'
    client = build_client(GEO_MODEL, interface, schema=GEO)
    path = f"{PREDICT}?passthroughColumns=%C3%A9t%C3%A9+1&passthroughColumns=Latitude"
    body = client.post(path, body=rows).body
    as_csv = client.post(path, body=rows, headers={"accept": "text/csv"}).body

    assert b'"passthroughValues":{"\xc3\xa9t\xc3\xa9 1":"=x","Latitude":1.50}' in body
    assert b'"passthroughValues":{"\xc3\xa9t\xc3\xa9 1":null,"Latitude":2}' in body
    assert [b",=x,1.50", b",,2"] == [
        line[-len(end) :] for line, end in cut_fields(as_csv, b",=x,1.50", b",,2")
    ]


def cut_fields(body, *ends):
    return zip(body.splitlines()[1:], ends, strict=True)


EXPOSURE = Exposure("exposure", model_predicts="rate")
EXPOSED_ROWS = [{**ROWS[0], "exposure": 0.5}]


def predict_rates(table):
    return [0.1462] * len(table)


@pytest.mark.parametrize("query", ["", "excludeAdjustedPredictions=TRUE", "excludeAdjustedPredictions=1"])
def test_adjusted_predictions_are_excluded_by_default(interface, query):
    """ "Making Prediction Explanations", excludeAdjustedPredictions. The prediction includes the exposure."""
    client = build_client(predict_rates, interface, target="claims", exposure=EXPOSURE)
    answer = client.post(f"{PREDICT}?{query}", json=EXPOSED_ROWS)

    assert (
        b'{"data":[{"predictionValues":[{"value":0.0731,"label":"claims"}],"prediction":0.0731,"rowId":0}]}'
    ) == answer.body


@pytest.mark.parametrize("query", ["excludeAdjustedPredictions=false", "exclude%41djustedPredictions=0"])
def test_adjusted_predictions_are_per_unit_of_exposure(interface, query):
    """ "Response schema", adjustedPrediction and adjustedPredictionValues."""
    client = build_client(predict_rates, interface, target="claims", exposure=EXPOSURE)
    answer = client.post(f"{PREDICT}?{query}", json=EXPOSED_ROWS)
    as_csv = client.post(f"{PREDICT}?{query}", json=EXPOSED_ROWS, headers={"accept": "text/csv"})

    assert (
        b'{"data":[{"predictionValues":[{"value":0.0731,"label":"claims"}],"prediction":0.0731,"rowId":0,'
        b'"adjustedPrediction":0.1462,"adjustedPredictionValues":[{"value":0.1462,"label":"claims"}]}]}'
    ) == answer.body
    assert b"claims_PREDICTION,claims_ADJUSTED_PREDICTION\n0.0731,0.1462\n" == as_csv.body


def test_adjusted_predictions_of_several_outputs(interface):
    def predict(table):
        return {"claims": [0.5], "visits": [3]}

    client = build_client(predict, interface, exposure=EXPOSURE)
    answer = client.post(f"{PREDICT}?excludeAdjustedPredictions=false", json=EXPOSED_ROWS)
    row = answer.json()["data"][0]

    assert {"claims": 0.25, "visits": 1.5} == row["prediction"]
    assert {"claims": 0.5, "visits": 3.0} == row["adjustedPrediction"]
    assert [{"value": 0.5, "label": "claims"}, {"value": 3.0, "label": "visits"}] == row[
        "adjustedPredictionValues"
    ]


def test_error_of_an_exposure_names_the_row(interface):
    client = build_client(predict_rates, interface, exposure=EXPOSURE)
    answer = client.post(PREDICT, json=[*EXPOSED_ROWS, {**EXPOSED_ROWS[0], "exposure": 0}])

    expected = {"message": "Invalid input data: exposure must be a finite number above 0 (row 1)"}
    assert (422, expected) == (answer.status, answer.json())


def predict_length(table):
    return [*[120.5] * (len(table) - 1), 122.8034057617]


def build_humble_client(interface, action):
    rule = UncertainPrediction(0, 122, action=action, rule_id="5ebad4735f11b33a38ff3e0d")
    return build_client(predict_length, interface, target="length", humility=[rule])


@pytest.mark.parametrize(
    ("action", "expected"),
    [(NoOperation(), HUMILITY_RESPONSE), (OverridePrediction(5220), OVERRIDE_RESPONSE)],
    ids=["no operation", "override"],
)
def test_humility_is_reported(interface, action, expected):
    """The documents show the last of a hundred rows; the others have no key ``humility``."""
    answer = build_humble_client(interface, action).post(PREDICT, json=ROWS * 50)
    body = compact_json(expected)

    assert answer.body.endswith(b"," + body.removeprefix(b'{"data":['))
    assert 1 == answer.body.count(b"humility")


@pytest.mark.parametrize(
    ("value", "expected"), [(5220.0, b"5220"), (0.5, b"0.5"), (-0.0, b"0"), (1e20, b"1e20")]
)
def test_humility_writes_any_overridden_number(interface, value, expected):
    answer = build_humble_client(interface, OverridePrediction(value)).post(PREDICT, json=ROWS)

    assert b'"prediction":' + expected + b',"rowId":1,"humility"' in answer.body


def test_humility_throws_an_error(interface):
    """The document has nothing but the message."""
    answer = build_humble_client(interface, ThrowError()).post(PREDICT, json=ROWS * 50)

    assert (480, HUMILITY_ERROR) == (answer.status, answer.body)


def test_humility_ends_no_csv_column(interface):
    """ "Output format" has none for it."""
    client = build_humble_client(interface, OverridePrediction(5220))
    answer = client.post(PREDICT, json=ROWS, headers={"accept": "text/csv"})

    assert b"length_PREDICTION\n120.5\n5220.0\n" == answer.body


def test_response_of_regression(interface):
    """ "Making predictions with humility monitoring", the first example without its rule."""
    client = build_client(lambda table: [122.8034057617], interface, target="length")
    answer = client.post(PREDICT, json=ROWS[:1])

    expected = (
        b'{"data":[{"predictionValues":[{"value":122.8034057617,"label":"length"}],'
        b'"prediction":122.8034057617,"rowId":0}]}'
    )
    assert expected == answer.body


def test_response_has_positive_class_first(interface):
    """The threshold is that of the deployment."""
    client = build_client(build_classifier(0.25, classes=("no", "yes"), positive=0), interface, threshold=0.8)
    row = client.post(PREDICT, json=ROWS[:1]).json()["data"][0]
    as_csv = client.post(PREDICT, json=ROWS[:1], headers={"accept": "text/csv"}).body

    assert [{"value": 0.75, "label": "no"}, {"value": 0.25, "label": "yes"}] == row["predictionValues"]
    assert (0.8, "yes") == (row["predictionThreshold"], row["prediction"])
    assert as_csv == (
        b"readmitted_no_PREDICTION,readmitted_yes_PREDICTION,readmitted_PREDICTION,THRESHOLD,POSITIVE_CLASS\n"
        b"0.75,0.25,yes,0.8,no\n"
    )


def test_prediction_threshold_is_left_out_if_it_is_not_that_of_the_labels(interface):
    """The model decides by something else, as an SVC does."""
    model = build_classifier(0.25, 0.75)

    def predict_reversed(table):
        prediction = model(table)
        prediction.outputs[0].values = prediction.outputs[0].values[::-1]
        return prediction

    client = build_client(predict_reversed, interface)
    body = client.post(PREDICT, json=ROWS).body
    as_csv = client.post(PREDICT, json=ROWS, headers={"accept": "text/csv"}).body

    assert b"predictionThreshold" not in body
    assert b"0.25,0.75,1,,1\n0.75,0.25,0,,1\n" == as_csv.split(b"\n", 1)[1]


def predict_multiclass(table):
    probabilities = np.tile([0.5, 0.25, 0.25], (len(table), 1))
    return Prediction([Output("kind", np.array(["a"] * len(table)), ["a", "b", "c"], probabilities)])


def predict_without_probabilities(table):
    return Prediction([Output("kind", np.array(["a"] * len(table)), ["a", "b"])])


def predict_several(table):
    probabilities = np.tile([0.75, 0.25], (len(table), 1))
    output = Output("kind", np.array(["a"] * len(table)), ["a", "b"], probabilities)
    return Prediction([output, Output("size", np.full(len(table), 1.5))])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda table: [1.5, 1e-7], b"y_PREDICTION\n1.5\n1e-07\n"),
        (lambda table: [None, "x"], b'y_PREDICTION\n""\nx\n'),
        (predict_without_probabilities, b"kind_PREDICTION\na\na\n"),
        (
            FILE_MODEL,
            (
                b"readmitted_1_PREDICTION,readmitted_0_PREDICTION,readmitted_PREDICTION,THRESHOLD,POSITIVE_CLASS\n"
                b"0.2570950924,0.7429049076,0,0.5,1\n0.7631880558,0.2368119442,1,0.5,1\n"
            ),
        ),
        (
            predict_multiclass,
            (
                b"kind_a_PREDICTION,kind_b_PREDICTION,kind_c_PREDICTION,kind_PREDICTION\n"
                b"0.5,0.25,0.25,a\n0.5,0.25,0.25,a\n"
            ),
        ),
        (
            predict_several,
            (
                b"kind_b_PREDICTION,kind_a_PREDICTION,kind_PREDICTION,size_PREDICTION\n"
                b"0.25,0.75,a,1.5\n0.25,0.75,a,1.5\n"
            ),
        ),
    ],
)
def test_csv_response_columns(interface, function, expected):
    """ "Output format": for regression, binary and multiclass models."""
    answer = build_client(function, interface, target="y").post(
        PREDICT, json=ROWS, headers={"accept": "text/csv"}
    )

    assert (200, expected) == (answer.status, answer.body)
    assert "text/csv; charset=utf-8" == answer.header("content-type")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (predict_multiclass, {"value": [0.5, 0.25, 0.25], "label": ["a", "b", "c"], "prediction": "a"}),
        (predict_without_probabilities, {"value": [], "label": [], "prediction": "a"}),
        (
            predict_several,
            {
                "value": [0.25, 0.75, 1.5],
                "label": ["kind_b", "kind_a", "size"],
                "prediction": {"kind": "a", "size": 1.5},
            },
        ),
    ],
)
def test_response_of_other_models(interface, function, expected):
    """Multiclass models have no threshold; for several outputs, the prediction is an object."""
    row = build_client(function, interface).post(PREDICT, json=ROWS).json()["data"][0]

    prediction_values = {
        name: [value[name] for value in row["predictionValues"]] for name in ("value", "label")
    }
    assert expected == {**prediction_values, "prediction": row["prediction"]}
    assert "predictionThreshold" not in row


@pytest.mark.slow
def test_response_keeps_row_order(interface):
    """The document has no limit of rows."""
    rows = 20_000
    body = b"a,b,c\n" + b"".join(b"%d,2,3\n" % index for index in range(rows))
    client = build_client(lambda table: table["a"], interface)
    headers = {"content-type": "text/csv"}
    data = client.post(PREDICT, body=body, headers=headers).json()["data"]
    as_csv = client.post(PREDICT, body=body, headers={**headers, "accept": "text/csv"}).body

    assert [(index, float(index)) for index in range(rows)] == [
        (row["rowId"], row["prediction"]) for row in data
    ]
    assert [b"prediction_PREDICTION", *(b"%d.0" % index for index in range(rows))] == as_csv.splitlines()


@pytest.mark.parametrize(("body", "content_type"), [(b"[]", "application/json"), (b"a,b,c\n", "text/csv")])
def test_response_of_no_rows(interface, body, content_type):
    client = build_client(FILE_MODEL, interface)
    as_json = client.post(PREDICT, body=body, headers={"content-type": content_type})
    as_csv = client.post(PREDICT, body=body, headers={"content-type": content_type, "accept": "text/csv"})

    assert (b'{"data":[]}', b"prediction_PREDICTION\n") == (as_json.body, as_csv.body)


def test_response_has_warnings(interface):
    schema = Schema.of(plan=["free"]).with_options(unknown_levels="warn")
    answer = build_client(lambda table: [1], interface, schema=schema).post(PREDICT, json={"plan": "pro"})

    assert ["plan has values the model was not trained with"] == answer.json()["warnings"]


def test_csv_response_escapes_formulas(interface):
    """Numbers are not changed."""
    schema = Schema.of(a=float, note=Column("note", "text"))
    rows = [{"a": -1, "note": "=1+1"}, {"a": -2, "note": '@"x'}]
    client = build_client(
        lambda table: ["-label", "plain"], interface, schema=schema, dialect=DataRobot(escape_formulas=True)
    )
    answer = client.post(f"{PREDICT}?passthroughColumnsSet=all", json=rows, headers={"accept": "text/csv"})

    expected = b'prediction_PREDICTION,a,note\n\'-label,-1,\'=1+1\nplain,-2,"\'@""x"\n'
    assert expected == answer.body


def basic_auth(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {KEY}",
        f"bearer {KEY}",
        f"Token {KEY}",
        f"TOKEN   {KEY}",
        basic_auth(f"user@example.com:{KEY}"),
    ],
)
def test_authorization_schemes(interface, authorization):
    """ "Request schema": Bearer, and the deprecated API token alone or with a user name."""
    client = build_client(FILE_MODEL, interface)

    assert 200 == client.post(PREDICT, json=ROWS, headers={"authorization": authorization}).status


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "Invalid API token"),
        ("Bearer another-API-key-of-nobody", "Invalid API token"),
        (f"Digest {KEY}", "Invalid API token"),
        (basic_auth(f"{KEY}:user"), "Invalid API token"),
        (basic_auth(KEY), "Invalid API token"),
        ("Basic user:token", "Invalid API token"),
        ("Basic " + base64.b64encode(b"user:\xff").decode(), "Invalid API token"),
        (f"Bearer {KEY},Bearer {KEY}", "Invalid API token"),
        ("Bearer", "Invalid Authorization header. No credentials provided."),
        ("Token ", "Invalid Authorization header. No credentials provided."),
    ],
)
def test_authorization_errors(interface, authorization, message):
    """ "Prediction API reference", 401."""
    client = build_client(FILE_MODEL, interface)
    client._headers = {} if authorization is None else {"authorization": authorization}
    answer = client.post(PREDICT, json=ROWS)

    assert (401, {"message": message}) == (answer.status, answer.json())
    assert answer.header("www-authenticate").startswith("Bearer")


@pytest.mark.parametrize("keys", [{KEY: "*"}, "open"])
@pytest.mark.parametrize(
    ("value", "status"), [("a-datarobot-key", 200), (None, 401), ("", 401), ("A-datarobot-key", 401)]
)
def test_datarobot_key_is_required_if_configured(interface, keys, value, status):
    dialect = DataRobot(datarobot_key="a-datarobot-key")
    gate = Gate([Deployment("5f4e1b", FILE_MODEL, schema=SCHEMA)], keys=keys, dialects=[dialect])
    headers = BEARER if value is None else {**BEARER, "datarobot-key": value}
    answer = Client(getattr(gate, interface), headers=headers).post(PREDICT, json=ROWS)

    assert status == answer.status
    if status == 401:
        assert {"message": "The datarobot-key header is missing"} == answer.json()


def test_datarobot_key_is_stored_as_digest():
    dialect = DataRobot(datarobot_key="a-datarobot-key")

    assert "a-datarobot-key" not in repr(dialect) + repr(vars(dialect))


@pytest.mark.parametrize("wrong", ["", " key", "ke\ny", "schlüssel", 5])
def test_datarobot_key_must_fit_a_header(wrong):
    """The error does not show it."""
    with pytest.raises(ConfigurationError, match="datarobot_key must be printable ASCII"):
        DataRobot(datarobot_key=wrong)


BOTH = "passthroughColumns and passthroughColumnsSet cannot both be passed in one request"
EXPLANATIONS = "Prediction explanations are not available for this model"
NEED_COUNT = "thresholdLow and thresholdHigh need maxExplanations of at least 1"
NO_CHOICE = (
    "'explanationAlgorithm': the algorithm cannot be chosen: leave out this option, and set maxExplanations"
)
TIME_SERIES = "time series predictions are not available for this deployment"


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        (
            "passthroughColumns=Name",
            400,
            "passthroughColumns do not match columns, columns expected but not found: [u'Name']",
        ),
        ("wd=1", 422, "'wd': wd is not allowed key"),
        ("passthroughColumns=", 422, "'passthroughColumns': blank value is not allowed"),
        ("passthroughColumnsSet=some", 422, "'passthroughColumnsSet': value is not exactly 'all'"),
        ("passthroughColumnsSet=", 422, "'passthroughColumnsSet': value is not exactly 'all'"),
        ("passthroughColumnsSet=all&passthroughColumns=a", 422, BOTH),
        ("passthroughColumns=a&passthroughColumnsSet=all", 422, BOTH),
        ("maxExplanations=3", 422, EXPLANATIONS),
        ("maxCodes=1", 422, EXPLANATIONS),
        ("maxExplanations=all", 422, "'maxExplanations': value must be a whole number of at least 0"),
        ("maxExplanations=-1", 422, "'maxExplanations': value must be a whole number of at least 0"),
        ("maxExplanations=", 422, "'maxExplanations': blank value is not allowed"),
        (
            "maxNgramExplanations=all",
            422,
            "'maxNgramExplanations': text explanations are not available for this deployment",
        ),
        ("thresholdLow=0.2", 422, NEED_COUNT),
        ("thresholdHigh=0.5&maxExplanations=0", 422, NEED_COUNT),
        ("thresholdHigh=half&maxExplanations=3", 422, "'thresholdHigh': value must be a number or null"),
        (
            "thresholdHigh=nan&maxExplanations=3",
            422,
            "A threshold for explanations must be a finite number (got nan)",
        ),
        ("explanationAlgorithm=shap", 422, NO_CHOICE),
        ("explanationAlgorithm=xemp&maxExplanations=3", 422, NO_CHOICE),
        (
            "excludeAdjustedPredictions=no",
            422,
            "'excludeAdjustedPredictions': value must be true or false",
        ),
        (
            "excludeAdjustedPredictions=",
            422,
            "'excludeAdjustedPredictions': blank value is not allowed",
        ),
    ],
)
def test_query_parameter_errors(interface, query, status, message):
    """ "Prediction API reference", 400 and 422."""
    answer = build_client(FILE_MODEL, interface).post(f"{PREDICT}?{query}", json=ROWS)

    assert (status, {"message": message}) == (answer.status, answer.json())


@pytest.mark.parametrize(
    "query",
    [
        "maxExplanations=0",
        "maxExplanations=0&explanationAlgorithm=xemp",
        "maxExplanations=0&maxNgramExplanations=0&thresholdLow=null&thresholdHigh=null",
        "excludeAdjustedPredictions=true",
        "excludeAdjustedPredictions=True",
        "excludeAdjustedPredictions=false",
        "relaxKnownInAdvanceFeaturesCheck=False",
    ],
)
def test_query_parameters_that_turn_features_off(interface, query):
    """datarobot-predict always sends maxExplanations=0. Adjusted predictions need an exposure."""
    answer = build_client(FILE_MODEL, interface).post(f"{PREDICT}?{query}", json=ROWS)

    assert compact_json(FILE_RESPONSE) == answer.body


# "Making Prediction Explanations"
EXPLANATIONS_RESPONSE = """
{
  "data": [
    {
      "predictionValues": [
        {
          "value": 0.6634830442,
          "label": 1
        },
        {
          "value": 0.3365169558,
          "label": 0
        }
      ],
      "prediction": 1,
      "rowId": 0,
      "predictionExplanations": [
        {
          "featureValue": 49,
          "strength": 0.6194461777,
          "feature": "driver_age",
          "qualitativeStrength": "+++",
          "label": 1
        },
        {
          "featureValue": 1,
          "strength": 0.3501610895,
          "feature": "territory",
          "qualitativeStrength": "++",
          "label": 1
        },
        {
          "featureValue": "M",
          "strength": -0.171075409,
          "feature": "gender",
          "qualitativeStrength": "--",
          "label": 1
        }
      ]
    },
    {
      "predictionValues": [
        {
          "value": 0.3565584672,
          "label": 1
        },
        {
          "value": 0.6434415328,
          "label": 0
        }
      ],
      "prediction": 0,
      "rowId": 1,
      "predictionExplanations": []
    }
  ]
}
"""
EXPLAIN = PREDICT.replace("predictions", "predictionExplanations")
STRENGTHS = {"driver_age": 0.6194461777, "territory": 0.3501610895, "gender": -0.171075409}
OTHERS = [0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1]
BASE_VALUE = math.log(0.6634830442 / 0.3365169558) - math.fsum([*STRENGTHS.values(), *OTHERS])
BACKGROUND = {"driver_age": 48, "territory": 0, "gender": "F", **{f"x{index}": 0 for index in range(7)}}
EXPLAINED_ROWS = [
    {"driver_age": 49, "territory": 1, "gender": "M", **{f"x{index}": 1 for index in range(7)}},
    # One of the other columns alone makes this row as likely as in the document.
    {**BACKGROUND, "x0": (math.log(0.3565584672 / 0.6434415328) - BASE_VALUE) / OTHERS[0]},
]


class RoundedClassifier(LogisticRegression):
    """Predicts the probabilities of the document's example, which have ten decimals."""

    def predict_proba(self, rows):
        return np.round(super().predict_proba(rows), 10)


def build_explained_model():
    """Return a linear model of ten columns whose contributions to the first row are the document's."""
    frame = pandas.DataFrame([BACKGROUND, EXPLAINED_ROWS[0]] * 2).astype({"driver_age": float})
    numbers = [name for name in frame.columns if name != "gender"]
    columns = make_column_transformer(("passthrough", numbers), (OneHotEncoder(), ["gender"]))
    model = make_pipeline(columns, RoundedClassifier()).fit(frame, [0, 1] * 2)
    age, territory, gender = STRENGTHS.values()
    model[-1].coef_ = np.array([[age, territory, *OTHERS, 0.0, gender]])
    model[-1].intercept_ = np.array([BASE_VALUE - BACKGROUND["driver_age"] * age])
    return model


def build_explaining_client(interface, **options):
    deployment = Deployment(
        "5f4e1b",
        build_explained_model(),
        explanations=Explanations(background=[BACKGROUND], **options),
        target="readmitted",
    )
    gate = Gate([deployment], keys={KEY: "5f4e1b"}, dialects=[DataRobot()])
    return Client(getattr(gate, interface), headers=BEARER)


@pytest.mark.slow
@pytest.mark.parametrize("path", [EXPLAIN, EXPLAIN.removeprefix("/predApi/v1.0")])
def test_prediction_explanations(interface, path):
    """ "Making Prediction Explanations": the example."""
    client = build_explaining_client(interface)
    answer = client.post(f"{path}?thresholdLow=0.2&thresholdHigh=0.5", json=EXPLAINED_ROWS)

    assert (200, compact_json(EXPLANATIONS_RESPONSE)) == (answer.status, answer.body)
    assert ("linear", "margin") == (
        answer.header("x-explanation-method"),
        answer.header("x-explanation-space"),
    )
    assert pytest.approx(BASE_VALUE) == float(answer.header("x-explanation-base-value"))


@pytest.mark.slow
def test_contributions_of_a_response_are_limited(interface, monkeypatch):
    """One takes 700 bytes of memory. More than there are columns are not returned."""
    monkeypatch.setattr("modelgate.scoring.layers.explain.MAX_CONTRIBUTIONS", 20)
    client = build_explaining_client(interface)
    accepted, rejected = (
        client.post(f"{PREDICT}?maxExplanations=50", json=EXPLAINED_ROWS[:1] * rows) for rows in (2, 3)
    )

    assert [10, 10] == [len(row["predictionExplanations"]) for row in accepted.json()["data"]]
    assert (
        422,
        "The response would have more than 20 contributions: request fewer for each row, or send fewer rows",
    ) == (
        rejected.status,
        rejected.json()["message"],
    )


@pytest.mark.slow
def test_prediction_explanations_of_the_predictions_route(interface):
    """Each row has the metadata, and the threshold as without explanations."""
    client = build_explaining_client(interface)
    data = client.post(f"{PREDICT}?maxExplanations=2&thresholdHigh=0.5", json=EXPLAINED_ROWS).json()["data"]
    golden = json.loads(EXPLANATIONS_RESPONSE)["data"]

    assert golden[0]["predictionExplanations"][:2] == data[0]["predictionExplanations"]
    assert [] == data[1]["predictionExplanations"]
    assert [0.5, 0.5] == [row["predictionThreshold"] for row in data]
    (explained,), (other,) = (row["explanationMetadata"] for row in data)
    total = explained["baseValue"] + explained["remainingTotal"] + 0.6194461777 + 0.3501610895
    assert pytest.approx(math.log(0.6634830442 / 0.3365169558)) == total
    assert {"label": 1, "method": "linear", "space": "margin"}.items() <= explained.items()
    assert {**explained, "remainingTotal": None} == other


@pytest.mark.slow
def test_prediction_explanations_are_off_by_default(interface):
    answer = build_explaining_client(interface).post(PREDICT, json=EXPLAINED_ROWS)

    assert "predictionExplanations" not in answer.json()["data"][0]
    assert answer.header("x-explanation-method") is None


@pytest.mark.slow
def test_prediction_explanations_have_csv_columns(interface):
    """ "Output format". A row between the thresholds has empty cells."""
    client = build_explaining_client(interface)
    headers = {"accept": "text/csv"}
    answer = client.post(
        f"{PREDICT}?maxExplanations=1&thresholdHigh=0.5", json=EXPLAINED_ROWS, headers=headers
    )
    names, first, second = (line.split(",")[5:] for line in answer.body.decode().splitlines())

    assert [
        "EXPLANATION_1_FEATURE_NAME",
        "EXPLANATION_1_ACTUAL_VALUE",
        "EXPLANATION_1_STRENGTH",
        "EXPLANATION_1_QUALITATIVE_STRENGTH",
    ] == names
    assert ["driver_age", "49", "0.6194461777", "+++"] == first
    assert [""] * 4 == second


@pytest.mark.parametrize("path", [EXPLAIN, f"{PREDICT}?maxExplanations=1"])
def test_prediction_explanations_are_rejected_by_a_deployment_without_them(interface, path):
    answer = build_client(FILE_MODEL, interface).post(path, json=ROWS)

    assert (422, {"message": EXPLANATIONS}) == (answer.status, answer.json())


@pytest.mark.slow
def test_prediction_explanations_have_a_limit(interface):
    answer = build_explaining_client(interface, limit=2).post(EXPLAIN, json=EXPLAINED_ROWS)

    expected = {"message": "The number of explanations must be at most 2 (got 3)"}
    assert (422, expected) == (answer.status, answer.json())


def test_error_of_unknown_url(interface):
    """ "Error responses": the example, apart from white space."""
    answer = build_client(FILE_MODEL, interface).post(PREDICT.removesuffix("/predictions"), body=b"")

    expected = (
        b'{"message":"The requested URL was not found on the server.  If you entered the URL manually,'
        b' please check your spelling and try again."}'
    )
    assert (400, expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")
    assert answer.header("x-datarobot-execution-time").isdigit()
    assert answer.header("x-request-id") == answer.header("x-datarobot-request-id")


def raise_error(table):
    raise ValueError("the secret recipe")


CSV_TYPE = {"content-type": "text/csv"}


@pytest.mark.parametrize(
    ("options", "path", "request_options", "status", "message"),
    [
        ({}, PREDICT, {"json": [{"a": 1, "b": 2}]}, 422, "missing input data: c"),
        (
            {"schema": Schema.of(a=float, amount=float)},
            PREDICT,
            {"body": b"a,amuont\nx,1\nx,2\n", "headers": CSV_TYPE},
            422,
            "data: amount; a must be a number (row 0, 1); amuont: did you mean amount?",
        ),
        ({}, PREDICT, {"json": [{**ROWS[0], "a": "x"}]}, 422, "a must be a number"),
        (
            {},
            PREDICT,
            {"body": b"a,b,c\n1,2\n", "headers": CSV_TYPE},
            400,
            "Line 2 of the CSV body has 2 cells",
        ),
        ({}, PREDICT, {"body": b"a,a\n1,2\n", "headers": CSV_TYPE}, 400, "names the column 'a' twice"),
        ({}, PREDICT, {"body": b"", "headers": CSV_TYPE}, 400, "no header line"),
        ({}, PREDICT, {"body": b"[{"}, 400, "not valid JSON"),
        ({}, PREDICT, {"body": b""}, 400, "empty"),
        ({"max_rows": 1}, PREDICT, {"json": ROWS}, 422, "1"),
        ({"state": "paused"}, PREDICT, {"json": ROWS}, 403, "not active"),
        ({}, PREDICT.replace("5f4e1b", "other"), {"json": ROWS}, 403, "no access to this deployment"),
        ({}, "/predApi/v1.0/nothing", {"json": ROWS}, 404, "Not found"),
        ({"model": raise_error}, PREDICT, {"json": ROWS}, 500, "failed to score"),
        ({}, PREDICT, {"body": CSV, "headers": {"content-type": "text/html"}}, 415, "text/csv"),
        ({}, PREDICT, {"body": CSV, "headers": {"content-type": "text/csv; charset=zlib"}}, 415, "utf-8"),
        ({}, PREDICT, {"body": CSV, "headers": {**CSV_TYPE, "content-encoding": "zip"}}, 415, "gzip"),
        (
            {},
            PREDICT,
            {"body": CSV, "headers": {**CSV_TYPE, "content-encoding": "gzip"}},
            400,
            "Content-Encoding",
        ),
        ({}, PREDICT, {"body": FORM, "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    ],
)
def test_errors_have_one_form(interface, options, path, request_options, status, message):
    """The message has all details: clients show nothing else."""
    options = {"model": FILE_MODEL, **options}
    answer = build_client(options.pop("model"), interface, **options).post(path, **request_options)

    assert status == answer.status
    assert ["message"] == list(answer.json())
    assert message in answer.json()["message"]
    assert "secret" not in answer.json()["message"]
    # datarobot-predict compares the whole value, so a charset would make it fail.
    assert "application/json" == answer.header("content-type")


def test_errors_as_problem_details(interface):
    """RFC 9457, for a client that accepts it."""
    client = build_client(FILE_MODEL, interface)
    response = client.post(
        PREDICT, json=[{"a": "x", "b": 2}], headers={"accept": "text/csv, application/problem+json"}
    )

    assert (422, "application/problem+json") == (response.status, response.header("content-type"))
    assert {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "missing_columns",
        "detail": "Prediction failed due to missing input data: c; a must be a number",
        "missing_columns": ["c"],
        "errors": {"a": "must be a number"},
        "request_id": response.header("x-request-id"),
    } == response.json()


def test_response_has_model_version(interface):
    assert "7" == build_client(FILE_MODEL, interface, version="7").post(PREDICT, json=ROWS).header(
        "x-model-version"
    )


def test_errors_of_hidden_schema_name_no_columns(interface):
    client = build_client(FILE_MODEL, interface, schema=SCHEMA.with_options(show_schema=False))

    assert {"message": "Invalid input data"} == client.post(PREDICT, json=[{"a": 1}]).json()


def test_errors_of_method_list_allowed_methods(interface):
    answer = build_client(FILE_MODEL, interface).get(PREDICT)

    assert (405, "OPTIONS, POST") == (answer.status, answer.header("allow"))


def test_errors_of_rate_limit_keep_headers(interface):
    """datarobot-predict waits for Retry-After."""
    client = build_client(FILE_MODEL, interface, limits="1/minute")
    answer = [client.post(PREDICT, json=ROWS) for _ in range(2)][1]

    assert 429 == answer.status
    assert 1 <= int(answer.header("retry-after")) <= 60
    assert "x-datarobot-request-id" in dict(answer.headers)


ERRORS = [
    tree.MalformedBody("x"),
    tree.ConflictingCredentials(),
    tree.InvalidInput("x"),
    tree.MissingColumns(["a"], {"b": "must be a number"}),
    tree.InvalidValues({"b": "must be a number"}),
    tree.UnknownColumns(["é'\"", "b"]),
    tree.Unauthorized(),
    tree.Forbidden(),
    tree.DeploymentInactive(),
    tree.NotFound(),
    tree.MethodNotAllowed(["POST"]),
    tree.BodyTooLarge(1),
    tree.UnsupportedMediaType("x"),
    tree.RateLimitExceeded("1/minute", 3),
    tree.ServingError(),
    tree.PredictionError(),
    tree.Overloaded(2),
    tree.DeploymentUnavailable(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_without_request_id(error):
    bare_request = request(path=PREDICT)
    response = DataRobot().encode_error(bare_request, error)

    assert ["message"] == list(msgspec.json.decode(response.body))
    assert set(error.headers.items()) <= set(response.headers)
    assert PLAIN_JSON is bare_request.wire


def test_request_line_limit(interface):
    """ "Knowing the limitations": at most 8192 bytes."""
    client = build_client(FILE_MODEL, interface)

    def send(length):
        rest = len(f"POST {PREDICT}?passthroughColumns= HTTP/1.1")
        return client.post(f"{PREDICT}?passthroughColumns={'x' * (length - rest)}", json=ROWS)

    assert 400 == send(8192).status
    assert 414 == send(8193).status
    assert "longer than 8192 bytes" in send(8193).json()["message"]


@pytest.mark.slow
def test_body_limit(interface):
    """ "Knowing the limitations": 50 MB, as sent and after decompression."""
    # Line breaks alone expand to any multiple of their compressed size.
    client = build_client(FILE_MODEL, interface, body_limit=BodyLimit(max_expansion=10**6))
    limit = 50 * 1024 * 1024
    largest = CSV + b"\n" * (limit - len(CSV))

    assert 200 == client.post(PREDICT, body=largest, headers=CSV_TYPE).status
    assert 413 == client.post(PREDICT, body=largest + b"\n", headers=CSV_TYPE).status
    for coding, pack in (("gzip", gzip.compress), ("bz2", bz2.compress)):
        headers = {**CSV_TYPE, "content-encoding": coding}
        assert 200 == client.post(PREDICT, body=pack(largest), headers=headers).status
        assert 413 == client.post(PREDICT, body=pack(largest + b"\n"), headers=headers).status


@pytest.mark.parametrize(
    ("content_type", "pack"),
    [
        ("text/csv; charset=cp1252", lambda raw: raw),
        ("multipart/form-data; boundary=b", lambda raw: build_form((b'name="file"', raw), boundary="b")[0]),
    ],
)
def test_large_bodies_leave_the_event_loop_free(monkeypatch, content_type, pack):
    """Both reading and writing, even of a single row."""
    on_loop = []

    def watched(function):
        def call(*args, **options):
            on_loop.append(threading.current_thread() is threading.main_thread())
            return function(*args, **options)

        return call

    monkeypatch.setattr(row_bodies, "to_utf8", watched(row_bodies.to_utf8))
    monkeypatch.setattr(row_bodies, "extract_file", watched(row_bodies.extract_file))
    monkeypatch.setattr(datarobot, "rows_to_json", watched(datarobot.rows_to_json))
    client = build_client(FILE_MODEL, "asgi")
    headers = {"content-type": content_type}
    large = b"a,b,c,note\n1,2,3," + b"x" * 100_000 + b"\n"
    path = f"{PREDICT}?passthroughColumns=note"

    assert 200 == client.post(path, body=pack(large), headers=headers).status
    assert [False] * len(on_loop) == on_loop
    assert 200 == client.post(path, body=pack(large[:1_000]), headers=headers).status
    assert on_loop[-1]


@pytest.mark.slow
def test_passthrough_columns_take_little_memory():
    """Of a wide body, only the echoed column is in memory."""
    width, rows = 200, 2_000
    names = ",".join(f"n{index}" for index in range(width))
    body = f"a,{names}\n".encode() + (b"1" + b",12345" * width + b"\n") * rows
    client = build_client(lambda table: table["a"], "wsgi", schema=Schema.of(a=float))
    path, headers = f"{PREDICT}?passthroughColumns=n7", {**CSV_TYPE, "accept": "text/csv"}
    client.post(path, body=body[: 100 * 1024].rpartition(b"\n")[0], headers=headers)
    tracemalloc.start()
    try:
        answer = client.post(path, body=body, headers=headers)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert b"1.0,12345" == answer.body.splitlines()[-1]
    assert peak < 6 * len(body)

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
import threading
import tracemalloc

import msgspec
import numpy as np
import pytest

from modelgate import Column, ConfigurationError, Deployment, Gate, Output, Prediction, Schema
from modelgate import errors as tree
from modelgate.dialects import DataRobot, datarobot
from modelgate.dialects import _row_body as row_bodies
from modelgate.http import PLAIN_JSON
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


def build_client(function, interface, *, dialect=None, schema=SCHEMA, limits=None, **options):
    deployment = Deployment("5f4e1b", function, schema=schema, **{"decimals": None, **options})
    gate = Gate([deployment], keys={KEY: "5f4e1b"}, dialects=[dialect or DataRobot()], limits=limits)
    return Client(getattr(gate, interface), headers=BEARER)


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
EXPLANATIONS = "prediction explanations are not available for this deployment"


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
        ("maxExplanations=3", 422, f"'maxExplanations': {EXPLANATIONS}"),
        ("maxExplanations=all", 422, f"'maxExplanations': {EXPLANATIONS}"),
        ("maxCodes=1", 422, f"'maxCodes': {EXPLANATIONS}"),
        ("maxNgramExplanations=all", 422, f"'maxNgramExplanations': {EXPLANATIONS}"),
        ("thresholdLow=0.2", 422, f"'thresholdLow': {EXPLANATIONS}"),
        ("thresholdHigh=0.5", 422, f"'thresholdHigh': {EXPLANATIONS}"),
        ("explanationAlgorithm=shap", 422, f"'explanationAlgorithm': {EXPLANATIONS}"),
        (
            "excludeAdjustedPredictions=false",
            422,
            (
                "'excludeAdjustedPredictions': exposure-adjusted predictions are not available"
                " for this deployment"
            ),
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
        "excludeAdjustedPredictions=true",
        "excludeAdjustedPredictions=True",
        "relaxKnownInAdvanceFeaturesCheck=False",
    ],
)
def test_query_parameters_that_turn_features_off(interface, query):
    """datarobot-predict always sends maxExplanations=0."""
    answer = build_client(FILE_MODEL, interface).post(f"{PREDICT}?{query}", json=ROWS)

    assert compact_json(FILE_RESPONSE) == answer.body


def test_prediction_explanations_are_rejected(interface):
    path = PREDICT.replace("predictions", "predictionExplanations")
    answer = build_client(FILE_MODEL, interface).post(path, json=ROWS)

    expected = {"message": "Prediction explanations are not available for this deployment"}
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
    client = build_client(FILE_MODEL, interface)
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

"""The same rows through every dialect give the same predictions."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate import Deployment, Gate
from modelgate.dialects import DIALECTS
from modelgate.testing import Client

NAMES = ["alcohol", "malic_acid", "hue", "colour"]
ROW = st.tuples(
    st.floats(10, 16, width=32),
    st.floats(0, 6),
    st.floats(0, 2),
    st.sampled_from(["light", "medium", "deep"]),
)


def named(rows):
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


def columns(rows):
    return {name: list(values) for name, values in zip(NAMES, zip(*rows, strict=True), strict=True)}


def as_csv(rows):
    out = io.StringIO()
    csv.writer(out).writerows([NAMES, *rows])
    return out.getvalue().encode()


def tensors(rows):
    kinds = dict.fromkeys(NAMES, "FP64") | {"colour": "BYTES"}
    return [
        {"name": name, "shape": [len(rows)], "datatype": kinds[name], "data": values}
        for name, values in columns(rows).items()
    ]


def most_likely(row):
    return max(row["cultivar"], key=row["cultivar"].get)


# By dialect and variant: the path, a function that builds the body, and one that finds the labels in the answer.
REQUEST_FORMS = {
    "native": (
        "/deployments/wine/predict",
        lambda rows: {"rows": named(rows)},
        lambda answer: [row["prediction"] for row in answer["predictions"]],
    ),
    "native, CSV": (
        "/deployments/wine/predict",
        as_csv,
        lambda answer: [row["prediction"] for row in answer["predictions"]],
    ),
    "mlclever": (
        "/api/predict",
        lambda rows: {"input_data": named(rows)},
        lambda answer: answer["predictions"],
    ),
    "plexe": ("/predict/wine", named, lambda answer: [row["predicted_class"] for row in answer["result"]]),
    "datarobot": (
        "/predApi/v1.0/deployments/wine/predictions",
        named,
        lambda answer: [row["prediction"] for row in answer["data"]],
    ),
    "datarobot, CSV": (
        "/deployments/wine/predictions",
        as_csv,
        lambda answer: [row["prediction"] for row in answer["data"]],
    ),
    "peltarion": (
        "/deployment/wine/forward",
        lambda rows: {"rows": named(rows)},
        lambda answer: list(map(most_likely, answer["rows"])),
    ),
    "simple": ("/simple/wine", named, lambda answer: [row["prediction"] for row in answer]),
    "simple, by position": (
        "/simple/wine",
        lambda rows: {"data": rows},
        lambda answer: [row["prediction"] for row in answer],
    ),
    "open_inference": (
        "/v2/models/wine/infer",
        lambda rows: {"inputs": tensors(rows)},
        lambda answer: answer["outputs"][0]["data"],
    ),
    "tf_serving": (
        "/v1/models/wine:predict",
        lambda rows: {"instances": named(rows)},
        lambda answer: answer["predictions"],
    ),
    "tf_serving, by column": (
        "/v1/models/wine:predict",
        lambda rows: {"inputs": columns(rows)},
        lambda answer: answer["outputs"],
    ),
    "mlflow": (
        "/mlflow/wine/invocations",
        lambda rows: {"dataframe_split": {"columns": NAMES, "data": rows}},
        lambda answer: answer["predictions"],
    ),
    "mlflow, CSV": ("/endpoints/wine/invocations", as_csv, lambda answer: answer["predictions"]),
}


def test_every_dialect_has_a_request_form():
    """A new dialect must be added to `REQUEST_FORMS`."""
    assert set(DIALECTS) == {form.partition(",")[0] for form in REQUEST_FORMS}


@pytest.fixture(scope="module")
def gate(wine):
    return Gate([Deployment("wine", wine[0], target="cultivar")], keys="open", limits="1000000000/day")


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@settings(max_examples=40)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_predictions_are_the_same_in_every_dialect(interface, gate, rows):
    """They are those that the gate returns without any dialect."""
    client, expected = Client(getattr(gate, interface)), gate.score("wine", named(rows)).values.tolist()
    for form, (path, body, labels) in REQUEST_FORMS.items():
        sent = body(rows)
        kind = "text/csv" if isinstance(sent, bytes) else "application/json"
        raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        answer = client.post(path, body=raw, headers={"content-type": kind})

        assert (form, 200) == (form, answer.status), answer.body
        assert (form, expected) == (form, labels(answer.json()))

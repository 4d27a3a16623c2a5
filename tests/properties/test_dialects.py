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


def likeliest(row):
    return max(row["cultivar"], key=row["cultivar"].get)


# For each way of asking: the dialect, the path, the body, and where the labels stand in the answer.
WAYS = {
    "mlclever": ("/api/predict", lambda rows: {"input_data": named(rows)}, lambda told: told["predictions"]),
    "plexe": ("/predict/wine", named, lambda told: [row["predicted_class"] for row in told["result"]]),
    "datarobot": (
        "/predApi/v1.0/deployments/wine/predictions",
        named,
        lambda told: [row["prediction"] for row in told["data"]],
    ),
    "datarobot, CSV": (
        "/deployments/wine/predictions",
        as_csv,
        lambda told: [row["prediction"] for row in told["data"]],
    ),
    "peltarion": (
        "/deployment/wine/forward",
        lambda rows: {"rows": named(rows)},
        lambda told: list(map(likeliest, told["rows"])),
    ),
    "simple": ("/simple/wine", named, lambda told: [row["prediction"] for row in told]),
    "simple, by place": (
        "/simple/wine",
        lambda rows: {"data": rows},
        lambda told: [row["prediction"] for row in told],
    ),
    "open_inference": (
        "/v2/models/wine/infer",
        lambda rows: {"inputs": tensors(rows)},
        lambda told: told["outputs"][0]["data"],
    ),
    "tf_serving": (
        "/v1/models/wine:predict",
        lambda rows: {"instances": named(rows)},
        lambda told: told["predictions"],
    ),
    "tf_serving, by column": (
        "/v1/models/wine:predict",
        lambda rows: {"inputs": columns(rows)},
        lambda told: told["outputs"],
    ),
    "mlflow": (
        "/mlflow/wine/invocations",
        lambda rows: {"dataframe_split": {"columns": NAMES, "data": rows}},
        lambda told: told["predictions"],
    ),
    "mlflow, CSV": ("/endpoints/wine/invocations", as_csv, lambda told: told["predictions"]),
}


def test_every_dialect_is_asked():
    """A new one must be added here."""

    assert set(DIALECTS) == {way.partition(",")[0] for way in WAYS}


@pytest.fixture(scope="module")
def gate(wine):
    return Gate([Deployment("wine", wine[0], target="cultivar")], keys="open", limits="1000000000/day")


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@settings(max_examples=40)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_the_same_rows_give_the_same_predictions(interface, gate, rows):
    """Those of the gate without any dialect."""
    client, expected = Client(getattr(gate, interface)), gate.score("wine", named(rows)).values.tolist()
    for way, (path, body, labels) in WAYS.items():
        sent = body(rows)
        kind = "text/csv" if isinstance(sent, bytes) else "application/json"
        raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        answer = client.post(path, body=raw, headers={"content-type": kind})

        assert (way, 200) == (way, answer.status), answer.body
        assert (way, expected) == (way, labels(answer.json()))

"""How a request to score looks in each wire format."""

import msgspec
import pytest

from conftest import KEY
from modelgate import Column, Deployment, Gate, Schema
from modelgate.dialects import DIALECTS, DataRobot, Sample, filled
from modelgate.testing import Client

MIXED = Schema.of(
    amount=float,
    count=int,
    vip=bool,
    plan=["free", "pro"],
    note=Column("note", "text", default="none"),
    other=Column("other", "any"),
)
ROWS = [
    {"amount": 1.5, "count": 2, "vip": True, "plan": "pro", "note": "a, b", "other": 7},
    {"amount": 2, "count": 3, "vip": False, "plan": "free", "other": 8},
]


def likeliest(row):
    return max(row["prediction"], key=row["prediction"].get)


def listed(told):
    return told if isinstance(told, list) else [told]


# By dialect: the labels of an answer.
LABELS = {
    "mlclever": lambda told: told["predictions"],
    "plexe": lambda told: [row["predicted_class"] for row in listed(told["result"])],
    "datarobot": lambda told: [row["prediction"] for row in told["data"]],
    "peltarion": lambda told: list(map(likeliest, told["rows"])),
    "simple": lambda told: [row["prediction"] for row in told],
    "open_inference": lambda told: told["outputs"][0]["data"],
    "tf_serving": lambda told: told["predictions"],
    "mlflow": lambda told: told["predictions"],
}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_filled_sample_is_answered(name, interface, wine):
    """Each dialect's own, through the gate, is given the prediction that `score` gives."""
    schema = Schema.from_model(wine[0])
    gate = Gate([Deployment("wine", wine[0])], keys={KEY: ["wine", "another"]}, dialects=[name])
    for rows in ([schema.example], wine[1].head(40).to_dict("records")):
        path, headers, body = filled(DIALECTS[name]().sample, "wine", KEY, schema, rows)
        answer = Client(getattr(gate, interface)).post(path, body=body, headers=headers)
        told = LABELS[name](answer.json())

        assert 200 == answer.status, answer
        assert gate.score("wine", rows).values.tolist() == told


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("{row}", ROWS),
        ("{rows}", ROWS),
        ("{values}", [[1.5, 2, True, "pro", "a, b", 7], [2, 3, False, "free", "none", 8]]),
        ("{matrix}", [[1.5, 2, True, "pro", "a, b", 7], [2, 3, False, "free", "none", 8]]),
        ("{names}", list(MIXED.names)),
        (["{key}", {"at": "{deployment}"}, "{key} ", 1], ["k", {"at": "d"}, "{key} ", 1]),
    ],
)
def test_marks(mark, expected):
    """Data stands for a text that is exactly a mark, and for nothing else."""

    assert expected == msgspec.json.decode(filled(Sample("/", {}, mark), "d", "k", MIXED, ROWS).body)


@pytest.mark.parametrize(
    ("mark", "expected"), [("{row}", ROWS[0]), ("{values}", [1.5, 2, True, "pro", "a, b", 7])]
)
def test_marks_of_a_row(mark, expected):
    """A row that is alone stands by itself."""

    assert expected == msgspec.json.decode(filled(Sample("/", {}, mark), "d", "k", MIXED, ROWS[:1]).body)


def test_marks_by_column():
    """What a row leaves out is its column's default; a tensor is of its column's kind, or its values'."""
    body = {"columns": "{columns}", "tensors": "{tensors}"}
    told = msgspec.json.decode(filled(Sample("/", {}, body), "d", "k", MIXED, ROWS).body)

    assert ["a, b", "none"] == told["columns"]["note"]
    assert list(told["columns"].values()) == [tensor["data"] for tensor in told["tensors"]]
    assert [("amount", "FP64"), ("count", "INT64"), ("vip", "BOOL"), ("plan", "BYTES"), ("note", "BYTES"),
            ("other", "INT64")] == [(tensor["name"], tensor["datatype"]) for tensor in told["tensors"]]  # fmt: skip
    assert all([2] == tensor["shape"] for tensor in told["tensors"])


def test_csv_is_the_whole_body():
    """With the media type it says it has."""
    sample = Sample("/{deployment}/{key}", {"X-Key": "<{key}>"}, "{csv}", "text/csv")
    path, headers, body = filled(sample, "d", "k/?", MIXED, ROWS)

    assert ("/d/k%2F%3F", {"X-Key": "<k/?>", "Content-Type": "text/csv"}) == (path, headers)
    assert b'amount,count,vip,plan,note,other\n1.5,2,True,pro,"a, b",7\n2,3,False,free,none,8\n' == body


def test_a_gate_tells_its_samples():
    """Those of the dialects it speaks, as far as they have one; the path is below the mount point."""

    class Own(DIALECTS["simple"]):
        name, routes, sample = "own", (), Sample("/own/{version}/{deployment}", {}, "{row}")

    class Silent(DIALECTS["simple"]):
        name, routes, sample = "silent", (), None

    served = [Deployment("d", len, schema=Schema.of(a=float), version="1?")]
    gate = Gate(served, keys="open", dialects=["tf_serving", Own(), Silent()])

    assert [
        {
            "dialect": "tf_serving",
            "method": "POST",
            "path": "v1/models/d:predict",
            "headers": {"Authorization": "Bearer {key}"},
            "body": {"instances": "{rows}"},
            "media_type": "application/json",
        },
        {
            "dialect": "own",
            "method": "POST",
            "path": "own/1%3F/d",
            "headers": {},
            "body": "{row}",
            "media_type": "application/json",
        },
    ] == Client(gate.wsgi).get("/deployments/d").json()["requests"]


def test_the_key_of_an_organisation():
    """Where a DataRobot gate wants one, its sample says so, and no more."""

    assert "{datarobot-key}" == DataRobot(datarobot_key="secret").sample.headers["datarobot-key"]
    assert "datarobot-key" not in DataRobot().sample.headers

"""Sample requests of each dialect."""

import msgspec
import pytest

from modelgate import Column, Deployment, Gate, Schema
from modelgate.dialects import DIALECTS, DataRobot, RequestTemplate, render_request
from modelgate.testing import Client
from support.keys import KEY

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


def most_likely(row):
    return max(row["prediction"], key=row["prediction"].get)


def to_list(payload):
    return payload if isinstance(payload, list) else [payload]


# By dialect: the labels of an answer.
LABELS = {
    "mlclever": lambda payload: payload["predictions"],
    "plexe": lambda payload: [row["predicted_class"] for row in to_list(payload["result"])],
    "datarobot": lambda payload: [row["prediction"] for row in payload["data"]],
    "peltarion": lambda payload: list(map(most_likely, payload["rows"])),
    "simple": lambda payload: [row["prediction"] for row in payload],
    "open_inference": lambda payload: payload["outputs"][0]["data"],
    "tf_serving": lambda payload: payload["predictions"],
    "mlflow": lambda payload: payload["predictions"],
    "native": lambda payload: [row["prediction"] for row in payload.get("predictions", [payload])],
}


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("name", DIALECTS)
def test_rendered_sample_gets_a_prediction(name, interface, wine):
    """Each dialect returns the prediction of `score`."""
    schema = Schema.from_model(wine[0])
    gate = Gate([Deployment("wine", wine[0])], keys={KEY: ["wine", "another"]}, dialects=[name])
    for rows in ([schema.example], wine[1].head(40).to_dict("records")):
        path, headers, body = render_request(DIALECTS[name]().request_template, "wine", KEY, schema, rows)
        answer = Client(getattr(gate, interface)).post(path, body=body, headers=headers)
        payload = LABELS[name](answer.json())

        assert 200 == answer.status, answer
        assert gate.score("wine", rows).values.tolist() == payload


@pytest.mark.parametrize(
    ("placeholder", "expected"),
    [
        ("{row}", ROWS),
        ("{rows}", ROWS),
        ("{values}", [[1.5, 2, True, "pro", "a, b", 7], [2, 3, False, "free", "none", 8]]),
        ("{matrix}", [[1.5, 2, True, "pro", "a, b", 7], [2, 3, False, "free", "none", 8]]),
        ("{names}", list(MIXED.names)),
        (["{key}", {"at": "{deployment}"}, "{key} ", 1], ["k", {"at": "d"}, "{key} ", 1]),
    ],
)
def test_placeholder_is_replaced_only_as_a_whole_text(placeholder, expected):
    assert expected == msgspec.json.decode(
        render_request(RequestTemplate("/", {}, placeholder), "d", "k", MIXED, ROWS).body
    )


@pytest.mark.parametrize(
    ("placeholder", "expected"), [("{row}", ROWS[0]), ("{values}", [1.5, 2, True, "pro", "a, b", 7])]
)
def test_row_placeholder_stands_for_one_row(placeholder, expected):
    assert expected == msgspec.json.decode(
        render_request(RequestTemplate("/", {}, placeholder), "d", "k", MIXED, ROWS[:1]).body
    )


def test_column_placeholders():
    """Missing values get the default of their column. A tensor has the type of its column, or of its values."""
    body = {"columns": "{columns}", "tensors": "{tensors}"}
    payload = msgspec.json.decode(render_request(RequestTemplate("/", {}, body), "d", "k", MIXED, ROWS).body)

    assert ["a, b", "none"] == payload["columns"]["note"]
    assert list(payload["columns"].values()) == [tensor["data"] for tensor in payload["tensors"]]
    assert [("amount", "FP64"), ("count", "INT64"), ("vip", "BOOL"), ("plan", "BYTES"), ("note", "BYTES"),
            ("other", "INT64")] == [(tensor["name"], tensor["datatype"]) for tensor in payload["tensors"]]  # fmt: skip
    assert all([2] == tensor["shape"] for tensor in payload["tensors"])


def test_csv_sample_is_the_entire_body():
    sample = RequestTemplate("/{deployment}/{key}", {"X-Key": "<{key}>"}, "{csv}", "text/csv")
    path, headers, body = render_request(sample, "d", "k/?", MIXED, ROWS)

    assert ("/d/k%2F%3F", {"X-Key": "<k/?>", "Content-Type": "text/csv"}) == (path, headers)
    assert b'amount,count,vip,plan,note,other\n1.5,2,True,pro,"a, b",7\n2,3,False,free,none,8\n' == body


def test_gate_returns_the_samples_of_its_dialects():
    """The path is relative to the mount point."""

    class Own(DIALECTS["simple"]):
        name, routes, request_template = (
            "own",
            (),
            RequestTemplate("/own/{version}/{deployment}", {}, "{row}"),
        )

    class Silent(DIALECTS["simple"]):
        name, routes, request_template = "silent", (), None

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


def test_sample_contains_the_datarobot_key_header():
    """Only for a gate that requires one."""

    assert "{datarobot-key}" == DataRobot(datarobot_key="secret").request_template.headers["datarobot-key"]
    assert "datarobot-key" not in DataRobot().request_template.headers

"""Tensors of one column each are checked all at once, with the result of checking one after the other."""

from unittest.mock import patch

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from modelgate.dialects import inference_request
from modelgate.dialects.inference_request import read_request
from modelgate.errors import RequestError

ELEMENTS = {
    "FP64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3),
    "FP32": st.just(0.5),
    "UINT8": st.integers(0, 255),
    "BOOL": st.booleans(),
    "BYTES": st.text(max_size=2),
    "FP8": st.just(1),
}
WRONG = st.sampled_from([None, "x", 1e300, -1, True, [1], {}])


@st.composite
def tensors(draw, rows):
    """A tensor of *rows* rows, which is sometimes wrong or has another form."""

    def usually(value, others):
        return draw(st.sampled_from(others)) if draw(st.integers(0, 15)) == 0 else value

    datatype = usually("FP64", [*ELEMENTS])
    data = draw(st.lists(ELEMENTS[datatype], min_size=rows, max_size=rows))
    if data and draw(st.integers(0, 7)) == 0:
        data[-1] = draw(WRONG)
    tensor = {
        "name": draw(st.sampled_from("abc")),
        "shape": usually([rows], [[rows, 1], [rows, 2], [rows + 1], [-rows], [], [rows, 1, 1]]),
        "datatype": datatype,
        "data": usually(data, [None, 1, [data], [[value] for value in data], [*data, *data]]),
    }
    return tensor | usually(
        {}, [{"parameters": None}, {"parameters": {}}, {"parameters": {"binary_data_size": 8}}]
    )


def outcome(body):
    try:
        request, rows = read_request(body, None)
    except RequestError as error:
        return type(error), error.message
    return request, rows.columns and list(rows.columns), [[(type(v), v) for v in row] for row in rows.data]


@given(st.integers(0, 3).flatmap(lambda rows: st.lists(tensors(rows), max_size=3)))
def test_tensors_checked_at_once_are_those_checked_one_by_one(inputs):
    body = msgspec.json.encode({"inputs": inputs, "id": "1"})
    with patch.object(inference_request, "_join_flat_tensors", lambda inputs: None):
        expected = outcome(body)

    assert expected == outcome(body)


def test_usual_tensors_are_checked_at_once():
    tensor = {"shape": [2, 1], "datatype": "FP64", "data": [0.5, None]}
    other = {**tensor, "datatype": "BYTES", "data": ["x", "y"]}
    body = msgspec.json.encode({"inputs": [{"name": "a", **tensor}, {"name": "b", **other}]})
    with patch.object(inference_request, "_read_tensors", None):
        _, rows = read_request(body, None)

    assert (["a", "b"], [(0.5, "x"), (None, "y")]) == (list(rows.columns), rows.data)

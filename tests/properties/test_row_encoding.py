"""Long responses are encoded by columns, with the bytes of encoding row by row."""

from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import Output, Prediction
from modelgate.dialects import datarobot_rows, native_rows
from modelgate.inference.prediction import TriggeredRule
from modelgate.scoring import Query

LABELS = [["no", "yes"], [0, 1], ["a%", 'b"é', "☃"], [1, "1", None], [True, False]]
RULES = [TriggeredRule("a" * 24, "rule%", "override"), TriggeredRule("b" * 24, "é", "no_operation")]


def numbers(shape, width=64):
    count = int(np.prod(shape))
    floats = st.lists(st.floats(width=width), min_size=count, max_size=count)
    return floats.map(lambda some: np.array(some, dtype=f"float{width}").reshape(shape))


@st.composite
def outputs(draw, name, rows, has_adjusted):
    adjusted = draw(numbers(rows)) if has_adjusted else None
    if draw(st.booleans()):
        classes = draw(st.sampled_from(LABELS))
        values = np.empty(rows, dtype=object)
        values[:] = draw(st.lists(st.sampled_from([*classes, None]), min_size=rows, max_size=rows))
        probabilities = draw(st.none() | numbers((rows, len(classes))))
        threshold = draw(st.sampled_from([None, 0.3]))
        return Output(
            name, values, classes, probabilities, draw(st.integers(0, 1)), threshold, adjusted=adjusted
        )
    values = draw(numbers(rows) | numbers(rows, 32) | st.just(np.arange(rows)))
    intervals = draw(st.none() | st.fixed_dictionaries({"80": numbers((rows, 2)), "90": numbers((rows, 2))}))
    return Output(name, values, intervals=intervals, adjusted=adjusted)


@st.composite
def predictions(draw):
    rows, has_adjusted = draw(st.integers(1, 4)), draw(st.booleans())
    names = draw(st.sampled_from([["target"], ["a%", "b"]]))
    prediction = Prediction([draw(outputs(name, rows, has_adjusted)) for name in names])
    if draw(st.booleans()):
        raw = st.sampled_from([b"1.50", b'"x,\\u00e9"', b"null", b'{"a": 1}']).map(msgspec.Raw)
        prediction.passthrough_columns = {"id %s": draw(st.lists(raw, min_size=rows, max_size=rows))}
    if len(names) == 1 and draw(st.booleans()):
        triggered = st.lists(st.sampled_from(RULES), max_size=2)
        prediction.humility = draw(st.lists(triggered, min_size=rows, max_size=rows))
    return prediction


ENCODERS = {
    "datarobot": (datarobot_rows, datarobot_rows.rows_to_json),
    "native JSON": (
        native_rows,
        lambda prediction: native_rows.ENCODERS["application/json"](
            prediction, Query(None), {"version": "1"}
        ),
    ),
    "native NDJSON": (
        native_rows,
        lambda prediction: native_rows.ENCODERS["application/x-ndjson"](prediction, Query(None)),
    ),
}


@pytest.mark.parametrize(("module", "encode"), ENCODERS.values(), ids=ENCODERS)
@given(predictions())
def test_rows_encoded_by_column_are_those_encoded_one_by_one(module, encode, prediction):
    with patch.object(module, "COLUMN_ROWS", 1):
        by_column = encode(prediction)
    assert encode(prediction) == by_column

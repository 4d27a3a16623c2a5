"""Arrays that are filled part by part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelgate.inference.row_buffer import RowBuffer

DTYPES = st.sampled_from(["f8", "i8", "?", "U2", "U5"])


def fill(rows, parts):
    buffer = RowBuffer(rows)
    for part in parts:
        buffer.append(part)
    return buffer.array()


@given(
    st.integers(0, 12),
    st.lists(DTYPES.flatmap(lambda dtype: arrays(dtype, st.integers(0, 4))), min_size=1, max_size=4),
)
def test_row_buffer_equals_concatenate(rows, parts):
    """Also if the number of rows was not the expected one."""
    expected = np.concatenate(parts)
    filled = fill(rows, parts)

    assert expected.dtype == filled.dtype
    assert expected.tolist() == pytest.approx(filled.tolist(), nan_ok=True)


def test_row_buffer_rejects_rows_of_another_shape():
    with pytest.raises(ValueError, match="array dimensions"):
        fill(4, [np.ones((2, 3)), np.ones((2, 1))])

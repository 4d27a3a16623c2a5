"""Columns of raw JSON values in one buffer."""

import msgspec
import pytest

from modelgate.codecs.raw_values import RawValues

VALUES = [b"1.50", b'"\xc3\xa4"', b"null", b"", b"[1,2]"]


def make_column():
    column = RawValues()
    for value in VALUES:
        column.append(value)
    return column


@pytest.mark.parametrize("span", [slice(None), slice(1, 3), slice(3, 99), slice(None, None, -2)], ids=str)
def test_slice_is_that_of_a_list(span):
    assert VALUES[span] == list(map(bytes, make_column()[span]))


def test_items_are_those_of_a_list():
    column = make_column()

    assert (len(VALUES), VALUES) == (len(column), list(map(bytes, column)))
    assert (VALUES[0], VALUES[-1]) == (bytes(column[0]), bytes(column[-1]))
    with pytest.raises(IndexError):
        column[len(VALUES)]


def test_raw_value_can_be_appended():
    column = RawValues()
    column.append(msgspec.Raw(b"7"))

    assert [b"7"] == list(map(bytes, column))

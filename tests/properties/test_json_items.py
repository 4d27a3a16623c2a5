"""Counting and splitting of JSON arrays."""

import json
from itertools import chain
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from modelgate.codecs.json_items import count_items, split_items

VALUES = st.recursive(
    st.none() | st.integers() | st.text('a,[]{}"\\ é'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(',]"\\', max_size=2), inner, max_size=3)
    ),
)


@given(
    st.lists(VALUES, max_size=8),
    st.integers(1, 60),
    st.integers(1, 40),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
    st.booleans(),
)
def test_parts_of_an_array_have_its_items(items, size, window, separators, is_ascii):
    """Whatever the items contain."""
    raw = json.dumps(items, separators=separators, ensure_ascii=is_ascii).encode()
    with patch("modelgate.codecs.json_items._WINDOW", window):
        parts = [json.loads(part) for part in split_items(raw, size)]

        assert len(items) == count_items(raw)
    assert items == list(chain.from_iterable(parts))

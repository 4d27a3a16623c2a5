"""Hypothesis strategies for the rows of a schema. Requires the extra ``hypothesis``."""

import base64
import datetime
import io
import math
from typing import Any

from ..errors import ConfigurationError
from ..schema import Column, Schema
from ..schema.columns import EXACT

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError:
    raise ConfigurationError(
        'strategies for rows need hypothesis: pip install "modelgate[hypothesis]"'
    ) from None

__all__ = ["nearly_valid_rows", "valid_rows"]

_OFFSETS = ("Z", "+01:00", "-03:30")
_LONGEST_TEXT = 1000
"""Maximum length of generated texts, even if the *max_length* of a column is larger."""


def valid_rows(schema: Schema) -> SearchStrategy[dict[str, Any]]:
    """Return a hypothesis strategy for one row that *schema* accepts.

    Every required column is in the row. An optional column is left out of some rows, and a nullable column is
    null in some rows. All values can be sent as JSON: a datetime is text, an image is a data URL, and a
    tensor is nested lists.

    Args:
        schema: Schema of the rows. Its options have no effect: a column with levels always has one of these
            levels, even if unknown levels are accepted.
    """
    values = {column.name: _sendable_values(column) for column in schema}
    required = {column.name for column in schema if column.required}
    return st.fixed_dictionaries(
        {name: values[name] for name in values if name in required},
        optional={name: values[name] for name in values if name not in required},
    )


def nearly_valid_rows(schema: Schema) -> SearchStrategy[dict[str, Any]]:
    """Return a hypothesis strategy for one row that *schema* rejects because of a single error.

    A column is missing or forbidden, or its value is null, of another kind, too small, too large, too long,
    not matched by the pattern, or not among the levels. The rest of the row is as in `valid_rows`.

    Args:
        schema: Schema of the rows.
    """
    values = {column.name: _sendable_values(column) for column in schema}

    def add_fault(column: Column) -> SearchStrategy[dict[str, Any]]:
        others = {name: strategy for name, strategy in values.items() if name != column.name}
        rejected = _rejected_values(column, any_level=schema.options.unknown_levels != "reject")
        wrong = st.fixed_dictionaries({**others, column.name: rejected})
        return wrong | st.fixed_dictionaries(others) if column.required else wrong

    faults = [add_fault(column) for column in schema]
    if schema.options.extra_columns == "forbid":
        unexpected = st.text(min_size=1).filter(lambda name: name not in schema.names)
        faults.append(
            st.builds(lambda row, name: {**row, name: 0}, st.fixed_dictionaries(values), unexpected)
        )
    return st.one_of(faults)


def _sendable_values(column: Column) -> SearchStrategy[Any]:
    values = _allowed_values(column)
    return st.none() | values if column.nullable else values


def _allowed_values(column: Column) -> SearchStrategy[Any]:
    """Return a strategy for values of *column* that are not null."""
    if column.levels is not None:
        return st.sampled_from(column.levels)
    if column.kind in ("number", "integer"):
        numbers = _numbers(column)
        return (numbers | st.booleans() if column.accepts_booleans else numbers).filter(column.allows)
    if column.kind == "text":
        return _texts(column)
    if column.kind == "any":
        return _numbers(column) | st.booleans() | _texts(column)
    if column.kind == "datetime":
        return _datetimes(column)
    if column.kind == "image":
        return _images().filter(column.allows)
    if column.kind == "tensor":
        from hypothesis.extra.numpy import arrays

        finite = st.floats(allow_nan=False, allow_infinity=False)
        return arrays("float64", column.array_shape, elements=finite).map(lambda array: array.tolist())
    return st.booleans()


def _numbers(column: Column) -> SearchStrategy[Any]:
    low, high = column.minimum, column.maximum
    smallest = -EXACT if low is None else max(-EXACT, math.ceil(low))
    largest = EXACT if high is None else min(EXACT, math.floor(high))
    integers = st.integers(smallest, largest) if smallest <= largest else st.nothing()
    if column.kind == "integer":
        return integers
    floats = st.floats(
        None if low is None else float(low),
        None if high is None else float(high),
        allow_nan=False,
        allow_infinity=False,
    )
    return floats | integers


def _texts(column: Column) -> SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs"])  # JSON cannot represent a lone surrogate
    if column.pattern is not None:
        return st.from_regex(column.pattern, alphabet=characters).filter(column.allows)
    return st.text(characters, max_size=min(column.max_length or 20, _LONGEST_TEXT))


def _datetimes(column: Column) -> SearchStrategy[str]:
    # Nanoseconds of other years do not fit into 64 bits.
    moments = st.datetimes(datetime.datetime(1678, 1, 2), datetime.datetime(2261, 12, 30))
    texts = moments.map(datetime.datetime.isoformat)
    if column.timezone is None:
        return texts
    return st.builds(str.__add__, texts, st.sampled_from(_OFFSETS))


def _images() -> SearchStrategy[str]:
    import PIL.Image

    def encode(size: tuple[int, int], colour: tuple[int, int, int]) -> str:
        file = io.BytesIO()
        PIL.Image.new("RGB", size, colour).save(file, "PNG")
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

    side, level = st.integers(1, 8), st.integers(0, 255)
    return st.builds(encode, st.tuples(side, side), st.tuples(level, level, level))


def _rejected_values(column: Column, *, any_level: bool) -> SearchStrategy[Any]:
    """Return a strategy for values that *column* rejects.

    Args:
        column: Column of the values.
        any_level: Whether the schema accepts values that are not among the levels.
    """
    rejected: list[Any] = [{}, [[]]]
    if column.kind not in ("text", "any"):
        rejected.append("2024-02-30")  # no number, no boolean, no such day, no image
    if column.kind not in ("boolean", "any") and not column.accepts_booleans:
        rejected.append(True)
    if column.kind in ("text", "boolean", "datetime"):
        rejected.append(2)
    if column.kind == "integer":
        rejected += [0.5, EXACT + 1]
    if not column.nullable:
        rejected.append(None)
    return st.one_of(
        st.sampled_from(rejected),
        _beyond_bounds(column),
        _unfit_texts(column),
        _unknown_levels(column, any_level),
    )


def _beyond_bounds(column: Column) -> SearchStrategy[float]:
    outside: SearchStrategy[float] = st.nothing()
    if column.minimum is not None and math.isfinite(below := math.nextafter(column.minimum, -math.inf)):
        outside |= st.floats(max_value=below, allow_infinity=False)
    if column.maximum is not None and math.isfinite(above := math.nextafter(column.maximum, math.inf)):
        outside |= st.floats(min_value=above, allow_infinity=False)
    return outside


def _unfit_texts(column: Column) -> SearchStrategy[str]:
    """Return a strategy for texts that are too long, or that the pattern of *column* does not match."""
    candidates = ["", " ", "a", "0", "~~~"] if column.pattern is not None else []
    if column.max_length is not None and column.max_length < _LONGEST_TEXT:
        candidates.append("a" * (column.max_length + 1))
    unfit = [text for text in candidates if not column.allows(text, any_level=True)]
    return st.sampled_from(unfit) if unfit else st.nothing()


def _unknown_levels(column: Column, any_level: bool) -> SearchStrategy[Any]:
    if column.levels is None or any_level or column.kind not in ("text", "number", "integer"):
        return st.nothing()
    values = st.text(max_size=5) if column.kind == "text" else st.integers(-1000, 1000)
    return values.filter(lambda value: not column.has_level(value))

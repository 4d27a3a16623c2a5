"""Write record batches of Arrow as CSV."""

from typing import Any

__all__ = ["has_cells", "to_csv"]


def has_cells(kind: Any) -> bool:
    """Return whether values of the Arrow type *kind* can be written as CSV cells."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return has_cells(kind.value_type)
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    is_moment = types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind)
    return bool(is_text or is_number or is_moment or types.is_boolean(kind) or types.is_null(kind))


def to_csv(batch: Any) -> bytes:
    """Return the rows of *batch* as CSV, without a header.

    Nulls and NaN become empty cells. Timestamps with a time zone become UTC.
    """
    from pyarrow import ListArray, array, compute, int32

    if not batch.num_rows:
        return b""
    # CSV readers skip empty lines, so a single empty cell is quoted.
    empty = "" if batch.num_columns > 1 else '""'
    lines = compute.binary_join_element_wise(*(_to_cells(column, empty) for column in batch.columns), ",")
    whole = ListArray.from_arrays(array([0, len(lines)], int32()), lines)
    return compute.binary_join(whole, "\n")[0].as_buffer().to_pybytes() + b"\n"  # type: ignore[no-any-return]


def _to_cells(column: Any, empty: str) -> Any:
    """Return the values of *column* as CSV cells. Null, NaN and empty text become *empty*."""
    import pyarrow
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_floating(column.type):
        # Without the cast, 0.1 as float32 would become 0.1 rather than its value, 0.10000000149011612.
        column = column.cast(pyarrow.float64())
        column = compute.if_else(compute.is_nan(column), pyarrow.scalar(None, pyarrow.float64()), column)
    if types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pyarrow.timestamp(column.type.unit, "UTC"))
    cells = column.cast(pyarrow.string()).fill_null("")
    special = compute.match_substring_regex(cells, '[",\r\n]')
    if compute.any(special).as_py():
        quoted = compute.binary_join_element_wise('"', compute.replace_substring(cells, '"', '""'), '"', "")
        cells = compute.if_else(special, quoted, cells)
    return compute.if_else(compute.equal(cells, ""), empty, cells) if empty else cells

"""Read Parquet files as a stream of CSV."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..codecs.csv_records import format_records
from ..errors import ConfigurationError
from .block_stream import open_blocks

__all__ = ["PARQUET_MAGIC", "PARQUET_SUFFIXES", "ParquetReader"]

PARQUET_MAGIC = b"PAR1"
PARQUET_SUFFIXES = (".parquet", ".pq")

_BATCH_ROWS = 10_000
_BUFFER = 1 << 22
"""Number of bytes of a column that are read at once. By default, pyarrow reads an entire row group."""


class ParquetReader:
    """Reader that converts the rows of a Parquet file to CSV as they are read.

    Nulls and NaN become empty cells. Timestamps with a time zone become UTC.

    Args:
        file: Seekable binary file.
        name: File name to show in errors.

    Attributes:
        content: Stream of the CSV.
        fraction: Fraction of the rows that have been converted, from 0 to 1.

    Raises:
        ConfigurationError: pyarrow is not installed, the file is a pipe or damaged, or the values of a column
            cannot be written as CSV cells. Damage may be noticed only while the stream is read.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ConfigurationError(
                f'{name} is a Parquet file, which needs an extra: pip install "modelgate[parquet]"'
            ) from None
        if not file.seekable():
            raise ConfigurationError(
                f"{name} is a Parquet file, which cannot be read from a pipe: pass the file instead of -"
            )
        self.fraction = 0.0
        self._name = name
        self._errors = (pyarrow.ArrowException, OSError)
        with self._report_damage():
            self._file = parquet.ParquetFile(
                file, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
        for field in self._file.schema_arrow:
            if not _has_cells(field.type):
                raise ConfigurationError(
                    f"{name} must have only columns of numbers, texts, booleans, dates and times"
                    f" (got {field.name}: {field.type}): drop or convert the column"
                )
        self.content = open_blocks(self._convert())

    def _convert(self) -> Iterator[bytes]:
        yield format_records([self._file.schema_arrow.names]).encode()
        converted, rows = 0, self._file.metadata.num_rows
        with self._report_damage():
            for batch in self._file.iter_batches(_BATCH_ROWS):
                converted += batch.num_rows
                self.fraction = converted / rows
                yield _to_csv(batch)

    @contextmanager
    def _report_damage(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            if getattr(error, "errno", None) is not None:
                raise  # An I/O error, not a damaged file.
            raise ConfigurationError(f"{self._name} is damaged or incomplete: {error}") from None


def _has_cells(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _has_cells(kind.value_type)
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    is_moment = types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind)
    return bool(is_text or is_number or is_moment or types.is_boolean(kind) or types.is_null(kind))


def _to_csv(batch: Any) -> bytes:
    from pyarrow import ListArray, array, compute, int32

    # CSV readers skip empty lines, so a single empty cell is quoted.
    empty = "" if batch.num_columns > 1 else '""'
    lines = compute.binary_join_element_wise(*(_to_cells(column, empty) for column in batch.columns), ",")
    whole = ListArray.from_arrays(array([0, len(lines)], int32()), lines)
    return compute.binary_join(whole, "\n")[0].as_buffer().to_pybytes() + b"\n"  # type: ignore[no-any-return]


def _to_cells(column: Any, empty: str) -> Any:
    """Return the values of *column* as CSV cells. Null, NaN and empty text become *empty*."""
    import pyarrow
    from pyarrow import compute, types

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

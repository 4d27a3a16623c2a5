"""Read Parquet files as a stream of CSV."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ..codecs.csv_records import format_records
from ..errors import ConfigurationError
from .arrow_csv import has_cells, to_csv
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
            if not has_cells(field.type):
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
                yield to_csv(batch)

    @contextmanager
    def _report_damage(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            if getattr(error, "errno", None) is not None:
                raise  # An I/O error, not a damaged file.
            raise ConfigurationError(f"{self._name} is damaged or incomplete: {error}") from None

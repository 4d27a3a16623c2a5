"""Open CSV files, compressed CSV files and Parquet files as a stream of CSV.

For another format, the error names the format if it is known.
"""

import codecs
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from ..errors import ConfigurationError
from .parquet_file import PARQUET_MAGIC, ParquetReader

__all__ = ["COMPRESSED_SUFFIXES", "CSVFile", "open_csv"]

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

_HEAD = 4096
_MAGIC = 16
"""Number of leading bytes that identify the format of a compressed file."""

_BUFFER = 1 << 17

_MODULES = (
    (re.compile(rb"\x1f\x8b"), "gzip"),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bz2"),
    (re.compile(rb"\xfd7zXZ\0"), "lzma"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "compression.zstd"),
)
"""Patterns of the first bytes of compressed files, and the modules that read them."""

_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

_JSON = re.compile(rb'\s*(\[\s*)?\{\s*"')

_FORMATS = (
    (b"PK\3\4", "a zip archive, such as an Excel workbook", "read_excel"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "read_excel"),
    (PARQUET_MAGIC, "a compressed Parquet file", "read_parquet"),
    (b"ARROW1", "a Feather file", "read_feather"),
    (b"ORC", "an ORC file", "read_orc"),
)
"""First bytes of other tabular formats, their names, and the pandas functions that read them."""


class CSVFile(NamedTuple):
    """An open input file.

    Args:
        content: Stream of the rows as uncompressed CSV.
        measure: Function that returns the progress as a fraction from 0 to 1, or None if the size is unknown. Its
            argument is the number of bytes of *content* that have been processed.
        hint: Text to append to the error message if the input has changed when a run is resumed.
    """

    content: io.BufferedReader
    measure: Callable[[int], float | None]
    hint: str = ""


@contextmanager
def open_csv(file: BinaryIO, name: str, size: int | None) -> Iterator[CSVFile]:
    """Open a CSV file, a compressed CSV file or a Parquet file as a stream of CSV.

    Args:
        file: Binary file or pipe to read.
        name: File name to show in errors.
        size: Size of *file* in bytes; None if it is unknown.

    Raises:
        ConfigurationError: The file has another format, or it is damaged. Damage may be noticed only while
            the stream is read.
    """
    with ExitStack() as stack:
        head, source = _read_head(file)
        if head.startswith(PARQUET_MAGIC) and b"\0" in head:
            rows = ParquetReader(file, name)
            yield CSVFile(rows.content, lambda _: rows.fraction)
            return
        module = _module_for(name, head)
        damaged: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, *_errors_of(module))
        try:
            content = source
            if module is not None:
                head, content = _read_head(stack.enter_context(module.open(source)))
            _check_format(name, head)
            # The decompressed size is unknown, so the progress is measured in compressed bytes.
            is_compressed = module is not None
            yield CSVFile(
                content, lambda done: (file.tell() if is_compressed else done) / size if size else None
            )
        except damaged as error:
            if getattr(error, "errno", None) is not None:
                raise  # An I/O error, not a damaged file.
            raise ConfigurationError(f"{name} is damaged or incomplete: {error}") from None


class _Replay(io.RawIOBase):
    """Stream that begins with *head*, bytes that were already read. A pipe cannot seek back to its start."""

    def __init__(self, head: bytes, read: Callable[[int], bytes]) -> None:
        self._head = head
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._head[: len(buffer)] or self._read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)


def _read_head(file: BinaryIO) -> tuple[bytes, io.BufferedReader]:
    """Return the first bytes of *file*, and a stream that starts with the same bytes."""
    # `read1` returns the bytes that a pipe has, and `read` waits for more. A raw file has no `read1`, but its
    # `read` does not wait either.
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    head = b""
    while not (len(head) >= _MAGIC and b"\n" in head) and len(head) < _HEAD:
        block = read(_HEAD - len(head))
        if not block:
            break
        head += block
    return head, io.BufferedReader(_Replay(head, read), _BUFFER)


def _module_for(name: str, head: bytes) -> Any:
    module = next((module for magic, module in _MODULES if magic.match(head)), None)
    if module is None:
        return None
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"{name} is compressed, and this Python has no module {module} to read it: decompress it first"
        ) from None


def _errors_of(module: Any) -> tuple[type[Exception], ...]:
    return tuple(getattr(module, name) for name in ("LZMAError", "ZstdError") if hasattr(module, name))


def _check_format(name: str, head: bytes) -> None:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            raise ConfigurationError(
                f"{name} is {encoding}, and the rows must be UTF-8: iconv -f {encoding} -t UTF-8 converts it"
            )
    if _JSON.match(head):
        raise ConfigurationError(
            f'{name} is JSON, and the rows must be CSV: pandas.read_json(…).to_csv("rows.csv", index=False) converts it'
        )
    if b"\0" in head:
        for magic, kind, reader in _FORMATS:
            if head.startswith(magic):
                raise ConfigurationError(
                    f'{name} is {kind}, and the rows must be CSV: pandas.{reader}(…).to_csv("rows.csv", index=False)'
                    " converts it"
                )
    if b"\0" in head.partition(b"\n")[0] or any(magic.match(head) for magic, _ in _MODULES):
        raise ConfigurationError(
            f"{name} is not a text file: the rows must be CSV in UTF-8, uncompressed or compressed once"
        )

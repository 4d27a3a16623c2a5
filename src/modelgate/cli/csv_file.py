"""Reader for CSV files, plain or compressed. Rejects other formats with an error that names the format."""

import codecs
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import ConfigurationError

__all__ = ["COMPRESSED_SUFFIXES", "CSVFile", "open_csv"]

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

_HEAD = 4096

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
    (b"PAR1", "a Parquet file", "read_parquet"),
    (b"ARROW1", "a Feather file", "read_feather"),
    (b"ORC", "an ORC file", "read_orc"),
)
"""First bytes of other tabular formats, their names, and the pandas functions that read them."""


class CSVFile(NamedTuple):
    """An open CSV file.

    Args:
        content: Decompressed content.
        file: The file on disk; its position shows how much of it has been read.
        is_compressed: Whether the file on disk is compressed.
    """

    content: BinaryIO
    file: BinaryIO
    is_compressed: bool


@contextmanager
def open_csv(path: Path) -> Iterator[CSVFile]:
    """Open the CSV file *path*, which may be compressed.

    Raises:
        ConfigurationError: The file is not a CSV file, or is damaged. Damage may be found only while reading.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        module = _module_for(path, _head(file))
        damaged: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, *_errors_of(module))
        try:
            content = stack.enter_context(module.open(file)) if module is not None else file
            _check_format(path, _head(content))
            yield CSVFile(content, file, module is not None)
        except damaged as error:
            if getattr(error, "errno", None) is not None:
                raise  # An I/O error, not a damaged file.
            raise ConfigurationError(f"{path} is damaged or incomplete: {error}") from None


def _head(file: BinaryIO) -> bytes:
    head = file.read(_HEAD)
    file.seek(0)
    return head


def _module_for(path: Path, head: bytes) -> Any:
    name = next((name for magic, name in _MODULES if magic.match(head)), None)
    if name is None:
        return None
    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"{path} is compressed, and this Python has no module {name} to read it: decompress it first"
        ) from None


def _errors_of(module: Any) -> tuple[type[Exception], ...]:
    return tuple(getattr(module, name) for name in ("LZMAError", "ZstdError") if hasattr(module, name))


def _check_format(path: Path, head: bytes) -> None:
    for bom, name in _BOMS:
        if head.startswith(bom):
            raise ConfigurationError(
                f"{path} is {name}, and the rows must be UTF-8: iconv -f {name} -t UTF-8 converts it"
            )
    if _JSON.match(head):
        raise ConfigurationError(
            f'{path} is JSON, and the rows must be CSV: pandas.read_json(…).to_csv("rows.csv", index=False) converts it'
        )
    if b"\0" in head:
        for magic, name, reader in _FORMATS:
            if head.startswith(magic):
                raise ConfigurationError(
                    f'{path} is {name}, and the rows must be CSV: pandas.{reader}(…).to_csv("rows.csv", index=False)'
                    " converts it"
                )
    if b"\0" in head.partition(b"\n")[0] or any(magic.match(head) for magic, _ in _MODULES):
        raise ConfigurationError(
            f"{path} is not a text file: the rows must be CSV in UTF-8, uncompressed or compressed once"
        )

"""Read and write pickle files of joblib and of the pickle module. Loading a pickle runs the code in it."""

import bz2
import importlib
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigurationError
from .load_policy import LoadPolicy

__all__ = ["PICKLE_SUFFIXES", "check_pickled_version", "decompress", "read_pickle", "write_pickle"]

PICKLE_SUFFIXES = tuple(
    suffix + compression
    for suffix in (".joblib", ".pkl", ".pickle")
    for compression in ("", ".gz", ".z", ".bz2", ".xz", ".lzma", ".lz4")
)
"""File name suffixes of pickles. joblib recognizes a compression by the content, not by the name."""

_VERSION = re.compile(rb"_sklearn_version.{1,12}?(\d+(?:\.\d+)+)", re.DOTALL)
"""Pattern of the version of scikit-learn in a pickle. At most 12 bytes separate the key from its value."""

_DECOMPRESS: Mapping[bytes, Callable[[bytes, int], bytes]] = {
    b"\x78": lambda content, limit: zlib.decompressobj().decompress(content, limit),
    b"\x1f\x8b": lambda content, limit: zlib.decompressobj(zlib.MAX_WBITS + 16).decompress(content, limit),
    b"BZ": lambda content, limit: bz2.BZ2Decompressor().decompress(content, limit),
    b"\x5d\x00": lambda content, limit: lzma.LZMADecompressor().decompress(content, limit),
    b"\xfd7zXZ": lambda content, limit: lzma.LZMADecompressor().decompress(content, limit),
    # No limit is needed, because LZ4 data grow at most 255-fold when decompressed.
    b"\x04\x22\x4d\x18": lambda content, _: importlib.import_module("lz4.frame").decompress(content),
}
"""Decompressors by the first bytes of joblib's formats. No pickle of a model begins with these bytes."""


def read_pickle(content: bytes, policy: LoadPolicy) -> Any:
    """Load a pickle, which runs the code in it.

    Raises:
        ConfigurationError: joblib is not installed, or the model was saved with another version of
            scikit-learn.
    """
    check_pickled_version(content, policy)
    return _import_joblib().load(io.BytesIO(content))


def check_pickled_version(content: bytes, policy: LoadPolicy) -> None:
    """Check the version of scikit-learn in a pickle, without loading it.

    Raises:
        ConfigurationError: See `LoadPolicy.check_sklearn_version`.
    """
    for version in sorted(set(_VERSION.findall(decompress(content)))):
        policy.check_sklearn_version(version.decode())


def decompress(content: bytes, limit: int = sys.maxsize) -> bytes:
    """Return the decompressed *content*, or *content* itself if it is not compressed.

    Args:
        content: Content of a pickle.
        limit: Maximum size of the result in bytes. Content beyond it is cut off.
    """
    for prefix, decompress_up_to in _DECOMPRESS.items():
        if content.startswith(prefix):
            return decompress_up_to(content, limit)
    return content


def write_pickle(model: Any) -> tuple[bytes, Any]:
    """Serialize *model* with joblib. Return the bytes, and an estimator that was read back from the bytes.

    Raises:
        ConfigurationError: joblib is missing, or cannot write the model.
    """
    buffer = io.BytesIO()
    try:
        _import_joblib().dump(model, buffer)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"model: joblib cannot write the model ({error}): define the functions and classes of the model"
            " with def and class, in a module that the server can import, because a pickle contains only"
            " their names"
        ) from error
    return buffer.getvalue(), read_pickle(buffer.getvalue(), LoadPolicy())


def _import_joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise ConfigurationError('pickles need scikit-learn: pip install "modelgate[sklearn]"') from None
    return joblib

"""Serialization of estimators, and deserialization that runs no untrusted code."""

import bz2
import gzip
import importlib
import io
import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from ..errors import ConfigurationError
from .file_readers import check_opens_no_files
from .load_policy import LoadPolicy
from .onnx import OnnxModel

__all__ = ["check_version", "dump", "foreign_types", "read_estimator"]

# Types in scikit-learn's own estimators that skops does not trust by default. The list must be fixed. The
# usual `trusted=get_untrusted_types(file)` trusts every type in the file.
_TRUSTED = (
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer._RemainderColsList",  # scikit-learn 1.6
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)

_LARGEST_RATIO = 100
_SKOPS_VERSION = re.compile(rb'"_sklearn_version":\s*{[^{}]*"content":\s*"\\"([^"\\]+)\\""')
_PICKLED_VERSION = re.compile(rb"_sklearn_version.{1,12}?(\d+(?:\.\d+)+)", re.DOTALL)
"""Version of scikit-learn in a pickle. At most 12 bytes of opcodes are between the key and the value."""

_DECOMPRESS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x78": zlib.decompress,
    b"\x1f\x8b": gzip.decompress,
    b"BZ": bz2.decompress,
    b"\x5d\x00": lzma.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x04\x22\x4d\x18": lambda content: importlib.import_module("lz4.frame").decompress(content),
}
"""Decompressors of joblib's formats, by the first bytes of the file. No pickle begins with these bytes."""

_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_estimator(content: bytes, suffix: str, policy: LoadPolicy) -> Any:
    """Deserialize an estimator.

    Args:
        content: Content of the file.
        suffix: Suffix of the file: ``.skops``, ``.joblib`` or ``.onnx``.
        policy: Checks that the file must pass.

    Raises:
        ConfigurationError: A library is missing, the file contains untrusted types, the model opens files
            whose names come from callers, or it was saved with another version of scikit-learn.
    """
    try:
        model = _READERS[suffix](content, policy)
    except SystemError:
        # "AST constructor recursion depth mismatch" is a bug of CPython 3.11 (gh-106905): concurrent threads
        # disturb the module ast, with which numpy reads the headers of arrays. A second attempt succeeds.
        model = _READERS[suffix](content, policy)
    check_opens_no_files(model)
    return model


def check_version(version: str, policy: LoadPolicy) -> None:
    """Compare *version* with the installed version of scikit-learn. Only the patch level may differ.

    Raises:
        ConfigurationError: The versions differ, and *policy* does not allow this. If it does, a warning is
            logged.
    """
    import sklearn

    if version.split(".")[:2] != sklearn.__version__.split(".")[:2]:
        policy.handle_mismatch(
            f"the model was saved with scikit-learn {version}, but {sklearn.__version__} is installed"
        )


def _read_skops(content: bytes, policy: LoadPolicy) -> Any:
    skops_io = _import_skops_io()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _reject_zip_bomb(archive, len(content))
        versions = set(_SKOPS_VERSION.findall(archive.read("schema.json")))
    foreign = foreign_types(content)
    if foreign:
        raise ConfigurationError(f"the file contains types that are not trusted: {', '.join(foreign)}")
    for version in versions:
        check_version(version.decode(), policy)
    return skops_io.loads(content, trusted=list(_TRUSTED))


def foreign_types(content: bytes) -> list[str]:
    """Return the untrusted types in a skops file, without creating any objects from it."""
    return sorted(set(_import_skops_io().get_untrusted_types(data=content)) - set(_TRUSTED))


def _import_skops_io() -> Any:
    try:
        import skops.io
    except ImportError:
        raise ConfigurationError('.skops files need skops: pip install "modelgate[skops]"') from None
    return skops.io


def _reject_zip_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Raise `ConfigurationError` if the headers in a file of *size* bytes declare far more data than that.

    zipfile reads no more of a member than the declared size, but numpy allocates an array of the declared
    size before it reads the data.
    """
    if sum(info.file_size for info in archive.infolist()) > _LARGEST_RATIO * size:
        raise ConfigurationError(
            f"the file must not grow to more than {_LARGEST_RATIO} times its size when it is unpacked"
        )
    for info in archive.infolist():
        with archive.open(info) as member:
            if info.filename.endswith(".npy"):
                _check_array(member, info.file_size)
            elif info.filename.endswith(".npz"):
                with zipfile.ZipFile(member) as inner:
                    _reject_zip_bomb(inner, info.file_size)


def _check_array(member: IO[bytes], size: int) -> None:
    read_header = _HEADERS.get(np.lib.format.read_magic(member))
    if read_header is None:
        raise ConfigurationError("the file contains an array of an unknown format: save the model again")
    shape, _, dtype = read_header(member)
    if member.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ConfigurationError("the file contains an array whose size differs from its header")


def _read_joblib(content: bytes, policy: LoadPolicy) -> Any:
    # scikit-learn warns about this, too, but catching the warning would need a lock around all loads.
    for version in sorted(set(_PICKLED_VERSION.findall(_decompress(content)))):
        check_version(version.decode(), policy)
    return _import_joblib().load(io.BytesIO(content))


def _decompress(content: bytes) -> bytes:
    for prefix, decompress in _DECOMPRESS.items():
        if content.startswith(prefix):
            return decompress(content)
    return content


def _import_joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise ConfigurationError(
            '.joblib files need scikit-learn: pip install "modelgate[sklearn]"'
        ) from None
    return joblib


def _read_onnx(content: bytes, _: LoadPolicy) -> OnnxModel:
    return OnnxModel(content)


_READERS: Mapping[str, Callable[[bytes, LoadPolicy], Any]] = {
    ".skops": _read_skops,
    ".joblib": _read_joblib,
    ".onnx": _read_onnx,
}


def dump(model: Any, suffix: str) -> tuple[bytes, Any]:
    """Serialize *model*, and return the bytes and the estimator that is deserialized from them.

    Args:
        model: Fitted estimator, or an `OnnxModel`.
        suffix: Suffix of the file: ``.skops``, ``.joblib`` or ``.onnx``.

    Raises:
        ConfigurationError: The model cannot be written in this format, or it opens files whose names come
            from callers.
    """
    check_opens_no_files(model)
    if suffix == ".onnx":
        return model.content, model
    if suffix == ".joblib":
        buffer = io.BytesIO()
        _import_joblib().dump(model, buffer)
        return buffer.getvalue(), _read_joblib(buffer.getvalue(), LoadPolicy())
    try:
        content: bytes = _import_skops_io().dumps(model)
        return content, _read_skops(content, LoadPolicy())
    except ConfigurationError as error:
        raise ConfigurationError(f'model: {error}: use format="joblib", which writes a pickle') from None
    except Exception as error:
        raise ConfigurationError(
            f'model: skops cannot write the model ({error}): use format="joblib", which writes a pickle'
        ) from error

"""Estimators as bytes, read without running what nobody vouched for."""

import io
import math
import re
import threading
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from ..errors import ConfigurationError
from .onnx import OnnxModel
from .rules import Rules

__all__ = ["check_version", "dump", "foreign_types", "read_estimator"]

# What skops does not know and scikit-learn's own estimators are made of. The list is ours: taken
# from the file, as skops.io.get_untrusted_types offers, it would let the file trust itself.
_TRUSTED = (
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
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
)

_LARGEST_RATIO = 100
_SKOPS_VERSION = re.compile(rb'"_sklearn_version":\s*{[^{}]*"content":\s*"\\"([^"\\]+)\\""')
_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_estimator(content: bytes, suffix: str, rules: Rules) -> Any:
    """The estimator that *content* is, of the kind *suffix*.

    Raises:
        ConfigurationError: a package is missing, it holds what is not trusted, or it is of another
            version of scikit-learn.
    """
    return _READERS[suffix](content, rules)


def check_version(version: str, rules: Rules) -> None:
    """Raises `ConfigurationError` where *version* is not that of scikit-learn here, but for its patch level."""
    import sklearn

    if version.split(".")[:2] != sklearn.__version__.split(".")[:2]:
        rules.settle(f"is of scikit-learn {version}, and here is {sklearn.__version__}")


def _read_skops(content: bytes, rules: Rules) -> Any:
    skops_io = _skops_io()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _refuse_bomb(archive, len(content))
        versions = set(_SKOPS_VERSION.findall(archive.read("schema.json")))
    foreign = foreign_types(content)
    if foreign:
        raise ConfigurationError(f"holds types that are not trusted: {', '.join(foreign)}")
    for version in versions:
        check_version(version.decode(), rules)
    return skops_io.loads(content, trusted=list(_TRUSTED))


def foreign_types(content: bytes) -> list[str]:
    """The types in a skops file that are not trusted. Nothing in it is made."""
    return sorted(set(_skops_io().get_untrusted_types(data=content)) - set(_TRUSTED))


def _skops_io() -> Any:
    try:
        import skops.io
    except ImportError:
        raise ConfigurationError('.skops files need skops: pip install "modelgate[skops]"') from None
    return skops.io


def _refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """A file of *size* bytes must not become a thousand times as much in memory.

    zipfile reads no more of a member than it declares; but numpy makes an array as large as the
    header of a member says, before it reads what is in it.
    """
    if sum(info.file_size for info in archive.infolist()) > _LARGEST_RATIO * size:
        raise ConfigurationError(f"is more than {_LARGEST_RATIO} times as large once it is unpacked")
    for info in archive.infolist():
        with archive.open(info) as member:
            if info.filename.endswith(".npy"):
                _check_array(member, info.file_size)
            elif info.filename.endswith(".npz"):
                with zipfile.ZipFile(member) as inner:
                    _refuse_bomb(inner, info.file_size)


def _check_array(member: IO[bytes], size: int) -> None:
    read_header = _HEADERS.get(np.lib.format.read_magic(member))
    if read_header is None:
        raise ConfigurationError("holds an array of an unknown format")
    shape, _, dtype = read_header(member)
    if member.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ConfigurationError("holds an array that is not as large as it says")


def _read_joblib(content: bytes, rules: Rules) -> Any:
    # A pickle tells the version by a warning alone, and to record warnings is nothing for two threads.
    with _lock, warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", module="sklearn")
        model = _joblib().load(io.BytesIO(content))
    for warning in told:
        version = getattr(warning.message, "original_sklearn_version", None)
        if version is not None:
            check_version(version, rules)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return model


_lock = threading.Lock()


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise ConfigurationError(
            '.joblib files need scikit-learn: pip install "modelgate[sklearn]"'
        ) from None
    return joblib


def _read_onnx(content: bytes, _: Rules) -> OnnxModel:
    return OnnxModel(content)


_READERS: Mapping[str, Callable[[bytes, Rules], Any]] = {
    ".skops": _read_skops,
    ".joblib": _read_joblib,
    ".onnx": _read_onnx,
}


def dump(model: Any, suffix: str) -> tuple[bytes, Any]:
    """The estimator *model* as bytes, and what `read_estimator` makes of them.

    Raises:
        ConfigurationError: it cannot be written in that way; another one is named.
    """
    if suffix == ".onnx":
        return model.content, model
    if suffix == ".joblib":
        buffer = io.BytesIO()
        _joblib().dump(model, buffer)
        return buffer.getvalue(), _read_joblib(buffer.getvalue(), Rules())
    try:
        content: bytes = _skops_io().dumps(model)
        return content, _read_skops(content, Rules())
    except ConfigurationError as error:
        raise ConfigurationError(f'model: {error}: format="joblib" takes it, as a pickle') from None
    except Exception as error:
        raise ConfigurationError(
            f'model: skops cannot write it ({error}): format="joblib" takes it'
        ) from error

"""Serialize estimators, and deserialize them without running untrusted code."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..errors import ConfigurationError
from .booster_file import BOOSTER_SUFFIXES, native_suffix, read_booster, write_booster
from .file_readers import check_opens_no_files
from .free_memory import free_memory
from .load_policy import LoadPolicy
from .onnx import OnnxModel
from .pickle_file import PICKLE_SUFFIXES, read_pickle, write_pickle
from .skops_file import read_skops, write_skops

__all__ = ["dump", "read_estimator", "suffix_for"]


def _read_onnx(content: bytes, _: LoadPolicy) -> OnnxModel:
    return OnnxModel(content)


def _read_booster(suffix: str, content: bytes, _: LoadPolicy) -> Any:
    return read_booster(content, suffix)


_READERS: Mapping[str, Callable[[bytes, LoadPolicy], Any]] = {
    ".skops": read_skops,
    ".onnx": _read_onnx,
    **dict.fromkeys(PICKLE_SUFFIXES, read_pickle),
    **{suffix: partial(_read_booster, suffix) for suffix in BOOSTER_SUFFIXES},
}


def read_estimator(content: bytes, suffix: str, policy: LoadPolicy) -> Any:
    """Deserialize an estimator.

    Args:
        content: Content of the file.
        suffix: Suffix of the file: ``.skops``, ``.onnx``, or one of `PICKLE_SUFFIXES` or
            `BOOSTER_SUFFIXES`.
        policy: Checks that the file must pass.

    Raises:
        ConfigurationError: A library is missing, the file contains untrusted types, the model opens files
            whose names come from callers, or the model was saved with another version of scikit-learn.
    """
    try:
        model = _READERS[suffix](content, policy)
    except SystemError:
        # "AST constructor recursion depth mismatch" is a bug of CPython 3.11 (gh-106905): concurrent threads
        # disturb the module ast, with which numpy reads the headers of arrays. A second attempt succeeds.
        model = _READERS[suffix](content, policy)
    check_opens_no_files(model)
    free_memory(len(content))
    return model


def suffix_for(model: Any, file_format: str) -> str:
    """Return the suffix of the file in which a package stores *model*.

    Args:
        model: Fitted estimator, or an `OnnxModel`, which is always stored as ONNX.
        file_format: The option *format* of `ModelPackage.from_estimator`.

    Raises:
        ConfigurationError: The format is unknown, or it does not support this model.
    """
    if file_format not in ("skops", "native", "joblib", "onnx"):
        raise ConfigurationError(
            f"format must be 'skops', 'native', 'joblib' or 'onnx' (got {file_format!r})"
        )
    suffix = native_suffix(model) if file_format == "native" else f".{file_format}"
    if suffix is None:
        raise ConfigurationError(
            "format must be 'skops', 'joblib' or 'onnx' for a model of another library than XGBoost, LightGBM"
            f" and CatBoost (got {file_format!r})"
        )
    return ".onnx" if isinstance(model, OnnxModel) else suffix


def dump(model: Any, suffix: str) -> tuple[bytes, Any]:
    """Serialize *model*. Return the bytes, and an estimator that was read back from the bytes.

    Args:
        model: Fitted estimator, or an `OnnxModel`.
        suffix: Suffix of the file: ``.skops``, ``.joblib``, ``.onnx`` or one of `BOOSTER_SUFFIXES`.

    Raises:
        ConfigurationError: The model cannot be written in this format, or the model opens files whose names
            come from callers.
    """
    check_opens_no_files(model)
    if suffix == ".onnx":
        return model.content, model
    if suffix in BOOSTER_SUFFIXES:
        return write_booster(model)
    return write_pickle(model) if suffix == ".joblib" else write_skops(model)

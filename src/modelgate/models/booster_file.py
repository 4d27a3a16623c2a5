"""Native model files of XGBoost, LightGBM and CatBoost.

Native files contain no code, so they may be loaded without a pinned digest.
"""

import importlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..schema.introspection.classes import stored_classes
from ..schema.introspection.libraries import library_of

__all__ = ["BOOSTER_SUFFIXES", "GENERIC_SUFFIXES", "native_suffix", "read_booster", "write_booster"]

BOOSTER_SUFFIXES = (".ubj", ".cbm", ".json", ".txt")

GENERIC_SUFFIXES = (".json", ".txt")
"""Suffixes that other files have, too. ``modelgate serve FOLDER`` ignores files with these suffixes."""


def read_booster(content: bytes, suffix: str) -> Any:
    """Read the native file of a booster.

    The type of the result depends on the object that was saved:

    - a scikit-learn estimator of XGBoost: an estimator of the same kind, such as ``XGBClassifier``;
    - CatBoost: a ``CatBoostClassifier`` or a ``CatBoostRegressor``;
    - anything else: a ``Booster``.

    Args:
        content: Content of the file.
        suffix: ``.ubj`` or ``.json`` for XGBoost, ``.txt`` for LightGBM, ``.cbm`` for CatBoost.

    Raises:
        ConfigurationError: The library is missing, or the content is not a model of that library.
    """
    library, read = _READERS[suffix]
    try:
        module = importlib.import_module(library)
    except ImportError:
        raise ConfigurationError(
            f'{suffix} files need {library}: pip install "modelgate[{library}]"'
        ) from None
    try:
        return read(module, content)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(f"the file is not a {suffix} model of {library}: {reason}") from error


def _read_xgboost(xgboost: Any, content: bytes) -> Any:
    booster = xgboost.Booster(model_file=bytearray(content))
    saved = json.loads(booster.attr("scikit_learn") or "{}")
    name = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}.get(
        saved.get("_estimator_type")
    )
    if name is None:
        return booster
    model = getattr(xgboost, name)()
    model.load_model(bytearray(content))
    return model


def _read_lightgbm(lightgbm: Any, content: bytes) -> Any:
    return lightgbm.Booster(model_str=content.decode())


def _read_catboost(catboost: Any, content: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        # Load a file: from bytes, CatBoost does not restore the loss function, so a model for Poisson loss
        # would predict logarithms.
        path = Path(folder, "model.cbm")
        path.write_bytes(content)
        is_classifier = len(catboost.CatBoost().load_model(str(path)).classes_) > 0
        model = catboost.CatBoostClassifier() if is_classifier else catboost.CatBoostRegressor()
        return model.load_model(str(path))


_READERS: Mapping[str, tuple[str, Callable[[Any, bytes], Any]]] = {
    ".ubj": ("xgboost", _read_xgboost),
    ".json": ("xgboost", _read_xgboost),
    ".txt": ("lightgbm", _read_lightgbm),
    ".cbm": ("catboost", _read_catboost),
}


def native_suffix(model: Any) -> str | None:
    """Return the suffix of native files of *model*, or None if the library of *model* has none."""
    return {"xgboost": ".ubj", "lightgbm": ".txt", "catboost": ".cbm"}.get(library_of(model))


def write_booster(model: Any) -> tuple[bytes, Any]:
    """Serialize *model* in the native format.

    Return the bytes, and a model that was read back from the bytes.

    Args:
        model: Model of a library that has native files (see `native_suffix`).

    Raises:
        ConfigurationError: The model cannot be written, or the file cannot store the model's class labels.
    """
    suffix = native_suffix(model)
    assert suffix is not None
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"model{suffix}")
            # LightGBM's estimators have no save_model. Their boosters have it, but store no labels.
            getattr(model, "booster_", model).save_model(str(path))
            content = path.read_bytes()
    except Exception as error:
        raise ConfigurationError(
            f"model: the library cannot write the model as a {suffix} file: {error}"
        ) from error
    restored = read_booster(content, suffix)
    if stored_classes(restored) != stored_classes(model):
        raise ConfigurationError(
            f"model must have the labels 0, 1, … for a {suffix} file, which cannot store others"
            f' (got {stored_classes(model)}): train it with such labels, or use format="joblib", which is a pickle'
        )
    return content, restored

"""Native files of XGBoost, LightGBM and CatBoost: data without code, so that they need no pin."""

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigurationError

__all__ = ["BOOSTER_SUFFIXES", "GENERIC_SUFFIXES", "read_booster"]

BOOSTER_SUFFIXES = (".ubj", ".cbm", ".json", ".txt")

GENERIC_SUFFIXES = (".json", ".txt")
"""Suffixes that files other than models have, too. A folder of models is not searched for them."""


def read_booster(content: bytes, suffix: str) -> Any:
    """Read the native file of a booster.

    A file written by a scikit-learn class of XGBoost (``XGBClassifier.save_model``), or by CatBoost, becomes an
    estimator of that class, and any other file a ``Booster``.

    Args:
        content: Content of the file.
        suffix: ``.ubj`` or ``.json`` for XGBoost, ``.txt`` for LightGBM, ``.cbm`` for CatBoost.

    Raises:
        ConfigurationError: The library is missing, or the content is no model of it.
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
        raise ConfigurationError(f"is not a {suffix} model of {library}: {reason}") from error


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
    is_classifier = len(catboost.CatBoost().load_model(blob=content).classes_) > 0
    model = catboost.CatBoostClassifier() if is_classifier else catboost.CatBoostRegressor()
    return model.load_model(blob=content)


_READERS: Mapping[str, tuple[str, Callable[[Any, bytes], Any]]] = {
    ".ubj": ("xgboost", _read_xgboost),
    ".json": ("xgboost", _read_xgboost),
    ".txt": ("lightgbm", _read_lightgbm),
    ".cbm": ("catboost", _read_catboost),
}

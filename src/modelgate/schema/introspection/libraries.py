"""Read the input columns that models of libraries other than scikit-learn store.

The libraries are recognized by module names, so that none is imported.
"""

from typing import Any

__all__ = [
    "accepts_null",
    "formula_terms",
    "is_native_booster",
    "library_names",
    "library_of",
    "mlflow_inputs",
    "takes_formula",
]


def library_of(model: Any) -> str:
    """Return the name of the package that defines the class of *model*, for example ``xgboost``."""
    return type(model).__module__.partition(".")[0]


def accepts_null(model: Any) -> bool:
    """Return whether *model* is of a boosting library, whose models accept null in columns of numbers."""
    return library_of(model) in ("xgboost", "lightgbm", "catboost")


def is_native_booster(model: Any) -> bool:
    """Return whether *model* is a ``Booster`` of XGBoost or LightGBM."""
    return type(model).__name__ == "Booster" and library_of(model) in ("xgboost", "lightgbm")


def takes_formula(model: Any) -> bool:
    """Return whether *model* is a statsmodels result that was fitted with a formula, such as ``y ~ age``."""
    return library_of(model) == "statsmodels" and hasattr(model.model, "formula")


def formula_terms(model: Any) -> str | None:
    """Return the right-hand side of the formula that *model* was fitted with, or None if it has none."""
    return str(model.model.formula).partition("~")[2] if takes_formula(model) else None


def mlflow_inputs(model: Any) -> Any:
    """Return the input columns in the signature of an MLflow ``PyFuncModel``, or None."""
    return model.metadata.get_input_schema() if library_of(model) == "mlflow" else None


def library_names(model: Any) -> Any:
    """Return the column names that a model stores in its library's own way, or None.

    * CatBoost: ``feature_names_``
    * XGBoost: ``feature_names``
    * ``Booster`` of LightGBM: ``feature_name()``
    * Result of statsmodels: ``exog_names``
    * MLflow: the signature of the model
    """
    inputs = mlflow_inputs(model)
    if inputs is not None:
        return inputs.input_names()
    if library_of(model) == "statsmodels":
        return None if takes_formula(model) else getattr(model.model, "exog_names", None)
    names = getattr(model, "feature_names_", None) or getattr(model, "feature_names", None)
    if not names and library_of(model) == "lightgbm" and hasattr(model, "feature_name"):
        names = model.feature_name()
    return names

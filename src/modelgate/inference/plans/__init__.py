"""Exact plans: functions that predict the same as a fitted scikit-learn estimator, but faster.

An estimator takes as long for one row as for a hundred, because the time is spent on input validation, not on
arithmetic. A plan consists of the arithmetic alone, in numpy and in scikit-learn's own compiled code.

A plan is used only if the plan and the estimator return exactly equal predictions for synthetic rows, and for
a sample if there is one.
"""

from collections.abc import Sequence
from typing import Any

from ...schema import Column, Schema, Table
from ...schema.introspection.column_paths import stored_names
from . import (
    compose,
    encoders,
    gradient_boosting,
    hist_gradient_boosting,
    imputers,
    kmeans,
    linear,
    naive_bayes,
    scalers,
    trees,
)
from .base import (
    FeatureRef,
    FeatureSource,
    MemoryOrder,
    Plan,
    PlanOutput,
    PredictFn,
    ReadFn,
    Unplannable,
    plan_predictor,
    plan_transformer,
)
from .onnx import OnnxPlan, build_onnx_plan
from .verify import verify

__all__ = [
    "OnnxPlan",
    "Plan",
    "PlanOutput",
    "PredictFn",
    "build_onnx_plan",
    "build_plan",
    "build_transform",
]

# Importing a module registers its plans.
_FAMILIES = (
    compose,
    encoders,
    gradient_boosting,
    hist_gradient_boosting,
    imputers,
    kmeans,
    linear,
    naive_bayes,
    scalers,
    trees,
)

_VERSIONS = ("1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9")


def build_plan(model: Any, schema: Schema, reference: PredictFn, sample: Table | None = None) -> Plan | str:
    """Return the plan of *model*, or the reason why it has none. This function never raises an exception.

    Args:
        model: Fitted estimator.
        schema: Schema of the tables.
        reference: Function that returns the predictions of *model* itself.
        sample: Typical rows, on which the plan is verified in addition to synthetic rows; None for no sample.
    """
    # pandas usually stores a DataFrame with a single dtype as one block, in "C" order, and a DataFrame with
    # several dtypes column by column, in "F" order. It may do otherwise, so the other order is tried next.
    orders: tuple[MemoryOrder, MemoryOrder] = ("C", "F") if _is_block(model, schema) else ("F", "C")
    try:
        _check_version(model)
        if any(column.is_array for column in schema):
            raise Unplannable("a model with image or tensor columns has no plan")
        return _first_exact_plan(model, schema, reference, sample, orders)
    except Unplannable as reason:
        return str(reason)
    except Exception as error:
        # For example, a private attribute is missing in this version of scikit-learn.
        return f"the plan cannot be built: {type(error).__name__}"


def _first_exact_plan(
    model: Any, schema: Schema, reference: PredictFn, sample: Table | None, orders: Sequence[MemoryOrder]
) -> Plan:
    model_schema = Schema.from_model(model)
    plan = Plan(plan_predictor(model, _source(model, schema, orders[0])))
    try:
        verify(plan.predict, reference, schema, model_schema, sample)
    except Unplannable:
        if len(orders) == 1:
            raise
        return _first_exact_plan(model, schema, reference, sample, orders[1:])
    return plan


def build_transform(model: Any, steps: Sequence[Any], final: Any, schema: Schema) -> ReadFn | None:
    """Return a function that computes the features of a pipeline's last step, or None if there is no plan.

    Args:
        model: Fitted estimator.
        steps: Transformers in front of the last step of *model*.
        final: The last step.
        schema: Schema of the tables.
    """
    try:
        _check_version(model)
        source = _source(model, schema, "C")
        for step in steps:
            source = plan_transformer(step, source)
        return source.number_reader(final, sparse=True)
    except Exception:
        return None


def _check_version(model: Any) -> None:
    if type(model).__module__.partition(".")[0] == "sklearn":
        import sklearn

        if not sklearn.__version__.startswith(tuple(f"{version}." for version in _VERSIONS)):
            raise Unplannable(f"plans are not verified for scikit-learn {sklearn.__version__}")


def _is_block(model: Any, schema: Schema) -> bool:
    return stored_names(model) is None or all(column.kind == "number" for column in schema.columns)


def _source(model: Any, schema: Schema, order: MemoryOrder) -> FeatureSource:
    features: dict[str, FeatureRef] = {}
    counts = [0, 0]
    for column in schema.columns:
        features[column.name] = FeatureRef(column, counts[column.numeric])
        counts[column.numeric] += 1
    names = stored_names(model) or features
    # If the schema lacks a column of the model, the model drops the column, so the plan never reads it.
    absent = FeatureRef(Column("dropped", "any"), 0)
    return FeatureSource(features=tuple(features.get(name, absent) for name in names), order=order)

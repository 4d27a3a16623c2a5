"""Exact plans: what a fitted scikit-learn estimator computes, without what it asks before it does.

One row costs an estimator what a hundred cost: the time goes into checks, not into arithmetic. A plan is
the arithmetic alone, in numpy and in scikit-learn's own compiled parts, made for classes that are known
exactly. It is used only where it answered rows made up after the schema, and a sample of those that will
come, as the estimator did, equal to the last bit.
"""

from collections.abc import Sequence
from typing import Any

from ...schema import Column, Schema, Table
from . import bayes, boosting, clusters, compose, encoders, hist_boosting, imputers, linear, scalers, trees
from .jobs import use_one_job
from .onnx import OnnxPlan, onnx_plan
from .parts import Answer, Answering, Lane, NoPlan, Order, Plan, Source, answered
from .verify import verify

__all__ = ["Answer", "Answering", "OnnxPlan", "Plan", "onnx_plan", "plan_of", "use_one_job"]

# Each registers what it knows.
_FAMILIES = (bayes, boosting, clusters, compose, encoders, hist_boosting, imputers, linear, scalers, trees)

_VERSIONS = ("1.6", "1.7", "1.8", "1.9")


def plan_of(model: Any, schema: Schema, asked: Answering, sample: Table | None = None) -> Plan | str:
    """The plan of *model*, or the reason why it has none. Never raises.

    Args:
        model: a fitted estimator.
        schema: of the tables that will come.
        asked: gives *model*'s own answer.
        sample: rows as they will come.
    """
    # A DataFrame of one kind is one block, of several kinds it keeps each column by itself: but that
    # is for pandas to say, and where this guess is wrong the other one is right.
    guess: tuple[Order, Order] = ("C", "F") if _is_block(model, schema) else ("F", "C")
    try:
        _refuse_other_versions(model)
        return _first_exact(model, schema, asked, sample, guess)
    except NoPlan as reason:
        return str(reason)
    except Exception as error:
        # A private attribute is not what it was, or is not there.
        return f"its plan cannot be made: {type(error).__name__}"


def _first_exact(
    model: Any, schema: Schema, asked: Answering, sample: Table | None, orders: Sequence[Order]
) -> Plan:
    told = Schema.from_model(model)
    plan = Plan(answered(model, _source(model, schema, orders[0])))
    try:
        verify(plan, asked, schema, told, sample)
    except NoPlan:
        if len(orders) == 1:
            raise
        return _first_exact(model, schema, asked, sample, orders[1:])
    return plan


def _refuse_other_versions(model: Any) -> None:
    if type(model).__module__.partition(".")[0] == "sklearn":
        import sklearn

        if not sklearn.__version__.startswith(tuple(f"{version}." for version in _VERSIONS)):
            raise NoPlan(f"plans are not known to hold for scikit-learn {sklearn.__version__}")


def _is_block(model: Any, schema: Schema) -> bool:
    return not hasattr(model, "feature_names_in_") or all(
        column.kind == "number" for column in schema.columns
    )


def _source(model: Any, schema: Schema, order: Order) -> Source:
    lanes: dict[str, Lane] = {}
    counts = [0, 0]
    for column in schema.columns:
        lanes[column.name] = Lane(column, counts[column.numeric])
        counts[column.numeric] += 1
    names = getattr(model, "feature_names_in_", lanes)
    # What the schema lacks is dropped by the model: nothing reads it.
    absent = Lane(Column("dropped", "any"), 0)
    return Source(lanes=tuple(lanes.get(str(name), absent) for name in names), order=order)

"""Score with a function call, without a server, an event loop or an API key."""

from collections.abc import Sequence
from typing import Any

from ..errors import ExplanationsUnavailable, InvalidInput
from ..flow import Flow, Layer, drive, run_long, stack
from ..flow.timing import Timing
from ..inference import Prediction
from ..inference.decision import DecisionRule
from ..inference.nonfinite import NullNonFinite
from ..inference.predictor import Predictor
from ..schema import LazyTable, Schema
from ..schema.model_input import InputForm
from .forecast import forecast
from .layers.intervals import add_intervals
from .layers.rounding import Round
from .layers.validate import Validate
from .many_rows import run_if_many
from .query import Query

__all__ = ["predict", "score"]

_MAX_LEVELS = 10


def score(
    model: Any,
    rows: Any,
    *,
    schema: Schema | None = None,
    target: str | Sequence[str] = "prediction",
    decimals: int | None = None,
    input: InputForm | None = None,  # noqa: A002  a word for users
) -> Prediction:
    """Score *rows* with *model*. As in a gate, rows are validated and predicted numbers can be rounded.

    Args:
        model: Fitted estimator, a function of a `Table`, or a `Forecaster`.
        rows: A mapping, a sequence of mappings, an array, a DataFrame or raw JSON; see
            `modelgate.Schema.read`.
        schema: Schema of the input; None to infer it from the estimator.
        target: Name of the target, or of each output.
        decimals: Number of decimals (see `Round`); None for no rounding.
        input: Form of the rows that an estimator takes (see `Deployment`); None to detect it.

    Raises:
        MissingColumns, InvalidValues, InvalidInput, MalformedBody: The rows do not match the schema.
        PredictionError: The model failed.
        ConfigurationError: The value of an option is not valid; see `Predictor` and `Round`.
    """
    predictor = Predictor(model, schema, target=target, input=input)
    layers: list[Layer[Query, Prediction]] = [Validate(predictor.schema), Round(decimals)]
    return drive(stack(layers, predict)(Query(rows, predictor=predictor)))


def predict(query: Query) -> Flow[Prediction]:
    """Score the table of *query*, and apply `Predictor.decision`. This is the innermost scoring handler.

    If the query requests prediction intervals, add them.

    Raises:
        ExplanationsUnavailable: The query requests explanations, but the predictor has no explainer.
        InvalidInput: The query requests too many prediction intervals.
    """
    predictor = query.predictor
    assert predictor is not None and query.table is not None
    if query.explain is not None and predictor.explainer is None:
        raise ExplanationsUnavailable
    if len(query.intervals) > _MAX_LEVELS:
        raise InvalidInput(f"intervals must be at most {_MAX_LEVELS} levels (got {len(query.intervals)})")
    query.model_called = True
    if predictor.forecaster is None and query.forecast is None:
        flow = predictor.predict(query.table)
        if isinstance(query.table, LazyTable) and (predictor.estimator is None or query.explain is not None):
            flow = _load_first(query.table, flow)
    else:
        flow = forecast(query)
    if query.timing is not None:
        flow = _measure(flow, query.timing)
    if predictor.decision is not None:
        flow = _apply_rule(flow, predictor.decision)
    if query.intervals and predictor.forecaster is None:
        flow = add_intervals(flow, query)
    return flow


def _load_first(table: LazyTable, flow: Flow[Prediction]) -> Flow[Prediction]:
    # A function of the user, or the layer that explains the rows, would decode them on the event loop.
    yield from run_long(table.load)
    return (yield from flow)


def _measure(flow: Flow[Prediction], timing: Timing) -> Flow[Prediction]:
    timing.mark("checks")
    prediction = yield from flow
    timing.mark("model")
    return prediction


def _apply_rule(flow: Flow[Prediction], rule: DecisionRule | NullNonFinite) -> Flow[Prediction]:
    prediction = yield from flow
    return (yield from run_if_many(len(prediction), rule.apply, prediction))

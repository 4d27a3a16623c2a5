"""Scoring in isolation: no server, no event loop, no key."""

from collections.abc import Sequence
from typing import Any

from ..flow import Flow, Layer, drive, stack
from ..flow.timing import Timing
from ..schema import Schema
from .predictor import Predictor
from .query import Prediction, Query
from .rounding import Round
from .validate import Validate

__all__ = ["predict", "score"]


def score(
    model: Any,
    rows: Any,
    *,
    schema: Schema | None = None,
    target: str | Sequence[str] = "prediction",
    decimals: int | None = None,
) -> Prediction:
    """Score *rows* with *model*, checked and rounded as a gate would.

    Args:
        model: a fitted estimator, or a function of a `Table`.
        rows: a mapping, mappings, an array, a DataFrame or raw JSON: see `modelgate.Schema.read`.
        schema: of the input; by default read from the estimator.
        target: the name of what is predicted, or of each output.
        decimals: as for `Round`.

    Raises:
        MissingColumns, InvalidValues, InvalidInput, MalformedBody: the rows break the schema.
        PredictionError: the model failed.
        ConfigurationError: the options do not go together.
    """
    predictor = Predictor(model, schema, target=target)
    layers: list[Layer[Query, Prediction]] = [Validate(predictor.schema), Round(decimals)]
    return drive(stack(layers, predict)(Query(rows, predictor=predictor)))


def predict(query: Query) -> Flow[Prediction]:
    """The innermost of the scoring handlers: what the layers prepared is scored."""
    assert query.predictor is not None and query.table is not None
    flow = query.predictor.predict(query.table)
    return flow if query.timing is None else _timed(flow, query.timing)


def _timed(flow: Flow[Prediction], timing: Timing) -> Flow[Prediction]:
    timing.mark("checks")
    prediction = yield from flow
    timing.mark("model")
    return prediction

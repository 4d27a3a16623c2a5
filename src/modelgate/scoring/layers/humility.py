"""Scoring layer that applies humility rules, which report, override or reject uncertain predictions."""

from ...flow import Flow, Handler
from ...humility import HumilityRules
from ...humility.rule_set import RowsByRule
from ...inference import Prediction
from ...inference.model_metrics import ModelMetrics
from ...inference.nonfinite import prediction_error
from ...schema import Table
from ..many_rows import run_if_many
from ..query import Query

__all__ = ["Humility"]


class Humility:
    """Scoring layer that applies humility rules to the unrounded prediction, and sets `Prediction.humility`.

    Rules about the input come first: if one of them throws an error, the model is not called.

    Args:
        rules: The rules.
    """

    scores = True

    def __init__(self, rules: HumilityRules) -> None:
        self._rules = rules

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        assert query.table is not None and query.predictor is not None
        rows, metrics = len(query.table), query.predictor.metrics
        by_input = yield from run_if_many(rows, self._check_input, query.table, metrics)
        prediction = yield from call_next(query)
        try:
            yield from run_if_many(rows, self._apply, prediction, by_input, metrics)
        except (TypeError, ValueError) as error:
            raise prediction_error(error) from error
        return prediction

    def _check_input(self, table: Table, metrics: ModelMetrics) -> RowsByRule:
        triggered = self._rules.find_input_rows(table)
        self._count(triggered, metrics)
        self._rules.reject(triggered)
        return triggered

    def _apply(self, prediction: Prediction, by_input: RowsByRule, metrics: ModelMetrics) -> None:
        triggered = self._rules.find_output_rows(prediction)
        self._count(triggered, metrics)
        self._rules.reject(triggered)
        self._rules.apply(prediction, {**by_input, **triggered})

    def _count(self, triggered: RowsByRule, metrics: ModelMetrics) -> None:
        for rule in self._rules if triggered else ():
            if rule.rule_id in triggered:
                metrics.count_triggered(rule.name, len(triggered[rule.rule_id]))

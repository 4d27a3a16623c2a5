"""Scoring layer that applies humility rules."""

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
        metrics: Metrics in which triggered rules are counted.
    """

    scores = True

    def __init__(self, rules: HumilityRules, metrics: ModelMetrics) -> None:
        self._rules = rules
        self._metrics = metrics
        for rule in rules:
            metrics.count_triggered(rule.name, 0)

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        assert query.table is not None
        by_input = yield from run_if_many(len(query.table), self._check_input, query.table)
        prediction = yield from call_next(query)
        try:
            yield from run_if_many(len(query.table), self._apply, prediction, by_input)
        except (TypeError, ValueError) as error:
            raise prediction_error(error) from error
        return prediction

    def _check_input(self, table: Table) -> RowsByRule:
        triggered = self._rules.find_input_rows(table)
        self._count(triggered)
        self._rules.reject(triggered)
        return triggered

    def _apply(self, prediction: Prediction, by_input: RowsByRule) -> None:
        triggered = self._rules.find_output_rows(prediction)
        self._count(triggered)
        self._rules.reject(triggered)
        self._rules.apply(prediction, {**by_input, **triggered})

    def _count(self, triggered: RowsByRule) -> None:
        for rule in self._rules if triggered else ():
            if rule.rule_id in triggered:
                self._metrics.count_triggered(rule.name, len(triggered[rule.rule_id]))

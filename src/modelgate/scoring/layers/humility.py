"""Scoring layer that applies humility rules."""

from ...flow import Flow, Handler
from ...humility import HumilityRules
from ...humility.rule_set import RowsByRule
from ...inference import Prediction
from ...inference.model_metrics import ModelMetrics
from ...inference.nonfinite import prediction_error
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
        metrics = query.predictor.metrics
        by_input = self._rules.find_input_rows(query.table)
        self._count(by_input, metrics)
        self._rules.reject(by_input)
        prediction = yield from call_next(query)
        try:
            by_output = self._rules.find_output_rows(prediction)
            self._count(by_output, metrics)
            self._rules.reject(by_output)
            self._rules.apply(prediction, {**by_input, **by_output})
        except (TypeError, ValueError) as error:
            raise prediction_error(error) from error
        return prediction

    def _count(self, triggered: RowsByRule, metrics: ModelMetrics) -> None:
        for rule in self._rules if triggered else ():
            if rule.rule_id in triggered:
                metrics.count_triggered(rule.name, len(triggered[rule.rule_id]))

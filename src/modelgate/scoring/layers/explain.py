"""Scoring layer that explains predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import AnswerableError, InvalidInput, PredictionError
from ...explanations import Explain, RowExplanation
from ...explanations.attribution import Method, Numbers, is_additive
from ...explanations.describe import describe_rows
from ...flow import Flow, Handler, run
from ...inference import Output, Prediction, Predictor
from ...inference.explained import explained_numbers
from ...schema import Table, read_sent_rows
from ...schema.coerce import to_json_value
from ..query import Query
from .validate import is_large

__all__ = ["add_explanations"]

_MANY_ROWS = 50


def add_explanations(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """Explain the predictions of the inner layers if `Query.explain` is set. See `Output.explanations`.

    Raises:
        InvalidInput: The request asks for more contributions than the deployment returns, or has thresholds
            for a model that predicts neither numbers nor probabilities.
        PredictionError: The model failed while its prediction was explained.
    """
    explain = query.explain
    return call_next(query) if explain is None else _add_explanations(query, call_next, explain)


def _add_explanations(
    query: Query, call_next: Handler[Query, Prediction], explain: Explain
) -> Flow[Prediction]:
    predictor, table = query.predictor, query.table
    assert predictor is not None and predictor.explainer is not None and table is not None
    if explain.count > predictor.explainer.limit:
        raise InvalidInput(
            f"The number of explanations must be at most {predictor.explainer.limit} (got {explain.count})"
        )
    prediction = yield from call_next(query)
    if not len(table):
        for output in prediction.outputs:
            output.explanations = []
        return prediction
    try:
        seconds = predictor.explainer.seconds_per_row * len(table)
        read_numbers = partial(explained_numbers, predictor, table, prediction)
        numbers = yield from predictor.call(read_numbers, seconds, len(table))
        targets = _targets(prediction.outputs, numbers, explain)
        selected = targets[0].selected
        for target in targets[1:]:
            selected = selected | target.selected
        if not selected.all():
            table, numbers = table.select(selected), numbers[selected]
        method, strengths = yield from _attribute(predictor, table, numbers)
    except AnswerableError:
        raise
    except Exception as error:
        raise PredictionError from error
    describer = _Describer(query, explain, selected, method, strengths)
    if len(table) > _MANY_ROWS or is_large(query.rows):
        yield from run(describer.set_explanations, targets)
    else:
        describer.set_explanations(targets)
    return prediction


@dataclass(frozen=True, slots=True)
class _Target:
    """Number that is explained for each row of an output.

    Args:
        output: The output.
        labels: Label of each explanation.
        indices: Index of the number for each row.
        selected: Whether to explain each row.
        is_null: Whether the prediction of each row is null.
    """

    output: Output
    labels: Sequence[Any]
    indices: npt.NDArray[np.int64]
    selected: npt.NDArray[np.bool_]
    is_null: npt.NDArray[np.bool_]


def _targets(outputs: Sequence[Output], numbers: Numbers, explain: Explain) -> list[_Target]:
    targets, start, rows = [], 0, np.arange(len(numbers))
    for output in outputs:
        classes = output.classes
        if classes is None:
            labels, positions = [output.name] * len(rows), np.zeros(len(rows), dtype=np.int64)
        elif len(classes) == 2:
            labels, positions = [classes[output.positive]] * len(rows), np.full(len(rows), output.positive)
        else:
            labels = output.values.tolist()
            by_label = {label: index for index, label in enumerate(classes)}
            positions = np.array([by_label.get(label, 0) for label in labels], dtype=np.int64)
        indices = positions + start
        start += 1 if classes is None else len(classes)
        values = numbers[rows, indices]
        if classes is not None and output.probabilities is None and explain.has_thresholds:
            raise InvalidInput(
                "Thresholds for explanations need a model that predicts numbers or probabilities: leave them out"
            )
        is_null = np.isnan(values)
        targets.append(_Target(output, labels, indices, explain.select(values), is_null))
    return targets


def _attribute(predictor: Predictor, table: Table, numbers: Numbers) -> Flow[tuple[Method, Numbers]]:
    """Return the strengths of the first method that is additive for all rows of *table*."""
    explainer = predictor.explainer
    assert explainer is not None
    seconds = explainer.seconds_per_row
    if not len(table):
        return explainer.methods[0], np.empty((0, len(explainer.columns), numbers.shape[1]))
    for method in explainer.methods:
        parts: list[Numbers] = []
        for start in range(0, len(table), method.rows_per_call):
            part = table.slice(start, start + method.rows_per_call)
            part_numbers = numbers[start : start + method.rows_per_call]
            call = partial(method.attribute, part, part_numbers)
            strengths = yield from predictor.call(call, seconds * len(part), len(part))
            if not is_additive(method, strengths, part_numbers):
                break
            parts.append(strengths)
        else:
            return method, np.concatenate(parts)
        # The next method takes longer.
        seconds = np.inf
    raise ValueError("no contributions add up to the predictions")


class _Describer:
    """Describes the explanations of the selected rows.

    Args:
        query: Query, with the rows as received.
        explain: Request of the caller.
        selected: Whether each row of the query is explained for any target.
        method: Method by which the rows were explained.
        strengths: Strengths for the selected rows, of shape (rows, columns, numbers).
    """

    def __init__(
        self,
        query: Query,
        explain: Explain,
        selected: npt.NDArray[np.bool_],
        method: Method,
        strengths: Numbers,
    ) -> None:
        assert query.table is not None and query.predictor is not None
        assert query.predictor.explainer is not None
        self._rows, self._table = query.rows, query.table
        self._schema = query.predictor.schema
        self._columns = query.predictor.explainer.columns
        self._unlisted = query.predictor.explainer.unlisted
        self._explain = explain
        self._positions = np.flatnonzero(selected)
        self._method = method
        self._strengths = strengths

    def set_explanations(self, targets: Sequence[_Target]) -> None:
        """Set the explanations of each target's output."""
        for target in targets:
            target.output.explanations = self._explain_target(target)

    def _explain_target(self, target: _Target) -> list[RowExplanation]:
        base_values = self._method.base_values[target.indices].tolist()
        explanations = [
            RowExplanation(label, self._method.name, self._method.link.space, base, None if is_null else ())
            for label, base, is_null in zip(target.labels, base_values, target.is_null.tolist(), strict=True)
        ]
        # Rows among the attributed ones, because several outputs share one attribution.
        chosen = np.flatnonzero(target.selected[self._positions])
        rows, chosen_list = self._positions[chosen].tolist(), chosen.tolist()
        strengths = self._strengths[chosen, :, target.indices[rows]]
        described = describe_rows(
            [explanations[row] for row in rows],
            strengths,
            self._columns,
            lambda row, column: self._value(chosen_list[row], column),
            self._explain,
            self._unlisted,
        )
        for row, explanation in zip(rows, described, strict=True):
            explanations[row] = explanation
        return explanations

    def _value(self, position: int, column: int) -> Any:
        """Return a value of the attributed row at *position*: as it was sent, or else as the model got it."""
        name = self._columns[column]
        value = self._sent[position].get(name, msgspec.UNSET)
        if value is msgspec.UNSET:
            return self._validated[self._positions[position]][name]
        return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else to_json_value(value)

    @cached_property
    def _sent(self) -> Sequence[Mapping[str, Any]]:
        return read_sent_rows(self._rows, self._schema.names, self._positions.tolist())

    @cached_property
    def _validated(self) -> list[dict[str, Any]]:
        return self._table.rows()

"""Scoring layer that explains predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import AnswerableError, InvalidInput, PredictionError
from ...explanations import Explain, Explainer, PackedExplanations, RowExplanation
from ...explanations.attribution import Method, Numbers, add_up, is_additive
from ...explanations.describe import describe_rows
from ...flow import Flow, Handler, run_long
from ...inference import Output, Prediction, Predictor
from ...inference.checks import UnrepresentableError
from ...inference.explained import explained_numbers
from ...schema import Table, read_sent_rows
from ...schema.coerce import to_json_value
from ..many_rows import is_large, run_if_many
from ..query import Query

__all__ = ["add_explanations"]

_MANY_ROWS = 50

_BLOCK_ROWS = 1024
"""Number of rows whose explanations are in memory as objects at the same time."""

MAX_CONTRIBUTIONS = 300_000
"""Maximum number of contributions in a response. Each adds up to 150 bytes to the memory of a response."""

_Explanations: TypeAlias = list[RowExplanation] | PackedExplanations

_NOT_FINITE = (
    "These predictions cannot be explained, because the calculation of a contribution exceeds the largest number:"
    " send the request without explanations"
)


def add_explanations(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """Explain the predictions of the inner layers if `Query.explain` is set. See `Output.explanations`.

    Raises:
        InvalidInput: The query requests more contributions than the deployment returns for a row, or more
            than `MAX_CONTRIBUTIONS` in all. It has thresholds, but the model predicts neither numbers nor
            probabilities. The calculation of a contribution exceeds the largest float.
        PredictionError: The model failed while its prediction was explained.
    """
    explain = query.explain
    return call_next(query) if explain is None else _add_explanations(query, call_next, explain)


def _add_explanations(
    query: Query, call_next: Handler[Query, Prediction], explain: Explain
) -> Flow[Prediction]:
    predictor, table = query.predictor, query.table
    assert predictor is not None and predictor.explainer is not None and table is not None
    _check_count(explain.count, predictor.explainer, len(table))
    prediction = yield from call_next(query)
    if not len(table):
        for output in prediction.outputs:
            output.explanations = []
        return prediction
    try:
        seconds = predictor.explainer.seconds_per_row * len(table)
        read_numbers = partial(explained_numbers, predictor, table, prediction)
        numbers = yield from predictor.call(read_numbers, seconds, len(table))
        targets = yield from run_if_many(len(table), _targets, prediction.outputs, numbers, explain)
        selected = targets[0].selected
        for target in targets[1:]:
            selected = selected | target.selected
        if np.count_nonzero(selected) < len(selected):
            table, numbers = table.select(selected), numbers[selected]
        indices = [target.indices[selected] for target in targets]
        method, strengths = yield from _attribute(predictor, table, numbers, indices)
    except AnswerableError:
        raise
    except UnrepresentableError as error:
        raise InvalidInput(_NOT_FINITE) from error
    except Exception as error:
        raise PredictionError from error
    builder = _ExplanationBuilder(query, explain, selected, method, strengths)
    if len(table) > _MANY_ROWS or is_large(query.rows):
        yield from run_long(builder.set_explanations, targets)
    else:
        builder.set_explanations(targets)
    return prediction


def _check_count(count: int, explainer: Explainer, rows: int) -> None:
    if count > explainer.limit:
        raise InvalidInput(f"The number of explanations must be at most {explainer.limit} (got {count})")
    if rows * min(count, len(explainer.columns)) > MAX_CONTRIBUTIONS:
        raise InvalidInput(
            f"The response would have more than {MAX_CONTRIBUTIONS} contributions: request fewer for each row,"
            " or send fewer rows"
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """Numbers of an output to explain, one for each row.

    Args:
        output: The output.
        labels: Label of each explanation; see `RowExplanation`.
        indices: Index of the number to explain for each row, among all numbers that the model predicts.
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
                "Thresholds for explanations need a model that predicts numbers or probabilities:"
                " leave out the thresholds"
            )
        is_null = np.isnan(values)
        targets.append(_Target(output, labels, indices, explain.select(values), is_null))
    return targets


def _attribute(
    predictor: Predictor, table: Table, numbers: Numbers, indices: Sequence[npt.NDArray[np.int64]]
) -> Flow[tuple[Method, list[Numbers]]]:
    """Explain rows by the first method whose contributions add up to the predictions of all rows.

    Args:
        predictor: Predictor with an explainer.
        table: Rows to explain.
        numbers: Numbers that the model predicts for the rows.
        indices: For each target, the index of the number to explain, of shape (rows,).

    Returns:
        The method, and the strengths for each target, of shape (rows, columns).
    """
    explainer = predictor.explainer
    assert explainer is not None
    if not len(table):
        return explainer.methods[0], [np.empty((0, len(explainer.columns)))] * len(indices)
    seconds, is_finite = explainer.seconds_per_row, True
    for method in explainer.methods:
        parts: list[list[Numbers]] = [[] for _ in indices]
        for start in range(0, len(table), method.rows_per_call):
            stop = start + method.rows_per_call
            part = table.slice(start, stop) if len(table) > method.rows_per_call else table
            call = partial(method.attribute, part, numbers[start:stop])
            strengths = yield from predictor.call(call, seconds * len(part), len(part))
            if not is_additive(method, strengths, numbers[start:stop]):
                totals = method.base_values + add_up(strengths)
                is_finite = bool((np.isfinite(totals) | np.isnan(numbers[start:stop])).all())
                break
            rows = np.arange(len(part))
            for target_parts, target_indices in zip(parts, indices, strict=True):
                target_parts.append(strengths[rows, :, target_indices[start:stop]])
        else:
            return method, [part[0] if len(part) == 1 else np.concatenate(part) for part in parts]
        # The next method takes longer.
        seconds = np.inf
    if not is_finite:
        raise InvalidInput(_NOT_FINITE)
    raise ValueError("no contributions add up to the predictions")


class _ExplanationBuilder:
    """Builder of the explanations of the selected rows.

    Args:
        query: Query that contains the rows as received.
        explain: Explanations that the caller requests.
        selected: Mask of the rows that are explained for at least one target.
        method: Method by which the rows were explained.
        strengths: Strengths for each target and the selected rows, of shape (rows, columns).
    """

    def __init__(
        self,
        query: Query,
        explain: Explain,
        selected: npt.NDArray[np.bool_],
        method: Method,
        strengths: Sequence[Numbers],
    ) -> None:
        assert query.table is not None and query.predictor is not None
        assert query.predictor.explainer is not None
        self._rows, self._table = query.rows, query.table
        self._schema = query.predictor.schema
        self._columns = query.predictor.explainer.columns
        self._listed = query.predictor.explainer.listed
        self._options = explain
        self._positions = selected.nonzero()[0]
        self._method = method
        self._strengths = strengths

    def set_explanations(self, targets: Sequence[_Target]) -> None:
        """Set the explanations of each target's output."""
        count, method = len(self._table), self._method
        explanations: list[_Explanations] = [
            [] if count <= _BLOCK_ROWS else PackedExplanations(self._columns, method.name, method.link.space)
            for _ in targets
        ]
        sent = read_sent_rows(self._rows, self._schema.columns, self._positions.tolist())
        # Objects of rows and contributions take far more memory than text, so only one block exists at a time.
        for start in range(0, count, _BLOCK_ROWS):
            rows = range(start, min(start + _BLOCK_ROWS, count))
            first, last = np.searchsorted(self._positions, [rows.start, rows.stop]).tolist()
            positions = self._positions[first:last]
            values = _RowValues(self._table, rows, dict(zip(positions.tolist(), sent, strict=False)))
            for target, strengths, parts in zip(targets, self._strengths, explanations, strict=True):
                # All outputs share one attribution, so choose this output's rows among the attributed ones.
                chosen = target.selected[positions].nonzero()[0]
                for row in self._explain(target, rows, positions[chosen], strengths[first + chosen], values):
                    parts.append(row)
        for target, parts in zip(targets, explanations, strict=True):
            target.output.explanations = parts

    def _explain(
        self,
        target: _Target,
        rows: range,
        positions: npt.NDArray[np.int64],
        strengths: Numbers,
        values: "_RowValues",
    ) -> list[RowExplanation]:
        """Return the explanations of *rows* for *target*.

        Args:
            target: Numbers to explain.
            rows: Indices of the rows.
            positions: Indices of those of *rows* that are explained.
            strengths: Strengths for *positions*, of shape (positions, columns).
            values: Values of the explained rows.
        """
        method, span = self._method, slice(rows.start, rows.stop)
        base_values, is_null = (
            method.base_values[target.indices[span]].tolist(),
            target.is_null[span].tolist(),
        )
        explanations = {
            row: RowExplanation(label, method.name, method.link.space, base, None if null else ())
            for row, label, base, null in zip(rows, target.labels[span], base_values, is_null, strict=True)
        }
        explained = positions.tolist()
        described = describe_rows(
            [explanations[row] for row in explained],
            strengths,
            self._columns,
            lambda index, column: values.get(explained[index], self._columns[column]),
            self._options,
            self._listed,
        )
        explanations.update(zip(explained, described, strict=True))
        return list(explanations.values())


class _RowValues:
    """Values of some of the rows.

    Args:
        table: All validated rows.
        rows: Indices of the rows.
        sent: The rows as they were sent, by index.
    """

    def __init__(self, table: Table, rows: range, sent: Mapping[int, Mapping[str, Any]]) -> None:
        self._table, self._rows, self._sent = table, rows, sent

    def get(self, row: int, name: str) -> Any:
        """Return the value that the caller sent for the column *name* in the row with the index *row*.

        If the caller did not send the column, return the value in the validated row.
        """
        value = self._sent[row].get(name, msgspec.UNSET)
        if value is msgspec.UNSET:
            return self._validated[row - self._rows.start][name]
        return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else to_json_value(value)

    @cached_property
    def _validated(self) -> list[dict[str, Any]]:
        return self._table.slice(self._rows.start, self._rows.stop).rows()

"""What a model says of rows, as a client was told it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

__all__ = ["Predictions", "decoded", "joined"]


@dataclass(slots=True)
class Predictions:
    """What a model says of some rows, in their order.

    Args:
        values: what is predicted of each row: a label, a number, or what a function says; of a model with several outputs a
            dict by output.
        classes: the labels the probabilities are of, of two the positive one first; None where none are told,
            and of a model with several outputs.
        probabilities: for each row that of each class; None where none are told.
        version: of the model.
        warnings: what the caller should know of rows that passed.
        request_ids: of the requests it took, for who reads the logs of the server.
    """

    values: list[Any] = field(default_factory=list)
    classes: list[Any] | None = None
    probabilities: list[list[float]] | None = None
    version: str | None = None
    warnings: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


class _Value(msgspec.Struct):
    value: Any
    label: Any


class _Row(msgspec.Struct, rename="camel"):
    prediction: Any
    prediction_values: list[_Value]


class _Answer(msgspec.Struct):
    data: list[_Row]
    warnings: list[str] = []


_DECODER = msgspec.json.Decoder(_Answer)


def decoded(content: bytes) -> Predictions:
    """The predictions of one answer of the dialect ``datarobot``. Raises `msgspec.DecodeError`."""
    told = _DECODER.decode(content)
    values = [row.prediction for row in told.data]
    made = Predictions(values, warnings=told.warnings)
    first = told.data[0] if told.data else None
    if first is not None and not _has_no_classes(first):
        made.classes = [value.label for value in first.prediction_values] or None
    if made.classes is not None:
        made.probabilities = [[value.value for value in row.prediction_values] for row in told.data]
    return made


def _has_no_classes(row: _Row) -> bool:
    """Whether its values are no probabilities: what is predicted under the target's name, or several outputs.

    Of several outputs a label is the output's name and the class's, ``a_b_c``, which is read in two ways.
    """
    if isinstance(row.prediction, dict):
        return True
    if len(row.prediction_values) != 1:
        return False
    told = row.prediction_values[0]
    return bool(told.value == row.prediction) and (
        told.label != row.prediction or isinstance(told.value, str)
    )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of batches that follow each other, as one."""
    whole = Predictions()
    for part in parts:
        whole.values += part.values
        whole.request_ids += part.request_ids
        whole.warnings += [told for told in part.warnings if told not in whole.warnings]
    if parts:
        whole.classes, whole.version = parts[0].classes, parts[-1].version
    if whole.classes is not None:
        whole.probabilities = [row for part in parts for row in part.probabilities or ()]
    return whole

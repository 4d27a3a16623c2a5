"""The rows of a DataRobot answer, in JSON and in CSV."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..schema import by_row, csv_of
from ..scoring import Output, Prediction

__all__ = ["as_csv", "as_json"]

_STEP = 4096
"""How many rows are objects at once: as such they take ten times the bytes they come to."""


def as_csv(prediction: Prediction, *, escape_formulas: bool = False) -> bytes:
    """The body of a CSV answer, its columns named as on the page "Output format".

    Args:
        escape_formulas: as for `csv_of`.
    """
    columns: list[tuple[str, Any]] = []
    for output in prediction.outputs:
        if output.probabilities is not None and output.classes is not None:
            columns += [
                (f"{output.name}_{output.classes[at]}_PREDICTION", output.probabilities[:, at])
                for at in _order(output.classes, output)
            ]
        columns.append((f"{output.name}_PREDICTION", output.values))
    choice = _choice(prediction)
    if choice is not None:
        columns += zip(("THRESHOLD", "POSITIVE_CLASS"), choice, strict=True)
    columns += (prediction.kept or {}).items()
    return csv_of(columns, len(prediction), escape_formulas=escape_formulas)


def as_json(prediction: Prediction) -> bytes:
    """The body of a JSON answer."""
    return b"".join(_pieces(prediction))


def _pieces(prediction: Prediction) -> Iterator[bytes]:
    yield b'{"data":['
    for at in range(0, len(prediction), _STEP):
        if at:
            yield b","
        yield msgspec.json.encode(_rows(prediction, slice(at, at + _STEP)))[1:-1]
    yield b"]"
    if prediction.warnings:
        yield b',"warnings":' + msgspec.json.encode(list(prediction.warnings))
    yield b"}"


def _choice(prediction: Prediction) -> tuple[float, Any] | None:
    """The threshold and the class it is for, where there are two to choose between and nothing else."""
    output = prediction.outputs[0]
    if len(prediction.outputs) > 1 or output.probabilities is None or len(output.classes or ()) != 2:
        return None
    assert output.classes is not None
    return (0.5 if output.threshold is None else output.threshold), output.classes[output.positive]


def _order(classes: Sequence[Any], output: Output) -> list[int]:
    """The places of the classes as they are told: of two the positive one first."""
    return [output.positive, 1 - output.positive] if len(classes) == 2 else list(range(len(classes)))


def _rows(prediction: Prediction, at: slice) -> list[dict[str, Any]]:
    """Some of the rows, as objects."""
    values, told = _values(prediction.outputs, at)
    columns: dict[str, Sequence[Any]] = {"predictionValues": told}
    choice = _choice(prediction)
    if choice is not None:
        columns["predictionThreshold"] = [choice[0]] * len(values)
    columns["prediction"] = values
    columns["rowId"] = range(at.start, at.start + len(values))
    if prediction.kept:
        kept = {name: column[at] for name, column in prediction.kept.items()}
        columns["passthroughValues"] = by_row(kept)
    return by_row(columns)


def _values(outputs: Sequence[Output], at: slice) -> tuple[list[Any], list[list[dict[str, Any]]]]:
    """What is predicted of each row, and its ``predictionValues``."""
    if len(outputs) == 1:
        return outputs[0].values[at].tolist(), _told(outputs[0], at)
    values = {output.name: output.values[at].tolist() for output in outputs}
    told = zip(*(_told(output, at, f"{output.name}_") for output in outputs), strict=True)
    return (
        by_row(values),
        [[value for part in row for value in part] for row in told],
    )


def _told(output: Output, at: slice, prefix: str | None = None) -> list[list[dict[str, Any]]]:
    """For each row the probabilities of its classes, or its number under the target's name.

    Args:
        prefix: stands before a class, where it could be one of another output.
    """
    if output.classes is None:
        return [[{"value": value, "label": output.name}] for value in output.values[at].tolist()]
    if output.probabilities is None:
        return [[] for _ in output.values[at]]
    order = _order(output.classes, output)
    labels = [output.classes[place] for place in order]
    if prefix is not None:
        labels = [f"{prefix}{label}" for label in labels]
    told = output.probabilities[at][:, order].tolist()
    return [[{"value": v, "label": label} for v, label in zip(row, labels, strict=True)] for row in told]

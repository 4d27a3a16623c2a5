"""What a scoring layer sees: a `Query` on the way in, a `Prediction` on the way out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import PredictionError
from ..flow import Flow, Handler
from ..flow.timing import Timing
from ..schema import Schema, Table

if TYPE_CHECKING:
    from .predictor import Predictor

__all__ = [
    "Description",
    "Output",
    "Prediction",
    "Query",
    "RowCheck",
    "ShapeError",
    "Target",
    "as_prediction",
    "check_prediction",
]

RowCheck: TypeAlias = Callable[[int], Flow[None]]

_FEW = 32


@dataclass(frozen=True, slots=True)
class Target:
    """A quantity that is predicted, before any row is.

    Args:
        name: as in `Output`.
        classes: as in `Output`.
        probabilities: whether the model tells how likely each class is.
        number: whether its values are known to be numbers.
    """

    name: str
    classes: Sequence[Any] | None = None
    probabilities: bool = False
    number: bool = False

    @classmethod
    def of(cls, output: "Output") -> "Target":
        """The target that *output* is of."""
        number = output.classes is None and output.values.dtype.kind in "iuf"
        return cls(output.name, output.classes, output.probabilities is not None, number)


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """What is known of a deployment: for its metadata, in whatever wire format.

    Args:
        name: of the deployment.
        version: of its model.
        model_id: names the model.
        schema: of its input.
        targets: what it predicts; of a function, as far as it was told.
        function: whether a function predicts, which may have effects.
        endpoint: its own path, see `Deployment`.
    """

    name: str
    version: str
    model_id: str
    schema: Schema
    targets: Sequence[Target]
    function: bool = False
    endpoint: str | None = None


class Query(msgspec.Struct, eq=False):
    """Rows to score.

    Attributes:
        rows: as they came: raw JSON or Python values, see `modelgate.Schema.read`.
        deployment: the name of the deployment asked, None where the request names none.
        version: the version asked of its model, None where any may answer.
        caller: who asks, where a `Rollout` wants to know.
        table: the rows once they are validated.
        predictor: what scores them, once it is taken from the cache.
        cache_hit: whether the model was in the cache.
        single: whether the caller sent one row bare, and expects one result bare.
        max_rows: the most rows the service whose wire format is spoken takes at once; None for any
            number.
        decimals: to which the service whose wire format is spoken rounds numbers; None for not at all.
        keep: the columns to give back as they came, ``"all"`` for every one, None for none.
        on_rows: what wants to know how many rows there are once they are validated, and may refuse.
        timing: where the time of the request goes, where somebody asked.
        load_timeout: Seconds to wait for a model that is being loaded, see `ModelCache.get`.
    """

    rows: Any
    deployment: str | None = None
    table: Table | None = None
    predictor: "Predictor | None" = None
    cache_hit: bool | None = None
    single: bool = False
    max_rows: int | None = 10_000
    decimals: int | None = None
    keep: Sequence[str] | Literal["all"] | None = None
    on_rows: Sequence[RowCheck] = ()
    version: str | None = None
    caller: str | None = None
    timing: Timing | None = None
    load_timeout: float | None = None


class Output(msgspec.Struct, eq=False):
    """One predicted quantity.

    Attributes:
        name: of the target.
        values: (rows,): labels or numbers.
        classes: the labels there are, in the order of ``classes_``; None for a number.
        probabilities: (rows, classes), in the order of *classes*; None where the model tells none.
        positive: of two classes the place of the one the threshold is for.
        threshold: from which probability on the positive class is predicted; None where the model
            decided by itself.
    """

    name: str
    values: npt.NDArray[Any]
    classes: list[Any] | None = None
    probabilities: npt.NDArray[np.float64] | None = None
    positive: int = 1
    threshold: float | None = None

    def parted(self, bounds: "Sequence[tuple[int, int]]") -> "list[Output]":
        """Parts of it, each from one row to before another."""
        values, told = self.values, self.probabilities
        rest = self.positive, self.threshold
        return [
            Output(self.name, values[at:to], self.classes, None if told is None else told[at:to], *rest)
            for at, to in bounds
        ]

    def confidences(self) -> list[float | None]:
        """(rows,): how likely the class is that is predicted; None where a value is no class."""
        assert self.probabilities is not None and self.classes is not None
        place = {label: at for at, label in enumerate(self.classes)}
        rows = zip(self.probabilities.tolist(), self.values.tolist(), strict=True)
        return [told[place[value]] if value in place else None for told, value in rows]


class Prediction(msgspec.Struct, eq=False):
    """What a model says of some rows: an `Output` for each target, in the model's order.

    Attributes:
        outputs: at least one.
        cache_hit: whether the model was in the cache; None where no cache was asked.
        warnings: what the caller should be told of rows that passed.
        kept: the columns of `Query.keep`, each value as raw JSON.
    """

    outputs: list[Output]
    cache_hit: bool | None = None
    warnings: Sequence[str] = ()
    kept: Mapping[str, Sequence[msgspec.Raw]] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def parted(self, sizes: Sequence[int]) -> "list[Prediction]":
        """The predictions of parts that follow each other, *sizes* rows each."""
        if len(sizes) == 1:
            return [self]
        stops = list(accumulate(sizes))
        bounds = [(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        parts = zip(*(output.parted(bounds) for output in self.outputs), strict=True)
        return [Prediction(list(outputs), self.cache_hit, self.warnings, self.kept) for outputs in parts]

    @property
    def values(self) -> npt.NDArray[Any]:
        """(rows,): of the first output."""
        return self.outputs[0].values

    @property
    def classes(self) -> list[Any] | None:
        """Of the first output."""
        return self.outputs[0].classes

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """(rows, classes): of the first output."""
        return self.outputs[0].probabilities


class ShapeError(ValueError):
    """A model returned something else than a value for each row."""


def as_prediction(result: Any, rows: int, target: str | Sequence[str]) -> Prediction:
    """The prediction that *result* means: what a model or a handler may return.

    Args:
        result: a `Prediction`; values by output name; or an array or list of (rows,) or
            (rows, outputs).
        rows: how many were scored.
        target: the name of the output, or of each.

    Raises:
        ValueError: it is none of these, has another number of rows, or holds what JSON cannot
            spell: null in the place of NaN would be another answer.
    """
    prediction = result if isinstance(result, Prediction) else Prediction(_outputs(result, target))
    _check(prediction, rows)
    return prediction


def check_prediction(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """A scoring layer that lets nothing out that could not have come from a model.

    Raises:
        PredictionError: a layer within made something else of it.
    """
    prediction = yield from call_next(query)
    try:
        _check(prediction, len(query.table) if query.table is not None else 0)
    except (ValueError, AttributeError) as error:
        raise PredictionError from error
    return prediction


def _check(prediction: Prediction, rows: int) -> None:
    if not prediction.outputs:
        raise ValueError("a prediction without outputs")
    for output in prediction.outputs:
        _check_values(output, rows)
        if output.probabilities is not None:
            _check_probabilities(output, rows)


def _check_values(output: Output, rows: int) -> None:
    values = output.values
    if not isinstance(values, np.ndarray) or values.shape != (rows,):
        raise ShapeError(f"output {output.name!r}: no array with a value for each of {rows} rows")
    kind = values.dtype.kind
    if not (
        kind in "biuU" or (kind == "f" and _finite(values)) or (kind == "O" and all(map(_spelled, values)))
    ):
        raise ValueError(f"output {output.name!r}: holds what JSON cannot spell")


def _finite(values: npt.NDArray[Any]) -> bool:
    # Between Python's own work numpy's reductions are never warm: for one row they took a tenth of the request.
    if values.size <= _FEW:
        return all(map(math.isfinite, values.ravel().tolist()))
    return bool(np.isfinite(values).all())


def _spelled(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(isinstance(name, str) and _spelled(item) for name, item in value.items())
    if isinstance(value, list):
        return all(map(_spelled, value))
    return value is None or type(value) in (str, int, bool)


def _check_probabilities(output: Output, rows: int) -> None:
    told, classes = output.probabilities, output.classes
    if told is None or classes is None or told.shape != (rows, len(classes)) or not _finite(told):
        raise ValueError(f"output {output.name!r}: no finite probability for each row and class")


def _outputs(result: Any, target: str | Sequence[str]) -> list[Output]:
    if isinstance(result, Mapping):
        return [Output(str(name), _column(values)) for name, values in result.items()]
    values = _column(result)
    if values.ndim != 2:
        return [Output(output_names(target, 1)[0], values)]
    names = output_names(target, values.shape[1])
    return [Output(name, values[:, at]) for at, name in enumerate(names)]


def _column(values: Any) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        # numpy turns [1, "a"] into ["1", "a"]: the values keep their own types.
        array = np.array(values, dtype=object)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def output_names(target: str | Sequence[str], count: int) -> list[str]:
    """The names of *count* outputs: those of *target*, or ``target_0``, ``target_1``, …"""
    if not isinstance(target, str) and len(target) == count:
        return list(target)
    stem = target if isinstance(target, str) else target[0]
    return [stem] if count == 1 else [f"{stem}_{at}" for at in range(count)]

"""What a scoring layer sees: a `Query` on the way in, a `Prediction` on the way out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import PredictionError
from ..schema import Table

if TYPE_CHECKING:
    from .predictor import Predictor

__all__ = ["Output", "Prediction", "Query", "as_prediction"]


@dataclass(slots=True, eq=False)
class Query:
    """Rows to score.

    Args:
        rows: as they came: raw JSON or Python values, see `modelgate.Schema.read`.
        deployment: the name of the deployment asked, None where the request names none.
        table: the rows once they are validated.
        predictor: what scores them, once it is taken from the cache.
        cache_hit: whether the model was in the cache.
        single: whether the caller sent one row bare, and expects one result bare.
    """

    rows: Any
    deployment: str | None = None
    table: Table | None = None
    predictor: "Predictor | None" = None
    cache_hit: bool | None = None
    single: bool = False


@dataclass(slots=True, eq=False)
class Output:
    """One predicted quantity.

    Args:
        name: of the target.
        values: (rows,): labels or numbers.
        classes: the labels there are, in the order of ``classes_``; None for a number.
        probabilities: (rows, classes), in the order of *classes*; None where the model tells none.
    """

    name: str
    values: npt.NDArray[Any]
    classes: list[Any] | None = None
    probabilities: npt.NDArray[np.float64] | None = None


@dataclass(slots=True, eq=False)
class Prediction:
    """What a model says of some rows: an `Output` for each target, in the model's order.

    Args:
        outputs: at least one.
        cache_hit: whether the model was in the cache; None where no cache was asked.
    """

    outputs: list[Output]
    cache_hit: bool | None = field(default=None)

    def __len__(self) -> int:
        return len(self.values)

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


def as_prediction(result: Any, rows: int, target: str | Sequence[str]) -> Prediction:
    """The prediction that *result* means: what a model or a handler may return.

    Args:
        result: a `Prediction`; values by output name; or an array or list of (rows,) or
            (rows, outputs).
        rows: how many were scored.
        target: the name of the output, or of each.

    Raises:
        PredictionError: it is none of these, has another number of rows, or a number in it is not
            finite: JSON cannot spell one, and null would be another answer.
    """
    prediction = result if isinstance(result, Prediction) else Prediction(_outputs(result, target))
    for output in prediction.outputs:
        if len(output.values) != rows:
            raise PredictionError from ValueError(f"{len(output.values)} results for {rows} rows")
        for numbers in (output.values, output.probabilities):
            if numbers is not None and numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
                raise PredictionError from ValueError(f"output {output.name!r} is not finite")
    return prediction


def _outputs(result: Any, target: str | Sequence[str]) -> list[Output]:
    if isinstance(result, Mapping) and result:
        return [Output(str(name), _column(values)) for name, values in result.items()]
    values = _column(result)
    if values.ndim == 1:
        return [Output(target if isinstance(target, str) else target[0], values)]
    if values.ndim != 2 or not values.shape[1]:
        raise PredictionError from ValueError(f"a result of shape {values.shape}")
    return [Output(name, values[:, at]) for at, name in enumerate(output_names(target, values.shape[1]))]


def _column(values: Any) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        # numpy turns [1, "a"] into ["1", "a"]: the values keep their own types.
        array = np.array(list(values), dtype=object)
    if array.ndim == 0:
        raise PredictionError from ValueError(f"a result of type {type(values).__name__}")
    return array


def output_names(target: str | Sequence[str], count: int) -> list[str]:
    """The names of *count* outputs: those of *target*, or ``target_0``, ``target_1``, …"""
    if not isinstance(target, str) and len(target) == count:
        return list(target)
    stem = target if isinstance(target, str) else target[0]
    return [stem] if count == 1 else [f"{stem}_{at}" for at in range(count)]

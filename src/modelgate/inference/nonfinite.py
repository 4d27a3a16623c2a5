"""Reject predictions that JSON cannot represent, or replace NaN and infinities by null."""

import numpy as np

from ..errors import PredictionError
from ..schema.report import SHOWN_ROWS
from .checks import UnrepresentableError, check_text, non_finite_rows
from .decision import DecisionRule
from .prediction import Output, Prediction

__all__ = ["NullNonFinite", "prediction_error", "reject_lone_surrogates"]


def prediction_error(error: Exception) -> PredictionError:
    """Return the error for the caller after the model failed with *error*."""
    if not isinstance(error, UnrepresentableError):
        return PredictionError()
    message = f"{PredictionError.default_message}: its prediction {error.problem}"
    if error.count > 1:
        message += f" ({_describe_rows(error.rows)})"
    if len(error.rows) < error.count:
        message += ": send only the other rows"
    return PredictionError(message)


def reject_lone_surrogates(prediction: Prediction) -> None:
    """Raise `PredictionError` if a label contains lone surrogates.

    Call this only after encoding has failed, because the search takes time.
    """
    try:
        check_text(prediction)
    except ValueError as error:
        raise prediction_error(error) from error


class NullNonFinite:
    """Filter that replaces predictions that are not finite by null, and adds a warning that names the rows.

    A number becomes NaN, which every wire format encodes as null. A label becomes None if the row has a
    probability that is not finite, because the label is then meaningless.

    Args:
        rule: Decision rule that is applied first; None for the model's own labels.
    """

    def __init__(self, rule: DecisionRule | None = None) -> None:
        self._rule = rule

    def apply(self, prediction: Prediction) -> Prediction:
        """Change *prediction* in place, and return it."""
        if self._rule is not None:
            self._rule.apply(prediction)
        rows = {row for output in prediction.outputs for row in _replace(output)}
        if rows:
            warning = f"The model returned no finite number for {_describe_rows(sorted(rows))}"
            prediction.warnings = [*prediction.warnings, warning]
        return prediction


def _replace(output: Output) -> list[int]:
    """Replace values that are not finite in *output* by null, and return the indices of their rows."""
    rows = non_finite_rows(output)
    if not rows:
        return rows
    if output.probabilities is not None:
        output.probabilities = np.array(output.probabilities)
        output.probabilities[rows] = np.nan
    if output.values.dtype.kind == "f" and output.classes is None:
        output.values = np.where(np.isfinite(output.values), output.values, np.nan)
    else:
        output.values = output.values.astype(object)
        output.values[rows] = None
    return rows


def _describe_rows(rows: list[int]) -> str:
    more = len(rows) - SHOWN_ROWS
    return f"row {', '.join(map(str, rows[:SHOWN_ROWS]))}" + (f" and {more} more" if more > 0 else "")

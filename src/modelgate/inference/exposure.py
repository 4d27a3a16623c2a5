"""Exposure of rows in a regression of counts: the time, or number of occasions, in which events are counted.

As in the DataRobot Prediction API, ``prediction`` includes the exposure of its row, and
``adjustedPrediction`` is the prediction for one unit of exposure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..schema import Column, Schema, Table
from ..schema.report import ValidationReport
from .prediction import Output, Prediction, Target

__all__ = ["Exposure"]

_RULE = "must be a finite number above 0"


@dataclass(frozen=True)
class Exposure:
    """Column with the exposure of each row, for a regression of counts.

    Callers must send the column. Its values are numbers above 0, such as the number of years for which a
    policy was insured.

    * A model of rates was fitted without the column, on counts divided by exposure. The prediction for
      a row is the rate from the model times the exposure of the row.
    * A model of counts takes the exposure into account itself, usually as an input column.

    Args:
        column: Name of the column. It is added to the schema unless it is an input of the model.
        model_predicts: ``"rate"`` or ``"count"``.

    Raises:
        ConfigurationError: An option is invalid.
    """

    column: str
    model_predicts: Literal["rate", "count"]

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise ConfigurationError(f"column must be the name of the exposure column (got {self.column!r})")
        if self.model_predicts not in ("rate", "count"):
            raise ConfigurationError(
                f'model_predicts must be "rate" or "count" (got {self.model_predicts!r})'
            )

    def extend(self, schema: Schema) -> Schema:
        """Return the request schema: *schema* with the exposure column.

        Raises:
            ConfigurationError: *schema* already has the column, but it is not a column of numbers.
        """
        for column in schema:
            if column.name == self.column:
                if column.kind not in ("number", "integer"):
                    raise ConfigurationError(
                        f"exposure must be a column of numbers (got {self.column!r} of the kind {column.kind})"
                    )
                return schema
        description = "Exposure of the row, a number above 0"
        added = Column(self.column, "number", typical_value=1.0, description=description)
        return Schema([*schema, added], schema.options)

    def check(self, targets: Sequence[Target]) -> None:
        """Raise `ConfigurationError` if a target has classes."""
        for target in targets:
            if target.classes is not None:
                raise ConfigurationError(
                    f"exposure must be None for a classifier (got the classes {list(target.classes)})"
                )

    def read(self, table: Table, schema: Schema) -> npt.NDArray[np.float64]:
        """Return the exposure of each row, of shape (rows,).

        Args:
            table: Rows with the column.
            schema: Schema of the rows.

        Raises:
            InvalidValues: The exposure of a row is null, infinite, or not above 0.
        """
        values: Any = table.stored(self.column)
        self._reject(~((values > 0) & (values < np.inf)), values, _RULE, schema)
        return np.array(values)

    def apply(
        self, prediction: Prediction, exposure: npt.NDArray[np.float64], schema: Schema, *, adjusted: bool
    ) -> None:
        """Convert the values of *prediction*, in place, to counts for the *exposure* of each row.

        Rates are multiplied by the exposure. If the model predicts counts, they do not change.

        Args:
            prediction: Prediction of the model.
            exposure: Exposure of each row (see `read`).
            schema: Schema of the rows.
            adjusted: Whether to set `Output.adjusted` to the rates.

        Raises:
            ValueError: An output is not numeric.
            InvalidValues: The exposure of a row turns a finite prediction into an infinite count or rate.
        """
        for output in prediction.outputs:
            values = _numbers(output)
            with np.errstate(all="ignore"):
                counts, rates = (
                    (values * exposure, values)
                    if self.model_predicts == "rate"
                    else (values, values / exposure)
                )
            overflows = np.isfinite(values) & ~(np.isfinite(counts) & np.isfinite(rates))
            self._reject(overflows, exposure, "must give a finite prediction", schema)
            if self.model_predicts == "rate":
                output.values = counts
                if output.intervals is not None:
                    output.intervals = {
                        level: limits * exposure[:, None] for level, limits in output.intervals.items()
                    }
            if adjusted:
                output.adjusted = rates

    def _reject(
        self, wrong: npt.NDArray[np.bool_], values: npt.NDArray[np.float64], rule: str, schema: Schema
    ) -> None:
        """Raise `InvalidValues` for the *values* where the mask *wrong* is True, if there are any."""
        if not wrong.any():
            return
        report, column = ValidationReport(), next(it for it in schema if it.name == self.column)
        for row in np.flatnonzero(wrong).tolist():
            report.add(column, rule, row, values[row].item())
        report.raise_for_errors(len(wrong), schema.columns, schema.options)


def _numbers(output: Output) -> npt.NDArray[np.float64]:
    if output.classes is not None or output.values.dtype.kind not in "fiu":
        raise ValueError(f"output {output.name!r} must be numbers, because the deployment has an exposure")
    return output.values.astype(np.float64)

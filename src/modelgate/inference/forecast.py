"""Predict with forecasters."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..flow import isolate_errors
from ..forecasting import DirectForecaster, Forecaster, ForecastRequest
from ..forecasting.example import rows_to_test
from ..forecasting.read_request import read_request
from ..schema import Schema, Table
from ..schema.model_input import InputForm
from .estimator import Estimator
from .plans import Plan
from .prediction import Output, Prediction

__all__ = ["ForecastFunction", "check_forecaster_options", "try_forecast"]


class ForecastFunction:
    """Callable that returns the prediction of *forecaster* for a request.

    Args:
        forecaster: Forecaster. The regressor of a `DirectForecaster` is replaced by its exact plan.
        plans: Whether to use a plan (see `Estimator`).
        name: Name of the model in log messages.
        nullable: Whether values may be NaN or infinite.

    Attributes:
        plan: The plan, or the reason why there is none.
    """

    def __init__(
        self, forecaster: Forecaster, *, plans: bool | Literal["onnx"], name: str, nullable: bool
    ) -> None:
        self._forecaster = forecaster
        self._nullable = nullable
        self.plan: Plan | str = "it is a forecaster"
        if isinstance(forecaster, DirectForecaster):
            self._use_plan(forecaster, plans, name)

    def __call__(self, request: ForecastRequest) -> Prediction:
        """Return the prediction and the prediction intervals of each row.

        Raises:
            ValueError: The forecaster returned too many or too few values, or a value that is not finite
                while *nullable* is False.
        """
        forecaster, window, future = self._forecaster, request.window, request.future
        # Copies, because a forecaster may return the same array from each call.
        values = np.array(forecaster.forecast(window, request.horizon, future), dtype=np.float64)
        self._check(values, (len(request),))
        intervals: dict[str, npt.NDArray[np.float64]] = {
            f"{level:.15g}": np.array(forecaster.intervals(window, future, values, level))  # type: ignore[attr-defined]
            for level in request.levels
        }
        for limits in intervals.values():
            self._check(limits, (len(request), 2))
        return Prediction([Output(forecaster.spec.target, values, intervals=intervals or None)])

    def _use_plan(self, forecaster: DirectForecaster, plans: bool | Literal["onnx"], name: str) -> None:
        try:
            regressor = _PlannedRegressor(forecaster.regressor, plans, name)
        except ConfigurationError as error:
            self.plan = str(error)
            return
        self.plan = regressor.plan
        if isinstance(self.plan, Plan):
            self._forecaster = DirectForecaster.restore(regressor, forecaster.spec, forecaster.state)

    def _check(self, values: npt.NDArray[np.float64], shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise ValueError(f"the forecaster returned the shape {values.shape} instead of {shape}")
        if not self._nullable and not np.isfinite(values).all():
            raise ValueError("the forecaster returned NaN or an infinity")


def check_forecaster_options(
    forecaster: Forecaster, schema: Schema, target: str | Sequence[str], form: InputForm | None
) -> None:
    """Raise `ConfigurationError` if an option of `Predictor` does not fit *forecaster*.

    Args:
        forecaster: Forecaster.
        schema: Schema, changed by the option ``columns``.
        target: Option ``target``.
        form: Option ``input``.
    """
    name, columns = forecaster.spec.target, {column.name: column for column in schema}
    for column in forecaster.spec.schema():
        own = columns.get(column.name)
        if own is None or not (own.numeric if column.numeric else column.kind in ("any", own.kind)):
            kind = "numbers" if column.numeric else "text"
            raise ConfigurationError(
                f"schema must have the column {column.name!r} with {kind} for this forecaster"
                f" (got {own and own.kind!r})"
            )
    if target not in ("prediction", name):
        raise ConfigurationError(
            f"target must be left out for a forecaster, whose spec has the target {name!r} (got {target!r})"
        )
    if form is not None:
        raise ConfigurationError(
            f"input must be None for a forecaster, which gets the history of series (got {form!r})"
        )


def try_forecast(
    score: Callable[[ForecastRequest], Prediction], schema: Schema, forecaster: Forecaster
) -> str | None:
    """Test *forecaster* with its example, or with generated rows if it has none. See `Predictor.warm`.

    Args:
        score: Function that returns the prediction for a request.
        schema: Schema of the rows.
        forecaster: Forecaster to test.

    Returns:
        None, or the reason why the test is inconclusive.

    Raises:
        ConfigurationError: The forecaster cannot predict its example.
    """
    try:
        isolate_errors(score, read_request(schema.read(rows_to_test(forecaster)), forecaster))
    except Exception as error:
        if not getattr(forecaster, "example", None):
            return f"the forecaster rejected generated rows ({error!r})"
        raise ConfigurationError(f"model must be able to predict its example (got {error!r})") from error
    return None


class _PlannedRegressor:
    """Wrapper around *regressor* that predicts with its exact plan if there is one.

    Args:
        regressor: Fitted regressor.
        plans: Whether to use a plan (see `Estimator`).
        name: Name of the model in log messages.

    Attributes:
        plan: The plan, or the reason why there is none.
    """

    def __init__(self, regressor: Any, plans: bool | Literal["onnx"], name: str) -> None:
        schema = Schema.from_model(regressor)
        self._columns = schema.columns
        self._estimator = Estimator(
            regressor, schema, "prediction", plans=plans, name=name, sample=None, nullable=True
        )
        self.plan = self._estimator.plan

    def predict(self, features: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Return the prediction of each row of *features*."""
        return self._estimator(Table(self._columns, features, [])).values

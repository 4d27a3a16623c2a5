"""Forecast with fitted models of statsforecast."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from .checks import require_history, require_levels, require_spec
from .example import generate_rows
from .forecaster import Future, Window
from .spec import TimeSeriesSpec

__all__ = ["StatsforecastForecaster"]


class StatsforecastForecaster:
    """Forecaster that applies fitted models of statsforecast to the history in a request.

    Each series has its own model. The model's method ``forward`` applies the trained parameters to the
    history. The models are not changed. Series without a model are rejected.

    Args:
        models: Fitted model, or for several series a mapping from their names to their models. After
            ``engine.fit(…)`` of a ``StatsForecast``, this is ``dict(zip(engine.uids, engine.fitted_[:, 0]))``.
        spec: Columns, step and windows of the series. Columns known in advance are not supported, because
            ``forward`` would need their past values, and a `Window` contains only past values of the target.
        levels: Levels of the prediction intervals of the models, in percent; empty for no intervals.

    Raises:
        ConfigurationError: The value of an option is not valid, or a model cannot be applied to the history
            that *spec* describes.
    """

    def __init__(self, models: Any, spec: TimeSeriesSpec, *, levels: Sequence[float] = ()) -> None:
        require_spec(spec)
        require_levels(levels)
        if spec.known_in_advance:
            raise ConfigurationError(
                f"known_in_advance must be empty for models of statsforecast (got {spec.known_in_advance!r})"
            )
        if isinstance(models, Mapping) != (spec.series_id is not None):
            raise ConfigurationError(
                "models must be a mapping from series to models if the spec has a series_id, else one model"
                f" (got {models!r})"
            )
        self._models = (
            {str(name): model for name, model in models.items()}
            if isinstance(models, Mapping)
            else {"": models}
        )
        for model in self._models.values():
            _check_model(model, spec, levels)
        self.spec = spec
        self.levels = list(levels)
        self.series = None if spec.series_id is None else frozenset(self._models)
        self.example = generate_rows(self)

    def forecast(self, window: Window, horizon: int, future: Future) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return the prediction of each row; see `Forecaster`."""
        return self._forward(window, future, ["mean"])[:, 0]

    def intervals(
        self,
        window: Window,
        future: Future,
        values: npt.NDArray[np.float64],  # noqa: ARG002
        level: float,
    ) -> npt.NDArray[np.float64]:
        """Return the lower and upper end of each row's prediction interval; see `Forecaster`."""
        return self._forward(window, future, [f"lo-{level}", f"hi-{level}"], level=[level])

    def _forward(
        self, window: Window, future: Future, names: Sequence[str], **options: Any
    ) -> npt.NDArray[np.float64]:
        """Return the results *names* of ``forward`` for each row, as an array of shape (rows, names)."""
        results = np.empty((len(future.steps), len(names)))
        steps = future.steps - self.spec.feature_derivation_window[1]  # from the end of the history
        for history, (series, values) in enumerate(zip(window.series, window.values, strict=True)):
            rows = np.flatnonzero(future.history == history)
            result = self._models[series].forward(values, int(steps[rows].max()), **options)
            results[rows] = np.stack([np.asarray(result[name]) for name in names], axis=1)[steps[rows] - 1]
        return results


def _check_model(model: Any, spec: TimeSeriesSpec, levels: Sequence[float]) -> None:
    if not hasattr(model, "forward") or not hasattr(model, "model_"):
        raise ConfigurationError(
            f"models must be fitted models of statsforecast with the method forward (got {model!r})"
        )
    require_history(spec, int(np.max(getattr(model, "season_length", 1))))
    if levels and getattr(model, "prediction_intervals", None) is not None:
        raise ConfigurationError(
            "levels must be empty for a model with prediction_intervals, which would fit copies of itself to"
            f" the history of each request (got {levels!r} for {model!r})"
        )

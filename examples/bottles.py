"""Sales of two wines, generated with a seed, and a forecaster of the bottles sold in the next week."""

from datetime import date, timedelta
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from modelgate import DirectForecaster, ModelPackage, TimeSeriesSpec

__all__ = ["HISTORY", "fit_bottles", "sales"]

WINES = {"Barolo": 40.0, "Grignolino": 90.0}

SPEC = TimeSeriesSpec(
    date_column="date",
    target="bottles",
    series_id="wine",
    step="1D",
    feature_derivation_window=(-13, 0),
    forecast_window=(1, 7),
)


def sales(days: int = 730) -> list[dict[str, Any]]:
    """Return the bottles sold on each day until the end of 2023: more at weekends and before Christmas."""
    random, start = np.random.default_rng(0), date(2023, 12, 31) - timedelta(days - 1)
    dates = [start + timedelta(day) for day in range(days)]
    weekend = np.array([day.weekday() >= 4 for day in dates])
    season = np.array([np.cos(2 * np.pi * (day.timetuple().tm_yday - 350) / 365) for day in dates])
    rows = []
    for wine, level in WINES.items():
        noise = random.normal(scale=0.08, size=days)
        bottles = level * (1 + 0.5 * weekend + 0.3 * season + noise)
        rows += [
            {"date": day.isoformat(), "wine": wine, "bottles": float(round(count))}
            for day, count in zip(dates, bottles, strict=True)
        ]
    return rows


HISTORY = [row for row in sales() if row["date"] > "2023-12-17" and row["wine"] == "Barolo"]
"""Two weeks of one wine: an example of a request."""


def fit_bottles() -> ModelPackage:
    """Return the package of a forecaster that is fitted to both wines."""
    return ModelPackage.from_forecaster(DirectForecaster(Ridge(), SPEC).fit(sales()), name="bottles")

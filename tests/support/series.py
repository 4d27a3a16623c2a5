"""Generated series, and forecasters that are simple enough to check by hand."""

import datetime

import numpy as np

from modelgate.forecasting import TimeSeriesSpec

SPEC = TimeSeriesSpec(
    date_column="date",
    target="sales",
    series_id="store",
    step="1D",
    feature_derivation_window=(-3, 0),
    forecast_window=(1, 3),
    known_in_advance=["promo"],
)


class Drift:
    """Forecaster that continues the last value by the mean change per step, and adds 10 for `promo`."""

    def __init__(self, spec=SPEC):
        self.spec, self.series, self.medians = spec, frozenset({"1", "2"}), {"promo": 0.0}
        self.calls = []

    def forecast(self, window, horizon, future):
        self.calls.append((window, horizon, future))
        last = window.values[:, -1]
        drift = (last - window.values[:, 0]) / (window.values.shape[1] - 1)
        known = sum(10 * future.columns[name] for name in self.spec.known_in_advance)
        return last[future.history] + drift[future.history] * future.steps + known


def daily(start, count):
    """Return *count* dates from *start*, as texts."""
    first = datetime.date.fromisoformat(start)
    return [(first + datetime.timedelta(days)).isoformat() for days in range(count)]


def drift_rows(stores=(1, 2), start="2018-01-01", history=5, future=3):
    """Return rows of series that grow by one a day: store 1 from 100, store 2 from 200."""
    return [
        {
            "date": date,
            "store": store,
            "sales": 100.0 * store + day if day < history else None,
            "promo": 0,
        }
        for store in stores
        for day, date in enumerate(daily(start, history + future))
    ]


def sales_rows(stores=3, days=730, start="2016-01-01", seed=0):
    """Return daily sales with a weekly pattern, a trend, promotions and correlated noise."""
    random, rows = np.random.default_rng(seed), []
    for store in range(1, stores + 1):
        noise = 0.0
        for day, date in enumerate(daily(start, days)):
            promo = int(random.random() < 0.15)
            noise = 0.5 * noise + 0.03 * random.normal()
            pattern = 1 + 0.3 * np.sin(2 * np.pi * day / 7) + 0.2 * promo + day / 3000 + noise
            rows.append(
                {"date": date, "store": store, "sales": float(1000 * store * pattern), "promo": promo}
            )
    return rows

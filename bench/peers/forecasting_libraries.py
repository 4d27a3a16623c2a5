"""Forecasts of skforecast and mlforecast for `bench/forecasting.py`.

Fits the model, then, for each line on standard input, forecasts the request for a while and prints the
milliseconds of CPU of one forecast: JSON in, JSON out.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

warnings.simplefilter("ignore")
REGRESSORS = {"Ridge": Ridge, "HistGradientBoosting": HistGradientBoostingRegressor}
LAGS, STEPS = 14, 7


def read_frame(content):
    frame = pd.DataFrame(json.loads(content))
    frame["date"] = pd.to_datetime(frame["date"])
    return frame


def pivot(frame, column):
    return frame.pivot(index="date", columns="store", values=column).asfreq("D")


def skforecast_model(regressor, rows):
    from skforecast.recursive import ForecasterRecursiveMultiSeries

    def split_exog(frame):
        return {
            store: part.set_index("date")[["promo"]].asfreq("D") for store, part in frame.groupby("store")
        }

    forecaster = ForecasterRecursiveMultiSeries(regressor, lags=LAGS, encoding="ordinal")
    forecaster.fit(series=pivot(rows, "sales"), exog=split_exog(rows))

    def forecast(content):
        frame = read_frame(content)
        future = frame["sales"].isna()
        known = pivot(frame[~future], "sales")
        result = forecaster.predict(steps=STEPS, last_window=known, exog=split_exog(frame[future]))
        return result.reset_index().to_json(orient="records", date_format="iso")

    return forecast


def mlforecast_model(regressor, rows):
    from mlforecast import MLForecast

    names = {"store": "unique_id", "date": "ds", "sales": "y"}
    forecaster = MLForecast(
        {"sales": regressor}, freq="D", lags=range(1, LAGS + 1), date_features=["dayofweek"]
    )
    forecaster.fit(rows.rename(columns=names), static_features=[])

    def forecast(content):
        frame = read_frame(content).rename(columns=names)
        future = frame["y"].isna()
        result = forecaster.predict(STEPS, new_df=frame[~future], X_df=frame[future].drop(columns="y"))
        return result.to_json(orient="records", date_format="iso")

    return forecast


def main():
    library, regressor, rows, request = sys.argv[1:]
    build = {"skforecast": skforecast_model, "mlforecast": mlforecast_model}[library]
    forecast = build(REGRESSORS[regressor](), read_frame(Path(rows).read_bytes()))
    content = Path(request).read_bytes()
    if len(json.loads(forecast(content))) != 3 * STEPS:
        sys.exit(f"{library} forecasts something else")
    for _ in sys.stdin:
        start, count = time.process_time(), 0
        while count < 3 or time.process_time() - start < 0.1:
            forecast(content)
            count += 1
        print((time.process_time() - start) / count * 1e3, flush=True)


if __name__ == "__main__":
    main()

"""Forecast 3 series for 7 days: the JSON of a request in, the JSON of the response out.

In process, in CPU time, without a server: key, limits, window and encoding are part of ours. With PEERS=1, also
skforecast and mlforecast on the same request, in an environment below .bench/ (700 MB) and a process of their
own. All take turns in one run; figures are the median of the rounds. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/forecasting.py
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from modelgate import Deployment, DirectForecaster, Gate, TimeSeriesSpec
from modelgate.testing import Client

ROUNDS = 9
ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".bench" / "forecasting"
PEERS = bool(os.environ.get("PEERS"))
REQUIREMENTS = ["skforecast", "mlforecast", f"scikit-learn=={sklearn.__version__}"]
KEY = "a-key-for-the-benchmark"
SPEC = TimeSeriesSpec(
    date_column="date",
    target="sales",
    series_id="store",
    step="1D",
    feature_derivation_window=(-13, 0),
    forecast_window=(1, 7),
    known_in_advance=["promo"],
)
REGRESSORS = {"Ridge": (Ridge(), 1.0), "HistGradientBoosting": (HistGradientBoostingRegressor(), 3.0)}
"""Regressors, with the goal for one request in milliseconds."""


def make_rows(days: int = 730) -> list[dict[str, Any]]:
    """Return daily sales of three stores, with a weekly pattern and promotions."""
    random, start = np.random.default_rng(0), datetime.date(2016, 1, 1)
    rows = []
    for store in ("a", "b", "c"):
        promo = random.random(days) < 0.15
        noise = random.normal(scale=0.05, size=days)
        sales = 100 * (1 + 0.3 * np.sin(2 * np.pi * np.arange(days) / 7) + 0.2 * promo + noise)
        for day in range(days):
            date = (start + datetime.timedelta(day)).isoformat()
            rows.append(
                {"date": date, "store": store, "sales": float(sales[day]), "promo": float(promo[day])}
            )
    return rows


def make_request(rows: list[dict[str, Any]]) -> bytes:
    """Return a request with the last 14 rows of each series as history, and the 7 days after them."""
    last = sorted({row["date"] for row in rows})[-21:]
    recent = [{**row, "sales": row["sales"] if row["date"] < last[14] else None} for row in rows]
    return msgspec.json.encode([row for row in recent if row["date"] >= last[0]])


def serve(regressor: Any, rows: list[dict[str, Any]], request: bytes) -> Callable[[], object]:
    """Return a function that sends *request* to a gate."""
    forecaster = DirectForecaster(regressor, SPEC).fit(rows)
    gate = Gate([Deployment("sales", forecaster)], keys={KEY: "sales"})
    client = Client(gate.wsgi, headers={"x-api-key": KEY, "content-type": "application/json"})
    response = client.post("/deployments/sales/predict", body=request)
    if len(response.json()["forecast"]) != 21:
        raise RuntimeError(f"the gate answers {response.body!r}")
    return lambda: client.post("/deployments/sales/predict", body=request)


def measure(function: Callable[[], object]) -> float:
    """Return the milliseconds of CPU of *function*."""
    start, count = time.process_time(), 0
    while count < 3 or time.process_time() - start < 0.1:
        function()
        count += 1
    return (time.process_time() - start) / count * 1e3


def install() -> bool:
    """Create the environment of the peers if needed; print pip's error and return False if that fails."""
    stamp = CACHE / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != REQUIREMENTS:
        subprocess.run([sys.executable, "-m", "venv", CACHE], check=True)
        pip = [str(CACHE / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            print(f"the peers cannot be installed: {done.stderr.strip().splitlines()[-1]}")
            return False
        stamp.write_text(json.dumps(REQUIREMENTS))
    return True


@contextmanager
def start_peer(library: str, regressor: str, rows: Path, request: Path) -> Iterator[Callable[[], float]]:
    """Start the process of a peer; yield a function that returns its milliseconds of CPU for one request."""
    script = ROOT / "bench" / "peers" / "forecasting_libraries.py"
    command = [str(CACHE / "bin" / "python"), str(script), library, regressor, str(rows), str(request)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None and stdout is not None

        def measure_peer() -> float:
            stdin.write("\n")
            stdin.flush()
            return float(stdout.readline())

        yield measure_peer
        stdin.close()


def take_turns(functions: dict[tuple[str, str], Callable[[], float]]) -> dict[tuple[str, str], float]:
    """Call the functions in turns; return the median of the values of each."""
    values: dict[tuple[str, str], list[float]] = {key: [] for key in functions}
    for turn in range(ROUNDS + 1):
        for key, function in functions.items():
            value = function()
            if turn:  # The first turn warms up.
                values[key].append(value)
    return {key: statistics.median(turns) for key, turns in values.items()}


def main() -> None:
    """Print the table."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1: threads of BLAS and OpenMP would make the figures depend on load")
    rows = make_rows()
    request = make_request(rows)
    with ExitStack() as stack:
        functions: dict[tuple[str, str], Callable[[], float]] = {}
        for name, (regressor, _) in REGRESSORS.items():
            call = serve(regressor, rows, request)
            functions[name, "modelgate"] = partial(measure, call)
        if PEERS and install():
            files = CACHE / "rows.json", CACHE / "request.json"
            for path, content in zip(files, (msgspec.json.encode(rows), request), strict=True):
                path.write_bytes(content)
            for name in REGRESSORS:
                for library in ("skforecast", "mlforecast"):
                    functions[name, library] = stack.enter_context(start_peer(library, name, *files))
        print_table(take_turns(functions))


def print_table(medians: dict[tuple[str, str], float]) -> None:
    """Print a line for each regressor: ours, its goal, and how much longer the quicker peer takes."""
    print(
        f"{'3 series x 7 days, JSON to JSON':<32}{'ours':>10}{'goal':>10}{'quickest peer':>26}{'ratio':>8}{'goal':>8}"
    )
    for name, (_, goal) in REGRESSORS.items():
        ours = medians[name, "modelgate"]
        peers = {library: value for (kind, library), value in medians.items() if kind == name}
        del peers["modelgate"]
        line = f"{name:<32}{ours:>7.2f} ms{f'< {goal:.0f} ms':>10}"
        if peers:
            library = min(peers, key=peers.__getitem__)
            line += f"{f'{library} {peers[library]:.1f} ms':>26}{peers[library] / ours:>8.1f}{'>= 10':>8}"
        print(line)


if __name__ == "__main__":
    main()

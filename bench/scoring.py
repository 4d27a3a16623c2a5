"""Cost of the scoring features, with the same request without the feature.

In process, in CPU time. Both requests take turns in one run; figures are the median of the rounds. Run with BLAS
and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/scoring.py
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Deployment, Exposure, Gate, ModelPackage, Schema, Table
from modelgate.humility import LowObservationRegion, OutlyingInput, OverridePrediction, UncertainPrediction
from modelgate.testing import Client

ROUNDS = 200
CALLS = 20


def compare(*functions: Callable[[], Any], rounds: int = ROUNDS) -> Sequence[float]:
    """Return the median of the seconds that a call of each function takes."""
    spent: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, times in zip(functions, spent, strict=True):
            start = time.process_time()
            for _ in range(CALLS):
                function()
            times.append((time.process_time() - start) / CALLS)
    return [statistics.median(times) for times in spent]


def measure_humility() -> None:
    """Print the cost of humility rules for one row and for a thousand, with usual values and with others."""
    schema = Schema.of(age=float, income=float, territory=str)
    usual = [
        UncertainPrediction(-1e9, 1e9),
        OutlyingInput("age", 18, 99),
        LowObservationRegion("territory", ["A", "B"]),
    ]
    triggered = [
        UncertainPrediction(1e9),
        OutlyingInput("age", 90, 99, action=OverridePrediction(1)),
        LowObservationRegion("territory", ["B"]),
    ]
    gate = Gate(
        [
            Deployment(name, double_age, schema=schema, humility=rules)
            for name, rules in {"plain": [], "usual": usual, "triggered": triggered}.items()
        ],
        keys="open",
    )
    row = {"age": 41.0, "income": 52_000.0, "territory": "A"}
    for count, goal in ((1, 20), (1000, 500)):
        rows = msgspec.json.encode([row] * count)
        plain, three, all_three = compare(
            *(partial(gate.score, name, rows) for name in ("plain", "usual", "triggered")),
            rounds=ROUNDS if count == 1 else ROUNDS // 10,
        )
        title = f"three humility rules, {count} row{'s' * (count > 1)}"
        print(
            f"{title:38}{(three - plain) * 1e6:7.1f} µs  (< {goal}), {(all_three - plain) * 1e6:.1f} µs if triggered"
        )


def double_age(table: Table) -> Any:
    """Predict twice the age."""
    return table["age"] * 2


def measure_exposure() -> None:
    """Print the cost of an exposure for one row and for a thousand."""
    schema, exposure = Schema.of(age=float, years=float), Exposure("years", model_predicts="rate")
    gate = Gate(
        [
            Deployment("plain", double_age, schema=schema),
            Deployment("exposed", double_age, schema=schema, exposure=exposure),
        ],
        keys="open",
    )
    row = {"age": 41.0, "years": 0.5}
    for count in (1, 1000):
        rows = msgspec.json.encode([row] * count)
        plain, exposed = compare(
            *(partial(gate.score, name, rows) for name in ("plain", "exposed")),
            rounds=ROUNDS if count == 1 else ROUNDS // 10,
        )
        title = f"exposure, {count} row{'s' * (count > 1)}"
        print(f"{title:38}{(exposed - plain) * 1e6:7.1f} µs")


def measure_intervals() -> None:
    """Print the cost of prediction intervals for one row."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(1000, 5))
    y = rows.sum(axis=1) + random.normal(size=1000)
    package = ModelPackage.from_estimator(Ridge().fit(rows[:500], y[:500]), rows[:500], y[:500])
    gate = Gate([Deployment("price", package.calibrate(rows[500:], y[500:]))], keys="open")
    row = {f"x{index}": 0.5 for index in range(5)}
    plain, one, three = compare(
        lambda: gate.score("price", row),
        lambda: gate.score("price", row, intervals=[90]),
        lambda: gate.score("price", row, intervals=[80, 90, 95]),
    )
    print(f"intervals, one level{'':17}{(one - plain) * 1e6:7.1f} µs  (< 10)")
    print(f"intervals, three levels{'':15}{(three - plain) * 1e6:7.1f} µs")


def measure_explanations() -> None:
    """Print the cost of three explanations per row, for one row and for a hundred."""
    frame, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    models = {
        "linear": (make_pipeline(StandardScaler(), LogisticRegression()), 0.1),
        "forest(100)": (RandomForestClassifier(100, random_state=0), 0.5),
    }
    for name, (model, goal) in models.items():
        package = ModelPackage.from_estimator(model.fit(frame, labels), frame)
        gate = Gate(
            [Deployment("plain", package), Deployment("explained", package, explanations="auto")], keys="open"
        )
        for count in (1, 100):
            rows = msgspec.json.encode(frame.head(count).to_dict("records"))
            plain, unused, explained = compare(
                partial(gate.score, "plain", rows),
                partial(gate.score, "explained", rows),
                partial(gate.score, "explained", rows, explain=3),
                rounds=ROUNDS // 10,
            )
            title = f"three explanations, {name}, {count} row{'s' * (count > 1)}"
            print(
                f"{title:38}{(explained - plain) / count * 1e3:7.3f} ms a row  (< {goal}),"
                f" {(unused - plain) * 1e6:.1f} µs if not requested"
            )


def measure_curve() -> None:
    """Print the cost of a response curve of 50 points, as a ratio to a request with 50 rows."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 5))
    model = RandomForestRegressor(20, random_state=0).fit(rows, rows.sum(axis=1))
    linear = Ridge().fit(rows, rows.sum(axis=1))
    deployments = [
        Deployment(name, ModelPackage.from_estimator(estimator, rows))
        for name, estimator in {"forest": model, "linear": linear}.items()
    ]
    client = Client(Gate(deployments, keys="open").wsgi)
    row = {f"x{index}": 0.5 for index in range(5)}
    grid = np.linspace(-1, 1, 50).tolist()
    many = [{**row, "x0": value} for value in grid]
    for name in ("forest", "linear"):
        curve, rows_alone = compare(
            partial(client.post, f"/deployments/{name}/curves", json={"row": row, "column": "x0"}),
            partial(client.post, f"/deployments/{name}/predict", json=many),
        )
        print(f"curve of 50 points, {name:<6}  {curve / rows_alone:7.2f} times 50 rows  (< 1.5)")


def main() -> None:
    """Print the figures of all features."""
    measure_humility()
    measure_exposure()
    measure_intervals()
    measure_explanations()
    measure_curve()


if __name__ == "__main__":
    main()

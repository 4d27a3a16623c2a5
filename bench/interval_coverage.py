"""Coverage of prediction intervals: the share of new rows whose true value is in its interval.

Mean of 20 splits of each data set, for intervals from calibration rows and, for comparison, from training rows.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import RandomForestRegressor

from modelgate import Deployment, Gate, ModelPackage

SPLITS = 20
LEVELS = (80, 90, 95)

Data = tuple[NDArray[np.float64], NDArray[np.float64]]


def friedman(seed: int) -> Data:
    """Return rows and targets whose noise grows with the target."""
    rows, y = make_friedman1(3000, random_state=seed)
    return rows, y + np.random.default_rng(seed).normal(size=3000) * y / 10


def diabetes(seed: int) -> Data:
    """Return the diabetes data in a random order."""
    rows, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[order], y[order]


def measure(data: Data, train: int, calibrate: int) -> NDArray[np.float64]:
    """Return the coverage by level: first from calibration rows, then from training rows."""
    rows, y = data
    fitted, held_out, new = np.split(np.arange(len(rows)), [train, train + calibrate])
    model = RandomForestRegressor(60, random_state=0).fit(rows[fitted], y[fitted])
    package = ModelPackage.from_estimator(model, rows[fitted], y[fitted])
    packages = [
        package.calibrate(rows[held_out], y[held_out]),
        package.calibrate(rows[fitted], y[fitted], allow_training_rows=True),
    ]
    return np.array([coverage(it, rows[new], y[new]) for it in packages])


def coverage(package: ModelPackage, rows: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    """Return the coverage of each level."""
    gate = Gate([Deployment("model", package)], keys="open")
    intervals = gate.score("model", rows, intervals=LEVELS).intervals
    assert intervals is not None
    return [float(np.mean((limits[:, 0] <= y) & (y <= limits[:, 1]))) for limits in intervals.values()]


def main() -> None:
    """Print the table."""
    print("data        from         " + "".join(f"{level:>8} %" for level in LEVELS))
    for name, make, train, calibrate in (
        ("friedman1", friedman, 1000, 500),
        ("diabetes", diabetes, 242, 100),
    ):
        runs = np.array([measure(make(seed), train, calibrate) for seed in range(SPLITS)])
        for source, figures in zip(("calibration", "training"), runs.swapaxes(0, 1), strict=True):
            shown = zip(figures.mean(axis=0), figures.std(axis=0), strict=True)
            print(f"{name:<12}{source:<13}" + "".join(f"{m:>6.1%}±{s:.1%}" for m, s in shown))


if __name__ == "__main__":
    main()

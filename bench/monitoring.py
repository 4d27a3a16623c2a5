"""Measure what metrics, a prediction log and drift monitoring add to a request, in the thread that answers it.

In process, without a server: CPU time of the thread, so without the threads that write. The gates take turns in
one run; figures are the median of the rounds. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/monitoring.py
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from modelgate import Deployment, DriftMonitor, Gate, ModelPackage, PredictionLog
from overhead import CLASSES, COLUMNS, KEY, send_wsgi

ROUNDS, REQUESTS = 15, 1_000
GOAL = 10.0


def make_package() -> ModelPackage:
    """Return a fitted classifier with training statistics."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(2_000, len(COLUMNS))), columns=COLUMNS)
    labels = np.array(CLASSES)[(frame.iloc[:, 0] > 0).to_numpy().astype(int)]
    return ModelPackage.from_estimator(LogisticRegression().fit(frame, labels), X=frame, y=labels)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        package = make_package()
        package.save(Path(folder) / "model.mgpkg")

        def make_gate(**options: Any) -> Gate:
            deployment = Deployment("model", Path(folder) / "model.mgpkg", offload=False)
            return Gate([deployment], keys={KEY: "model"}, **options)

        log, monitor = PredictionLog(Path(folder) / "log", sample=0.999), DriftMonitor()
        gates = {
            "without metrics": make_gate(metrics=False),
            "metrics": make_gate(),
            "metrics of all processes": make_gate(metrics_dir=Path(folder) / "metrics"),
            "metrics of all processes, log and drift": make_gate(
                metrics_dir=Path(folder) / "all", on_prediction=[log, monitor]
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in gates}
        for turn in range(ROUNDS + 1):
            for name, gate in gates.items():
                start = time.thread_time()
                send_wsgi(gate.wsgi, REQUESTS)
                if turn:  # The first turn warms up.
                    times[name].append((time.thread_time() - start) / REQUESTS * 1e6)
        log.close()
        monitor.close()
    base = statistics.median(times["without metrics"])
    print(f"{'us of CPU a request':42}{'all':>8}{'more':>8}{'goal':>8}")
    for name, spent in times.items():
        took = statistics.median(spent)
        print(f"{name:42}{took:8.1f}{took - base:8.1f}{f'<= {GOAL:.0f}':>8}")


if __name__ == "__main__":
    main()

"""Measure the wire formats: one row in and out of each, and 50 MB of CSV in and out.

In process, without a server. One row: CPU time without scoring; the formats take turns, and figures are the
median of the rounds. 50 MB: one process per variant, to measure memory. Run with BLAS and OpenMP threads
pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/dialects.py
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import pandas
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Deployment, Gate, Output, Prediction, Schema, drive
from modelgate.dialects import DIALECTS
from modelgate.inference import Predictor
from modelgate.testing import request

ROUNDS, REQUESTS, CSV_ROUNDS = 15, 1_000, 5
CSV_BYTES = 50_000_000
GOAL_US, GOAL_RATIO, GOAL_TIMES = 25, 0.4, 3

ROW = {f"column {index}": round(index * 1.2345, 4) for index in range(30)}
SCHEMA = Schema.of(**dict.fromkeys(ROW, float))

BODIES: dict[str, tuple[str, object]] = {
    "mlclever": ("/api/predict", {"api_key": "a-key-for-the-benchmark", "input_data": ROW}),
    "plexe": ("/predict/model", ROW),
    "peltarion": ("/deployment/model/forward", {"rows": [ROW]}),
    "simple": ("/simple/model", ROW),
    "open_inference": (
        "/v2/models/model/infer",
        {"inputs": [{"name": "row", "shape": [1, 30], "datatype": "FP64", "data": list(ROW.values())}]},
    ),
    "open_inference, a tensor per column": (
        "/v2/models/model/infer",
        {
            "inputs": [
                {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
                for name, value in ROW.items()
            ]
        },
    ),
    "tf_serving": ("/v1/models/model:predict", {"instances": [ROW]}),
    "mlflow": ("/invocations", {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}),
    "datarobot": ("/predApi/v1.0/deployments/model/predictions", [ROW]),
}
"""Path and body of a one-row request for each JSON dialect. The name of the dialect may have a comma and a note."""


def one_row() -> None:
    """Print the cost of one row: the dialect alone, and with the schema."""
    trips = {name: round_trips(name, *request) for name, request in BODIES.items()}
    times = compare([trip for pair in trips.values() for trip in pair])
    print(f"{'us of CPU for one row of 30 columns':40}{'dialect':>10}{'and schema':>12}{'goal':>8}")
    for index, name in enumerate(trips):
        print(f"{name:40}{times[2 * index]:10.1f}{times[2 * index + 1]:12.1f}{f'< {GOAL_US}':>8}")


def round_trips(name: str, path: str, value: object) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return functions that decode and encode one row, without and with the schema."""
    dialect, body = DIALECTS[name.partition(",")[0]](), msgspec.json.encode(value)
    http_request = request(path=path, headers={"content-type": "application/json"}, body=body)
    output = Output("diagnosis", np.array(["benign"]), ["benign", "malignant"], np.array([[0.75, 0.25]]))
    prediction, predictor = Prediction([output], cache_hit=True), Predictor(len, SCHEMA, model_id="model")

    def trip(read: Callable[[object], object]) -> None:
        http_request.context.envelope = http_request.content = None
        query = drive(dialect.decode(http_request))
        query.predictor = predictor
        read(query.rows)
        dialect.encode(http_request, query, prediction)

    return lambda: trip(type), lambda: trip(SCHEMA.read)


def compare(functions: list[Callable[[], object]]) -> list[float]:
    """Return the microseconds of CPU of each function; the functions take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(ROUNDS + 1):
        for function, spent in zip(functions, times, strict=True):
            start = time.process_time()
            for _ in range(REQUESTS):
                function()
            if turn:  # The first turn warms up.
                spent.append((time.process_time() - start) / REQUESTS * 1e6)
    return [statistics.median(spent) for spent in times]


def large_csv() -> None:
    """Print speed and memory of scoring 50 MB of CSV, compared to hand-written code."""
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(CSV_ROUNDS):
        for variant, figures in runs.items():
            done = subprocess.run([sys.executable, __file__, variant], check=True, capture_output=True)
            figures.append(json.loads(done.stdout))
    median = {
        variant: {key: statistics.median(run[key] for run in figures) for key in figures[0]}
        for variant, figures in runs.items()
    }
    base = median["read_csv + predict + to_csv"]
    heads = "".join(
        f"{head:>10}" for head in ("krows/s", "of base", "CPU s", "of base", "MiB more", "MiB out")
    )
    print(f"\n{'50 MB of CSV to predictions':32}{heads}")
    for variant, run in median.items():
        speed, by_time = run["rows"] / run["seconds"] / 1000, base["seconds"] / run["seconds"]
        by_cpu = base["cpu"] / run["cpu"]
        print(
            f"{variant:32}{speed:10.0f}{by_time:10.2f}{run['cpu']:10.2f}{by_cpu:10.2f}"
            f"{run['mib']:10.0f}{run['out_mib']:10.1f}"
        )
    allowed = GOAL_TIMES * base["body_mib"]
    print(f"{'goal, of CSV to CSV':32}{'':10}{f'>= {GOAL_RATIO}':>10}{'':20}{f'< {allowed:.0f}':>10}")


def by_hand(body: bytes, model: Any) -> Iterable[bytes]:
    """Return what simple hand-written code returns: the labels."""
    predicted = model.predict(pandas.read_csv(io.BytesIO(body)))
    return [pandas.DataFrame({"prediction": predicted}).to_csv(index=False).encode()]


def by_hand_with_probabilities(body: bytes, model: Any) -> Iterable[bytes]:
    """Return the same columns as the dialect."""
    frame = pandas.read_csv(io.BytesIO(body))
    output = pandas.DataFrame(
        model.predict_proba(frame), columns=["target_1_PREDICTION", "target_0_PREDICTION"]
    )
    output["target_PREDICTION"], output["THRESHOLD"], output["POSITIVE_CLASS"] = model.predict(frame), 0.5, 1
    return [output.to_csv(index=False).encode()]


def by_gate(body: bytes, model: Any, accept: str = "text/csv") -> Iterable[bytes]:
    """Return the pieces of the response of a gate, without a server."""
    gate = Gate([Deployment("model", model)], keys="open", dialects=["datarobot"])
    headers = {"content-type": "text/csv", "accept": accept}
    response = drive(gate(request(path=BODIES["datarobot"][0], headers=headers, body=body)))
    if response.status != 200:
        raise RuntimeError(response.body)
    return [response.body] if isinstance(response.body, bytes) else response.body


VARIANTS: dict[str, Callable[[bytes, Any], Iterable[bytes]]] = {
    "read_csv + predict + to_csv": by_hand,
    "the same, with probabilities": by_hand_with_probabilities,
    "datarobot, CSV to CSV": by_gate,
    "datarobot, CSV to JSON": lambda body, model: by_gate(body, model, "application/json"),
}


def measure(variant: str) -> None:
    """Run one variant over 50 MB in this process and print the figures as JSON."""
    answer = VARIANTS[variant]
    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, target)
    head, _, lines = frame.to_csv(index=False).encode().partition(b"\n")
    # Warm up, to leave out the start of the libraries.
    sum(map(len, answer(head + b"\n" + lines * 3, model)))
    body = b"".join(
        [head, b"\n", *[lines] * (CSV_BYTES // len(lines))]
    )  # A second copy would distort the memory figure.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(map(len, answer(body, model)))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # Memory is measured on the first run, speed on the second, like that of a warm server.
    cpu, start = time.process_time(), time.perf_counter()
    sum(map(len, answer(body, model)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    figures = {"rows": body.count(b"\n"), "seconds": seconds, "cpu": cpu, "mib": more}
    print(json.dumps({**figures, "out_mib": size / 2**20, "body_mib": len(body) / 2**20}))


def main() -> None:
    """Print the tables."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    one_row()
    large_csv()


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()

"""What the wire formats cost: one row in and out of each, and 50 MB of CSV in and out.

In process, no server. One row is CPU time, without scoring, the formats taking turns in one run; the
figure is the median of the rounds. 50 MB have a process each way, for their memory. Run with BLAS and
OpenMP threads pinned::

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
from collections.abc import Callable
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
from modelgate.scoring import Predictor
from modelgate.testing import request

ROUNDS, REQUESTS, CSV_ROUNDS = 15, 1_000, 5
CSV_BYTES = 50_000_000
GOAL_US, GOAL_RATIO, GOAL_TIMES = 25, 0.4, 3

ROW = {f"column {at}": round(at * 1.2345, 4) for at in range(30)}
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
    "tf_serving": ("/v1/models/model:predict", {"instances": [ROW]}),
    "mlflow": ("/invocations", {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}),
    "datarobot": ("/predApi/v1.0/deployments/model/predictions", [ROW]),
}
"""For each dialect that speaks JSON a path, and a body with one row."""


def one_row() -> None:
    """The dialect alone, and with what reads the row."""
    asked = {name: round_trip(name, *told) for name, told in BODIES.items() if name in DIALECTS}
    found = compare([trip for trips in asked.values() for trip in trips])
    print(f"{'us of CPU for one row of 30 columns':40}{'dialect':>10}{'and schema':>12}{'goal':>8}")
    for at, name in enumerate(asked):
        print(f"{name:40}{found[2 * at]:10.1f}{found[2 * at + 1]:12.1f}{f'< {GOAL_US}':>8}")


def round_trip(name: str, path: str, value: object) -> tuple[Callable[[], object], Callable[[], object]]:
    """Decoding and encoding one row: without, and with the schema's reading of it."""
    dialect, body = DIALECTS[name](), msgspec.json.encode(value)
    asked = request(path=path, headers={"content-type": "application/json"}, body=body)
    output = Output("diagnosis", np.array(["benign"]), ["benign", "malignant"], np.array([[0.75, 0.25]]))
    prediction, predictor = Prediction([output], cache_hit=True), Predictor(len, SCHEMA, model_id="model")

    def trip(read: Callable[[object], object]) -> None:
        asked.envelope = asked.content = None
        query = drive(dialect.decode(asked))
        query.predictor = predictor
        read(query.rows)
        dialect.encode(asked, query, prediction)

    return lambda: trip(type), lambda: trip(SCHEMA.read)


def compare(asked: list[Callable[[], object]]) -> list[float]:
    """Microseconds of CPU of each, taking turns."""
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(ROUNDS + 1):
        for ask, spent in zip(asked, times, strict=True):
            start = time.process_time()
            for _ in range(REQUESTS):
                ask()
            if turn:  # the first turn warms up
                spent.append((time.process_time() - start) / REQUESTS * 1e6)
    return [statistics.median(spent) for spent in times]


def large_csv() -> None:
    """50 MB of CSV to CSV, against what one would write: rows a second, and memory."""
    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(CSV_ROUNDS):
        for way, found in told.items():
            done = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True)
            found.append(json.loads(done.stdout))
    median = {
        way: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for way, found in told.items()
    }
    base = median["read_csv + predict + to_csv"]
    heads = "".join(f"{head:>10}" for head in ("krows/s", "of base", "CPU s", "MiB more", "MiB out"))
    print(f"\n{'50 MB of CSV to predictions':32}{heads}")
    for way, run in median.items():
        speed, ratio = run["rows"] / run["seconds"] / 1000, base["seconds"] / run["seconds"]
        print(f"{way:32}{speed:10.0f}{ratio:10.2f}{run['cpu']:10.2f}{run['mib']:10.0f}{run['out_mib']:10.1f}")
    allowed = GOAL_TIMES * base["body_mib"]
    print(f"{'goal, of CSV to CSV':32}{'':10}{f'>= {GOAL_RATIO}':>10}{'':10}{f'< {allowed:.0f}':>10}")


def by_hand(body: bytes, model: Any) -> bytes:
    """What one would write: the label alone."""
    predicted = model.predict(pandas.read_csv(io.BytesIO(body)))
    return pandas.DataFrame({"prediction": predicted}).to_csv(index=False).encode()


def by_hand_with_probabilities(body: bytes, model: Any) -> bytes:
    """The same columns as the dialect gives."""
    frame = pandas.read_csv(io.BytesIO(body))
    told = pandas.DataFrame(
        model.predict_proba(frame), columns=["target_1_PREDICTION", "target_0_PREDICTION"]
    )
    told["target_PREDICTION"], told["THRESHOLD"], told["POSITIVE_CLASS"] = model.predict(frame), 0.5, 1
    return told.to_csv(index=False).encode()


def by_gate(body: bytes, model: Any, accept: str = "text/csv") -> bytes:
    """The gate, without a server."""
    gate = Gate([Deployment("model", model)], keys="open", dialects=["datarobot"])
    headers = {"content-type": "text/csv", "accept": accept}
    response = drive(gate(request(path=BODIES["datarobot"][0], headers=headers, body=body)))
    if response.status != 200 or not isinstance(response.body, bytes):
        raise RuntimeError(response.body)
    return response.body


WAYS: dict[str, Callable[[bytes, Any], bytes]] = {
    "read_csv + predict + to_csv": by_hand,
    "the same, with probabilities": by_hand_with_probabilities,
    "datarobot, CSV to CSV": by_gate,
    "datarobot, CSV to JSON": lambda body, model: by_gate(body, model, "application/json"),
}


def measure(way: str) -> None:
    """Run one way over 50 MB in this process, and say in JSON what it took."""
    answer = WAYS[way]
    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, target)
    head, _, lines = frame.to_csv(index=False).encode().partition(b"\n")
    # The libraries' own start is no part of it.
    answer(head + b"\n" + lines * 3, model)
    body = b"".join([head, b"\n", *[lines] * (CSV_BYTES // len(lines))])  # no second copy: memory is measured
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = len(answer(body, model))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # Memory is what the first time takes, and speed what a server has that has been up for a while.
    cpu, start = time.process_time(), time.perf_counter()
    answer(body, model)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    told = {"rows": body.count(b"\n"), "seconds": seconds, "cpu": cpu, "mib": more}
    print(json.dumps({**told, "out_mib": size / 2**20, "body_mib": len(body) / 2**20}))


def main() -> None:
    """Print the tables."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    one_row()
    large_csv()


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()

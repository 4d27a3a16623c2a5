"""Count the Python calls of one request inside modelgate, and how often they change file and folder.

`POST /api/predict` with one row, for a pipeline of ColumnTransformer and LogisticRegression with its exact plan,
key in the body, through the library's own test client, after requests that fill every cache. The counts are
those of the interpreter's profile hook. They are the same on every machine and at every load: no time is measured,
and modelgate reads a clock on which every call is fast and no rate limit's window ends.
"""

import sys
import time
from itertools import count, pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

# A call that takes more than two milliseconds makes the next ones run in a thread, which has no profile hook.
# Set before modelgate is imported, whose modules import these functions by name.
time.perf_counter = time.monotonic = time.time = count(1_700_000_000.0, 1e-7).__next__

# ruff: noqa: E402
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelgate
from modelgate import Deployment, Gate
from modelgate.testing import Client

SOURCE = Path(modelgate.__file__).parent
CLIENT = SOURCE / "testing" / "client.py"
KEY = "a-key-for-the-benchmark"
ROW = {"age": 41.5, "income": 52_000.0, "plan": "pro"}
WARM_UP = 50


class Counts(NamedTuple):
    """Counts of one request: calls include resumed generators, activations do not. Changes are between activations."""

    calls: int
    activations: int
    functions: int
    files: int
    folders: int
    file_changes: int
    folder_changes: int


class Recorder:
    """Profile hook that records each call of a function of modelgate, the test client left out."""

    def __init__(self) -> None:
        self.calls: list[CodeType] = []
        # Frames, not only their ids: a frame may get the id of one that was freed.
        self.activations: dict[int, FrameType] = {}
        self._is_inside: dict[str, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Record *frame* if it is entered or resumed."""
        file = frame.f_code.co_filename
        if event != "call" or not self._is_inside.setdefault(file, is_inside(Path(file))):
            return
        self.calls.append(frame.f_code)
        self.activations.setdefault(id(frame), frame)

    def count(self) -> Counts:
        """Return what was recorded, as counts."""
        files = [Path(frame.f_code.co_filename) for frame in self.activations.values()]
        return Counts(
            len(self.calls),
            len(self.activations),
            len(set(self.calls)),
            len(set(files)),
            len({file.parent for file in files}),
            sum(before != after for before, after in pairwise(files)),
            sum(before.parent != after.parent for before, after in pairwise(files)),
        )


def is_inside(path: Path) -> bool:
    """Return whether *path* is part of modelgate, and not the test client."""
    return path.is_relative_to(SOURCE) and path != CLIENT


def fit_model() -> Pipeline:
    """Fit a classifier over two numbers and a text."""
    frame = pd.DataFrame([ROW, {"age": 23.0, "income": 31_000.0, "plan": "free"}] * 20)
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["age", "income"]), ("texts", OneHotEncoder(), ["plan"])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame, ["stays", "leaves"] * 20)


def make_gate() -> Gate:
    """Make a gate whose model has an exact plan."""
    gate = Gate([Deployment("churn", fit_model())], keys={KEY: "churn"})
    plan = gate.deployments.predictor("churn").plan
    assert not isinstance(plan, str), f"the model has no plan: {plan}"
    return gate


def count_calls(app: Any) -> Counts:
    """Return the counts of one request to *app*, warmed up."""
    client, recorder = Client(app), Recorder()

    def send() -> None:
        response = client.post("/api/predict", json={"api_key": KEY, "input_data": ROW})
        assert response.status == 200, response

    for _ in range(WARM_UP):
        send()
    before = sys.getprofile()
    sys.setprofile(recorder)
    try:
        send()
    finally:
        sys.setprofile(before)
    return recorder.count()


def main() -> None:
    """Print the table."""
    gate = make_gate()
    wsgi, asgi = count_calls(gate.wsgi), count_calls(gate.asgi)
    print("one POST /api/predict             WSGI    ASGI    goal")
    for name, in_wsgi, in_asgi in zip(Counts._fields, wsgi, asgi, strict=True):
        goal = "   <= 80" if name == "file_changes" else ""
        print(f"{name.replace('_', ' '):<30}{in_wsgi:>8}{in_asgi:>8}{goal}")


if __name__ == "__main__":
    main()

"""What exact plans save: one row and a hundred, by the estimator, by its plan, and by ONNX.

In process, in CPU time, no server. Both sides take turns in one run, and a figure is the median of the
rounds. Each is asked for what an answer needs: labels and probabilities. Run with BLAS and OpenMP
threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/plans.py
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate import Schema
from modelgate.flow import drive
from modelgate.scoring import Predictor
from modelgate.scoring.plans import OnnxPlan, Plan

ROUNDS = 9


def wine() -> tuple[pandas.DataFrame, Any]:
    """Thirteen numbers and two texts."""
    frame, target = load_wine(return_X_y=True, as_frame=True)
    frame["colour"] = np.select([frame["hue"] < 0.8, frame["hue"] < 1], ["deep", "medium"], "light")
    frame["strength"] = np.where(frame["alcohol"] > 13, "strong", "mild")
    return frame, np.array(["barolo", "grignolino", "barbera"])[target]


def columns() -> ColumnTransformer:
    """Numbers scaled, texts encoded."""
    numbers = load_wine().feature_names
    return ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("texts", OneHotEncoder(), ["colour", "strength"])]
    )


def models() -> dict[str, tuple[Any, Any, float]]:
    """By name: a fitted model, its rows, and how many times faster one row is to be at least."""
    frame, labels = wine()
    cancer, ill = load_breast_cancer(return_X_y=True)
    diabetes, progress = load_diabetes(return_X_y=True)
    return {
        "logistic pipeline, 30 numbers": (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, ill),
            cancer,
            40,
        ),
        "columns, forest(100)": (
            make_pipeline(columns(), RandomForestClassifier(100, random_state=0)).fit(frame, labels),
            frame,
            19,
        ),
        "columns, HistGradientBoosting": (
            make_pipeline(columns(), HistGradientBoostingClassifier(random_state=0)).fit(frame, labels),
            frame,
            4,
        ),
        "forest(100), 10 numbers": (
            RandomForestRegressor(100, random_state=0).fit(diabetes, progress),
            diabetes,
            19,
        ),
    }


def compare(*asked: Callable[[], object]) -> list[float]:
    """Microseconds of CPU of each, taking turns."""
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(ROUNDS + 1):
        for ask, spent in zip(asked, times, strict=True):
            start, count = time.process_time(), 0
            while count < 3 or time.process_time() - start < 0.05:
                ask()
                count += 1
            if turn:  # the first turn warms up
                spent.append((time.process_time() - start) / count * 1e6)
    return [statistics.median(spent) for spent in times]


def written(model: Any, body: bytes) -> Callable[[], object]:
    """What one would write: JSON to rows, rows to what the model was fitted on, and its two calls."""
    names = getattr(model, "feature_names_in_", None)
    told = getattr(model, "predict_proba", None)

    def ask() -> object:
        rows = msgspec.json.decode(body)
        given = (
            np.array([list(row.values()) for row in rows]) if names is None else pandas.DataFrame(rows)[names]
        )
        return model.predict(given), told and told(given)

    return ask


def called(model: Any, body: bytes, schema: Schema) -> Callable[[], object]:
    """The model's two calls alone."""
    table = schema.read(body)
    given = table.to_pandas() if hasattr(model, "feature_names_in_") else table.to_array()
    told = getattr(model, "predict_proba", None)
    return lambda: (model.predict(given), told and told(given))


def main() -> None:
    """Print the table."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    told = models()
    # The log says how far a graph is off, or why there is none.
    graphs = {name: Predictor(model, plans="onnx", model_id=name).plan for name, (model, *_) in told.items()}
    print(f"{'':38}{'from JSON':^27}{'the call alone':^36}")
    head = f"{'written':>9}{'plan':>9}{'times':>9}"
    print(f"{'us of CPU':32}{'rows':>6}{head}{head.replace('written', '  model')}{'ONNX':>9}{'goal':>8}")
    for name, (model, given, goal) in told.items():
        predictor, graph = Predictor(model), graphs[name]
        schema, plan = predictor.schema, predictor.plan
        assert isinstance(plan, Plan)
        for count in (1, 100):
            body = msgspec.json.encode(schema.read(given[:count]).rows())
            table = schema.read(body)
            asked: list[Callable[[], object]] = [
                written(model, body),
                lambda body=body, predictor=predictor: drive(predictor.predict(predictor.schema.read(body))),  # type: ignore[misc]
                called(model, body, schema),
                lambda table=table, plan=plan: plan(table),  # type: ignore[misc]
            ]
            if isinstance(graph, OnnxPlan):
                asked.append(lambda table=table, graph=graph: graph(table))  # type: ignore[misc]
            theirs, ours, estimator, alone, *by_onnx = compare(*asked)
            whole = f"{theirs:9.0f}{ours:9.1f}{theirs / ours:9.1f}"
            onnx = f"{by_onnx[0]:9.1f}" if by_onnx else f"{'-':>9}"
            goals = f"{f'>= {goal:g}' if count == 1 else '':>8}"
            print(
                f"{name:32}{count:6}{whole}{estimator:9.0f}{alone:9.1f}{estimator / alone:9.1f}{onnx}{goals}"
            )


if __name__ == "__main__":
    main()

"""Compare estimators with their exact plans and with ONNX, for one row and for a hundred.

In process, in CPU time, without a server. All take turns in one run; figures are the median of the rounds.
Each computes what an answer needs: labels and probabilities. Run with BLAS and OpenMP
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
from modelgate.inference import Predictor
from modelgate.inference.plans import OnnxPlan, Plan

ROUNDS = 9


def load_rows() -> tuple[pandas.DataFrame, Any]:
    """Return rows of thirteen numbers and two texts, with their labels."""
    frame, target = load_wine(return_X_y=True, as_frame=True)
    frame["colour"] = np.select([frame["hue"] < 0.8, frame["hue"] < 1], ["deep", "medium"], "light")
    frame["strength"] = np.where(frame["alcohol"] > 13, "strong", "mild")
    return frame, np.array(["barolo", "grignolino", "barbera"])[target]


def make_columns() -> ColumnTransformer:
    """Return a transformer that scales numbers and encodes texts."""
    numbers = load_wine().feature_names
    return ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("texts", OneHotEncoder(), ["colour", "strength"])]
    )


def fit_models() -> dict[str, tuple[Any, Any, float]]:
    """Return fitted models by name, each with rows and the minimum speed-up for one row."""
    frame, labels = load_rows()
    cancer, ill = load_breast_cancer(return_X_y=True)
    diabetes, progress = load_diabetes(return_X_y=True)
    return {
        "logistic pipeline, 30 numbers": (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, ill),
            cancer,
            40,
        ),
        "columns, forest(100)": (
            make_pipeline(make_columns(), RandomForestClassifier(100, random_state=0)).fit(frame, labels),
            frame,
            19,
        ),
        "columns, HistGradientBoosting": (
            make_pipeline(make_columns(), HistGradientBoostingClassifier(random_state=0)).fit(frame, labels),
            frame,
            4,
        ),
        "forest(100), 10 numbers": (
            RandomForestRegressor(100, random_state=0).fit(diabetes, progress),
            diabetes,
            19,
        ),
    }


def compare(*functions: Callable[[], object]) -> list[float]:
    """Return the microseconds of CPU of each function; the functions take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(ROUNDS + 1):
        for function, spent in zip(functions, times, strict=True):
            start, count = time.process_time(), 0
            while count < 3 or time.process_time() - start < 0.05:
                function()
                count += 1
            if turn:  # The first turn warms up.
                spent.append((time.process_time() - start) / count * 1e6)
    return [statistics.median(spent) for spent in times]


def hand_written(model: Any, body: bytes) -> Callable[[], object]:
    """Return hand-written code: decode JSON, build the model's input, call the model twice."""
    names = getattr(model, "feature_names_in_", None)
    predict_proba = getattr(model, "predict_proba", None)

    def predict() -> object:
        rows = msgspec.json.decode(body)
        values = (
            np.array([list(row.values()) for row in rows]) if names is None else pandas.DataFrame(rows)[names]
        )
        return model.predict(values), predict_proba and predict_proba(values)

    return predict


def model_calls(model: Any, body: bytes, schema: Schema) -> Callable[[], object]:
    """Return the two calls of the model alone."""
    table = schema.read(body)
    values = table.to_pandas() if hasattr(model, "feature_names_in_") else table.to_array()
    predict_proba = getattr(model, "predict_proba", None)
    return lambda: (model.predict(values), predict_proba and predict_proba(values))


def main() -> None:
    """Print the table."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    models = fit_models()
    # This logs the deviation of each ONNX graph, or why there is none.
    graphs = {
        name: Predictor(model, plans="onnx", model_id=name).plan for name, (model, *_) in models.items()
    }
    print(f"{'':38}{'from JSON':^27}{'the call alone':^36}")
    head = f"{'written':>9}{'plan':>9}{'times':>9}"
    print(f"{'us of CPU':32}{'rows':>6}{head}{head.replace('written', '  model')}{'ONNX':>9}{'goal':>8}")
    for name, (model, rows, goal) in models.items():
        predictor, graph = Predictor(model), graphs[name]
        schema, plan = predictor.schema, predictor.plan
        assert isinstance(plan, Plan)
        for count in (1, 100):
            body = msgspec.json.encode(schema.read(rows[:count]).rows())
            table = schema.read(body)
            functions: list[Callable[[], object]] = [
                hand_written(model, body),
                lambda body=body, predictor=predictor: drive(predictor.predict(predictor.schema.read(body))),  # type: ignore[misc]
                model_calls(model, body, schema),
                lambda table=table, plan=plan: plan.predict(table),  # type: ignore[misc]
            ]
            if isinstance(graph, OnnxPlan):
                functions.append(lambda table=table, graph=graph: graph.predict(table))  # type: ignore[misc]
            theirs, ours, estimator, alone, *by_onnx = compare(*functions)
            from_json = f"{theirs:9.0f}{ours:9.1f}{theirs / ours:9.1f}"
            onnx = f"{by_onnx[0]:9.1f}" if by_onnx else f"{'-':>9}"
            goals = f"{f'>= {goal:g}' if count == 1 else '':>8}"
            print(
                f"{name:32}{count:6}{from_json}{estimator:9.0f}{alone:9.1f}{estimator / alone:9.1f}{onnx}{goals}"
            )


if __name__ == "__main__":
    main()

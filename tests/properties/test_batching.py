"""Concurrent requests get the same predictions as sequential ones."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Column, Predictor, Schema, WorkerPool, adrive, drive

ROWS, TARGET = load_iris(return_X_y=True)
MODELS = {
    "forest": RandomForestClassifier(10, max_depth=4, random_state=0).fit(ROWS, TARGET),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, TARGET),
}
WORKERS = WorkerPool(2)


class InputDescriber:
    """Predicts the dtype and the value of each cell that it gets."""

    def __init__(self, names=None):
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)

    def predict(self, data):
        dtypes = list(map(str, data.dtypes)) if hasattr(data, "dtypes") else [str(data.dtype)]
        rows = data.to_numpy(dtype=object).tolist() if hasattr(data, "dtypes") else data.tolist()
        return np.array([f"{dtypes} {row!r}" for row in rows], dtype=object)


COLUMNS = [
    Column(f"{kind}{index}", kind, required=required, nullable=nullable)
    for kind in ("number", "integer", "boolean", "text", "any")
    for index, (required, nullable) in enumerate([(True, False), (True, True), (False, False)])
]
VALUES = {
    "number": st.sampled_from([0.5, 2.0]),
    "integer": st.sampled_from([7, 75001]),
    "boolean": st.booleans(),
    "text": st.sampled_from(["", "a"]),
    "any": st.sampled_from([75001, 2**53 + 1, 2**63, 2**64, 1.0, 0.5, True, "75001", "a"]),
}


@st.composite
def requests(draw):
    """Draw columns, and the rows of several callers that fit them."""
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=3, unique=True))
    row = st.fixed_dictionaries(
        {c.name: VALUES[c.kind] | st.none() if c.nullable else VALUES[c.kind] for c in columns if c.required},
        optional={c.name: VALUES[c.kind] for c in columns if not c.required},
    )
    return columns, draw(st.lists(st.lists(row, min_size=1, max_size=3), min_size=2, max_size=8))


def by_loop(predictor, tables):
    async def run_requests():
        return await asyncio.gather(*(adrive(predictor.predict(table)) for table in tables))

    return asyncio.run(run_requests())


def by_threads(predictor, tables):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda table: drive(predictor.predict(table)), tables))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("inline", "ask"),
    [(True, by_loop), (False, by_loop), (None, by_threads)],
    ids=["loop", "worker", "threads"],
)
@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=5), min_size=1, max_size=20))
def test_concurrent_requests_equal_sequential_ones(name, inline, ask, picks):
    """Bit for bit for trees; within 1e-12 for models that use BLAS, which adds up in another order."""
    alone = Predictor(MODELS[name], batch=False)
    together = Predictor(MODELS[name], workers=WORKERS, inline=inline)
    tables = [alone.schema.read(ROWS[pick]) for pick in picks]
    pairs = zip([drive(alone.predict(table)) for table in tables], ask(together, tables), strict=True)

    for one, other in pairs:
        np.testing.assert_array_equal(one.values, other.values)
        if name == "forest":
            np.testing.assert_array_equal(one.probabilities, other.probabilities)
        else:
            np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-12)
    assert together.batcher.info().requests == len(tables)


@pytest.mark.parametrize("framed", [True, False])
@settings(max_examples=200)
@given(requests())
def test_batching_changes_neither_dtypes_nor_values(framed, request):
    """This holds for any values in the rows of other callers."""
    columns, bodies = request
    model, schema = InputDescriber([c.name for c in columns] if framed else None), Schema(columns)
    alone = Predictor(model, schema, batch=False)
    together = Predictor(model, schema, workers=WORKERS, inline=True)
    tables = [schema.read(rows) for rows in bodies]

    assert [drive(alone.predict(table)).values.tolist() for table in tables] == [
        prediction.values.tolist() for prediction in by_loop(together, tables)
    ]

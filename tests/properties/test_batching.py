"""N requests at once are answered as N one after the other."""

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

from modelgate import Predictor, Workers, adrive, drive

ROWS, TARGET = load_iris(return_X_y=True)
MODELS = {
    "forest": RandomForestClassifier(10, max_depth=4, random_state=0).fit(ROWS, TARGET),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, TARGET),
}
WORKERS = Workers(2)


def by_loop(predictor, tables):
    async def asked():
        return await asyncio.gather(*(adrive(predictor.predict(table)) for table in tables))

    return asyncio.run(asked())


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
def test_at_once_or_one_after_the_other(name, inline, ask, picks):
    """Trees bit for bit; what goes through BLAS within 1e-12, for it adds up in another order."""
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

"""Models, keys and gates that many tests use."""

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from postgres import Postgres, programs
from redis_server import redis_serving

KEY = "a-key-for-the-wine-deployment"
OTHER_KEY = "a-key-for-some-other-deployments"


@pytest.fixture(scope="session")
def wine():
    """A classifier over numbers and text that needs a DataFrame, and its training table."""
    frame, target = load_wine(return_X_y=True, as_frame=True)
    table = frame[["alcohol", "malic_acid", "hue"]].copy()
    table["colour"] = np.select(
        [frame["color_intensity"] < 3.5, frame["color_intensity"] < 6], ["light", "medium"], "deep"
    )
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), ["alcohol", "malic_acid", "hue"]),
            ("text", OneHotEncoder(), ["colour"]),
        ]
    )
    labels = np.array(["barolo", "grignolino", "barbera"])[target]
    return make_pipeline(columns, LogisticRegression()).fit(table, labels), table


@pytest.fixture(scope="session")
def diabetes():
    """A regressor fitted on an array, and its training array."""
    rows, target = load_diabetes(return_X_y=True)
    return LinearRegression().fit(rows, target), rows


@pytest.fixture(scope="session")
def wine_row(wine):
    """A row the classifier scores."""
    return {"alcohol": 13.2, "malic_acid": 1.78, "hue": 1.05, "colour": "medium"}


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL that runs, for this session."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql")
    server = Postgres(folder)
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A Redis server that many tests use, each with names of its own."""
    with redis_serving(tmp_path_factory.mktemp("redis")) as server:
        yield server

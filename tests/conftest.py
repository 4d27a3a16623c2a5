"""Models, keys and gates that many tests use.

Imports that take long are in the fixtures: the process that distributes the tests to others needs none of them.
"""

import gc
from pathlib import Path

import click.testing
import pytest

from support.redis_server import run_redis
from support.versions import CLICK, SKLEARN
from support.waiting import SOON

TESTS = Path(__file__).parent

collect_ignore = ["unit/test_model_thresholds.py"] if SKLEARN < (1, 5) else []

if CLICK < (8, 2):

    class SeparatingRunner(click.testing.CliRunner):
        """Runner that separates standard output and standard error, as later versions always do."""

        def __init__(self, **options):
            super().__init__(mix_stderr=False, **options)

    click.testing.CliRunner = SeparatingRunner
SLOW_FOLDERS = {"browser", "faults", "hosts", "models", "properties", "servers", "typing"}
SLOW_FILES = {
    "test_booleans.py",
    "test_bytecodes.py",
    "test_column_names.py",
    "test_datetimes.py",
    "test_file_readers.py",
    "test_greenlets.py",
    "test_hostile_bodies.py",
    "test_infer_columns.py",
    "test_load_memory.py",
    "test_onnx.py",
    "test_plans.py",
    "test_pytest_plugin.py",
    "test_replaced.py",
    "test_s3.py",
    "test_single_call.py",
    "test_skops_file.py",
    "test_streamed_rows.py",
}
SERVERS = {"postgres", "postgresql", "redis", "redis_server", "behind Redis"}
"""Fixtures that start a server, and the parameters that request one of them."""


def pytest_collection_modifyitems(items):
    """Mark the tests that `make quick` leaves out, besides those marked where they are written."""
    for item in items:
        if is_slow_file(item.path) or uses_server(item):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Leave modules and tests out of garbage collections, each of which would take a third of a second."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path, config):
    """Leave slow files unread where they would be deselected: importing them takes longer than many tests."""
    return True if config.option.markexpr == "not slow" and is_slow_file(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    """Make no items of slow tests where they would be deselected: there are thousands, and each takes 0.3 ms."""
    is_quick = collector.config.option.markexpr == "not slow"
    is_slow = name.startswith("test") and any(mark.name == "slow" for mark in getattr(obj, "pytestmark", ()))
    return [] if is_quick and is_slow else None


def is_slow_file(path):
    """Return whether *path* is a document, a file of tests that all are slow, or in a folder of such files."""
    return path.suffix == ".md" or (
        path.is_relative_to(TESTS)
        and (path.name in SLOW_FILES or not SLOW_FOLDERS.isdisjoint(path.relative_to(TESTS).parts[:1]))
    )


def uses_server(item):
    """Return whether *item* requests a fixture that starts a server, itself or by a parameter."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
    return not SERVERS.isdisjoint(names)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """No default time limit ends a wait on a busy machine; those that a test sets are below a second."""
    from modelgate.models import cache

    wait_for = cache.wait_for
    monkeypatch.setattr(
        cache, "wait_for", lambda load, left: wait_for(load, SOON if left is None or left > 1 else left)
    )
    monkeypatch.setattr("modelgate.keys.sql_store._TIMEOUT", SOON)
    monkeypatch.setattr("modelgate.gate.poller._FIRST_POLL_TIMEOUT", SOON)


@pytest.fixture(autouse=True, scope="session")
def plans_verified_once(wine):
    """Gates of the shared model reuse its plan: verifying one takes 25 ms, and tests make 1,500 such gates."""
    from modelgate.inference.plans import build_plan

    model, plans = wine[0], {}

    def build_plan_once(a_model, schema, reference, sample=None):
        if a_model is not model or sample is not None:
            return build_plan(a_model, schema, reference, sample)
        if schema.columns not in plans:
            plans[schema.columns] = build_plan(model, schema, reference)
        return plans[schema.columns]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelgate.inference.estimator.build_plan", build_plan_once)
        yield


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory):
    """The files of an Ed25519 key to sign packages with, and of its public key."""
    from support.signing import write_key_pair

    return write_key_pair(tmp_path_factory.mktemp("keys"), "signer")


@pytest.fixture(scope="session")
def wine():
    """A classifier over numbers and text that needs a DataFrame, and its training table."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

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
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    rows, target = load_diabetes(return_X_y=True)
    return LinearRegression().fit(rows, target), rows


@pytest.fixture(scope="session")
def wine_row(wine):
    """A row the classifier scores."""
    return {"alcohol": 13.2, "malic_acid": 1.78, "hue": 1.05, "colour": "medium"}


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for this session."""
    from support.postgresql import Postgres, find_programs

    folder = find_programs()
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
    with run_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server

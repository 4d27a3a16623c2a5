"""Model files are read: versions, slow loads, and an error of CPython."""

import io
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import ConfigurationError, ModelPackage
from modelgate.models.files import read_estimator
from modelgate.models.rules import Rules
from waiting import SOON

LZ4 = b"\x04\x22\x4d\x18"


@pytest.fixture(scope="module")
def pipeline():
    rows = np.arange(20.0).reshape(10, 2)
    return make_pipeline(StandardScaler(), LinearRegression()).fit(rows, rows[:, 0])


def dumped(model, **options):
    buffer = io.BytesIO()
    joblib.dump(model, buffer, **options)
    return buffer.getvalue()


JOBLIB_FILES = [
    *({"protocol": protocol} for protocol in (0, 2, 4, 5)),
    *({"compress": (kind, 3)} for kind in ("zlib", "gzip", "bz2", "lzma", "xz")),
]


@pytest.mark.parametrize("options", JOBLIB_FILES, ids=str)
def test_the_version_in_any_joblib_file(pipeline, monkeypatch, options):
    """It is found before anything in the file is run, however the file is written."""
    content = dumped(pipeline, **options)
    here = sklearn.__version__
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")
    monkeypatch.setattr(joblib, "load", None)

    with pytest.raises(ConfigurationError, match=f"is of scikit-learn {here}, and here is 99.1.0"):
        read_estimator(content, ".joblib", Rules())


def test_the_version_in_a_joblib_file_of_lz4(pipeline, monkeypatch):
    """Where joblib can read the file, lz4 is installed."""
    lz4 = types.SimpleNamespace(decompress=lambda content: content.removeprefix(LZ4))
    monkeypatch.setitem(sys.modules, "lz4.frame", lz4)
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")

    with pytest.raises(ConfigurationError, match=r"here is 99\.1\.0"):
        read_estimator(LZ4 + dumped(pipeline), ".joblib", Rules())


class Slow:
    """Takes its time to be loaded."""

    entered, go_on = threading.Event(), threading.Event()

    def __init__(self):
        self.what = "slow"

    def __setstate__(self, state):
        self.entered.set()
        assert self.go_on.wait(SOON)


def test_a_slow_joblib_load_holds_up_no_other(pipeline):
    """No lock is shared by the loads of a process."""
    contents = [dumped(model) for model in (Slow(), pipeline)]
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(read_estimator, contents[0], ".joblib", Rules())
        assert Slow.entered.wait(SOON)
        other = pool.submit(read_estimator, contents[1], ".joblib", Rules())
        try:
            loaded = type(other.result(SOON))
        finally:
            Slow.go_on.set()

        assert (type(pipeline), Slow) == (loaded, type(slow.result(SOON)))


def test_a_system_error_is_tried_once_more(pipeline, tmp_path, monkeypatch):
    """CPython raises one by mistake where many threads read arrays at once."""
    skops.io.dump(pipeline, tmp_path / "m.skops")
    loads, failing = skops.io.loads, [SystemError("AST constructor recursion depth mismatch")]

    def load(*args, **options):
        if failing:
            raise failing.pop()
        return loads(*args, **options)

    monkeypatch.setattr(skops.io, "loads", load)

    assert type(pipeline) is type(ModelPackage.load(tmp_path / "m.skops").model)
    failing += [SystemError("one"), SystemError("two")]
    with pytest.raises(ConfigurationError, match="cannot be read: SystemError"):
        ModelPackage.load(tmp_path / "m.skops")

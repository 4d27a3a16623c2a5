"""Reading model files: versions, concurrent loads and an error of CPython."""

import bz2
import hashlib
import io
import pickle
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
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, ModelPackage
from modelgate.errors import DeploymentUnavailable
from modelgate.models.inspection import report_on
from modelgate.models.load_policy import LoadPolicy
from modelgate.models.serializers import read_estimator
from support.waiting import SOON

LZ4 = b"\x04\x22\x4d\x18"


@pytest.fixture(scope="module")
def pipeline():
    rows = np.arange(20.0).reshape(10, 2)
    return make_pipeline(StandardScaler(), LinearRegression()).fit(rows, rows[:, 0])


def dump_joblib(model, **options):
    buffer = io.BytesIO()
    joblib.dump(model, buffer, **options)
    return buffer.getvalue()


JOBLIB_FILES = [
    *({"protocol": protocol} for protocol in (0, 2, 4, 5)),
    *({"compress": (kind, 3)} for kind in ("zlib", "gzip", "bz2", "lzma", "xz")),
]


@pytest.mark.parametrize("options", JOBLIB_FILES, ids=str)
def test_joblib_version_is_checked_before_loading(pipeline, monkeypatch, options):
    """In all compression formats."""
    content = dump_joblib(pipeline, **options)
    installed = sklearn.__version__
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")
    monkeypatch.setattr(joblib, "load", None)

    with pytest.raises(
        ConfigurationError, match=f"was saved with scikit-learn {installed}, but 99.1.0 is installed"
    ):
        read_estimator(content, ".joblib", LoadPolicy())


@pytest.mark.parametrize("options", [*JOBLIB_FILES, None], ids=str)
def test_deployment_compares_the_version_of_a_file_before_it_is_loaded(
    pipeline, monkeypatch, tmp_path, options
):
    """Of a skops file, too. As for a package, no request has to fail first."""
    path = tmp_path / ("m.skops" if options is None else "m.joblib")
    path.write_bytes(skops.io.dumps(pipeline) if options is None else dump_joblib(pipeline, **options))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")

    with pytest.raises(
        ConfigurationError, match=r"was saved with scikit-learn .*, but 99\.1\.0 is installed"
    ):
        Deployment("m", path, sha256=digest)


@pytest.mark.parametrize("name", ["m.skops", "m.joblib", "m.joblib.lz4"])
def test_damaged_file_is_reported_when_it_is_loaded(tmp_path, name):
    (tmp_path / name).write_bytes(LZ4 + b"damaged")
    digest = hashlib.sha256(LZ4 + b"damaged").hexdigest()
    gate = Gate([Deployment("m", tmp_path / name, sha256=digest)], keys="open")

    with pytest.raises(DeploymentUnavailable) as unavailable:
        gate.deployments.warm()
    assert "the file cannot be read" in str(unavailable.value.__cause__)


def test_joblib_version_in_an_lz4_file(pipeline, monkeypatch):
    """lz4 is not installed here: a stand-in decompresses it."""
    lz4 = types.SimpleNamespace(decompress=lambda content: content.removeprefix(LZ4))
    monkeypatch.setitem(sys.modules, "lz4.frame", lz4)
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")

    with pytest.raises(ConfigurationError, match=r"but 99\.1\.0 is installed"):
        read_estimator(LZ4 + dump_joblib(pipeline), ".joblib", LoadPolicy())


@pytest.mark.parametrize(
    "name", ["churn.pkl", "churn.pickle", "churn@1.10.joblib.gz", "churn.pkl.xz", "churn.joblib.z"]
)
def test_pickles_of_any_name_need_a_pin(pipeline, tmp_path, name):
    """In a deployment and in a store; joblib finds out how they are compressed."""
    path = tmp_path / name
    path.write_bytes(dump_joblib(pipeline, compress=3) if name.count(".") > 1 else pickle.dumps(pipeline))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for rejected in (lambda: Deployment("m", path), lambda: FolderStore(tmp_path).load("churn")):
        with pytest.raises(ConfigurationError, match=f'is a pickle.* pin it with sha256="{digest}"'):
            rejected()

    stored = FolderStore(tmp_path, sha256={"churn": digest}).load("churn")
    loaded = ModelPackage.load(path, sha256=digest)
    assert ("1.10" if "@" in name else "1") == stored.manifest.version
    for model in (stored.model, loaded.model):
        assert [3.0] == model.predict([[3.0, 4.0]]).round(9).tolist()


def test_compressed_pickle_is_scanned_before_loading(pipeline, tmp_path, monkeypatch):
    """Its imports, and its version of scikit-learn."""
    path = tmp_path / "m.pkl.bz2"
    path.write_bytes(bz2.compress(pickle.dumps(pipeline)))
    installed = sklearn.__version__
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")
    report = report_on(path)

    assert {"sklearn.pipeline.Pipeline", "sklearn.linear_model._base.LinearRegression"} <= {*report.imports}
    assert "joblib" == report.format
    assert (
        "a gate would reject the file:"
        f" the model was saved with scikit-learn {installed}, but 99.1.0 is installed: save the model again,"
        ' or pass on_version_mismatch="warn" to ModelPackage.load or to the store'
    ) in report.warnings


def test_imports_beyond_the_largest_ratio_may_be_missing(pipeline, tmp_path):
    """A decompression bomb is not unpacked."""
    (tmp_path / "m.pkl").write_bytes(bz2.compress(bytes(10_000_000)))

    assert (
        "the list of imports may be incomplete: arrays or unusual opcodes hide the rest"
        in report_on(tmp_path / "m.pkl").warnings
    )


def test_lambda_under_joblib(tmp_path):
    rows = np.arange(20.0).reshape(10, 2)
    model = make_pipeline(FunctionTransformer(lambda X: X * 2), LinearRegression()).fit(rows, rows[:, 0])
    with pytest.raises(
        ConfigurationError,
        match=r"model: joblib cannot write the model .*<lambda>.* with def .* that the server can import",
    ):
        ModelPackage.from_estimator(model, rows, format="joblib").save(tmp_path / "m.mgpkg")


class Slow:
    """Blocks while it is unpickled."""

    entered, go_on = threading.Event(), threading.Event()

    def __init__(self):
        self.what = "slow"

    def __setstate__(self, state):
        self.entered.set()
        assert self.go_on.wait(SOON)


def test_joblib_loads_run_concurrently(pipeline):
    contents = [dump_joblib(model) for model in (Slow(), pipeline)]
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(read_estimator, contents[0], ".joblib", LoadPolicy())
        assert Slow.entered.wait(SOON)
        other = pool.submit(read_estimator, contents[1], ".joblib", LoadPolicy())
        try:
            loaded = type(other.result(SOON))
        finally:
            Slow.go_on.set()

        assert (type(pipeline), Slow) == (loaded, type(slow.result(SOON)))


def test_system_error_is_retried_once(pipeline, tmp_path, monkeypatch):
    """CPython 3.11 raises one by mistake when many threads read arrays at once."""
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

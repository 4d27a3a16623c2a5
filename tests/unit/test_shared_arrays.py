import gc

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from sklearn.svm import SVC

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage
from modelgate.models.shared_arrays import SharedArrays

ROWS = np.random.default_rng(0).normal(size=(2000, 40))
TARGET = ROWS[:, 0] + ROWS[:, 1] ** 2


def fit_neighbors(**options):
    return KNeighborsRegressor(**options).fit(ROWS, TARGET)


def files(folder):
    return sorted(folder.glob("*.arrays"))


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview) and array.readonly


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        KNeighborsRegressor(algorithm="brute"),
        KNeighborsRegressor(algorithm="kd_tree"),
        make_pipeline(PolynomialFeatures(2), Ridge()),
        HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=200, min_samples_leaf=2),
        make_pipeline(FunctionTransformer(lambda rows: rows * 2), KNeighborsRegressor()),
    ],
)
def test_shared_arrays_predict_as_before(tmp_path, model):
    model.fit(ROWS, TARGET)

    shared = SharedArrays(tmp_path).share(model)

    assert shared is not model
    assert model.predict(ROWS[:50]).tolist() == shared.predict(ROWS[:50]).tolist()


def test_shared_arrays_are_read_only_and_mapped(tmp_path):
    shared = SharedArrays(tmp_path).share(fit_neighbors(algorithm="brute"))

    assert is_mapped(shared._fit_X)
    assert 0 == shared._fit_X.ctypes.data % 64
    with pytest.raises(ValueError, match="read-only"):
        shared._fit_X[0, 0] = 1


def test_shared_arrays_of_equal_models_are_in_one_file(tmp_path):
    first = SharedArrays(tmp_path).share(fit_neighbors())
    second = SharedArrays(tmp_path).share(fit_neighbors())

    assert 1 == len(files(tmp_path))
    assert first.predict(ROWS[:9]).tolist() == second.predict(ROWS[:9]).tolist()


@pytest.mark.slow
def test_shared_arrays_leave_small_models_and_forests_alone(tmp_path):
    small = Ridge().fit(ROWS, TARGET)
    forest = RandomForestRegressor(3).fit(ROWS, TARGET)
    mixed = make_pipeline(FunctionTransformer(), forest)
    arrays = SharedArrays(tmp_path)

    assert small is arrays.share(small)
    assert forest is arrays.share(forest)
    assert mixed is arrays.share(mixed)
    assert [] == files(tmp_path)


def test_shared_arrays_replace_a_damaged_file(tmp_path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    arrays = SharedArrays(elsewhere).share(fit_neighbors())
    (written,) = files(elsewhere)
    damaged = tmp_path / written.name
    damaged.write_bytes(b"\xff" + written.read_bytes()[1:])
    damaged.chmod(0o600)

    shared = SharedArrays(tmp_path).share(fit_neighbors())

    assert written.read_bytes() == damaged.read_bytes()
    assert arrays.predict(ROWS[:9]).tolist() == shared.predict(ROWS[:9]).tolist()


def test_shared_arrays_replace_an_empty_file(tmp_path, tmp_path_factory):
    """As a crash of the machine may leave behind."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    arrays = SharedArrays(elsewhere).share(fit_neighbors())
    (written,) = files(elsewhere)
    empty = tmp_path / written.name
    empty.touch(mode=0o600)

    SharedArrays(tmp_path).share(fit_neighbors())

    assert written.read_bytes() == empty.read_bytes()
    assert is_mapped(arrays._fit_X)


def test_shared_arrays_leave_other_entries_of_the_directory_alone(tmp_path):
    (tmp_path / "folder.arrays").mkdir()
    (tmp_path / "link.arrays").symlink_to(tmp_path / "missing")

    shared = SharedArrays(tmp_path).share(fit_neighbors())

    assert is_mapped(shared._fit_X)
    assert 3 == len(list(tmp_path.glob("*.arrays")))


def test_shared_arrays_do_not_map_a_file_that_others_can_write(tmp_path):
    first = SharedArrays(tmp_path).share(fit_neighbors())
    (path,) = files(tmp_path)
    path.chmod(0o666)
    before = path.stat().st_ino

    second = SharedArrays(tmp_path).share(fit_neighbors())

    assert before != path.stat().st_ino
    assert 0o600 == path.stat().st_mode & 0o777
    assert first.predict(ROWS[:9]).tolist() == second.predict(ROWS[:9]).tolist()


@pytest.mark.slow
def test_shared_arrays_delete_files_that_no_process_maps(tmp_path):
    arrays = SharedArrays(tmp_path)
    dropped = arrays.share(fit_neighbors())
    used = arrays.share(SVC().fit(ROWS, TARGET > 1))
    assert 2 == len(files(tmp_path))

    del dropped
    gc.collect()
    newest = arrays.share(KNeighborsRegressor().fit(-ROWS, TARGET))

    assert 2 == len(files(tmp_path))
    assert used.predict(ROWS[:9]).tolist() == arrays.share(used).predict(ROWS[:9]).tolist()
    assert newest is not used
    assert 2 == len(files(tmp_path))


def test_shared_arrays_serve_without_them_if_the_directory_cannot_be_written(tmp_path, caplog):
    arrays = SharedArrays(tmp_path / "arrays")
    (tmp_path / "arrays" / "lock").unlink()
    model = fit_neighbors()

    assert model is arrays.share(model)
    assert "array_dir: arrays not shared: FileNotFoundError" in caplog.text


def test_shared_arrays_need_a_directory(tmp_path):
    (tmp_path / "file").touch()

    for value in (tmp_path / "file", "", 7):
        with pytest.raises(ConfigurationError, match="array_dir must be"):
            Gate(keys="open", array_dir=value)


@pytest.mark.slow
def test_gate_maps_the_arrays_of_a_package(tmp_path):
    package = ModelPackage.from_estimator(fit_neighbors(algorithm="brute"), ROWS)
    package.save(tmp_path / "near.mgpkg")
    gate = Gate([Deployment("near", tmp_path / "near.mgpkg")], keys="open", array_dir=tmp_path / "arrays")

    predicted = gate.score("near", ROWS[:20]).outputs[0].values

    assert package.model.predict(ROWS[:20]).tolist() == predicted.tolist()
    assert is_mapped(gate.deployments.predictor("near").model._fit_X)
    assert 1 == len(files(tmp_path / "arrays"))

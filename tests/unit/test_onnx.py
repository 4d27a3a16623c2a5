"""ONNX graphs in bare files, in packages and as plans."""

import hashlib
import json
import logging
import sys
import warnings

import click.testing
import numpy as np
import onnx
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelgate import (
    Column,
    ConfigurationError,
    Deployment,
    FolderStore,
    Gate,
    ModelPackage,
    PredictionError,
    Schema,
)
from modelgate.cli.root import cli
from modelgate.flow import drive
from modelgate.inference import Predictor
from modelgate.inference.plans import OnnxPlan
from modelgate.models import load_model
from modelgate.models.onnx import OnnxModel
from modelgate.models.onnx_export import Difference, difference, to_onnx
from modelgate.testing import Client

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(200, 3))
YES = np.where(ROWS[:, 0] + ROWS[:, 1] / 3 > 0, "yes", "no")
HOLED = np.where(np.arange(200)[:, None] < 100, ROWS, np.nan)
FRAME = pd.DataFrame(ROWS, columns=["age", "income", "visits"]).assign(
    plan=np.where(ROWS[:, 1] > 0, "pro", "free"), rooms=RANDOM.integers(0, 5, 200), dropped="?"
)
NAMED = FRAME[["age", "income", "visits"]]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def columns():
    return make_column_transformer(
        (StandardScaler(), ["age", "income", "rooms"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"])
    )


def convert(model, **options):
    """Return an ONNX model converted by skl2onnx alone, without modelgate's metadata."""
    with warnings.catch_warnings(action="ignore"):
        options = {id(model): options} if options else None
        types = [("X", FloatTensorType([None, 3]))]
        return skl2onnx.convert_sklearn(model, initial_types=types, options=options)


def make_graph(nodes, inputs, outputs, tensors=()):
    """Return a hand-written ONNX model."""
    made = helper.make_graph(nodes, "graph", inputs, outputs, list(tensors))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_info(name, kind=TensorProto.FLOAT, shape=(None, 1)):
    return helper.make_tensor_value_info(name, kind, shape)


# Files


@pytest.mark.parametrize("zipmap", [True, False, None], ids=["zipmap", "array", "default"])
@pytest.mark.parametrize("labels", [YES, np.where(YES == "yes", 7, 3)], ids=["text", "numbers"])
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(5, random_state=0),
        GaussianNB(),
        MLPClassifier((4,), solver="lbfgs", max_iter=500),
    ],
    ids=lambda it: type(it).__name__,
)
def test_classifier_in_a_bare_file(tmp_path, estimator, labels, zipmap):
    """With columns, labels and probabilities, in each output format of skl2onnx."""
    model = estimator.fit(ROWS, labels)
    options = {} if zipmap is None else {"zipmap": zipmap}
    onnx.save(convert(model, **options), tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    prediction = drive(Predictor(loaded).predict(Schema.from_model(loaded).read(ROWS)))

    assert model.classes_.tolist() == loaded.classes_.tolist()
    assert model.predict(ROWS).tolist() == loaded.predict(ROWS).tolist()
    np.testing.assert_allclose(model.predict_proba(ROWS), loaded.predict_proba(ROWS), **CLOSE)
    assert model.predict(ROWS).tolist() == prediction.outputs[0].values.tolist()
    np.testing.assert_allclose(model.predict_proba(ROWS), prediction.probabilities, **CLOSE)
    assert [("x0", "number"), ("x1", "number"), ("x2", "number")] == [
        (column.name, column.kind) for column in Schema.from_model(loaded)
    ]


def test_probabilities_are_clipped():
    """32-bit arithmetic may exceed 0 and 1 slightly."""
    forest = RandomForestClassifier(20, random_state=0).fit(ROWS, YES)
    graph = to_onnx(forest, Schema.from_model(forest))
    raw = graph._run({"X": ROWS})[1]
    probabilities = graph.predict_proba(ROWS)

    assert raw.min() < 0 and raw.max() > 1
    assert (0, 1) == (probabilities.min(), probabilities.max())
    assert np.allclose(raw, probabilities, atol=1e-6, rtol=0)


@pytest.mark.parametrize("outputs", [1, 2])
def test_regressor_in_a_bare_file(tmp_path, outputs):
    y = ROWS[:, 0] if outputs == 1 else ROWS[:, :2]
    model = LinearRegression().fit(ROWS, y)
    onnx.save(convert(model), tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")

    np.testing.assert_allclose(y, loaded.predict(ROWS), **CLOSE)
    assert not hasattr(loaded, "predict_proba")
    assert outputs == len(Predictor(loaded, target=["a", "b"][:outputs]).targets)


@pytest.mark.parametrize(
    "model", [KMeans(3, n_init=1, random_state=0), LinearSVC()], ids=lambda it: type(it).__name__
)
def test_scores_that_are_not_probabilities_are_ignored(model):
    model.fit(ROWS, YES)
    loaded = OnnxModel(convert(model).SerializeToString())

    assert model.predict(ROWS).tolist() == loaded.predict(ROWS).tolist()
    assert not hasattr(loaded, "predict_proba")


def test_graph_without_classes_predicts_labels_only():
    model = KNeighborsClassifier().fit(ROWS, YES)
    loaded = OnnxModel(convert(model, zipmap=False).SerializeToString())

    assert model.predict(ROWS).tolist() == loaded.predict(ROWS).tolist()
    assert (False, False) == (hasattr(loaded, "classes_"), hasattr(loaded, "predict_proba"))


KINDS = [
    ("a", TensorProto.FLOAT, "number"),
    ("b", TensorProto.DOUBLE, "number"),
    ("c", TensorProto.INT64, "integer"),
    ("d", TensorProto.INT32, "integer"),
    ("e", TensorProto.BOOL, "boolean"),
]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_named_inputs_are_columns(tmp_path, interface):
    casts = [helper.make_node("Cast", [name], [name * 2], to=TensorProto.FLOAT) for name, *_ in KINDS]
    total = helper.make_node("Sum", [name * 2 for name, *_ in KINDS], ["y"])
    inputs = [make_info(name, kind) for name, kind, _ in KINDS] + [make_info("text", TensorProto.STRING)]
    onnx.save(make_graph([*casts, total], inputs, [make_info("y")]), tmp_path / "sum.onnx")
    gate = Gate([Deployment("sum", tmp_path / "sum.onnx")], keys="open")
    client = Client(getattr(gate, interface))
    row = {"a": 1.5, "b": 2.5, "c": 3, "d": 4, "e": True, "text": "free"}
    answer = client.post("/simple/sum", json=row)
    faulty = client.post("/simple/sum", json={**row, "c": 3.5, "text": None})

    assert (200, 12.0) == (answer.status, answer.json()["prediction"])
    assert 400 == faulty.status
    schema = Schema.from_model(load_model(tmp_path / "sum.onnx"))
    assert [(name, kind) for name, _, kind in KINDS] + [("text", "text")] == [
        (c.name, c.kind) for c in schema
    ]
    assert 12.0 == load_model(tmp_path / "sum.onnx").predict(pd.DataFrame([row]))[0]


def test_graph_without_scores_has_no_classes():
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)
    made = make_graph([cast], [make_info("x")], [make_info("y", TensorProto.INT64)])
    loaded = OnnxModel(made.SerializeToString())

    assert [1, -2] == loaded.predict(np.array([[1.5], [-2.5]])).tolist()
    assert (False, False) == (hasattr(loaded, "classes_"), hasattr(loaded, "predict_proba"))


def test_graph_that_rejects_unknown_text(caplog):
    """Its probabilities are known only from modelgate's metadata; otherwise this is logged."""
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(FRAME[["plan"]], YES)
    strict = make_pipeline(make_column_transformer((model[0], ["plan"])), model[1]).fit(FRAME[["plan"]], YES)
    loaded = to_onnx(strict, Schema.from_model(strict))
    stripped = onnx.load_model_from_string(loaded.content)
    del stripped.metadata_props[:]
    other = OnnxModel(stripped.SerializeToString())

    np.testing.assert_allclose(
        strict.predict_proba(FRAME[["plan"]]), loaded.predict_proba(FRAME[["plan"]]), **CLOSE
    )
    assert strict.predict(FRAME[["plan"]]).tolist() == other.predict(FRAME[["plan"]].to_numpy()).tolist()
    assert ("plan",) == Schema.from_model(loaded).names
    assert not hasattr(other, "predict_proba")
    assert "the graph rejects the random texts of a test row" in caplog.text


def test_bare_onnx_file_is_pinned(tmp_path):
    onnx.save(convert(LinearRegression().fit(ROWS, ROWS[:, 0])), tmp_path / "m@1.onnx")
    digest = hashlib.sha256((tmp_path / "m@1.onnx").read_bytes()).hexdigest()
    store = FolderStore(tmp_path)

    assert digest == store.load("m", sha256=digest).sha256
    for options, message in (
        ({"sha256": "0" * 64}, "digest"),
        ({"public_keys": ["A" * 43 + "="]}, "not signed"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            ModelPackage.load(tmp_path / "m@1.onnx", **options)


def make_external(**changes):
    """Return a tensor whose data are in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], **changes)
    tensor.external_data.add(key="location", value="/etc/hostname")
    return tensor


IDENTITY = helper.make_node("Identity", ["x"], ["y"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"no graph", "cannot be read"),
        (b"\x08\x08" * 5000, "cannot be read"),
        (
            lambda: make_graph(
                [IDENTITY],
                [make_info("x")],
                [make_info("y")],
                [make_external(data_location=TensorProto.EXTERNAL)],
            ),
            "has external data",
        ),
        (
            lambda: make_graph([IDENTITY], [make_info("x")], [make_info("y")], [make_external()]),
            "has external data",
        ),
        (
            lambda: make_graph(
                [
                    helper.make_node(
                        "Constant", [], ["w"], value=make_external(data_location=TensorProto.EXTERNAL)
                    ),
                    IDENTITY,
                ],
                [make_info("x")],
                [make_info("y")],
            ),
            "has external data",
        ),
        (
            lambda: make_graph(
                [IDENTITY], [make_info("x", TensorProto.UINT8)], [make_info("y", TensorProto.UINT8)]
            ),
            "input x of the graph must be",
        ),
        (
            lambda: make_graph([IDENTITY], [make_info("x", shape=(1, 1))], [make_info("y", shape=(1, 1))]),
            "dynamic first dimension",
        ),
        (
            lambda: make_graph([IDENTITY], [make_info("x", shape=(None,))], [make_info("y", shape=(None,))]),
            "input x of the graph must be",
        ),
        (
            lambda: make_graph([IDENTITY], [make_info("x", shape=(None, None))], [make_info("y")]),
            "input x of the graph must be",
        ),
        (
            lambda: make_graph(
                [IDENTITY], [make_info("x", shape=(None, 2)), make_info("z")], [make_info("y")]
            ),
            "inputs of one column each",
        ),
        (
            lambda: make_graph(
                [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8)],
                [make_info("x")],
                [make_info("y", TensorProto.UINT8)],
            ),
            "output y of the graph must be",
        ),
        (
            lambda: make_graph(
                [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)],
                [make_info("x", shape=(None, 2))],
                [make_info("y", TensorProto.INT64, (None, 2))],
            ),
            "one label per row",
        ),
        (
            lambda: make_graph(
                [helper.make_node("Nonsense", ["x"], ["y"])], [make_info("x")], [make_info("y")]
            ),
            "cannot be read",
        ),
    ],
)
def test_unsupported_graphs_are_rejected(tmp_path, content, message, capfd):
    """Nothing is printed to the host's own output."""
    path = tmp_path / "m.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content().SerializeToString())
    with pytest.raises(ConfigurationError, match=message) as info:
        load_model(path)

    assert str(path) in str(info.value)
    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{", "cannot be read"),
        ('{"columns": ["a"]}', r"must name 3 columns \(got 1\)"),
        ('{"classes": ["a", "b"]}', "classes in the metadata of the model must be"),
        ('{"extra": 1}', "cannot be read"),
    ],
)
def test_false_metadata_is_rejected(tmp_path, entry, message):
    model = convert(LogisticRegression().fit(ROWS, YES), zipmap=False)
    helper.set_model_props(model, {"modelgate": entry})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ConfigurationError, match=message):
        load_model(tmp_path / "m.onnx")


def test_session_uses_one_thread(tmp_path, monkeypatch):
    loaded = OnnxModel(convert(LinearRegression().fit(ROWS, ROWS[:, 0])).SerializeToString())
    options = loaded._session.get_session_options()

    assert (1, 1) == (options.intra_op_num_threads, options.inter_op_num_threads)


@pytest.mark.parametrize("package", ["onnxruntime", "onnx"])
def test_onnx_names_the_missing_extra(tmp_path, monkeypatch, package):
    onnx.save(convert(LinearRegression().fit(ROWS, ROWS[:, 0])), tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[onnx\]"'):
        load_model(tmp_path / "m.onnx")


# Made of an estimator

FAMILIES = [
    (make_pipeline(columns(), LogisticRegression()), FRAME, YES),
    (make_pipeline(columns(), Ridge()), FRAME, ROWS[:, 0]),
    (make_pipeline(StandardScaler(), LogisticRegression()), NAMED, YES),
    (
        GridSearchCV(make_pipeline(columns(), LogisticRegression()), {"logisticregression__C": [1, 2]}, cv=2),
        FRAME,
        YES,
    ),
    (LogisticRegression(), ROWS, ROWS[:, 0] > 0),
    (LogisticRegression(), ROWS, np.where(ROWS[:, 0] > 0, 1.0, 2.0)),
    (LogisticRegression(), ROWS, np.digitize(ROWS[:, 0], [-0.5, 0.5])),
    (GradientBoostingClassifier(n_estimators=5, random_state=0), ROWS, YES),
    (RandomForestRegressor(5, random_state=0), ROWS, ROWS[:, 0] * 1000),
    (KNeighborsClassifier(), ROWS, YES),
    (make_pipeline(SimpleImputer(), Ridge()), ROWS, ROWS[:, 0]),
    (KMeans(3, n_init=1, random_state=0), ROWS, None),
    (LinearRegression(), ROWS, ROWS[:, :2]),
]


@pytest.mark.parametrize(("model", "X", "y"), FAMILIES, ids=lambda it: type(it).__name__)
def test_onnx_package_round_trip(tmp_path, model, X, y):
    """Classes keep their types, and the difference is measured."""
    model.fit(X, y)
    package = ModelPackage.from_estimator(model, X, y, format="onnx")
    digest = package.save(tmp_path / "m.mgpkg")
    loaded = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest)
    manifest, rows = loaded.manifest, X[list(loaded.schema.names)] if isinstance(X, pd.DataFrame) else X

    assert ("model.onnx", 200, 0) == (manifest.model, manifest.difference.rows, manifest.difference.labels)
    assert manifest.difference.largest <= 1e-5 * max(1, manifest.difference.greatest or 1)
    np.testing.assert_allclose(to_numbers(model.predict(X)), to_numbers(loaded.model.predict(rows)), **CLOSE)
    if hasattr(model, "predict_proba"):
        classes = manifest.classes[0]
        assert [type(label) for label in model.classes_.tolist()] == [type(label) for label in classes]
        assert model.classes_.tolist() == classes == loaded.model.classes_.tolist()
        np.testing.assert_allclose(model.predict_proba(X), loaded.model.predict_proba(rows), **CLOSE)


def to_numbers(values):
    return values if values.dtype.kind in "biuf" else values == "yes"


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_gate_serves_an_onnx_package(tmp_path, interface):
    """Without the estimator; columns may come in any order."""
    model = make_pipeline(columns(), LogisticRegression()).fit(FRAME, YES)
    ModelPackage.from_estimator(model, FRAME, format="onnx").save(tmp_path / "m.mgpkg")
    gate = Gate([Deployment("m", tmp_path / "m.mgpkg")], keys="open")
    client = Client(getattr(gate, interface))
    row = {"plan": "pro", "visits": 0, "rooms": 3, "income": 0.1, "age": 2.0}
    faulty = client.post("/simple/m", json={"plan": "pro", "age": 2.0})
    answer = client.post("/simple/m", json=row)
    expected = model.predict_proba(pd.DataFrame([{**row, "dropped": "?"}])[FRAME.columns])

    assert ["income", "rooms"] == faulty.json()["missing_columns"]
    assert (200, "yes") == (answer.status, answer.json()["prediction"])
    assert expected.max() == pytest.approx(answer.json()["confidence"], abs=1e-5)


def test_columns_are_matched_by_name():
    model = LogisticRegression().fit(NAMED, YES)
    schema = Schema.of(visits=float, extra=float, income=float, age=float)
    predictor = Predictor(to_onnx(model, schema), schema)
    rows = NAMED.assign(extra=1.0)[["visits", "extra", "income", "age"]]
    prediction = drive(predictor.predict(schema.read(rows)))

    np.testing.assert_allclose(model.predict_proba(NAMED), prediction.probabilities, **CLOSE)
    with pytest.raises(ConfigurationError, match="all columns the model needs: add income"):
        Predictor(to_onnx(model, schema), Schema.of(age=float, visits=float))


def test_columns_may_have_any_name():
    """skl2onnx renames some, and may give several the same name."""
    names = dict(zip(FRAME, ["a/b", "a b", "1\u00e9", "plan", "rooms", "?"], strict=True))
    renamed = FRAME.rename(columns=names)
    model = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["1\u00e9", "a/b"]), (OneHotEncoder(), ["plan"]), (StandardScaler(), ["a b"])
        ),
        LogisticRegression(),
    ).fit(renamed, YES)
    made = to_onnx(model, Schema.from_model(model))

    assert {"a/b", "a b", "1\u00e9", "plan"} == set(made.feature_names_in_)
    np.testing.assert_allclose(model.predict_proba(renamed), made.predict_proba(renamed), **CLOSE)


def test_foreign_graph_is_packaged(tmp_path):
    """Unchanged, with an example and without a difference."""
    content = convert(LogisticRegression().fit(ROWS, YES), zipmap=False).SerializeToString()
    package = ModelPackage.from_estimator(OnnxModel(content), ROWS, YES)
    package.save(tmp_path / "m.mgpkg")
    loaded = ModelPackage.load(tmp_path / "m.mgpkg")

    assert ("model.onnx", None, [["no", "yes"]]) == (
        loaded.manifest.model,
        loaded.manifest.difference,
        loaded.manifest.classes,
    )
    assert content == loaded.model.content
    other = ModelPackage.from_estimator(
        OnnxModel(convert(LogisticRegression(C=1e-4).fit(ROWS, YES), zipmap=False).SerializeToString()),
        ROWS,
    )
    object.__setattr__(other, "example", package.example)
    with pytest.raises(ConfigurationError, match="differs from the example"):
        other.save(tmp_path / "other.mgpkg")


@pytest.mark.parametrize(
    ("model", "X", "y", "message"),
    [
        (
            MultiOutputClassifier(LogisticRegression()),
            ROWS,
            np.column_stack([YES, YES[::-1]]),
            "predicts several labels",
        ),
        (make_pipeline(FunctionTransformer(np.abs), Ridge()), ROWS, ROWS[:, 0], "FunctionTransformer is not"),
        (
            make_pipeline(FunctionTransformer(np.abs), Ridge()),
            np.array([[True, 1.0], *ROWS[1:, :2].tolist()], dtype=object),
            ROWS[:, 0],
            "set one in the schema for x0",
        ),
    ],
)
def test_package_reports_why_a_model_cannot_be_converted(model, X, y, message):
    model.fit(X, y)
    with pytest.raises(ConfigurationError, match=message):
        ModelPackage.from_estimator(model, X, format="onnx")


def test_difference():
    labels = np.array(["a", "b", "a"]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    other = np.array(["a", "b", "b"]), labels[1] + [[0, 0], [0, 0], [-0.25, 0.25]]
    numbers = np.array([1.0, -4.0])

    assert Difference(3, 1, 0.25) == difference(labels, other)
    assert Difference(2, 0, 0.5, 4.0) == difference((numbers, None), (np.array([1.0, -3.5]), None))
    assert "on 3 rows 1 labels differ, and probabilities by at most 0.25" == str(difference(labels, other))
    assert "on 2 rows numbers of up to 4 differ by at most 0.5" == str(Difference(2, 0, 0.5, 4.0))
    for wrong in ((numbers[:1], None), (numbers, numbers), (numbers * np.nan, None)):
        with pytest.raises(ConfigurationError, match="the graph"):
            difference((numbers, None), wrong)


# As a plan


def test_onnx_plan(caplog):
    """The difference is logged; the estimator predicts rows that it might reject."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, YES)
    predictor = Predictor(model, plans="onnx", model_id="churn")
    prediction = drive(predictor.predict(predictor.schema.read(ROWS)))

    assert isinstance(predictor.plan, OnnxPlan)
    assert (200, 0) == (predictor.plan.difference.rows, predictor.plan.difference.labels)
    assert 0 < predictor.plan.difference.largest < 1e-5
    assert [f"model churn: ONNX graph used: {predictor.plan.difference}"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    assert model.predict(ROWS).tolist() == prediction.outputs[0].values.tolist()
    np.testing.assert_allclose(model.predict_proba(ROWS), prediction.probabilities, **CLOSE)
    assert not np.array_equal(model.predict_proba(ROWS), prediction.probabilities)


def test_onnx_plan_leaves_nulls_to_the_estimator():
    """A graph predicts what an estimator rejects or imputes."""
    model = make_pipeline(SimpleImputer(), Ridge()).fit(ROWS, ROWS[:, 0])
    predictor = Predictor(model, plans="onnx")
    rows = np.array([[np.nan, 0.5, 1.0], [0.25, 0.5, np.nan]])
    prediction = drive(predictor.predict(predictor.schema.read(rows)))

    assert model.predict(rows).tolist() == prediction.outputs[0].values.tolist()


def test_onnx_plan_decides_row_by_row():
    X = np.array([[20_000_000.0 + index, index % 7] for index in range(50)])
    model = make_pipeline(SimpleImputer(), LinearRegression()).fit(X, X.sum(axis=1))
    predictor = Predictor(model, plans="onnx")
    rows = np.array([[20_000_001.0, 5.0], [np.nan, 5.0], [1e39, 5.0], [3e38, 3e38]])
    alone = [drive(predictor.predict(predictor.schema.read(row[None]))).values[0] for row in rows]
    together = drive(predictor.predict(predictor.schema.read(rows))).values

    assert isinstance(predictor.plan, OnnxPlan)
    assert alone == together.tolist()
    assert model.predict(rows[1:3]).tolist() == alone[1:3]
    assert np.isfinite(alone).all()


def test_onnx_plan_leaves_large_numbers_to_the_estimator():
    """A tree rejects numbers beyond 32 bits."""
    model = DecisionTreeClassifier(random_state=0).fit(ROWS, YES)
    predictor = Predictor(model, plans="onnx")
    output = drive(predictor.predict(predictor.schema.read(ROWS[:1])))

    assert isinstance(predictor.plan, OnnxPlan)
    assert model.predict(ROWS[:1]).tolist() == output.values.tolist()
    with pytest.raises(PredictionError):
        drive(predictor.predict(predictor.schema.read(np.array([[1e39, 0.0, 0.0], [0.0, 0.0, 0.0]]))))


def test_onnx_plan_without_ranges_is_not_measured(caplog):
    """Synthetic rows would not represent real ones."""
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    schema = Schema([Column("x0"), Column("x1", observed_range=(0, 1)), Column("x2", minimum=0, maximum=1)])
    plan = Predictor(model, schema, plans="onnx", model_id="churn").plan

    assert isinstance(plan, OnnxPlan)
    assert plan.difference is None
    assert (
        "model churn: ONNX graph used: difference not measured: the range of x0 is not known" in caplog.text
    )


@pytest.mark.parametrize(
    ("model", "inputs", "rows"),
    [
        (LogisticRegression(), ROWS, 67),
        (make_pipeline(StandardScaler(), LogisticRegression()), ROWS, 200 + 67),
        (make_pipeline(SimpleImputer(), LogisticRegression()), HOLED, 200 + 3 + 32),
    ],
    ids=["no ranges", "ranges", "nulls"],
)
def test_onnx_plan_is_measured_on_package_rows(model, inputs, rows, caplog):
    """Also on synthetic rows if the ranges are known."""
    package = ModelPackage.from_estimator(model.fit(inputs, YES), inputs)
    plan = Gate([Deployment("churn", package, plans="onnx")], keys="open").deployments.predictor("churn").plan

    assert (rows, 0) == (plan.difference.rows, plan.difference.labels)
    assert 0 < plan.difference.largest < 1e-5
    assert f"model churn: ONNX graph used: on {rows} rows 0 labels differ" in caplog.text


def test_onnx_plan_that_predicts_no_sample_row_is_not_measured():
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    schema = Schema([Column(name, nullable=True) for name in ("x0", "x1", "x2")])
    plan = Predictor(model, schema, plans="onnx", sample=[dict.fromkeys(schema.names)]).plan

    assert isinstance(plan, OnnxPlan)
    assert plan.difference is None


def test_onnx_plan_falls_back_to_an_exact_plan(caplog):
    model = make_pipeline(StandardScaler(), FunctionTransformer(np.abs), Ridge()).fit(ROWS, ROWS[:, 0])
    predictor = Predictor(model, plans="onnx")

    assert not isinstance(predictor.plan, OnnxPlan)
    assert "model Pipeline: ONNX graph not used: skl2onnx cannot convert the model" in caplog.text


def test_deployment_selects_the_onnx_plan(caplog):
    model = LogisticRegression().fit(ROWS, YES)
    gate = Gate([Deployment("churn", model, plans="onnx")], keys="open")
    answer = Client(gate.wsgi).post("/simple/churn", json={"x0": 2, "x1": 1, "x2": 0})

    assert (200, "yes") == (answer.status, answer.json()["prediction"])
    assert (
        "model churn: ONNX graph used: difference not measured: the range of x0, x1, x2 is not known"
        in caplog.text
    )
    with pytest.raises(ConfigurationError, match=r"plans must be True, False or 'onnx' .got 'pmml'"):
        Deployment("churn", model, plans="pmml")


def test_estimator_that_rejects_the_sample(caplog):
    """A missing plan does not prevent the start."""

    class Choosy(LinearRegression):
        def predict(self, X):
            if len(X) > 1:
                raise ValueError("one at a time")
            return super().predict(X)

    predictor = Predictor(Choosy().fit(ROWS, ROWS[:, 0]), plans="onnx")

    assert "model Choosy: ONNX graph not used" in caplog.text
    assert 1 == len(drive(predictor.predict(predictor.schema.read(ROWS[:1]))).outputs[0].values)


def test_onnx_plan_of_a_function_is_rejected():
    with pytest.raises(ConfigurationError, match="plans must be True or False for a function"):
        Predictor(lambda table: table["a"], Schema.of(a=float), plans="onnx")


def test_onnx_plan_without_skl2onnx(monkeypatch, caplog):
    """A plan falls back and logs it; packaging fails."""
    model = LogisticRegression().fit(ROWS, YES)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    predictor = Predictor(model, plans="onnx")

    assert not isinstance(predictor.plan, OnnxPlan)
    assert 'pip install "modelgate[onnx]"' in caplog.text
    with pytest.raises(ConfigurationError, match="skl2onnx"):
        ModelPackage.from_estimator(model, ROWS, format="onnx")


def test_onnx_graph_has_no_plan():
    loaded = to_onnx(LogisticRegression().fit(ROWS, YES), Schema.of(x0=float, x1=float, x2=float))

    assert {"it is an ONNX graph"} == {Predictor(loaded, plans=plans).plan for plans in (True, False, "onnx")}


# From the command line


@pytest.mark.parametrize("option", [["--onnx"], ["--format", "onnx"]], ids=" ".join)
def test_cli_shows_the_difference(tmp_path, option):
    model = make_pipeline(columns(), LogisticRegression()).fit(FRAME, YES)
    ModelPackage.from_estimator(model, FRAME).save(tmp_path / "m.mgpkg")
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    run = click.testing.CliRunner().invoke
    arguments = [
        "pack",
        tmp_path / "m.mgpkg",
        "--sample",
        tmp_path / "rows.csv",
        *option,
        "-o",
        tmp_path / "o.mgpkg",
    ]
    packed = run(cli, list(map(str, arguments)))
    shown = run(cli, ["inspect", str(tmp_path / "o.mgpkg")])
    report = json.loads(run(cli, ["inspect", str(tmp_path / "o.mgpkg"), "--json"]).stdout)

    assert (0, 0) == (packed.exit_code, shown.exit_code), packed.output + shown.output
    assert "ONNX and the estimator: on 200 rows 0 labels differ" in packed.stderr
    assert "converted  on 200 rows 0 labels differ, and probabilities by at most" in shown.stdout
    assert "kB  onnx" in shown.stdout
    assert ("onnx", 200) == (report["format"], report["package"]["difference"]["rows"])


def test_inspect_shows_a_bare_onnx_file(tmp_path):
    onnx.save(convert(LogisticRegression().fit(ROWS, YES)), tmp_path / "m.onnx")
    shown = click.testing.CliRunner().invoke(cli, ["inspect", str(tmp_path / "m.onnx")])

    assert (0, True) == (shown.exit_code, "kB  onnx" in shown.stdout)
    assert "x2\tnumber\tyes\tno" in shown.stdout
    assert "runs" not in shown.stdout and "warning" not in shown.stdout

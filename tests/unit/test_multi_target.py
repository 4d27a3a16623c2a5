"""Several models over the same rows: `MultiTarget`, in every dialect and in packages."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, MultiTarget, Round
from modelgate.dialects import DIALECTS
from modelgate.testing import Client
from support.marks import examples
from support.openapi import OpenAPIDocument

RANDOM = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "age": RANDOM.normal(size=120),
        "plan": RANDOM.choice(["free", "pro"], 120),
        "size": RANDOM.normal(size=120),
    }
)
SPECIES = np.where(X["age"] > 0, "cat", "dog")
WEIGHT = X["age"] * 3 + RANDOM.normal(size=120)
ENCODE = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["plan"]))
ROW = {"age": 1.0, "plan": "pro", "size": 2.0}
ROWS = np.arange(12.0).reshape(-1, 1)
LABELS = st.sampled_from([["a", "b"], ["0", "1"], ["no", "yes", "1.5"], [0, 1], [2, 3, 5], [True, False]])


def fit_pet():
    species = make_pipeline(ENCODE, LogisticRegression()).fit(X[["age", "plan"]], SPECIES)
    return MultiTarget({"species": species, "weight": LinearRegression().fit(X[["size", "age"]], WEIGHT)})


@pytest.fixture(scope="module")
def pet():
    return fit_pet()


@pytest.fixture(scope="module")
def gate(pet):
    return Gate([Deployment("pet", pet)], keys="open")


def post(gate, path, body, **headers):
    return Client(gate.wsgi).post(path, json=body, headers=headers)


# By dialect: the path, a function that builds the body, and one that finds a target's value in the answer.
REQUEST_FORMS = {
    "native": (
        "/deployments/m/predict",
        list,
        lambda answer, name: answer["predictions"][0]["outputs"][name],
    ),
    "mlclever": (
        "/api/predict",
        lambda rows: {"input_data": rows},
        lambda answer, name: answer["predictions"][0][int(name[1:])],
    ),
    "plexe": ("/predict/m", list, lambda answer, name: answer["result"][0][name]),
    "datarobot": (
        "/deployments/m/predictions",
        list,
        lambda answer, name: answer["data"][0]["prediction"][name],
    ),
    "peltarion": (
        "/deployment/m/forward",
        lambda rows: {"rows": rows},
        lambda answer, name: answer["rows"][0][name],
    ),
    "simple": ("/simple/m", list, lambda answer, name: answer[0]["prediction"][name]),
    "open_inference": (
        "/v2/models/m/infer",
        lambda rows: {"inputs": [{"name": "x0", "shape": [1], "datatype": "FP64", "data": [rows[0]["x0"]]}]},
        lambda answer, name: next(
            tensor["data"][0] for tensor in answer["outputs"] if tensor["name"] == name
        ),
    ),
    "tf_serving": (
        "/v1/models/m:predict",
        lambda rows: {"instances": rows},
        lambda answer, name: answer["predictions"][0][name],
    ),
    "mlflow": (
        "/mlflow/m/invocations",
        lambda rows: {"dataframe_records": rows},
        lambda answer, name: answer["predictions"][0][name],
    ),
}


def test_every_dialect_has_a_request_form():
    """A new dialect must be added to `REQUEST_FORMS`."""
    assert set(DIALECTS) == set(REQUEST_FORMS)


def plain(value):
    """Return the value in *value*, which may be an object with probabilities."""
    if isinstance(value, dict):
        return value.get("prediction", value.get("predicted_class"))
    return value


@pytest.mark.slow
@examples(0.25)
@given(tasks=st.lists(st.one_of(st.none(), LABELS), min_size=2, max_size=4))
def test_outputs_have_the_types_of_their_models_in_every_dialect(tasks):
    """A task is a list of labels, or None for a number. The dialect ``peltarion`` has texts for all labels."""
    models = {}
    for index, labels in enumerate(tasks):
        y = (
            [3.25 * row for row in range(12)]
            if labels is None
            else [labels[i % len(labels)] for i in range(12)]
        )
        tree = DecisionTreeRegressor if labels is None else DecisionTreeClassifier
        models[f"t{index}"] = tree(random_state=0).fit(ROWS, y)
    gate = Gate([Deployment("m", MultiTarget(models))], keys="open", limits="1000000000/day")
    for dialect, (path, body, find) in REQUEST_FORMS.items():
        answer = post(gate, path, body([{"x0": 7.0}]))
        assert (dialect, 200) == (dialect, answer.status), answer.body
        for name, model in models.items():
            expected, value = model.predict([[7.0]])[0].item(), find(answer.json(), name)
            if dialect == "peltarion" and isinstance(value, dict):
                assert json.dumps(expected).strip('"') == max(value, key=value.get)
            else:
                assert (dialect, type(expected), expected) == (dialect, type(plain(value)), plain(value))


@pytest.mark.slow
def test_multi_target_mixes_labels_and_numbers_as_in_the_ml_clever_document(gate):
    answer = post(gate, "/api/predict", {"input_data": ROW}).json()

    assert ["cat", round(gate.score("pet", ROW).outputs[1].values[0], 2)] == answer["predictions"]
    assert 2 == len(answer["confidence_intervals"])


@pytest.mark.slow
def test_multi_target_predicts_what_its_models_predict(gate, pet):
    species, weight = gate.score("pet", X).outputs
    predicted = [
        pet.target_models["species"].predict(X),
        pet.target_models["weight"].predict(X[["size", "age"]]),
    ]

    assert ["species", "weight"] == [species.name, weight.name]
    assert np.array_equal(predicted[0], species.values)
    assert predicted[1] == pytest.approx(weight.values)
    assert np.array_equal(pet.target_models["species"].predict_proba(X), species.probabilities)
    assert weight.probabilities is None
    assert "2 of its 2 models have exact plans" == gate.deployments.predictor("pet").plan


def test_multi_target_needs_the_columns_of_all_models(gate):
    response = post(gate, "/deployments/pet/predict", {"age": "x"})

    assert ("age", "plan", "size") == gate.deployments.predictor("pet").schema.names
    assert {"plan", "size"} == set(response.json()["missing_columns"])
    assert {"age"} == set(response.json()["errors"])


def test_multi_target_predicts_frames_and_arrays_by_name(pet):
    same = MultiTarget({"same": LinearRegression().fit(ROWS, ROWS[:, 0])})
    predicted = pet.predict(X)

    assert {"same": pytest.approx(ROWS[:, 0])} == same.predict(ROWS)
    assert ["species", "weight"] == list(predicted)
    assert np.array_equal(pet.target_models["weight"].predict(X[["size", "age"]]), predicted["weight"])


@pytest.mark.slow
def test_multi_target_with_one_model_is_like_that_model(gate, pet):
    single = MultiTarget({"weight": pet.target_models["weight"]})
    alone = Gate([Deployment("pet", single)], keys="open")
    answer = post(alone, "/deployments/pet/predict", {"size": 2.0, "age": 1.0}).json()

    assert gate.score("pet", ROW).outputs[1].values[0] == answer["prediction"]


@pytest.mark.slow
def test_models_without_probabilities_have_none(pet):
    vector = make_pipeline(ENCODE, LinearSVC()).fit(X[["age", "plan"]], SPECIES)
    gate = Gate([Deployment("pet", MultiTarget({**pet.target_models, "vector": vector}))], keys="open")
    outputs = post(gate, "/deployments/pet/predict", ROW).json()["outputs"]

    assert [True, False, False] == ["probabilities" in output for output in outputs.values()]


@pytest.mark.slow
def test_threshold_applies_to_binary_outputs(pet):
    gate = Gate([Deployment("pet", pet, threshold=0.999, positive_class="cat")], keys="open")
    species, weight = gate.score("pet", ROW).outputs

    assert "dog" == species.values[0]
    assert weight.values[0] == gate.score("pet", ROW).outputs[1].values[0]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "must be a mapping such as"),
        ([LinearRegression()], "must be a mapping such as"),
        ({1: LinearRegression().fit(ROWS, ROWS)}, "must have names that are text"),
        ({"": LinearRegression().fit(ROWS, ROWS)}, "must have names that are text"),
        ({"a": len}, "must be fitted models with predict"),
        ({"a": LinearRegression}, "must be fitted models with predict"),
        ({"a": LinearRegression().fit(ROWS, np.hstack([ROWS, ROWS]))}, "must predict one value each"),
        ({"a": MultiTarget({"b": LinearRegression().fit(ROWS, ROWS[:, 0])})}, "must predict one value each"),
        (
            {
                "a": LinearRegression().fit(ROWS, ROWS[:, 0]),
                "b": LinearRegression().fit(X[["age"]], WEIGHT),
            },
            r"named columns, or all on arrays with the same columns \(got models with named columns: b",
        ),
        (
            {
                "a": LinearRegression().fit(ROWS, ROWS[:, 0]),
                "b": LinearRegression().fit(np.hstack([ROWS, ROWS]), ROWS[:, 0]),
            },
            "got models with named columns: none; numbers of columns: 1, 2",
        ),
    ],
)
def test_multi_target_rejects_models_that_do_not_fit_together(models, message):
    with pytest.raises(ConfigurationError, match=message):
        MultiTarget(models)


def test_model_that_is_not_fitted_is_named():
    models = {"a": LinearRegression().fit(ROWS, ROWS[:, 0]), "b": LinearRegression()}

    with pytest.raises(ConfigurationError, match="LinearRegression is not fitted"):
        Gate([Deployment("m", MultiTarget(models))], keys="open")


@pytest.mark.slow
def test_target_cannot_rename_the_outputs(pet):
    Gate([Deployment("pet", pet, target=["species", "weight"])], keys="open")
    for target in ("pet", ["weight", "species"]):
        with pytest.raises(ConfigurationError, match="target must be left out for a MultiTarget"):
            Gate([Deployment("pet", pet, target=target)], keys="open")
        with pytest.raises(ConfigurationError, match="target must be left out for a MultiTarget"):
            ModelPackage.from_estimator(pet, X, target=target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "duplicate"),
    [(("pet", "pet_cat"), "pet_cat"), (("pet", "pet_probabilities"), "pet_probabilities")],
)
def test_ambiguous_names_are_rejected(pet, names, duplicate):
    """A wire format that joins a name with a class could not tell these outputs apart."""
    model = MultiTarget(dict(zip(names, pet.target_models.values(), strict=True)))

    with pytest.raises(ConfigurationError, match=rf"got '{duplicate}' twice"):
        Gate([Deployment("pet", model)], keys="open")


def test_decimals_by_output():
    y = np.column_stack([ROWS[:, 0] / 3, ROWS[:, 0] / 7, ROWS[:, 0] / 11])
    model = LinearRegression().fit(ROWS, y)
    deployment = Deployment("m", model, target=["a", "b", "c"], decimals={"a": 1, "c": None})
    gate = Gate([deployment], keys="open")
    native = post(gate, "/deployments/m/predict", {"x0": 10}).json()["outputs"]
    mlclever = post(gate, "/api/predict", {"input_data": {"x0": 10}}).json()["predictions"]

    assert 3.3 == native["a"]["prediction"]
    assert len(str(native["b"]["prediction"])) > 6
    assert [3.3, 1.43] == mlclever[:2]
    assert len(str(mlclever[2])) > 6


@pytest.mark.slow
def test_decimals_must_be_of_the_outputs(pet):
    with pytest.raises(ConfigurationError, match=r"output names as keys: species, weight \(got wieght\)"):
        Gate([Deployment("pet", pet, decimals={"wieght": 1})], keys="open")
    for decimals in ({"weight": "service"}, {"weight": 16}, {"weight": True}):
        with pytest.raises(ConfigurationError, match="decimals must be"):
            Round(decimals)
        with pytest.raises(ConfigurationError, match="decimals must be"):
            Deployment("pet", pet, decimals=decimals)


def test_npy_of_labels_and_numbers_has_a_field_for_each_output(gate):
    response = post(gate, "/deployments/pet/predict", [ROW, ROW], accept="application/x-npy")
    array = np.load(io.BytesIO(response.body))

    assert ("species", "weight") == array.dtype.names
    assert ["cat", "cat"] == array["species"].tolist()
    assert gate.score("pet", [ROW, ROW]).outputs[1].values.tolist() == array["weight"].tolist()


def test_csv_has_columns_for_each_output(gate):
    response = post(gate, "/deployments/pet/predict", [ROW], accept="text/csv")
    frame = pd.read_csv(io.BytesIO(response.body))

    assert [
        "species_prediction",
        "species_probability_cat",
        "species_probability_dog",
        "weight_prediction",
    ] == frame.columns.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["skops", "joblib"])
def test_package_of_a_multi_target(pet, tmp_path, format_):
    y = pd.DataFrame({"weight": WEIGHT, "species": SPECIES})
    path = tmp_path / "pet.mgpkg"
    package = ModelPackage.from_estimator(pet, X, y, name="pet", format=format_)
    digest = package.save(path)
    loaded = ModelPackage.load(path, sha256=digest, allow_pickle=True)
    gate = Gate([Deployment("pet", loaded)], keys="open")
    expected = Gate([Deployment("pet", pet)], keys="open").score("pet", X)

    assert (None, ["species", "weight"]) == (loaded.manifest.task, loaded.manifest.target)
    assert [["cat", "dog"], None] == loaded.manifest.classes
    assert "scikit-learn" in loaded.manifest.versions
    assert {"cat", "dog"} == {level for level, _ in loaded.statistics["target"][0]["levels"]}
    assert pytest.approx(WEIGHT.mean()) == loaded.statistics["target"][1]["mean"]
    for before, after in zip(expected.outputs, gate.score("pet", X).outputs, strict=True):
        assert np.array_equal(before.values, after.values)


@pytest.mark.slow
def test_package_of_a_multi_target_needs_no_model_for_its_metadata(pet, tmp_path):
    ModelPackage.from_estimator(pet, X).save(tmp_path / "pet.mgpkg")
    gate = Gate([Deployment("pet", tmp_path / "pet.mgpkg")], keys="open")
    output = Client(gate.wsgi).get("/deployments/pet").json()["output"]

    assert [{"name": "species", "classes": ["cat", "dog"]}, {"name": "weight"}] == output
    assert gate.deployments.cache.peek("pet") is None


@pytest.mark.slow
def test_multi_target_cannot_be_an_onnx_graph(pet):
    with pytest.raises(ConfigurationError, match="cannot"):
        ModelPackage.from_estimator(pet, X, format="onnx")


@pytest.mark.slow
@pytest.mark.parametrize("as_frame", [True, False])
def test_numbers_of_a_multi_target_have_intervals(pet, as_frame):
    new = X.assign(age=X["age"] + 0.5)
    frame = pd.DataFrame({"weight": WEIGHT + 1, "species": SPECIES})
    y = frame if as_frame else np.array([SPECIES, WEIGHT + 1], dtype=object).T
    package = ModelPackage.from_estimator(pet, X).calibrate(new, y)
    gate = Gate([Deployment("pet", package)], keys="open")
    outputs = post(gate, "/deployments/pet/predict?intervals=90", ROW).json()["outputs"]

    assert package.calibration.residuals[0] is None
    assert np.sort(
        np.abs(pet.target_models["weight"].predict(new[["size", "age"]]) - WEIGHT - 1)
    ).tolist() == (pytest.approx(package.calibration.residuals[1]))
    assert [False, True] == ["intervals" in output for output in outputs.values()]


def test_openapi_describes_the_outputs(gate):
    document = OpenAPIDocument(gate.openapi("pet"))
    schema = document.document["components"]["schemas"]["native_answer"]
    answer = post(gate, "/deployments/pet/predict", ROW).json()

    document.check(schema, answer)
    for name, value in {"species": "bird", "weight": "heavy"}.items():
        outputs = {**answer["outputs"], name: {"prediction": value}}
        with pytest.raises(ValidationError):
            document.check(schema, {**answer, "outputs": outputs})

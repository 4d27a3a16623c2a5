"""Explanations through every mount, and from Python."""

import threading

import numpy as np
import pytest

from modelgate import (
    CSV,
    Column,
    ConfigurationError,
    Deployment,
    Explain,
    Explanations,
    ExplanationsUnavailable,
    Exposure,
    Gate,
    InvalidInput,
    ModelPackage,
    Output,
    Prediction,
    PredictionError,
    ResultCache,
    Rollout,
    Schema,
    SplitRows,
)
from modelgate.humility import OutlyingInput, OverridePrediction
from support.keys import KEY
from support.mounts import Mounted

HEADERS = {"authorization": f"Bearer {KEY}"}
PATH = "/deployments/wine/predict"
SCHEMA = Schema.of(x=float, y=float)
BACKGROUND = [{"x": 0, "y": 0}]


@pytest.fixture(scope="module")
def package(wine):
    return ModelPackage.from_estimator(wine[0], wine[1], name="wine", target="cultivar")


def serve(mount, *deployments):
    return Mounted(mount, Gate(deployments, keys={KEY: "*"}))


@pytest.mark.slow
def test_explanations_of_several_rows(mount, package, wine_row):
    """About the predicted class of each, with the values of the request as they were sent."""
    mounted = serve(mount, Deployment("wine", package, explanations="auto"))
    rows = [wine_row, {**wine_row, "colour": "deep", "alcohol": 12}]
    answer = mounted.post(f"{PATH}?explain=2", json=rows, headers=HEADERS)
    document = answer.json()

    assert 200 == answer.status
    assert {"method": "linear", "space": "margin"}.items() <= document["explanation"].items()
    assert {row["prediction"] for row in document["predictions"]} == set(
        document["explanation"]["base_values"]
    )
    for sent, row in zip(rows, document["predictions"], strict=True):
        strengths = [abs(item["strength"]) for item in row["explanations"]]
        assert 2 == len(strengths)
        assert sorted(strengths, reverse=True) == strengths
        assert row["prediction"] == row["explanation_label"]
        for item in row["explanations"]:
            assert sent[item["feature"]] == item["value"]
            assert type(sent[item["feature"]]) is type(item["value"])


@pytest.mark.slow
def test_explanations_and_predictions_are_the_same_for_batches_and_single_rows(mount, package, wine):
    """Nothing of one request reaches another that was scored in the same call."""
    mounted = serve(mount, Deployment("wine", package, explanations="auto"))
    rows = wine[1].iloc[:8].to_dict("records")
    together = mounted.post(f"{PATH}?explain=4", json=rows, headers=HEADERS).json()["predictions"]
    answers = [None] * len(rows)

    def ask(index):
        path = f"{PATH}?explain=4" if index % 2 else PATH
        answers[index] = mounted.post(path, json=rows[index], headers=HEADERS).json()

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, (row, answer) in enumerate(zip(together, answers, strict=True)):
        assert (index % 2 == 1) == ("explanations" in answer)
        if index % 2:
            strengths = {item["feature"]: item["strength"] for item in row["explanations"]}
            assert pytest.approx(strengths) == {
                item["feature"]: item["strength"] for item in answer["explanations"]
            }


@pytest.mark.slow
@pytest.mark.parametrize("path", [PATH, "/deployments/wine/predictions", "/wine/predictionExplanations"])
def test_deployment_without_explanations_rejects_requests_for_them(mount, package, wine_row, path):
    path = path.replace("/wine/predictionExplanations", "/deployments/wine/predictionExplanations")
    options = {"predict": "?explain=1", "predictions": "?maxExplanations=1"}.get(path.rpartition("/")[2], "")
    answer = serve(mount, Deployment("wine", package)).post(path + options, json=wine_row, headers=HEADERS)
    document = answer.json()

    assert 422 == answer.status
    assert "Prediction explanations are not available for this model" == (
        document.get("detail") or document.get("message")
    )


def test_functions_are_explained_in_a_worker_thread(mount):
    """However fast they are: they may block, and would hold up other requests."""
    threads = []

    def double(table):
        threads.append(threading.current_thread())
        return table["x"] * 2 + table["y"]

    deployment = Deployment(
        "double", double, schema=SCHEMA, explanations=Explanations(background=BACKGROUND), decimals=None
    )
    mounted = serve(mount, deployment)
    threads.clear()
    answer = mounted.post("/deployments/double/predict?explain=2", json={"x": 3, "y": 5}, headers=HEADERS)

    assert 2 == len(threads)
    assert threading.main_thread() not in threads
    assert {"x": 6.0, "y": 5.0} == {
        item["feature"]: item["strength"] for item in answer.json()["explanations"]
    }
    assert {"prediction": 0.0} == answer.json()["explanation"]["base_values"]


def test_failure_of_the_model_while_explaining_is_a_prediction_error(mount):
    """The model can predict the row, but not its combinations with the background."""

    def pick(table):
        if (table["x"] != table["y"]).any():
            raise ValueError("the secret recipe")
        return table["x"]

    background = [{"x": 0, "y": 0}]
    deployment = Deployment("pick", pick, schema=SCHEMA, explanations=Explanations(background=background))
    answer = serve(mount, deployment).post(
        "/deployments/pick/predict?explain=1", json={"x": 1, "y": 1}, headers=HEADERS
    )

    assert (500, "prediction_error") == (answer.status, answer.json()["code"])
    assert b"recipe" not in answer.body


def test_no_rows_have_no_explanations(mount, package):
    mounted = serve(mount, Deployment("wine", package, explanations="auto"))
    document = mounted.post(f"{PATH}?explain=1", json=[], headers=HEADERS).json()

    assert {"predictions", "model_version", "request_id"} == document.keys()
    assert [] == document["predictions"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("explain=0", "The number of explanations must be a whole number of at least 1 (got 0)"),
        ("explain=three", "explain must be a whole number of at least 1"),
        ("explain=51", "The number of explanations must be at most 50 (got 51)"),
        ("threshold_low=0.5", "threshold_low and threshold_high need the option explain"),
        ("explain=1&threshold_high=high", "threshold_high must be a number"),
        ("explain=1&threshold_high=inf", "A threshold for explanations must be a finite number (got inf)"),
    ],
)
def test_options_are_checked(mount, package, wine_row, options, message):
    mounted = serve(mount, Deployment("wine", package, explanations="auto"))
    answer = mounted.post(f"{PATH}?{options}", json=wine_row, headers=HEADERS)

    assert (400, message) == (answer.status, answer.json()["detail"])


@pytest.mark.slow
def test_rows_between_the_thresholds_have_empty_lists(mount, package, wine, wine_row):
    mounted = serve(mount, Deployment("wine", package, explanations="auto"))
    sure = wine[1].iloc[0].to_dict()
    rows = mounted.post(
        f"{PATH}?explain=3&threshold_high=0.9", json=[sure, wine_row, sure], headers=HEADERS
    ).json()["predictions"]

    assert [True, False, True] == [max(row["probabilities"].values()) > 0.9 for row in rows]
    assert [3, 0, 3] == [len(row["explanations"]) for row in rows]
    assert rows[1]["remaining_strength"] is None


# From Python


ROWS = {
    "a mapping": {"x": 3, "y": "5"},
    "mappings": [{"x": 3, "y": "5"}],
    "JSON": b'{"x": 3, "y": "5"}',
    "CSV": CSV(b"x,y\n3,5\n"),
    "lists": SplitRows(["x", "y"], [[3, "5"]]),
    "lists without names": SplitRows(None, [[3, "5"]]),
    "an array": np.array([[3.0, 5.0]]),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_values_are_those_of_the_request(rows):
    schema = Schema.of(x=float, y=float).with_options(coerce_strings=True)
    deployment = Deployment(
        "add",
        lambda table: table["x"] + table["y"],
        schema=schema,
        explanations=Explanations(background=BACKGROUND),
    )
    gate = Gate([deployment], keys="open")
    explanation = gate.score("add", rows, explain=2).explanations[0]
    values = {item.feature: item.value for item in explanation.contributions}

    assert {"x": 3.0, "y": 5.0} == {name: float(value) for name, value in values.items()}
    assert isinstance(rows, np.ndarray | CSV) or values["y"] == "5"


def test_value_of_a_column_that_was_left_out_is_null_or_the_default():
    schema = Schema([Column("x"), Column("y", required=False, nullable=True), Column("z", default=2.0)])
    deployment = Deployment(
        "d",
        lambda table: table["x"] + np.nan_to_num(table["y"], nan=7) + table["z"],
        schema=schema,
        explanations=Explanations(background=[{"x": 0, "y": 0, "z": 0}]),
    )
    explanation = Gate([deployment], keys="open").score("d", {"x": 1}, explain=3).explanations[0]

    assert [("y", None, 7.0), ("z", 2.0, 2.0), ("x", 1, 1.0)] == [
        (item.feature, item.value, item.strength) for item in explanation.contributions
    ]


def test_model_of_rates_is_explained_without_the_exposure():
    """Its own value: the rate, not the number that includes the exposure."""
    deployment = Deployment(
        "claims",
        lambda table: table["x"] + table["y"],
        schema=SCHEMA,
        exposure=Exposure("years", "rate"),
        explanations=Explanations(background=BACKGROUND),
    )
    rows = SplitRows(None, [[3, 5, 10]])
    prediction = Gate([deployment], keys="open").score("claims", rows, explain=3)

    assert [80.0] == prediction.values.tolist()
    assert [("y", 5, 5.0), ("x", 3, 3.0)] == [
        (item.feature, item.value, item.strength) for item in prediction.explanations[0].contributions
    ]


def test_overridden_prediction_is_explained_as_the_model_predicts_it():
    deployment = Deployment(
        "claims",
        lambda table: table["x"] + table["y"],
        schema=SCHEMA,
        humility=[OutlyingInput("x", lower=0, upper=1, action=OverridePrediction(5220))],
        explanations=Explanations(background=BACKGROUND),
    )
    prediction = Gate([deployment], keys="open").score("claims", {"x": 3, "y": 5}, explain=3)

    assert [5220] == prediction.values.tolist()
    assert [5.0, 3.0] == [item.strength for item in prediction.explanations[0].contributions]


def test_predictions_that_are_null_are_not_explained():
    deployment = Deployment(
        "root",
        lambda table: np.sqrt(table["x"]) + table["y"],
        schema=SCHEMA,
        nonfinite="null",
        explanations=Explanations(background=BACKGROUND),
        decimals=None,
    )
    with np.errstate(invalid="ignore"):
        prediction = Gate([deployment], keys="open").score(
            "root", [{"x": 4, "y": 1}, {"x": -1, "y": 1}], explain=2
        )
    first, second = prediction.explanations

    assert {"x": 2.0, "y": 1.0} == {item.feature: item.strength for item in first.contributions}
    assert second.contributions is None


def test_cached_predictions_are_explained_as_each_request_asks():
    deployment = Deployment(
        "add",
        lambda table: table["x"] + table["y"],
        schema=SCHEMA,
        explanations=Explanations(background=BACKGROUND),
        scoring_layers=[ResultCache()],
    )
    gate = Gate([deployment], keys="open")
    row = {"x": 3, "y": 5}
    assert gate.score("add", row).explanations is None
    for count in (1, 2):
        explanation = gate.score("add", row, explain=count).explanations[0]

        assert ["y", "x"][:count] == [item.feature for item in explanation.contributions]
        assert pytest.approx(3.0 if count == 1 else 0.0) == explanation.remaining
    assert gate.score("add", row).explanations is None


@pytest.mark.slow
def test_response_that_does_not_add_up_is_explained_by_permutation(wine, package, wine_row):
    """An explainer may be right for the background and wrong for other rows."""
    gate = Gate([Deployment("wine", package, explanations="auto")], keys="open")
    linear = gate.deployments.predictor("wine").explainer.methods[0]
    right = gate.score("wine", wine_row, explain=4).explanations[0]
    exact = linear.attribute
    linear.attribute = lambda table, numbers: exact(table, numbers) + np.array([1e-6, 0, 0])
    wrong = gate.score("wine", wine_row, explain=4).explanations[0]

    assert ("linear", "margin", "permutation", "probability") == (
        right.method,
        right.space,
        wrong.method,
        wrong.space,
    )
    total = wrong.base_value + sum(item.strength for item in wrong.contributions) + wrong.remaining
    assert pytest.approx(gate.score("wine", wine_row).probabilities.max(), abs=1e-9) == total


def test_no_method_adds_up():
    """A model that predicts something else each time."""
    calls = iter(range(1000))

    def count(table):
        return table["x"] * 0 + next(calls)

    deployment = Deployment("count", count, schema=SCHEMA, explanations=Explanations(background=BACKGROUND))
    gate = Gate([deployment], keys="open")
    methods = gate.deployments.predictor("count").explainer.methods
    methods[0].attribute = lambda table, numbers: np.zeros((len(table), 2, 1))
    with pytest.raises(PredictionError):
        gate.score("count", {"x": 1, "y": 1}, explain=1)


def test_null_of_one_output_leaves_the_others_explained():
    def predict(table):
        return {"root": np.sqrt(table["x"]), "sum": table["x"] + table["y"]}

    deployment = Deployment(
        "several",
        predict,
        schema=SCHEMA,
        nonfinite="null",
        explanations=Explanations(background=BACKGROUND),
    )
    with np.errstate(invalid="ignore"):
        root, total = Gate([deployment], keys="open").score("several", {"x": -1, "y": 5}, explain=2).outputs

    assert root.explanations[0].contributions is None
    assert {"x": -1.0, "y": 5.0} == {
        item.feature: item.strength for item in total.explanations[0].contributions
    }


@pytest.mark.slow
def test_both_models_of_a_rollout_explain(package, wine, wine_row):
    other = ModelPackage.from_estimator(wine[0], wine[1], name="wine", version="2", target="cultivar")
    deployment = Deployment("wine", package, explanations="auto", rollout=Rollout({other: 100}))
    gate = Gate([deployment], keys="open")

    assert 4 == len(gate.score("wine", wine_row, explain=4).explanations[0].contributions)


def test_explanations_need_a_background(wine, wine_row):
    with pytest.raises(ConfigurationError, match=r"deployment wine: explanations: background must have"):
        Gate([Deployment("wine", wine[0], explanations="auto")], keys="open")
    gate = Gate([Deployment("wine", wine[0], explanations=Explanations(background=wine[1]))], keys="open")

    assert "linear" == gate.score("wine", wine_row, explain=1).explanations[0].method


@pytest.mark.parametrize(
    ("explanations", "message"),
    [
        ("shap", "explanations: method must be 'auto', 'linear', 'tree' or 'permutation'"),
        (True, "explanations must be None, a method such as"),
        (Explanations(background=[{"alcohol": "much"}]), "background must have rows that match the schema"),
        (Explanations(background=[]), "background must have at least one row"),
    ],
)
def test_explanations_option_is_checked(wine, explanations, message):
    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("wine", wine[0], explanations=explanations)], keys="open")


@pytest.mark.slow
def test_score_rejects_what_it_cannot_explain(package, wine_row):
    gate = Gate(
        [Deployment("wine", package), Deployment("explained", package, explanations="permutation")],
        keys="open",
    )
    with pytest.raises(ExplanationsUnavailable):
        gate.score("wine", wine_row, explain=1)
    with pytest.raises(InvalidInput, match="must be a whole number of at least 1"):
        gate.score("explained", wine_row, explain="3")
    with pytest.raises(InvalidInput, match="at most 50"):
        gate.score("explained", wine_row, explain=Explain(51))


def test_split_predictions_have_their_own_explanations():
    output = Output("y", np.arange(3.0), explanations=["a", "b", "c"])
    parts = Prediction([output]).split([1, 2])

    assert [["a"], ["b", "c"]] == [part.explanations for part in parts]

"""Explanations of models of all families: they add up, and linear ones are exact."""

import io
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelgate import (
    ConfigurationError,
    Deployment,
    Explain,
    Explanations,
    Gate,
    ModelPackage,
    MultiTarget,
    Schema,
)
from modelgate.explanations.attribution import LINKS, is_additive
from modelgate.explanations.trees import TreeMethod
from modelgate.testing import Client
from support.versions import SKLEARN

CANCER = load_breast_cancer(return_X_y=True, as_frame=True)
DIABETES = load_diabetes(return_X_y=True, as_frame=True)
IRIS = load_iris(return_X_y=True, as_frame=True)


def make_mixed():
    """Numbers, some of them missing, and two categories."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, 300).round(1),
            "plan": random.choice(["free", "pro", "team"], 300),
            "income": random.normal(1, 0.2, 300),
            "region": random.choice(["north", "south"], 300),
        }
    )
    target = frame["age"] / 10 + 2 * (frame["plan"] == "pro") + random.normal(0, 1, 300)
    frame.loc[::7, "income"] = np.nan
    return frame, target


MIXED, AMOUNT = make_mixed()
CHURN = np.where(AMOUNT > AMOUNT.mean(), "yes", "no")
CATEGORIES = MIXED.astype({"plan": "category", "region": "category"})
GAPS = DIABETES[0].mask(np.random.default_rng(0).random(DIABETES[0].shape) < 0.1)

FOREST_GAPS = GAPS if SKLEARN >= (1, 4) else DIABETES[0]  # before, a forest takes no null


def encode_mixed(numbers=None):
    numbers = numbers or make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    return make_column_transformer(
        (numbers, ["income", "age"]), (OneHotEncoder(handle_unknown="ignore"), ["region", "plan"])
    )


FOREST = {"random_state": 0, "n_estimators": 10}
FAST = {"random_state": 0, "max_iter": 20}
MODELS = {
    # name: (method, space, model, rows, target)
    "least squares": ("linear", "value", LinearRegression(), *DIABETES),
    "ridge search": ("linear", "value", GridSearchCV(Ridge(), {"alpha": [1, 2]}), *DIABETES),
    "poisson": ("linear", "link", make_pipeline(StandardScaler(), PoissonRegressor()), *DIABETES),
    "logistic": ("linear", "margin", make_pipeline(StandardScaler(), LogisticRegression()), *CANCER),
    "multinomial": ("linear", "margin", make_pipeline(StandardScaler(), LogisticRegression()), *IRIS),
    "mixed logistic": ("linear", "margin", make_pipeline(encode_mixed(), LogisticRegression()), MIXED, CHURN),
    "discriminant": ("linear", "margin", LinearDiscriminantAnalysis(), *IRIS),
    "log loss": (
        "linear",
        "margin",
        make_pipeline(MinMaxScaler(), SGDClassifier(loss="log_loss", random_state=0)),
        *IRIS,
    ),
    "support vectors, linear": ("linear", "margin", LinearSVC(random_state=0, max_iter=10_000), *IRIS),
    "ridge classifier": ("linear", "margin", RidgeClassifier(), *CANCER),
    "tree": ("tree", "probability", DecisionTreeClassifier(random_state=0), *IRIS),
    "forest": ("tree", "probability", RandomForestClassifier(**FOREST), *CANCER),
    "forest of numbers": ("tree", "value", RandomForestRegressor(**FOREST), FOREST_GAPS, DIABETES[1]),
    "extra trees": ("tree", "value", ExtraTreesRegressor(**FOREST), *DIABETES),
    "mixed forest": (
        "tree",
        "probability",
        make_pipeline(encode_mixed(), RandomForestClassifier(**FOREST)),
        MIXED,
        CHURN,
    ),
    "boosting": ("tree", "margin", GradientBoostingClassifier(**FOREST), *CANCER),
    "boosting of numbers": ("tree", "value", GradientBoostingRegressor(**FOREST), *DIABETES),
    "boosting of classes": ("permutation", "probability", GradientBoostingClassifier(**FOREST), *IRIS),
    "histograms": ("tree", "margin", HistGradientBoostingClassifier(**FAST), *CANCER),
    "histograms of classes": ("tree", "margin", HistGradientBoostingClassifier(**FAST), *IRIS),
    "histograms with gaps": ("tree", "value", HistGradientBoostingRegressor(**FAST), GAPS, DIABETES[1]),
    "histograms of counts": (
        "tree",
        "link",
        HistGradientBoostingRegressor(loss="poisson", **FAST),
        *DIABETES,
    ),
    "support vectors": ("permutation", "margin", make_pipeline(StandardScaler(), SVC()), *IRIS),
    "support vectors of numbers": ("permutation", "value", SVR(), *DIABETES),
    "calibrated": (
        "permutation",
        "probability",
        CalibratedClassifierCV(LogisticRegression(max_iter=1000), cv=2),
        IRIS[0],
        IRIS[1],
    ),
    "components": (
        "permutation",
        "probability",
        make_pipeline(PCA(2), LogisticRegression()),
        *IRIS,
    ),
    "mixed, ordinal": (
        "linear",
        "value",
        make_pipeline(
            make_column_transformer(
                (OrdinalEncoder(), ["plan"]),
                (FunctionTransformer(np.abs), ["income", "age"]),
                ("drop", ["region"]),
            ),
            SimpleImputer(),
            Ridge(),
        ),
        MIXED,
        AMOUNT,
    ),
}


def explain(model, rows, target, count, method="auto", **options):
    """Return the explainer's method, and the predictions for the first rows with all contributions."""
    package = ModelPackage.from_estimator(model, rows, target, format="joblib", target="y")
    options = Explanations(method=method, limit=1000, **options)
    gate = Gate(
        [Deployment("m", package, explanations=options, unknown_levels="accept", decimals=None)], keys="open"
    )
    return gate, gate.score("m", rows.iloc[:count], explain=1000)


def link(space, totals):
    """Return the prediction that a total stands for."""
    return {"link": np.exp, "margin": lambda total: 1 / (1 + np.exp(-total))}.get(space, np.asarray)(totals)


@pytest.mark.parametrize(("method", "space", "model", "rows", "target"), MODELS.values(), ids=MODELS)
def test_contributions_add_up_to_the_prediction(method, space, model, rows, target):
    """Within 1e-9, by the method for the family, for gaps and categories too."""
    model.fit(rows, target)
    _, prediction = explain(model, rows, target, 20)
    explanations = prediction.explanations
    totals = np.array(
        [
            row.base_value + math.fsum(item.strength for item in row.contributions) + row.remaining
            for row in explanations
        ]
    )
    labels = [row.label for row in explanations]

    assert {(method, space)} == {(row.method, row.space) for row in explanations}
    assert all(abs(row.remaining) < 1e-9 for row in explanations)
    if prediction.classes is None:
        assert ["y"] * 20 == labels
        np.testing.assert_allclose(link(space, totals), prediction.values, rtol=1e-9)
        return
    if len(prediction.classes) == 2:
        assert [prediction.classes[1]] * 20 == labels
    else:
        assert prediction.values.tolist() == labels
    if prediction.probabilities is None:
        scores = np.asarray(model.decision_function(rows.iloc[:20]))
        expected = scores if scores.ndim == 1 else scores.max(axis=1)
        np.testing.assert_allclose(totals, expected, rtol=1e-9, atol=1e-9)
    elif len(prediction.classes) == 2 or space == "probability":
        positions = [prediction.classes.index(label) for label in labels]
        np.testing.assert_allclose(
            link(space, totals), prediction.probabilities[range(20), positions], atol=1e-9
        )


if SKLEARN >= (1, 4):  # before, HistGradientBoosting takes no text

    @pytest.mark.parametrize("rows", [1, 300])
    def test_histogram_boosting_with_categories_is_explained_by_permutation(rows):
        """shap's explainer of trees is wrong for it, and raises no error: its contributions do not add up."""
        model = HistGradientBoostingRegressor(categorical_features="from_dtype", **FAST)
        model.fit(CATEGORIES, AMOUNT)
        codes = CATEGORIES.assign(
            plan=CATEGORIES["plan"].cat.codes.astype(float),
            region=CATEGORIES["region"].cat.codes.astype(float),
        )
        method = TreeMethod(model, lambda table: codes.to_numpy(), range(4), 4, 1, LINKS["value"][0])
        strengths = method.attribute(None, None)
        totals = method.base_values + strengths.sum(axis=1)
        _, prediction = explain(model, CATEGORIES, AMOUNT, 20, background=CATEGORIES.iloc[:rows])

        assert abs(totals[:, 0] - model.predict(CATEGORIES)).max() > 0.01
        assert not is_additive(method, strengths, model.predict(CATEGORIES)[:, None])
        for value, row in zip(prediction.values, prediction.explanations, strict=True):
            total = row.base_value + math.fsum(item.strength for item in row.contributions) + row.remaining
            assert "permutation" == row.method
            assert pytest.approx(value, abs=1e-9) == total


def test_categories_in_an_array_are_explained_by_permutation():
    """Here shap accepts the rows themselves."""
    rows = pd.DataFrame({"code": np.arange(300) % 5, "x": np.linspace(0, 1, 300)})
    target = np.where(rows["code"].isin([1, 3]), 10, 0) + rows["x"]
    model = HistGradientBoostingRegressor(categorical_features=[0], **FAST).fit(rows, target)
    _, prediction = explain(model, rows, target, 5)
    totals = [
        row.base_value + math.fsum(item.strength for item in row.contributions)
        for row in prediction.explanations
    ]

    assert {"permutation"} == {row.method for row in prediction.explanations}
    np.testing.assert_allclose(totals, prediction.values, atol=1e-9)


def shapley_values(value, columns):
    """Return the Shapley value of each column, by its definition. *value* is of a set of columns."""
    values = dict.fromkeys(columns, 0.0)
    for column in columns:
        others = [other for other in columns if other != column]
        for size in range(len(columns)):
            weight = 1 / (len(columns) * math.comb(len(others), size))
            for subset in itertools.combinations(others, size):
                values[column] += weight * (value({*subset, column}) - value(set(subset)))
    return values


ENCODERS = {
    "one hot": encode_mixed(),
    "indicator": encode_mixed(SimpleImputer(add_indicator=True)),
    "splines": encode_mixed(make_pipeline(SimpleImputer(), SplineTransformer(4, degree=2))),
    "bins": encode_mixed(make_pipeline(SimpleImputer(), KBinsDiscretizer(3, strategy="uniform"))),
    "selected": make_pipeline(encode_mixed(), SelectKBest(k=4)),
    "logarithm": encode_mixed(make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p))),
    "first dropped": make_column_transformer(
        (SimpleImputer(), ["age", "income"]),
        (OneHotEncoder(drop="first", sparse_output=False), ["plan", "region"]),
    ),
    "remainder": make_column_transformer(
        (OneHotEncoder(), [1, 3]), remainder=make_pipeline(SimpleImputer(), MinMaxScaler())
    ),
}


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_linear_contributions_are_shapley_values_of_the_columns(encoder):
    """By enumeration of all sets of columns, within 1e-12."""
    model = make_pipeline(encoder, LogisticRegression()).fit(MIXED, CHURN)
    background = MIXED.iloc[:40]
    _, prediction = explain(model, MIXED, CHURN, 3, background=background)
    for index, explanation in enumerate(prediction.explanations):

        def value(columns, row=MIXED.iloc[[index]]):
            rows = background.copy()
            for column in columns:
                rows[column] = row[column].iloc[0]
            return model.decision_function(rows).mean()

        expected = shapley_values(value, list(MIXED.columns))
        actual = {item.feature: item.strength for item in explanation.contributions}

        assert "linear" == explanation.method
        for column, strength in expected.items():
            assert pytest.approx(strength, abs=1e-12) == actual.get(column, 0.0)


COMBINING = {
    "polynomials": make_pipeline(PolynomialFeatures(2), StandardScaler()),
    "norms": Normalizer(),
    "any function": FunctionTransformer(lambda rows: rows - np.asarray(rows).mean(axis=1, keepdims=True)),
    "a union": make_union(StandardScaler(), PCA(2)),
}


@pytest.mark.parametrize("transformer", COMBINING.values(), ids=COMBINING)
def test_features_of_several_columns_are_not_attributed(transformer):
    """Rather than divided by a rule of thumb."""
    model = make_pipeline(transformer, LogisticRegression(max_iter=1000)).fit(*IRIS)
    with pytest.raises(ConfigurationError, match="a feature of its last step is not computed from one"):
        explain(model, *IRIS, 3, method="linear")
    _, prediction = explain(model, *IRIS, 3)

    assert {"permutation"} == {row.method for row in prediction.explanations}


def test_words_of_one_text_column_are_added_up():
    frame = pd.DataFrame({"text": ["good film", "bad film", "good", "bad book", "a good book"] * 8})
    frame["stars"] = np.arange(40) % 5
    target = np.where(frame["text"].str.contains("good"), "up", "down")
    columns = make_column_transformer((TfidfVectorizer(), "text"), (StandardScaler(), ["stars"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, target)
    _, prediction = explain(model, frame, target, 2)
    first, second = prediction.explanations

    assert ("linear", "text", "good film") == (
        first.method,
        first.contributions[0].feature,
        first.contributions[0].value,
    )
    assert first.contributions[0].strength > 0 > second.contributions[0].strength


def test_each_of_several_outputs_is_explained():
    targets = np.column_stack([CHURN, np.where(MIXED["region"] == "north", 1, 0).astype(str)])
    model = make_pipeline(encode_mixed(), MultiOutputClassifier(LogisticRegression())).fit(MIXED, targets)
    _, prediction = explain(model, MIXED, None, 2)

    assert ["y_0", "y_1"] == [output.name for output in prediction.outputs]
    for output in prediction.outputs:
        for row, probabilities in zip(output.explanations, output.probabilities, strict=True):
            total = row.base_value + math.fsum(item.strength for item in row.contributions) + row.remaining
            assert pytest.approx(probabilities[1], abs=1e-9) == total
    assert {"region"} == {row.contributions[0].feature for row in prediction.outputs[1].explanations}


def test_models_of_several_targets_are_explained():
    model = MultiTarget(
        {
            "churn": make_pipeline(encode_mixed(), LogisticRegression()).fit(MIXED, CHURN),
            "amount": make_pipeline(encode_mixed(), Ridge()).fit(MIXED, AMOUNT),
        }
    )
    package = ModelPackage.from_estimator(model, MIXED, format="joblib")
    gate = Gate([Deployment("m", package, explanations="auto", decimals=None)], keys="open")
    prediction = gate.score("m", MIXED.iloc[:2], explain=10)
    labels = [output.explanations[0].label for output in prediction.outputs]
    expected = [prediction.outputs[0].probabilities[:, 1], prediction.outputs[1].values]

    assert ["yes", "amount"] == labels
    for output, numbers in zip(prediction.outputs, expected, strict=True):
        for row, number in zip(output.explanations, numbers, strict=True):
            total = row.base_value + math.fsum(item.strength for item in row.contributions) + row.remaining
            assert pytest.approx(number, abs=1e-9) == total


def test_method_must_fit_the_model():
    forest = RandomForestClassifier(**FOREST).fit(*IRIS)
    with pytest.raises(ConfigurationError, match=r"method must be 'auto' or 'permutation'.*\(got 'linear'\)"):
        explain(forest, *IRIS, 1, method="linear")
    one_each = OneVsRestClassifier(LogisticRegression()).fit(*IRIS)
    with pytest.raises(ConfigurationError, match=r"\(got 'tree'\): it is not a linear model"):
        explain(one_each, *IRIS, 1, method="tree")


class Clusters(BaseEstimator):
    """Predicts the number of a cluster."""

    n_features_in_ = 1

    def predict(self, rows):
        return (rows[:, 0] > 0).astype(np.int64)


def test_model_must_predict_something_to_explain():
    options = Explanations(background=[{"x0": 1.0}])
    with pytest.raises(ConfigurationError, match="must predict numbers, probabilities or scores"):
        Gate([Deployment("m", Clusters(), explanations=options)], keys="open")


def test_functions_are_explained_from_a_background():
    """Including async ones, and texts that no encoder knows."""

    async def price(table):
        return table["size"] * np.where(table["colour"] == "red", 2.0, 1.0)

    schema = Schema.of(size=float, colour=str)
    background = [{"size": 1, "colour": "blue"}, {"size": 3, "colour": "green"}]
    deployment = Deployment(
        "price", price, schema=schema, target="price", explanations=Explanations(background=background)
    )
    gate = Gate([deployment], keys="open")
    row = gate.score("price", {"size": 10, "colour": "red"}, explain=2).explanations[0]

    assert (2.0, "price", "permutation") == (row.base_value, row.label, row.method)
    # The mean over both orders: (10 - 2 + 20 - 4) / 2 for the size, (4 - 2 + 20 - 10) / 2 for the colour.
    assert {"size": 12.0, "colour": 6.0} == {item.feature: item.strength for item in row.contributions}


def test_thresholds_need_probabilities_or_numbers():
    model = LinearSVC(random_state=0, max_iter=10_000).fit(*IRIS)
    gate, _ = explain(model, *IRIS, 1)
    with pytest.raises(Exception, match="need a model that predicts numbers or probabilities"):
        gate.score("m", IRIS[0].iloc[:1], explain=Explain(3, threshold_high=0.5))


def test_models_of_text_columns_alone_are_explained_by_permutation():
    frame = pd.DataFrame({"a": ["x", "x", "y", "y"], "b": ["u", "v", "u", "v"]})
    model = make_pipeline(OneHotEncoder(), Ridge(alpha=1e-9)).fit(frame, [7.0, 4.0, 3.0, 0.0])
    options = Explanations("permutation", background=frame)
    gate = Gate([Deployment("m", model, explanations=options)], keys="open")
    (row,) = gate.score("m", {"a": "x", "b": "u"}, explain=2).explanations

    assert {"a": pytest.approx(2.0), "b": pytest.approx(1.5)} == {
        item.feature: item.strength for item in row.contributions
    }


def test_csv_names_the_output_of_each_explanation():
    targets = np.column_stack([CHURN, np.where(MIXED["region"] == "north", 1, 0).astype(str)])
    model = make_pipeline(encode_mixed(), MultiOutputClassifier(LogisticRegression())).fit(MIXED, targets)
    options = Explanations(background=MIXED)
    deployment = Deployment("m", model, target=["churn", "north"], explanations=options)
    client = Client(Gate([deployment], keys="open").wsgi, headers={"accept": "text/csv"})
    rows = json.loads(MIXED.iloc[:2].to_json(orient="records"))
    native = client.post("/deployments/m/predict?explain=1", json=rows)
    datarobot = client.post("/predApi/v1.0/deployments/m/predictions?maxExplanations=1", json=rows)

    for response, name in (
        (native, "explanation_1_feature"),
        (datarobot, "EXPLANATION_1_FEATURE_NAME"),
    ):
        table = pd.read_csv(io.BytesIO(response.body))
        assert {"region"} == set(table[f"north_{name}"])
        assert {"region"} != set(table[f"churn_{name}"])

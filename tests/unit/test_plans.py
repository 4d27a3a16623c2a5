"""Exact plans: equal to the estimator to the last bit, or not used."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import click.testing
import numpy as np
import pandas
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelgate import Deployment, Gate, ModelPackage
from modelgate.cli.root import cli
from modelgate.errors import PredictionError
from modelgate.flow import drive
from modelgate.inference import Predictor, plans
from modelgate.inference.plans import (
    Plan,
    encoders,
    hist_gradient_boosting,
    linear,
    merged_trees,
    trees,
)
from modelgate.inference.plans.synthetic_rows import UNUSUAL_VALUES, SyntheticRows
from modelgate.schema import Column, Schema
from support.arrays import assert_equal_but_for_blas
from support.marks import slow
from support.plans import is_planned
from support.versions import SKLEARN
from support.waiting import SOON

RANDOM = np.random.default_rng(0)
ROWS = 150
NUMBERS = ["height", "weight", "depth"]
TEXTS = ["colour", "grade"]
FRAME = pandas.DataFrame(
    {
        "height": RANDOM.normal(10, 3, ROWS),
        "colour": RANDOM.choice(["red", "green", "blue"], ROWS),
        "weight": RANDOM.normal(-200, 90, ROWS),
        "count": RANDOM.integers(0, 9, ROWS),
        "grade": RANDOM.choice(["a", "b"], ROWS),
        "depth": RANDOM.normal(0, 1, ROWS),
    }
)
HOLED = FRAME.astype({"count": float}).mask(RANDOM.random(FRAME.shape) < 0.1, np.nan)
ARRAY = FRAME[NUMBERS].to_numpy()
HOLED_ARRAY = HOLED[NUMBERS].to_numpy()
SCORE = FRAME["height"] + (FRAME["colour"] == "red") * 5 + RANDOM.normal(0, 1, ROWS)
NUMBER = SCORE.to_numpy()
THREE = np.array(["low", "middle", "high"])[np.digitize(SCORE, [9, 12])]
WHOLE = np.digitize(SCORE, [9, 12])
TWO = np.where(SCORE > 11, "yes", "no")
TRUTH = (SCORE > 11).to_numpy()
PAIRS = np.column_stack([THREE, TWO])


def columns(*more, scaler=None, encoder=None):
    """Return a transformer of numbers and texts, in another order than the table's."""
    return ColumnTransformer(
        [
            ("texts", OneHotEncoder() if encoder is None else encoder, TEXTS),
            ("numbers", StandardScaler() if scaler is None else scaler, NUMBERS),
            *more,
        ]
    )


def imputed():
    """Return a transformer that fills in nulls in numbers and texts."""
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return columns(scaler=make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), encoder=texts)


FITS = {
    "logistic, two classes": (make_pipeline(StandardScaler(), LogisticRegression()), ARRAY, TRUTH),
    "logistic, frame": (make_pipeline(StandardScaler(), LogisticRegression()), FRAME[NUMBERS], THREE),
    "logistic, whole labels": (LogisticRegression(max_iter=9999), FRAME[["count", "height"]], WHOLE),
    "logistic, columns": (make_pipeline(columns(), LogisticRegression()), FRAME, THREE),
    "logistic, passed columns": (
        make_pipeline(
            ColumnTransformer([("numbers", "passthrough", ["depth", "height"])]), LogisticRegression()
        ),
        FRAME[NUMBERS],
        TWO,
    ),
    "logistic, columns of numbers": (
        make_pipeline(
            ColumnTransformer([("a", MaxAbsScaler(), ["depth", "height"]), ("b", "drop", ["weight"])]),
            LogisticRegression(),
        ),
        FRAME[NUMBERS],
        TWO,
    ),
    "logistic, columns of an array": (
        make_pipeline(
            ColumnTransformer(
                [("a", MinMaxScaler(clip=True), [2, 0]), ("b", RobustScaler(), slice(0, 2))],
                remainder="passthrough",
            ),
            LogisticRegression(),
        ),
        ARRAY,
        THREE,
    ),
    "logistic, sparse": (
        make_pipeline(OneHotEncoder(), LogisticRegression()),
        FRAME[[*TEXTS, "count"]],
        THREE,
    ),
    "logistic, sparse columns": (
        make_pipeline(
            ColumnTransformer(
                [("a", OneHotEncoder(), [*TEXTS, "count"]), ("b", StandardScaler(), ["depth"])]
            ),
            LogisticRegression(),
        ),
        FRAME,
        TWO,
    ),
    "logistic, imputed": (make_pipeline(imputed(), LogisticRegression()), HOLED, THREE),
    "logistic, drop first": (
        make_pipeline(
            columns(encoder=OneHotEncoder(drop="first", sparse_output=False)), LogisticRegression()
        ),
        FRAME,
        TWO,
    ),
    "logistic, drop if binary, unknown": (
        make_pipeline(
            columns(encoder=OneHotEncoder(drop="if_binary", handle_unknown="ignore")), LogisticRegression()
        ),
        FRAME,
        TWO,
    ),
    "logistic, null a category": (
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
        HOLED[[*TEXTS, "count"]],
        THREE,
    ),
    "logistic, None a category": (
        make_pipeline(OneHotEncoder(), LogisticRegression()),
        HOLED[TEXTS].astype(object).where(HOLED[TEXTS].notna(), None),
        THREE,
    ),
    "logistic, search": (
        GridSearchCV(make_pipeline(columns(), LogisticRegression()), {"logisticregression__C": [1, 2]}, cv=2),
        FRAME,
        TWO,
    ),
    "linear": (LinearRegression(), ARRAY, NUMBER),
    "linear, one column": (LinearRegression(), FRAME[NUMBERS], NUMBER[:, None]),
    "linear, two outputs": (LinearRegression(), ARRAY, np.column_stack([NUMBER, NUMBER * 2])),
    "ridge, imputed": (
        make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler(), Ridge()),
        HOLED_ARRAY,
        NUMBER,
    ),
    "ridge, sparse": (make_pipeline(OneHotEncoder(), Ridge()), FRAME[[*TEXTS, "count"]], NUMBER),
    "lasso, nothing scaled": (
        make_pipeline(
            StandardScaler(with_mean=False, with_std=False), RobustScaler(), "passthrough", Lasso()
        ),
        ARRAY,
        NUMBER,
    ),
    "poisson": (PoissonRegressor(), ARRAY, NUMBER - NUMBER.min() + 1),
    "ridge classifier": (RidgeClassifier(), ARRAY, THREE),
    "perceptron": (Perceptron(), ARRAY, TWO),
    "linear svc": (make_pipeline(StandardScaler(), LinearSVC()), ARRAY, THREE),
    "stochastic gradient": (make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")), ARRAY, TWO),
    "tree": (DecisionTreeClassifier(), HOLED_ARRAY, TRUTH),
    "tree, number": (DecisionTreeRegressor(max_depth=4), FRAME[NUMBERS], NUMBER),
    "forest": (RandomForestClassifier(15), ARRAY, THREE),
    "forest, one tree": (RandomForestClassifier(1), ARRAY, THREE),
    "forest, null": (RandomForestClassifier(15), HOLED_ARRAY, TWO),
    "forest, columns": (make_pipeline(columns(), RandomForestClassifier(15)), FRAME, TWO),
    "forest, sparse": (
        make_pipeline(OneHotEncoder(), RandomForestClassifier(15)),
        FRAME[[*TEXTS, "count"]],
        TWO,
    ),
    "forest, number": (RandomForestRegressor(15), ARRAY, NUMBER),
    "forest, two numbers": (RandomForestRegressor(15), ARRAY, np.column_stack([NUMBER, NUMBER * 2])),
    "forest, two outputs": (ExtraTreesClassifier(15), FRAME[NUMBERS], PAIRS),
    "forest, ordinal": (
        make_pipeline(
            ColumnTransformer(
                [("a", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), TEXTS)],
                remainder="passthrough",
            ),
            ExtraTreesClassifier(15),
        ),
        FRAME,
        THREE,
    ),
    "boosting": (GradientBoostingClassifier(n_estimators=10), ARRAY, TWO),
    "boosting, exponential": (GradientBoostingClassifier(n_estimators=10, loss="exponential"), ARRAY, TWO),
    "boosting, three classes": (GradientBoostingClassifier(n_estimators=10), FRAME[NUMBERS], THREE),
    "boosting, number": (GradientBoostingRegressor(n_estimators=10), ARRAY, NUMBER),
    "boosting, from zero": (GradientBoostingRegressor(n_estimators=10, init="zero"), ARRAY, NUMBER),
    "histogram": (HistGradientBoostingClassifier(max_iter=10), HOLED_ARRAY, TWO),
    "histogram, columns": (
        make_pipeline(columns(), HistGradientBoostingClassifier(max_iter=10)),
        FRAME,
        THREE,
    ),
    "histogram, own categories": (
        HistGradientBoostingClassifier(max_iter=10, categorical_features=[*TEXTS, "count"]),
        HOLED,
        THREE,
    ),
    "histogram, number": (HistGradientBoostingRegressor(max_iter=10), FRAME[NUMBERS], NUMBER),
    "histogram, poisson": (
        HistGradientBoostingRegressor(max_iter=10, loss="poisson"),
        ARRAY,
        NUMBER - NUMBER.min(),
    ),
    "k-means": (make_pipeline(StandardScaler(), KMeans(4, n_init=1)), ARRAY, None),
    "numbers as categories, imputed": (
        make_pipeline(
            SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"), Ridge()
        ),
        HOLED[["count"]],
        NUMBER,
    ),
    "gaussian": (GaussianNB(), FRAME[NUMBERS], THREE),
    "multinomial": (make_pipeline(OneHotEncoder(), MultinomialNB()), FRAME[TEXTS], THREE),
    "target": (make_pipeline(columns(encoder=TargetEncoder(cv=2)), LogisticRegression()), FRAME, TWO),
    "target, three classes": (
        make_pipeline(columns(encoder=TargetEncoder(cv=2)), HistGradientBoostingClassifier(max_iter=5)),
        FRAME,
        THREE,
    ),
    "each output": (MultiOutputClassifier(LogisticRegression(max_iter=9999)), FRAME[NUMBERS], PAIRS),
    "each number": (MultiOutputRegressor(Ridge()), ARRAY, np.column_stack([NUMBER, NUMBER * 2])),
}

if SKLEARN < (1, 4):
    # These cannot be fitted.
    for name in ("forest, null", "forest, ordinal", "histogram, own categories", "target, three classes"):
        del FITS[name]


@pytest.fixture(scope="module", params=FITS)
def fit(request):
    """Fitted model, and the rows it was fitted on as callers send them."""
    model, data, target = FITS[request.param]
    model = model.fit(data, target)
    rows = data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data, columns=["x0", "x1", "x2"])
    return model, rows


def predict_outputs(predictor, table):
    """Return all outputs of *predictor* for *table*."""
    outputs = drive(predictor.predict(table)).outputs
    return [(output.name, output.classes, output.values, output.probabilities) for output in outputs]


def assert_same(one, other):
    assert len(one) == len(other)
    for (name, classes, values, probabilities), (its_name, its_classes, its_values, its_probabilities) in zip(
        one, other, strict=True
    ):
        assert (name, classes) == (its_name, its_classes)
        assert values.dtype == its_values.dtype
        assert np.array_equal(values, its_values)
        assert (probabilities is None) == (its_probabilities is None)
        if probabilities is not None:
            assert probabilities.dtype == its_probabilities.dtype
            assert np.array_equal(probabilities, its_probabilities)


# Equality with the estimator


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("count", [9, *slow(1, 2, 70, 300)])
def test_plan_predicts_exactly_as_its_estimator(fit, count):
    """Values, labels, dtypes and probabilities, for any number of rows."""
    model, rows = fit
    planned, alone = Predictor(model), Predictor(model, plans=False)
    chosen = rows[list(planned.schema.names)].sample(count, replace=True, random_state=count)
    table = planned.schema.read(chosen)

    if is_planned(planned):
        # The plan itself: the estimator would hide that it fails.
        planned.plan.predict(table)
    assert_same(predict_outputs(alone, table), predict_outputs(planned, table))


def test_plan_is_thread_safe():
    predictor = Predictor(RandomForestRegressor(15, random_state=0).fit(ARRAY, NUMBER))
    tables = [predictor.schema.read(ARRAY[start : start + 3]) for start in range(30)]
    expected = [predict_outputs(predictor, table) for table in tables]
    found = [None] * len(tables)

    def predict(index):
        for _ in range(20):
            found[index] = predict_outputs(predictor, tables[index])

    threads = [threading.Thread(target=predict, args=(index,)) for index in range(len(tables))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


def test_merged_forest_stores_equal_leaves_once(monkeypatch):
    """Bitwise equal ones: fully grown trees have few different leaves."""
    sizes = []

    def merge(*args):
        nodes = merged_trees.merge_trees(*args)
        sizes.append(len(nodes))
        return nodes

    monkeypatch.setattr(trees, "merge_trees", merge)
    forest = RandomForestClassifier(15, random_state=0).fit(ARRAY, THREE)
    is_planned(Predictor(forest))

    members = [member.tree_ for member in forest.estimators_]
    leaves = np.concatenate([tree.value[tree.children_left == -1] for tree in members])
    inner = sum(tree.node_count for tree in members) - len(leaves)
    assert {len(members) - 1 + inner + len(np.unique(leaves, axis=0))} == set(sizes)


@pytest.mark.slow
@pytest.mark.parametrize("module", [trees, hist_gradient_boosting])
def test_large_ensembles_are_not_merged(module, monkeypatch):
    """Merged trees are a second copy in memory."""
    monkeypatch.setattr(module, "MAX_NODES", 10)
    family = {
        trees: RandomForestClassifier(15),
        hist_gradient_boosting: HistGradientBoostingClassifier(max_iter=10),
    }
    model = family[module].fit(ARRAY, THREE)
    monkeypatch.setattr(merged_trees, "merge_trees", None)
    predictor = Predictor(model)
    table = predictor.schema.read(ARRAY[:5])

    is_planned(predictor)
    assert_same(predict_outputs(Predictor(model, plans=False), table), predict_outputs(predictor, table))


# No plan


class Own(LogisticRegression):
    """Subclass, which might do anything."""


def mislead(model):
    """Return *model* with other predictions than those of its class."""
    model.predict = lambda rows: np.zeros(len(rows))
    return model


def without_attribute(model, name):
    """Return *model* as another version of scikit-learn might have it."""
    delattr(model, name)
    return model


LOGISTIC = LogisticRegression(max_iter=9999)
REASONS = [
    (SVC(), ARRAY, TWO, "no plan for sklearn.svm._classes.SVC"),
    (CalibratedClassifierCV(LOGISTIC, cv=2), ARRAY, TWO, "no plan for sklearn.calibration.Calibrated"),
    (Own(), ARRAY, TWO, r"no plan for .*Own"),
    (make_pipeline(KNNImputer(), LOGISTIC), ARRAY, TWO, r"no plan for sklearn.impute._knn.KNNImputer"),
    (
        make_pipeline(FunctionTransformer(np.abs), LOGISTIC),
        ARRAY,
        TWO,
        "no plan for a FunctionTransformer with a function",
    ),
    (make_pipeline(OneHotEncoder(min_frequency=60), LOGISTIC), FRAME[TEXTS], TWO, "infrequent categories"),
    (
        make_pipeline(OneHotEncoder(dtype=np.float32), LOGISTIC),
        FRAME[TEXTS],
        TWO,
        "OneHotEncoder returns float32",
    ),
    (
        make_pipeline(OneHotEncoder(), MaxAbsScaler(), LOGISTIC),
        FRAME[TEXTS],
        TWO,
        "MaxAbsScaler gets a sparse matrix",
    ),
    (
        make_pipeline(OneHotEncoder(), GradientBoostingRegressor()),
        FRAME[TEXTS],
        NUMBER,
        "GradientBoostingRegressor gets a sparse matrix",
    ),
    (
        make_pipeline(OneHotEncoder(), PoissonRegressor()),
        FRAME[TEXTS],
        NUMBER**2,
        "PoissonRegressor gets a sparse matrix",
    ),
    (
        make_pipeline(StandardScaler(), ColumnTransformer([("a", StandardScaler(), [0])]), LOGISTIC),
        ARRAY,
        TWO,
        "ColumnTransformer is not the first step",
    ),
    (
        make_pipeline(SimpleImputer(missing_values=-1), LOGISTIC),
        ARRAY,
        TWO,
        "SimpleImputer replaces -1, not null",
    ),
    (SGDClassifier(loss="modified_huber"), ARRAY, TWO, "no plan for the probabilities of SGDClassifier"),
    (
        GradientBoostingRegressor(init=LinearRegression(), n_estimators=2),
        ARRAY,
        NUMBER,
        "with init=LinearRegression",
    ),
]


@pytest.mark.parametrize(("model", "data", "target", "reason"), REASONS, ids=lambda value: str(value)[:40])
def test_estimator_without_a_plan_predicts_itself(model, data, target, reason):
    """The reason is in `Predictor.plan`."""
    model = model.fit(data, target)
    predictor = Predictor(model)
    table = predictor.schema.read(data)

    with pytest.raises(AssertionError, match=reason):
        assert isinstance(predictor.plan, Plan), predictor.plan
    assert model.predict(data).tolist() == drive(predictor.predict(table)).values.tolist()


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (mislead, "the plan and the estimator predict differently"),
        (lambda model: without_attribute(model, "intercept_"), "the plan cannot be built: AttributeError"),
        (lambda model: setattr(model, "intercept_", np.array(["a"])) or model, "the plan fails: "),
    ],
)
def test_inexact_plan_is_not_used(break_it, reason):
    model = LinearRegression().fit(ARRAY, NUMBER)
    honest = model.predict(ARRAY)
    if break_it is not mislead:
        model.predict = lambda rows: honest[: len(rows)]
    plan = Predictor(break_it(model)).plan

    assert isinstance(plan, str)
    assert plan.startswith(reason)


def test_plan_is_not_used_if_it_predicts_what_the_estimator_rejects():
    model = LinearRegression().fit(ARRAY, NUMBER)
    own = model.predict

    def predict(rows):
        if (np.abs(rows) > 1e9).any():
            raise ValueError
        return own(rows)

    model.predict = predict

    assert Predictor(model).plan == "the plan and the estimator predict differently"


# Samples

NEAR = np.linspace(-1, 1, 250)[:, None]
FAR = np.linspace(40, 60, 50)[:, None]
LINE = LinearRegression().fit(np.concatenate([NEAR, FAR]), np.arange(300.0))
DIFFERENT = "the plan and the estimator predict differently"


@pytest.fixture
def wrong_when_far(monkeypatch):
    """Makes plans wrong for the rows of `FAR`, which no synthetic row is near to."""
    plan_predictor = plans.plan_predictor

    def plan_wrongly(model, source):
        exact = plan_predictor(model, source)

        def predict(table):
            values, probabilities = exact(table)
            return values + ((table.numbers > 30) & (table.numbers < 70)).any(axis=1), probabilities

        return predict

    monkeypatch.setattr(plans, "plan_predictor", plan_wrongly)


def make_sample(rows):
    return [{"x0": value} for (value,) in rows]


def make_package(rows):
    return ModelPackage.from_estimator(LINE, rows)


@pytest.mark.usefixtures("wrong_when_far")
def test_plan_must_be_exact_on_the_sample():
    no_sample, near, far = (Predictor(LINE, sample=make_sample(rows)) for rows in ((), NEAR, FAR))

    assert isinstance(no_sample.plan, Plan)
    assert isinstance(near.plan, Plan)
    assert DIFFERENT == far.plan
    assert LINE.predict(FAR).tolist() == drive(far.predict(far.schema.read(FAR))).values.tolist()


def test_plan_must_not_fail_for_the_sample(monkeypatch):
    plan_predictor = plans.plan_predictor

    def plan_failing(model, source):
        exact = plan_predictor(model, source)
        return lambda table: exact(table) if table.numbers.max() != 60 else 1 / 0

    monkeypatch.setattr(plans, "plan_predictor", plan_failing)

    assert isinstance(Predictor(LINE).plan, Plan)
    assert "the plan fails: ZeroDivisionError" == Predictor(LINE, sample=make_sample(FAR)).plan


@pytest.mark.usefixtures("wrong_when_far")
@pytest.mark.parametrize("rows", [np.concatenate([NEAR, FAR]), FAR[:3]], ids=["background", "example"])
def test_sample_is_taken_from_a_package(rows, tmp_path):
    """From its background, or from its example if it has no other rows."""
    package = make_package(rows)
    package = replace(package, background=package.background if len(rows) > 3 else ())
    digest = package.save(tmp_path / "m.mgpkg")
    gate = Gate(
        [Deployment("file", tmp_path / "m.mgpkg", sha256=digest), Deployment("object", package)], keys="open"
    )
    shown = click.testing.CliRunner().invoke(cli, ["inspect", str(tmp_path / "m.mgpkg")])

    assert [DIFFERENT] * 2 == [gate.deployments.predictor(name).plan for name in ("file", "object")]
    assert f"plan       none: {DIFFERENT}\n" in shown.stdout


@pytest.mark.usefixtures("wrong_when_far")
@pytest.mark.parametrize(("maximum", "fits"), [(100, True), (10, False)])
def test_sample_that_the_schema_rejects_is_left_out(maximum, fits):
    schema = Schema.of(x0=Column("x0", maximum=maximum))
    gate = Gate([Deployment("m", make_package(FAR), schema=schema)], keys="open")
    gate.deployments.warm()

    assert fits is (gate.deployments.predictor("m").plan == DIFFERENT)
    assert LINE.predict([[3.0]]).tolist() == gate.score("m", {"x0": 3.0}).values.tolist()


def test_sample_is_limited_to_some_rows():
    """The example and some others, evenly spaced: startup must not take long."""
    numbers = [row["x0"] for row in make_package(np.arange(200.0)[:, None]).sample]

    assert (67, 0, 1, 2) == (len(numbers), *numbers[:3])
    assert (0, 199) == (numbers[3], numbers[-1])
    assert {3, 4} == set(np.diff(numbers[3:]))


@pytest.mark.filterwarnings("ignore:Skipping features")
def test_column_without_values_has_no_plan():
    """scikit-learn drops it, and warns each time."""
    data = np.where(np.arange(3) == 1, np.nan, ARRAY)
    predictor = Predictor(make_pipeline(SimpleImputer(), Ridge()).fit(data, NUMBER))

    assert predictor.plan == "SimpleImputer drops columns without values"


def test_text_for_a_numeric_column_has_no_plan():
    """scikit-learn might parse it as numbers."""
    model = LinearRegression().fit(FRAME[["height"]], NUMBER)

    assert Predictor(model, Schema.of(height=str)).plan == "LinearRegression gets text"


def test_untyped_column_has_no_plan():
    """pandas infers its dtype for each batch."""
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(FRAME[TEXTS], TWO)
    schema = Schema.of(colour=Column("colour", "any"), grade=str)

    assert Predictor(model, schema).plan == "column 'colour' has the kind 'any'"


def test_unverified_sklearn_version_has_no_plan(monkeypatch):
    """Its private attributes may differ."""
    monkeypatch.setattr("sklearn.__version__", "1.99.0")
    predictor = Predictor(LinearRegression().fit(ARRAY, NUMBER))

    assert predictor.plan == "plans are not verified for scikit-learn 1.99.0"


def test_plans_can_be_switched_off():
    """For an estimator; a function never has a plan."""
    model = LinearRegression().fit(ARRAY, NUMBER)

    assert Predictor(model, plans=False).plan == "plans are switched off"
    assert Predictor(lambda table: table["a"], Schema.of(a=float)).plan == "a function"


# Tables that a plan cannot predict

ANY = {"unknown_levels": "accept"}


def cause_of_error(model, table, schema, **options):
    """Return the estimator's error for *table*; without an error the test fails."""
    with pytest.raises(PredictionError) as info:
        drive(Predictor(model, schema, **options).predict(table))
    return repr(info.value.__cause__)


@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize(
    ("model", "data", "row"),
    [
        (
            make_pipeline(OneHotEncoder(), LogisticRegression()),
            FRAME[TEXTS],
            {"colour": "pink", "grade": "a"},
        ),
        (
            make_pipeline(OneHotEncoder(), RandomForestClassifier(5)),
            FRAME[TEXTS],
            {"colour": None, "grade": "a"},
        ),
        (LogisticRegression(max_iter=9999), FRAME[NUMBERS], {"height": None, "weight": 1.0, "depth": 1.0}),
        (GaussianNB(), FRAME[NUMBERS], {"height": None, "weight": 1.0, "depth": 1.0}),
        (RandomForestClassifier(5), FRAME[NUMBERS], {"height": 1e300, "weight": 1.0, "depth": 1.0}),
        (
            make_pipeline(MinMaxScaler(), LogisticRegression()),
            FRAME[NUMBERS] * 1e-3,
            {"height": 1e308, "weight": 1.0, "depth": 1.0},
        ),
    ],
    ids=["unknown level", "null level", "null", "null in Bayes", "too large", "overflow"],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_rejected_table_raises_the_estimators_error(model, data, row, nullable):
    """Whether or not the schema allows the values."""
    model = model.fit(data, TWO)
    columns = [
        Column(name, "text" if name in TEXTS else "number", nullable=nullable or row[name] is None)
        for name in data.columns
    ]
    schema = Schema(columns)
    table = schema.read([row])

    is_planned(Predictor(model, schema))
    assert cause_of_error(model, table, schema, plans=False) == cause_of_error(model, table, schema)


def test_estimator_predicts_if_its_plan_raises(monkeypatch):
    model = LinearRegression().fit(ARRAY, NUMBER)
    predictor = Predictor(model)

    def fail(self, table):
        raise ZeroDivisionError

    monkeypatch.setattr(Plan, "__call__", fail)

    assert_equal_but_for_blas(
        model.predict(ARRAY), drive(predictor.predict(predictor.schema.read(ARRAY))).values
    )


@pytest.mark.parametrize(
    ("most", "reason"), [("_MAX_ONE_HOT", "OneHotEncoder has too many"), ("_MAX_DENSE", "the plan fails")]
)
def test_estimator_predicts_if_there_are_too_many_levels(most, reason, monkeypatch):
    """A plan has no sparse matrix: the zeros would take too much memory."""
    monkeypatch.setattr(encoders, most, 12)
    model = make_pipeline(OneHotEncoder(), RandomForestRegressor(3)).fit(FRAME[TEXTS], NUMBER)

    assert Predictor(model).plan.startswith(reason)


def test_estimator_predicts_a_large_sparse_matrix(monkeypatch):
    monkeypatch.setattr(linear, "_MAX_PRODUCTS", 1000)
    data = FRAME[[*TEXTS, "count"]]
    model = make_pipeline(OneHotEncoder(), Ridge()).fit(data, NUMBER)
    predictor = Predictor(model)

    assert predictor.plan.startswith("the plan fails: FallBack")
    assert np.array_equal(model.predict(data), drive(predictor.predict(predictor.schema.read(data))).values)


# Number of jobs


@pytest.mark.slow
def test_n_jobs_becomes_one():
    """In a copy of the model and of all its parts where it is set. The copy shares the arrays."""
    forest = RandomForestClassifier(3, n_jobs=-1)
    model = GridSearchCV(make_pipeline(columns(), forest), {}, cv=2, n_jobs=2).fit(FRAME, TWO)
    plain = RandomForestClassifier(3).fit(ARRAY, TWO)
    served = Predictor(model).model
    parts, own_parts = served.best_estimator_, model.best_estimator_

    assert (1, 1) == (served.n_jobs, parts[-1].n_jobs)
    assert (2, -1) == (model.n_jobs, own_parts[-1].n_jobs)
    assert parts[0] is own_parts[0]
    assert parts[-1].estimators_ is own_parts[-1].estimators_
    assert model.predict_proba(FRAME).tolist() == served.predict_proba(FRAME).tolist()
    assert Predictor(plain).model is plain


def test_model_with_a_long_chain_of_objects_is_served():
    """The leaves of Birch refer to each other."""
    model = Birch(threshold=1e-4, branching_factor=2, n_clusters=None)
    model.fit(np.random.default_rng(0).random((2000, 2)))

    assert Predictor(model, Schema.of(x=float, y=float)).model is model


# Synthetic rows


def test_synthetic_rows_satisfy_the_schema():
    """Unusual ones too, except for levels."""
    schema = Schema.of(
        a=Column("a", minimum=3.5, maximum=4),
        b=Column("b", "integer", minimum=1, maximum=9, nullable=True),
        c=bool,
        d=["x", "y"],
        e=Column("e", "text", max_length=3),
        f=Column("f", "number", (1.5, 2.5)),
        g=Column("g", observed_range=(100.0, 200.0), maximum=50),
        h=Column("h", typical_value=3.0),
    )
    synthetic = SyntheticRows(schema, schema)
    lenient = schema.with_options(**ANY)
    tables = [synthetic.rows(200), *(synthetic.rows(200, unusual) for unusual in UNUSUAL_VALUES)]

    for table in tables:
        assert 200 == len(lenient.read(table.rows()))
    assert any(row["b"] is None for row in tables[1].rows())
    assert any(row["d"] == "?" for row in tables[2].rows())
    assert len({row["e"] for row in tables[0].rows()}) == 1
    assert len({row["h"] for row in tables[0].rows()}) > 100


def test_synthetic_rows_contain_the_levels_of_the_model():
    """Also if the schema has no levels; the rows are the same each time."""
    model_schema = SimpleNamespace(columns=[Column("a", "text", ("x", "y"))])
    schema = Schema.of(a=str)
    texts = [SyntheticRows(schema, model_schema).rows(20).texts for _ in range(2)]

    assert {"x", "y"} == set(texts[0][0])
    assert texts[0] == texts[1]

"""Exact plans: equal to the estimator to the last bit, or not used."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import click.testing
import numpy as np
import pandas
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
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
from modelgate.schema import Column, Schema
from modelgate.scoring import Predictor, plans
from modelgate.scoring.plans import Plan, encoders, grove, hist_boosting, linear, trees
from modelgate.scoring.plans.made_up import ODD, MadeUp

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
    """Numbers and texts, in an order that is not the table's."""
    return ColumnTransformer(
        [
            ("texts", OneHotEncoder() if encoder is None else encoder, TEXTS),
            ("numbers", StandardScaler() if scaler is None else scaler, NUMBERS),
            *more,
        ]
    )


def imputed():
    """Nulls filled in among numbers and texts."""
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return columns(scaler=make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), encoder=texts)


FITS = {
    "logistic, two classes": (make_pipeline(StandardScaler(), LogisticRegression()), ARRAY, TRUTH),
    "logistic, frame": (make_pipeline(StandardScaler(), LogisticRegression()), FRAME[NUMBERS], THREE),
    "logistic, whole labels": (LogisticRegression(max_iter=9999), FRAME[["count", "height"]], WHOLE),
    "logistic, columns": (make_pipeline(columns(), LogisticRegression()), FRAME, THREE),
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


@pytest.fixture(scope="module", params=FITS)
def fit(request):
    """A fitted model, and the rows it was fitted on as callers send them."""
    model, given, target = FITS[request.param]
    model = model.fit(given, target)
    rows = (
        given if isinstance(given, pandas.DataFrame) else pandas.DataFrame(given, columns=["x0", "x1", "x2"])
    )
    return model, rows


def asked(predictor, table):
    """All a prediction says."""
    outputs = drive(predictor.predict(table)).outputs
    return [(output.name, output.classes, output.values, output.probabilities) for output in outputs]


def assert_same(one, other):
    assert len(one) == len(other)
    for (name, classes, values, told), (its_name, its_classes, its_values, its_told) in zip(
        one, other, strict=True
    ):
        assert (name, classes) == (its_name, its_classes)
        assert values.dtype == its_values.dtype
        assert np.array_equal(values, its_values)
        assert (told is None) == (its_told is None)
        if told is not None:
            assert told.dtype == its_told.dtype
            assert np.array_equal(told, its_told)


# The law


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("count", [1, 2, 9, 70, 300])
def test_a_plan_answers_as_its_estimator(fit, count):
    """Values, labels, their types, and probabilities, bit for bit, of any number of rows."""
    model, rows = fit
    planned, alone = Predictor(model), Predictor(model, plans=False)
    chosen = rows[list(planned.schema.names)].sample(count, replace=True, random_state=count)
    table = planned.schema.read(chosen)

    assert isinstance(planned.plan, Plan)
    # The plan itself: the estimator would hide that it fails.
    planned.plan(table)
    assert_same(asked(alone, table), asked(planned, table))


def test_many_threads_at_once_get_their_own_answers():
    """Nothing of a call is kept."""
    predictor = Predictor(RandomForestRegressor(15, random_state=0).fit(ARRAY, NUMBER))
    tables = [predictor.schema.read(ARRAY[at : at + 3]) for at in range(30)]
    expected = [asked(predictor, table) for table in tables]
    found = [None] * len(tables)

    def ask(at):
        for _ in range(20):
            found[at] = asked(predictor, tables[at])

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(tables))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("module", [trees, hist_boosting])
def test_large_ensembles_are_asked_tree_by_tree(module, monkeypatch):
    """Their trees are not kept twice."""
    monkeypatch.setattr(module, "MOST_NODES", 10)
    family = {trees: RandomForestClassifier(15), hist_boosting: HistGradientBoostingClassifier(max_iter=10)}
    model = family[module].fit(ARRAY, THREE)
    monkeypatch.setattr(grove, "planted", None)
    predictor = Predictor(model)
    table = predictor.schema.read(ARRAY[:5])

    assert isinstance(predictor.plan, Plan)
    assert_same(asked(Predictor(model, plans=False), table), asked(predictor, table))


# No plan


class Own(LogisticRegression):
    """It might do anything."""


def misled(model):
    """A model that answers otherwise than its class."""
    model.predict = lambda rows: np.zeros(len(rows))
    return model


def without(model, name):
    """A model as another version of scikit-learn might have it."""
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
        "FunctionTransformer calls a function",
    ),
    (make_pipeline(OneHotEncoder(min_frequency=60), LOGISTIC), FRAME[TEXTS], TWO, "infrequent categories"),
    (
        make_pipeline(OneHotEncoder(dtype=np.float32), LOGISTIC),
        FRAME[TEXTS],
        TWO,
        "OneHotEncoder gives float32",
    ),
    (
        make_pipeline(OneHotEncoder(), MaxAbsScaler(), LOGISTIC),
        FRAME[TEXTS],
        TWO,
        "a sparse matrix reaches MaxAbs",
    ),
    (
        make_pipeline(OneHotEncoder(), GradientBoostingRegressor()),
        FRAME[TEXTS],
        NUMBER,
        "sparse matrix reaches Gr",
    ),
    (
        make_pipeline(OneHotEncoder(), PoissonRegressor()),
        FRAME[TEXTS],
        NUMBER**2,
        "sparse matrix reaches Poisson",
    ),
    (
        make_pipeline(StandardScaler(), ColumnTransformer([("a", StandardScaler(), [0])]), LOGISTIC),
        ARRAY,
        TWO,
        "ColumnTransformer is not the first step",
    ),
    (make_pipeline(SimpleImputer(missing_values=-1), LOGISTIC), ARRAY, TWO, "SimpleImputer fills in -1"),
    (SGDClassifier(loss="modified_huber"), ARRAY, TWO, "no plan for the probabilities of SGDClassifier"),
    (
        GradientBoostingRegressor(init=LinearRegression(), n_estimators=2),
        ARRAY,
        NUMBER,
        "starts from LinearRegression",
    ),
]


@pytest.mark.parametrize(("model", "given", "target", "reason"), REASONS, ids=lambda value: str(value)[:40])
def test_an_estimator_without_a_plan_answers_itself(model, given, target, reason):
    """And why is told."""
    model = model.fit(given, target)
    predictor = Predictor(model)
    table = predictor.schema.read(given)

    with pytest.raises(AssertionError, match=reason):
        assert isinstance(predictor.plan, Plan), predictor.plan
    assert model.predict(given).tolist() == drive(predictor.predict(table)).values.tolist()


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (misled, "its plan answers otherwise than the estimator"),
        (lambda model: without(model, "intercept_"), "its plan cannot be made: AttributeError"),
        (lambda model: setattr(model, "intercept_", np.array(["a"])) or model, "its plan fails: "),
    ],
)
def test_a_plan_that_is_not_exact_is_not_used(break_it, reason):
    """It is found out before a request is."""
    model = LinearRegression().fit(ARRAY, NUMBER)
    honest = model.predict(ARRAY)
    if break_it is not misled:
        model.predict = lambda rows: honest[: len(rows)]
    plan = Predictor(break_it(model)).plan

    assert isinstance(plan, str)
    assert plan.startswith(reason)


def test_a_plan_must_refuse_what_the_estimator_refuses():
    """An answer in place of an error would be another answer."""
    model = LinearRegression().fit(ARRAY, NUMBER)
    own = model.predict

    def predict(rows):
        if (np.abs(rows) > 1e9).any():
            raise ValueError
        return own(rows)

    model.predict = predict

    assert Predictor(model).plan == "its plan answers otherwise than the estimator"


# Rows as they will come

NEAR = np.linspace(-1, 1, 250)[:, None]
FAR = np.linspace(40, 60, 50)[:, None]
LINE = LinearRegression().fit(np.concatenate([NEAR, FAR]), np.arange(300.0))
OTHERWISE = "its plan answers otherwise than the estimator"


@pytest.fixture
def wrong_when_far(monkeypatch):
    """Plans are wrong for the rows of `FAR`, and for none that is made up."""
    right = plans.answered

    def answered(model, source):
        answering = right(model, source)

        def answer(table):
            values, told = answering(table)
            return values + ((table.numbers > 30) & (table.numbers < 70)).any(axis=1), told

        return answer

    monkeypatch.setattr(plans, "answered", answered)


def sample_of(rows):
    return [{"x0": value} for (value,) in rows]


def packed(rows):
    return ModelPackage.from_estimator(LINE, rows)


@pytest.mark.usefixtures("wrong_when_far")
def test_a_plan_must_be_exact_on_the_sample_too():
    """Rows made up do not go where it is wrong."""
    without, near, far = (Predictor(LINE, sample=sample_of(rows)) for rows in ((), NEAR, FAR))

    assert isinstance(without.plan, Plan)
    assert isinstance(near.plan, Plan)
    assert OTHERWISE == far.plan
    assert LINE.predict(FAR).tolist() == drive(far.predict(far.schema.read(FAR))).values.tolist()


def test_a_plan_must_not_fail_for_the_sample(monkeypatch):
    """It would fail for what comes."""
    right = plans.answered

    def answered(model, source):
        answering = right(model, source)
        return lambda table: answering(table) if table.numbers.max() != 60 else 1 / 0

    monkeypatch.setattr(plans, "answered", answered)

    assert isinstance(Predictor(LINE).plan, Plan)
    assert "its plan fails: ZeroDivisionError" == Predictor(LINE, sample=sample_of(FAR)).plan


@pytest.mark.usefixtures("wrong_when_far")
@pytest.mark.parametrize("rows", [np.concatenate([NEAR, FAR]), FAR[:3]], ids=["background", "example"])
def test_the_rows_of_a_package_are_the_sample(rows, tmp_path):
    """Of its background, which the example is the beginning of, and of the example where there is no other."""
    package = packed(rows)
    package = replace(package, background=package.background if len(rows) > 3 else ())
    digest = package.save(tmp_path / "m.mgpkg")
    gate = Gate(
        [Deployment("file", tmp_path / "m.mgpkg", sha256=digest), Deployment("object", package)], keys="open"
    )
    shown = click.testing.CliRunner().invoke(cli, ["inspect", str(tmp_path / "m.mgpkg")])

    assert [OTHERWISE] * 2 == [gate.predictor(name).plan for name in ("file", "object")]
    assert f"plan       none: {OTHERWISE}\n" in shown.stdout


@pytest.mark.usefixtures("wrong_when_far")
@pytest.mark.parametrize(("maximum", "fits"), [(100, True), (10, False)])
def test_the_schema_of_a_deployment_may_not_fit_the_sample(maximum, fits):
    """It is left out then: what is not accepted is not answered."""
    schema = Schema.of(x0=Column("x0", maximum=maximum))
    gate = Gate([Deployment("m", packed(FAR), schema=schema)], keys="open")
    gate.warm()

    assert fits is (gate.predictor("m").plan == OTHERWISE)
    assert LINE.predict([[3.0]]).tolist() == gate.score("m", {"x0": 3.0}).values.tolist()


def test_how_many_rows_are_the_sample():
    """A start is not to take long: the example and some others, from the first to the last."""
    numbers = [row["x0"] for row in packed(np.arange(200.0)[:, None]).sample]

    assert (67, 0, 1, 2) == (len(numbers), *numbers[:3])
    assert (0, 199) == (numbers[3], numbers[-1])
    assert {3, 4} == set(np.diff(numbers[3:]))


@pytest.mark.filterwarnings("ignore:Skipping features")
def test_a_column_without_values_has_no_plan():
    """scikit-learn drops it, and warns each time."""
    given = np.where(np.arange(3) == 1, np.nan, ARRAY)
    predictor = Predictor(make_pipeline(SimpleImputer(), Ridge()).fit(given, NUMBER))

    assert predictor.plan == "SimpleImputer drops columns without values"


def test_text_for_numbers_has_no_plan():
    """scikit-learn might read it as numbers."""
    model = LinearRegression().fit(FRAME[["height"]], NUMBER)

    assert Predictor(model, Schema.of(height=str)).plan == "text reaches LinearRegression"


def test_a_column_that_may_hold_anything_has_no_plan():
    """pandas decides what it becomes, batch by batch."""
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(FRAME[TEXTS], TWO)
    schema = Schema.of(colour=Column("colour", "any"), grade=str)

    assert Predictor(model, schema).plan == "column 'colour' may hold anything"


def test_other_versions_have_no_plan(monkeypatch):
    """What is private may be otherwise in them."""
    monkeypatch.setattr("sklearn.__version__", "1.99.0")
    predictor = Predictor(LinearRegression().fit(ARRAY, NUMBER))

    assert predictor.plan == "plans are not known to hold for scikit-learn 1.99.0"


def test_plans_can_be_switched_off():
    """For the estimator itself; a function never has one."""
    model = LinearRegression().fit(ARRAY, NUMBER)

    assert Predictor(model, plans=False).plan == "plans are switched off"
    assert Predictor(lambda table: table["a"], Schema.of(a=float)).plan == "a function"


# Tables that are not for the plan

ANY = {"unknown_levels": "accept"}


def refusal(model, table, schema, **options):
    """What the estimator says of *table*; without it, the plan has answered."""
    with pytest.raises(PredictionError) as info:
        drive(Predictor(model, schema, **options).predict(table))
    return repr(info.value.__cause__)


@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize(
    ("model", "given", "row"),
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
def test_what_the_estimator_refuses_is_refused_in_its_words(model, given, row, nullable):
    """Whether or not the schema told of it."""
    model = model.fit(given, TWO)
    columns = [
        Column(name, "text" if name in TEXTS else "number", nullable=nullable or row[name] is None)
        for name in given.columns
    ]
    schema = Schema(columns)
    table = schema.read([row])

    assert isinstance(Predictor(model, schema).plan, Plan)
    assert refusal(model, table, schema, plans=False) == refusal(model, table, schema)


def test_a_plan_that_fails_leaves_the_answer_to_the_estimator(monkeypatch):
    """Whatever the exception."""
    model = LinearRegression().fit(ARRAY, NUMBER)
    predictor = Predictor(model)

    def fail(self, table):
        raise ZeroDivisionError

    monkeypatch.setattr(Plan, "__call__", fail)

    assert np.array_equal(model.predict(ARRAY), drive(predictor.predict(predictor.schema.read(ARRAY))).values)


@pytest.mark.parametrize(
    ("most", "reason"), [("_MOST_ONES", "OneHotEncoder knows"), ("_MOST_CELLS", "its plan fails")]
)
def test_many_levels_are_left_to_the_estimator(most, reason, monkeypatch):
    """A plan keeps no sparse matrix: it would take the memory of all its zeros."""
    monkeypatch.setattr(encoders, most, 12)
    model = make_pipeline(OneHotEncoder(), RandomForestRegressor(3)).fit(FRAME[TEXTS], NUMBER)

    assert Predictor(model).plan.startswith(reason)


def test_a_large_sparse_matrix_is_left_to_the_estimator(monkeypatch):
    """Which keeps it sparse."""
    monkeypatch.setattr(linear, "_MOST_PRODUCTS", 1000)
    given = FRAME[[*TEXTS, "count"]]
    model = make_pipeline(OneHotEncoder(), Ridge()).fit(given, NUMBER)
    predictor = Predictor(model)

    assert predictor.plan.startswith("its plan fails: NotPlanned")
    assert np.array_equal(model.predict(given), drive(predictor.predict(predictor.schema.read(given))).values)


# One job


def test_estimators_take_one_core():
    """The given one and all within it; what was not said stays unsaid."""
    forest = RandomForestClassifier(3, n_jobs=-1)
    model = GridSearchCV(make_pipeline(columns(), forest), {}, cv=2, n_jobs=2).fit(FRAME, TWO)
    plain = RandomForestClassifier(3).fit(ARRAY, TWO)
    Predictor(model)
    Predictor(plain)

    assert (1, 1) == (model.n_jobs, model.best_estimator_[-1].n_jobs)
    assert plain.n_jobs is None


# The rows it is tried on


def test_the_rows_keep_the_rules_of_the_schema():
    """Odd ones too, but for levels."""
    schema = Schema.of(
        a=Column("a", minimum=3.5, maximum=4),
        b=Column("b", "integer", minimum=1, maximum=9, nullable=True),
        c=bool,
        d=["x", "y"],
        e=Column("e", "text", max_length=3),
        f=Column("f", "number", (1.5, 2.5)),
        g=Column("g", seen=(100.0, 200.0), maximum=50),
        h=Column("h", typical=3.0),
    )
    made_up = MadeUp(schema, schema)
    lenient = schema.reading(**ANY)
    tables = [made_up.rows(200), *(made_up.rows(200, odd) for odd in ODD)]

    for table in tables:
        assert 200 == len(lenient.read(table.rows()))
    assert any(row["b"] is None for row in tables[1].rows())
    assert any(row["d"] == "?" for row in tables[2].rows())
    assert len({row["e"] for row in tables[0].rows()}) == 1
    assert len({row["h"] for row in tables[0].rows()}) > 100


def test_the_rows_have_the_levels_the_model_knows():
    """Also where the schema leaves them open; the same rows each time."""
    told = SimpleNamespace(columns=[Column("a", "text", ("x", "y"))])
    schema = Schema.of(a=str)
    texts = [MadeUp(schema, told).rows(20).texts for _ in range(2)]

    assert {"x", "y"} == set(texts[0][0])
    assert texts[0] == texts[1]

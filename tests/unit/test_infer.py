"""What fitted estimators tell of their columns."""

import datetime
from dataclasses import replace

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelgate.errors import ConfigurationError, InvalidValues, MissingColumns
from modelgate.schema import Column, Schema
from modelgate.schema.infer import none_columns, outputs_of
from modelgate.scoring import Predictor, score

FRAME = pandas.DataFrame(
    {
        "age": np.arange(24.0),
        "plan": ["free", "pro", "team"] * 8,
        "note": ["good day", "bad"] * 12,
        "size": [1, 2, 3, 4] * 6,
        "active": [True, False] * 12,
        "income": [None, 1.5, 2.5, 3.5] * 6,
    }
)
TARGET = [0, 1, 1] * 8
PLAN = Column("plan", "text", ("free", "pro", "team"))
SIZE = Column("size", "integer", (1, 2, 3, 4))
ACTIVE = Column("active", "boolean", (False, True))


def told(model, frame=FRAME, target=TARGET):
    return list(Schema.from_model(model.fit(frame, target)).columns)


def columns(model, frame=FRAME, target=TARGET):
    """The rules alone, without what the columns were in training."""
    return [replace(column, typical=None, seen=None) for column in told(model, frame, target)]


def transformed(*transformers, remainder="drop", final=None):
    transformer = ColumnTransformer(
        [(str(at), *branch) for at, branch in enumerate(transformers)], remainder=remainder
    )
    return make_pipeline(transformer, LogisticRegression(max_iter=1000) if final is None else final)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(), OrdinalEncoder()], ids=lambda encoder: type(encoder).__name__
)
def test_the_levels_of_an_encoder_are_the_values_allowed(encoder):
    """Of text, whole numbers and booleans, each as its kind."""

    assert [PLAN, SIZE, ACTIVE] == columns(transformed((encoder, ["plan", "size", "active"])))


def test_levels_belong_to_their_columns_whatever_their_order():
    """The encoder's order is the branch's, the schema's that of the training table."""

    assert [PLAN, ACTIVE] == columns(transformed((OneHotEncoder(), ["active", "plan"])))


def test_what_is_dropped_is_not_asked_for():
    """Neither a dropped branch nor a dropped remainder."""
    model = transformed((OneHotEncoder(), ["plan"]), ("drop", ["size"]), (StandardScaler(), ["age"]))

    assert [Column("age"), PLAN] == columns(model)


@pytest.mark.parametrize("remainder", ["passthrough", StandardScaler()], ids=repr)
def test_the_remainder_is_asked_for(remainder):
    """What passes, or goes through another transformer, is part of the input."""
    model = transformed((OneHotEncoder(), ["plan"]), ("drop", ["note", "income"]), remainder=remainder)

    assert [Column("age"), PLAN, Column("size"), Column("active")] == columns(model)


@pytest.mark.parametrize(
    "selected",
    [
        ["plan"],
        [1],
        slice(1, 2),
        slice("plan", "plan"),
        [False, True, False, False, False, False],
        np.array([False, True, False, False, False, False]),
        [-5],
        pytest.param(make_column_selector(pattern="plan"), id="selector"),
        pandas.Index(["plan"]),
    ],
    ids=repr,
)
def test_a_branch_may_select_its_columns_in_any_way(selected):
    """By name, position, slice, mask or function."""

    assert [Column("age"), PLAN] == columns(
        transformed((OneHotEncoder(), selected), ("passthrough", ["age"]))
    )


def test_a_single_name_selects_a_text_column():
    """A vectorizer is given one column, and that is text."""

    assert [Column("note", "text")] == columns(transformed((TfidfVectorizer(), "note")))


@pytest.mark.parametrize(
    ("steps", "nullable"),
    [
        ([SimpleImputer(), StandardScaler(), LogisticRegression()], True),
        ([StandardScaler(), SimpleImputer(), LogisticRegression()], True),
        ([KNNImputer(), LogisticRegression()], True),
        ([StandardScaler(), LogisticRegression()], False),
        ([LogisticRegression()], False),
        ([HistGradientBoostingClassifier()], True),
        ([StandardScaler(), HistGradientBoostingClassifier()], True),
        ([RandomForestClassifier(n_estimators=2)], True),
    ],
    ids=repr,
)
def test_a_column_may_be_null_where_the_model_takes_it(steps, nullable):
    """Where something fills a null in, or everything on its way takes it; and the model then scores it."""
    model = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    frame = FRAME[["age", "size"]]

    assert [Column("age", nullable=nullable), Column("size", nullable=nullable)] == columns(model, frame)
    if nullable:
        assert 1 == len(score(model, {"age": None, "size": 1}))


def test_an_imputer_in_one_branch_makes_only_its_columns_nullable():
    """Each branch says what its columns may be."""
    model = transformed((SimpleImputer(), ["age"]), (StandardScaler(), ["size"]))

    assert [Column("age", nullable=True), Column("size")] == columns(model)


def test_a_column_of_two_branches_keeps_the_stricter_rules():
    """Imputed in one and not in the other, it must not be null; levels stay."""
    model = transformed((SimpleImputer(), ["size"]), (OneHotEncoder(), ["size"]))

    assert [SIZE] == columns(model)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(), OrdinalEncoder()], ids=lambda encoder: type(encoder).__name__
)
def test_an_imputed_level_may_be_null(encoder):
    """The imputer comes first."""
    model = transformed((make_pipeline(SimpleImputer(strategy="most_frequent"), encoder), ["plan"]))

    assert [Column("plan", "text", PLAN.levels, nullable=True)] == columns(model)


NULLS = [None, "a", "a", "b"] * 5


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame({"plan": NULLS}),
        pandas.DataFrame({"plan": pandas.Series(NULLS, dtype=object)}),
        pandas.DataFrame({"plan": pandas.Series([np.nan if v is None else v for v in NULLS], dtype=object)}),
    ],
    ids=["str", "None", "nan"],
)
@pytest.mark.parametrize(
    "branch",
    [
        OneHotEncoder(),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
        make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder()),
    ],
    ids=["level", "imputed", "constant"],
)
def test_a_null_text_that_the_schema_allows_is_scored_as_the_model_itself_would(frame, branch):
    """Alone and beside other rows, the answer is that of the model given its training frame."""
    branch = clone(branch)
    if "constant" in repr(branch) and frame["plan"].iloc[0] is None:
        branch[0].set_params(missing_values=None)
    target = [1 if value is None else 0 for value in NULLS]
    model = transformed((branch, ["plan"])).fit(frame, target)
    expected = model.predict(frame[:3]).tolist()

    assert Schema.from_model(model).columns[0].nullable
    assert expected == score(model, [{"plan": value} for value in NULLS[:3]]).values.tolist()
    assert expected[:1] == score(model, [{"plan": None}]).values.tolist()


def test_a_search_is_looked_into():
    """GridSearchCV around a pipeline tells what the best pipeline does."""
    model = transformed((OneHotEncoder(), ["plan"]), (SimpleImputer(), ["age"]))
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=2)

    assert [Column("age", nullable=True), PLAN] == columns(search)


def test_a_transformed_target_is_looked_through():
    """The regressor inside tells the columns."""
    model = TransformedTargetRegressor(transformed((OneHotEncoder(), ["plan"]), final=LinearRegression()))

    assert [PLAN] == columns(model)


def test_pipelines_in_pipelines_are_opened():
    """A transformer at the head of a nested pipeline is found."""

    assert [PLAN] == columns(make_pipeline(transformed((OneHotEncoder(), ["plan"]))))


def test_an_encoder_without_column_transformer_tells_its_levels():
    """An encoder may be the first step of a pipeline."""

    assert [PLAN, ACTIVE] == columns(
        make_pipeline(OneHotEncoder(), LogisticRegression()), FRAME[["plan", "active"]]
    )


def test_a_model_fitted_on_an_array_has_numbered_columns():
    """There are no names to know, but a count."""
    model = LinearRegression().fit(np.arange(6.0).reshape(3, 2), [0, 1, 2])

    assert [Column("x0"), Column("x1")] == list(Schema.from_model(model).columns)


class Silent:
    """A model that says nothing of its input."""

    def predict(self, rows):
        return [0] * len(rows)


@pytest.mark.parametrize("model", [Silent(), LogisticRegression()], ids=["silent", "unfitted"])
def test_a_model_that_tells_nothing_needs_a_schema(model):
    """The error says what to give."""
    with pytest.raises(ConfigurationError, match=r"Schema\.of"):
        Schema.from_model(model)


@pytest.mark.parametrize("levels", [[1.5, 2.5, 1.5], [1.0, 2.0, 1.0]], ids=repr)
def test_levels_of_floats_are_numbers(levels):
    """A category that was trained as a float stays one."""
    frame = pandas.DataFrame({"a": levels * 4})
    [column] = columns(transformed((OneHotEncoder(), ["a"])), frame, TARGET[:12])

    assert Column("a", "number", tuple(sorted(set(levels)))) == column


def test_levels_of_a_training_null_are_the_others():
    """A null among the categories makes the column nullable, and no level of it."""
    frame = pandas.DataFrame({"a": [1.0, 2.0, np.nan] * 4})

    assert [Column("a", "number", (1.0, 2.0), nullable=True)] == columns(
        transformed((OneHotEncoder(), ["a"])), frame, TARGET[:12]
    )


AGE = Column("age")
COUNT = Column("size")
INCOME = Column("income", nullable=True)
TWO = np.column_stack([TARGET, [0, 1] * 12])
ROW = {"age": 3.0, "plan": "pro", "note": "bad", "size": 1, "active": True, "income": None}


def small(final=None):
    """A pipeline of three columns: one with levels, one imputed, one neither."""
    return transformed(
        (OneHotEncoder(), ["plan"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["income"]),
        (StandardScaler(), ["age"]),
        final=final,
    )


SMALL = [AGE, PLAN, INCOME]
FAMILIES = {
    "LogisticRegression": (small(), SMALL),
    "Ridge": (small(Ridge()), SMALL),
    "SVC": (small(SVC()), SMALL),
    "KNeighbors": (small(KNeighborsClassifier()), SMALL),
    "GaussianNB": (small(GaussianNB()), SMALL),
    "MLP": (small(MLPClassifier((2,), solver="lbfgs", alpha=10.0, max_iter=5000)), SMALL),
    "AdaBoost": (small(AdaBoostClassifier(n_estimators=2)), SMALL),
    "GradientBoosting": (small(GradientBoostingClassifier(n_estimators=2)), SMALL),
    "DecisionTree": (
        transformed(
            (OrdinalEncoder(), ["plan"]), ("passthrough", ["income"]), final=DecisionTreeClassifier()
        ),
        [PLAN, INCOME],
    ),
    "RandomForest": (
        transformed(
            (TargetEncoder(cv=2), ["plan"]), ("passthrough", ["income"]), final=RandomForestClassifier(2)
        ),
        [PLAN, INCOME],
    ),
    "ExtraTrees": (
        transformed((OneHotEncoder(), ["size"]), remainder="drop", final=ExtraTreesClassifier(2)),
        [SIZE],
    ),
    "KMeans": (small(KMeans(2, n_init=1)), SMALL),
    "IsolationForest": (
        small(IsolationForest(n_estimators=2)),
        [replace(AGE, nullable=True), PLAN, INCOME],
    ),
    "Voting": (VotingClassifier([("a", small()), ("b", small(GaussianNB()))]), SMALL),
    "VotingRegressor": (VotingRegressor([("a", small(Ridge())), ("b", small(LinearRegression()))]), SMALL),
    "Stacking": (StackingClassifier([("a", small()), ("b", small(GaussianNB()))], cv=2), SMALL),
    "Calibrated": (CalibratedClassifierCV(small(), cv=2), SMALL),
    "TunedThreshold": (TunedThresholdClassifierCV(small(), cv=2), SMALL),
    "FixedThreshold": (FixedThresholdClassifier(small()), SMALL),
    "OneVsRest": (OneVsRestClassifier(small()), SMALL),
    "GridSearchCV": (GridSearchCV(small(), {"logisticregression__C": [0.1]}, cv=2), SMALL),
    "TransformedTarget": (TransformedTargetRegressor(small(Ridge())), SMALL),
}


@pytest.mark.parametrize(("model", "expected"), FAMILIES.values(), ids=FAMILIES)
def test_a_model_of_every_family_tells_its_columns_and_scores_what_they_allow(model, expected):
    """Every level and every null that is allowed is scored; a column less, and it is refused."""
    actual = columns(model)
    row = {column.name: ROW[column.name] for column in actual}

    assert expected == actual
    assert 1 == len(score(model, row))
    for column in actual:
        rows = [{**row, column.name: value} for value in column.levels or ()]

        assert len(rows) == len(score(model, rows))
        with pytest.raises(MissingColumns, match=column.name):
            score(model, {name: value for name, value in row.items() if name != column.name})
        if not column.nullable:
            with pytest.raises(InvalidValues):
                score(model, {**row, column.name: None})


@pytest.mark.parametrize(
    "final", [MultiOutputClassifier(small()), MultiOutputRegressor(small(Ridge()))], ids=repr
)
def test_models_of_several_outputs_are_looked_into(final):
    """The first of the pipelines tells the columns, as all are given the same."""

    assert SMALL == columns(final, target=TWO)
    assert 2 == len(score(final, {"age": 1, "plan": "pro", "income": None}).outputs)


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        (FRAME[["age", "plan", "income"]].astype({"plan": "category"}), {}),
        (FRAME[["age", "plan", "income"]], {"categorical_features": ["plan"]}),
        (FRAME[["age", "plan", "income"]], {"categorical_features": [False, True, False]}),
        (FRAME[["age", "plan", "income"]], {"categorical_features": [1]}),
    ],
    ids=["dtype", "names", "mask", "places"],
)
@pytest.mark.parametrize("boosting", [HistGradientBoostingClassifier, HistGradientBoostingRegressor])
def test_boosting_tells_the_levels_it_encodes_itself(boosting, frame, options):
    """By dtype, name, mask or place; all of them may be null."""
    model = boosting(max_iter=2, **options)
    expected = [replace(AGE, nullable=True), replace(PLAN, nullable=True), INCOME]

    assert expected == columns(model, frame)
    assert 4 == len(score(model, [{"age": 1, "plan": plan, "income": None} for plan in (*PLAN.levels, None)]))


def test_boosting_behind_a_passthrough_still_tells_its_levels():
    """The place of the column is followed through the transformer, also behind one that makes several."""
    model = transformed(
        (OneHotEncoder(), ["plan"]),
        ("passthrough", ["size"]),
        final=HistGradientBoostingClassifier(max_iter=2, categorical_features=[3]),
    )

    assert [PLAN, Column("size", "number", (1.0, 2.0, 3.0, 4.0), nullable=True)] == columns(model)


def test_boosting_that_hides_its_encoder_leaves_the_column_open():
    """The attribute is private: should it go, the column is any value."""
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=["plan"])
    model.fit(FRAME[["age", "plan"]], TARGET)
    model._preprocessor = None

    assert [replace(AGE, nullable=True), Column("plan", "any", nullable=True)] == list(
        Schema.from_model(model).columns
    )


def test_boosting_cannot_tell_a_column_whose_place_is_lost():
    """An all-null column that an imputer leaves out shifts the others."""
    frame = pandas.DataFrame({"a": [np.nan] * 24, "b": [1.0, 2.0] * 12, "c": np.arange(24.0)})
    imputer = SimpleImputer(strategy="most_frequent")
    model = make_pipeline(imputer, HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]))
    with pytest.warns(UserWarning, match="Skipping features"):
        model.fit(frame, TARGET)

    assert [Column(name, "any", nullable=True) for name in "abc"] == list(Schema.from_model(model).columns)


class Foreign(TransformerMixin, BaseEstimator):
    """A transformer of somebody's own."""

    def fit(self, rows, target=None):
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows):
        return np.asarray(
            [[float(len(str(value))) for value in row] for row in np.asarray(rows, dtype=object)]
        )


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        (Foreign(), Column("age", "any", nullable=True)),
        (FunctionTransformer(np.log1p), Column("age", "any", nullable=True)),
        (make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)), Column("age", nullable=True)),
        (make_pipeline(StandardScaler(), FunctionTransformer(np.abs)), AGE),
        (make_pipeline(SimpleImputer(), Foreign()), Column("age", nullable=True)),
        (make_pipeline("passthrough", StandardScaler()), AGE),
        (make_pipeline(FunctionTransformer(), SimpleImputer()), Column("age", nullable=True)),
        (FunctionTransformer(validate=True), AGE),
    ],
    ids=repr,
)
def test_only_a_model_knows_what_a_foreign_step_takes(branch, expected):
    """Before anything settles the kind it is any value; after an imputer's mean or a scaler it is a number."""

    assert [expected] == columns(transformed((branch, ["age"])))


def test_a_foreign_model_is_given_numbers_unless_its_tags_say_otherwise():
    """As most take numbers alone."""

    class Takes(LogisticRegression):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.categorical = True
            return tags

    class Plain(LogisticRegression):
        pass

    assert [AGE] == columns(Plain(), FRAME[["age"]])
    assert [Column("age", "any", nullable=True)] == columns(Takes(), FRAME[["age"]])


def test_a_dummy_takes_anything():
    """It does not look at its input."""

    assert [Column(name, "any", nullable=True) for name in FRAME] == columns(DummyClassifier())


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer(), HashingVectorizer()], ids=repr)
def test_vectorizers_read_text(vectorizer):
    """With a vocabulary or without."""

    assert [Column("note", "text")] == columns(transformed((vectorizer, "note")))


def texts_to(*steps):
    return make_pipeline(*steps, LogisticRegression())


@pytest.mark.parametrize(
    "model",
    [
        texts_to(TfidfVectorizer()),
        texts_to(HashingVectorizer(n_features=16)),
        texts_to(CountVectorizer(), TfidfTransformer()),
        texts_to(make_union(TfidfVectorizer(), CountVectorizer(analyzer="char"))),
        GridSearchCV(texts_to(TfidfVectorizer()), {}, cv=2),
        CalibratedClassifierCV(texts_to(TfidfVectorizer()), cv=2),
    ],
    ids=["tf-idf", "hashes", "counts", "union", "search", "calibrated"],
)
def test_a_model_of_texts_has_one_column(model):
    """It is given the texts themselves, whatever the column is called."""
    texts = ["good day", "bad day", "good"] * 8
    model.fit(texts, TARGET)
    rows = [{"note": text} for text in texts[:3]]

    assert (Column("text", "text"),) == Schema.from_model(model).columns
    for prediction in (
        score(model, [{"text": text} for text in texts[:3]]),
        score(model, rows, schema=Schema.of(note=str)),
    ):
        assert model.predict_proba(texts[:3]).tolist() == prediction.probabilities.tolist()


@pytest.mark.parametrize("schema", [Schema.of(a=str, b=str), Schema.of(a=float)], ids=repr)
def test_a_model_of_texts_takes_no_other_schema(schema):
    """Told at once, and not as a failure of each request."""
    model = texts_to(TfidfVectorizer()).fit(["good day", "bad day", "good"] * 8, TARGET)

    with pytest.raises(ConfigurationError, match=r"Schema\.of\(text=str\)"):
        Predictor(model, schema)


def test_what_an_inner_transformer_drops_may_be_left_out():
    """The outer one wants the column to be there, and nobody looks at it."""
    inner = ColumnTransformer(
        [("a", OneHotEncoder(), ["plan"]), ("b", "drop", ["note"])], remainder=StandardScaler()
    )
    model = transformed((inner, ["plan", "age", "note"]))
    note = Column("note", "any", required=False, nullable=True)

    assert [AGE, PLAN, note] == columns(model)
    assert 1 == len(score(model, {"plan": "pro", "age": 1}))


def test_a_second_transformer_selects_from_what_the_first_one_made():
    """By place, counted in its output: what one column became is known, and goes its own way."""
    first = ColumnTransformer(
        [
            ("a", OneHotEncoder(), ["plan"]),
            ("b", "passthrough", ["age", "income", "size"]),
            ("c", SelectKBest(), []),
        ]
    )
    second = ColumnTransformer(
        [("a", SimpleImputer(), [4]), ("b", MinMaxScaler(), slice(3, 4))], remainder="drop"
    )
    model = make_pipeline(first, second, LogisticRegression())

    assert [AGE, PLAN, Column("size", "any", nullable=True), INCOME] == columns(model)


def test_a_second_transformer_may_select_by_name():
    """Where the first one gives a DataFrame."""
    first = ColumnTransformer(
        [("a", "passthrough", ["plan", "age"]), ("b", SimpleImputer(), ["income"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    second = ColumnTransformer([("a", OneHotEncoder(), ["plan"])], remainder="passthrough")

    assert SMALL == columns(make_pipeline(first, second, LogisticRegression()))


@pytest.mark.parametrize(
    ("union", "expected"),
    [
        (
            [("a", SimpleImputer()), ("b", MissingIndicator(features="all"))],
            [replace(AGE, nullable=True), INCOME],
        ),
        ([("a", SimpleImputer()), ("b", MissingIndicator())], [AGE, INCOME]),
        ([("a", SimpleImputer(add_indicator=True)), ("b", "drop")], [replace(AGE, nullable=True), INCOME]),
        ([("a", SimpleImputer()), ("b", "passthrough")], [replace(AGE, nullable=True), INCOME]),
        (
            [("a", SimpleImputer()), ("b", KBinsDiscretizer(2, encode="ordinal", strategy="uniform"))],
            [AGE],
        ),
    ],
    ids=repr,
)
def test_a_column_goes_all_ways_of_a_union(union, expected):
    """And is null only where all of them take it; an indicator takes no null where training had none."""
    frame = FRAME[[column.name for column in expected]]
    model = make_pipeline(FeatureUnion(union), StandardScaler(), HistGradientBoostingClassifier(max_iter=2))

    assert expected == columns(model, frame)
    assert 1 == len(score(model, {column.name: None if column.nullable else 1.0 for column in expected}))


def test_a_column_that_a_selection_leaves_out_has_been_looked_at():
    """It was scaled before, and scikit-learn wants it there."""
    model = make_pipeline(StandardScaler(), SelectKBest(k=1), LogisticRegression())

    assert [AGE, COUNT] == columns(model, FRAME[["age", "size"]])


def test_an_imputer_of_another_mark_does_not_take_null():
    """-1 is what it fills in."""
    model = make_pipeline(SimpleImputer(missing_values=-1), LogisticRegression())

    assert [AGE] == columns(model, FRAME[["age"]])


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        (HistGradientBoostingClassifier(max_iter=2), [INCOME]),
        (make_pipeline(SimpleImputer(), LogisticRegression()), [INCOME]),
    ],
    ids=["boosting", "pipeline"],
)
def test_what_a_stack_passes_through_must_suit_its_last_estimator(final, expected):
    """The column goes there too, beside the predictions."""
    model = StackingClassifier([("a", RandomForestClassifier(2))], final, cv=2, passthrough=True)

    assert expected == columns(model, FRAME[["income"]])


def test_a_bag_of_pipelines_is_opened():
    """Each pipeline has its own places; a bag of trees stays shut."""
    bag = BaggingClassifier(
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
        n_estimators=6,
        max_features=1,
        random_state=0,
    )

    assert [PLAN, Column("note", "text", ("bad", "good day"))] == columns(bag, FRAME[["plan", "note"]])
    assert [replace(AGE, nullable=True)] == columns(BaggingClassifier(n_estimators=2), FRAME[["age"]])


def test_a_frozen_estimator_is_looked_into():
    """As it is in a calibration of a fitted model, or as a step."""
    model = CalibratedClassifierCV(FrozenEstimator(small().fit(FRAME, TARGET)), cv=2)
    imputer = FrozenEstimator(SimpleImputer().fit(FRAME[["income"]]))

    assert SMALL == columns(model)
    assert [INCOME] == columns(make_pipeline(imputer, LogisticRegression()), FRAME[["income"]])


class Resampler(BaseEstimator):
    """Of the kind imbalanced-learn has: it has no part in scoring."""

    def fit_resample(self, rows, target):
        return rows, target

    feature_names_in_ = ("income",)


def test_a_resampler_is_passed_by():
    """A pipeline of imbalanced-learn has one among its steps."""
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(FRAME[["income"]], TARGET)
    model.steps.insert(0, ("resample", Resampler()))

    assert [INCOME] == [replace(column, typical=None) for column in Schema.from_model(model)]


def test_different_levels_on_two_ways_leave_those_of_both():
    """A value must suit every encoder."""
    model = transformed(
        (OneHotEncoder(), ["plan"]),
        (OrdinalEncoder(categories=[["team", "pro", "free", "old"]]), ["plan"]),
    )

    assert [PLAN] == columns(model)


def test_an_array_keeps_the_places_that_are_dropped():
    """They may be anything and be left out, but the others do not move up."""
    transformer = ColumnTransformer([("a", StandardScaler(), [0, 2]), ("b", "drop", [1])])
    model = make_pipeline(transformer, LogisticRegression())
    array = FRAME[["age", "size", "active"]].to_numpy(dtype=float)
    expected = [Column("x0"), Column("x1", required=False, nullable=True), Column("x2")]

    assert expected == columns(model, array)
    assert model.predict(array[:1]).tolist() == score(model, {"x0": 0.0, "x2": 1.0}).values.tolist()


@pytest.mark.parametrize("schema", [None, Schema.of(a=str)])
@pytest.mark.parametrize(
    "values",
    [
        pandas.to_datetime(["2026-01-01", "2026-01-02"] * 12),
        pandas.to_timedelta([1, 2] * 12, unit="D"),
        pandas.Series([datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)] * 12, dtype=object),
        pandas.cut(pandas.Series([1.0, 9.0] * 12), [0, 5, 10]).astype(object),
    ],
    ids=["dates", "durations", "Python dates", "intervals"],
)
def test_levels_that_json_cannot_say_are_refused(values, schema):
    """Their texts would be unknown levels, and the answer one for no level at all."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = transformed((encoder, ["a"])).fit(pandas.DataFrame({"a": values}), TARGET)

    with pytest.raises(
        ConfigurationError, match=r"^column 'a': the model was trained with values of the type"
    ):
        Predictor(model, schema)


def test_categories_of_dates_in_boosting_are_refused():
    """Its encoder would tell them as whole numbers."""
    dates = pandas.Categorical(pandas.to_datetime(["2026-01-01", "2026-01-02"] * 12))
    model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1)
    model.fit(pandas.DataFrame({"a": dates}), TARGET)

    with pytest.raises(ConfigurationError, match="of the type datetime64"):
        Schema.from_model(model)


def test_a_column_that_was_always_null_is_text():
    """Its encoder knows no level at all."""
    frame = pandas.DataFrame({"a": pandas.Series([None] * 24, dtype=object)})

    assert [Column("a", "text", nullable=True)] == columns(transformed((OneHotEncoder(), ["a"])), frame)


def test_a_level_none_is_known_behind_a_passthrough():
    """The first estimator that looks at the column says how it knows a null."""
    frame = pandas.DataFrame({"plan": pandas.Series(NULLS, dtype=object)})
    target = [1 if value is None else 0 for value in NULLS]
    model = transformed((make_pipeline("passthrough", OneHotEncoder()), ["plan"])).fit(frame, target)

    assert frozenset({"plan"}) == none_columns(model)


@pytest.mark.parametrize(
    ("transformer", "typical", "seen"),
    [
        (SimpleImputer(), 11.5, None),
        (make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler()), 11.5, (0.0, 23.0)),
        (SimpleImputer(strategy="constant", fill_value=-1), None, None),
        (make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), StandardScaler()), 11.5, None),
        (StandardScaler(), 11.5, None),
        (StandardScaler(with_mean=False, with_std=False), None, None),
        (RobustScaler(), 11.5, None),
        (RobustScaler(with_centering=False), None, None),
        (MinMaxScaler(), 11.5, (0.0, 23.0)),
        (make_pipeline(StandardScaler(), MinMaxScaler()), 11.5, None),
        (MaxAbsScaler(), None, (-23.0, 23.0)),
        (QuantileTransformer(n_quantiles=24), 11.5, (0.0, 23.0)),
        (KBinsDiscretizer(2, strategy="uniform"), None, (0.0, 23.0)),
        (SplineTransformer(4, degree=0), 11.5, (0.0, 23.0)),
        (SplineTransformer(4, degree=3), 11.5, (0.0, 23.0)),
        (Normalizer(), None, None),
        (make_pipeline("passthrough", StandardScaler()), 11.5, None),
    ],
    ids=repr,
)
def test_a_column_keeps_what_it_was_in_training(transformer, typical, seen):
    """As plain floats, from what first looked at it."""
    [column] = told(transformed((transformer, ["age"])))

    assert (typical, seen) == (column.typical, column.seen)
    assert {float} >= {type(value) for value in (column.typical, *(column.seen or ())) if value is not None}


@pytest.mark.parametrize(
    ("name", "typical"), [("plan", "free"), ("size", 1), ("note", "bad"), ("active", False)]
)
def test_the_most_frequent_level_is_typical(name, typical):
    """As the column's own type."""
    branch = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    frame = FRAME.astype({"active": object})
    [column] = told(transformed((branch, [name])), frame)

    assert (typical, type(typical)) == (column.typical, type(column.typical))


def test_an_infinite_figure_is_none():
    """Training took it, JSON cannot spell it."""
    model = transformed((SimpleImputer(), ["age"])).fit(FRAME, TARGET)
    model[0].named_transformers_["0"].statistics_[0] = np.inf

    assert None is Schema.from_model(model).columns[0].typical


@pytest.mark.parametrize(
    ("model", "target", "expected"),
    [
        (small(), TARGET, ((0, 1),)),
        (small(), ["b", "a", "c"] * 8, (("a", "b", "c"),)),
        (small(), [True, False] * 12, ((False, True),)),
        (small(Ridge()), TARGET, (None,)),
        (small(LinearRegression()), TWO, (None, None)),
        (small(KNeighborsRegressor()), TWO, (None, None)),
        (small(KNeighborsRegressor()), TARGET, (None,)),
        (small(DecisionTreeRegressor()), TWO, (None, None)),
        (small(KNeighborsClassifier()), TWO, ((0, 1), (0, 1))),
        (small(DecisionTreeClassifier()), TWO, ((0, 1), (0, 1))),
        (small(RidgeClassifier()), TWO, ((0, 1), (0, 1))),
        (small(MLPClassifier((2,), solver="lbfgs", alpha=10.0, max_iter=5000)), TWO, ((0, 1), (0, 1))),
        (OneVsRestClassifier(small()), TWO, ((0, 1), (0, 1))),
        (OneVsRestClassifier(small()), ["b", "a", "c"] * 8, (("a", "b", "c"),)),
        (small(OneVsRestClassifier(LogisticRegression())), TWO, ((0, 1), (0, 1))),
        (small(ClassifierChain(LogisticRegression())), TWO, ((0, 1), (0, 1))),
        (MultiOutputClassifier(small()), TWO, ((0, 1), (0, 1))),
        (MultiOutputRegressor(small(Ridge())), TWO, (None, None)),
        (TransformedTargetRegressor(small(Ridge())), TWO, (None, None)),
        (GridSearchCV(small(), {"logisticregression__C": [0.1]}, cv=2), TARGET, ((0, 1),)),
        (small(RandomForestClassifier(2)), TWO, ((0, 1), (0, 1))),
        (small(KMeans(2, n_init=1)), TARGET, (None,)),
        (small(IsolationForest(n_estimators=2)), TARGET, (None,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_model_tells_the_classes_of_its_outputs(model, target, expected):
    """In the order of their probabilities, as plain Python values; a number has none."""
    actual = outputs_of(model.fit(FRAME, target))

    assert expected == actual
    assert {int, str, bool} >= {type(label) for labels in actual for label in labels or ()}

"""Columns and outputs inferred from fitted estimators."""

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
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
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
from modelgate.inference import Predictor
from modelgate.schema import Column, Schema
from modelgate.schema.introspection.infer_columns import find_none_columns, outputs_of
from modelgate.scoring import score
from support.versions import SKLEARN

pytestmark = pytest.mark.slow

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


def infer(model, frame=FRAME, target=TARGET):
    return list(Schema.from_model(model.fit(frame, target)).columns)


def infer_rules(model, frame=FRAME, target=TARGET):
    """Infer columns without typical values and observed ranges."""
    return [
        replace(column, typical_value=None, observed_range=None) for column in infer(model, frame, target)
    ]


def make_pipeline_of(*transformers, remainder="drop", final=None):
    transformer = ColumnTransformer(
        [(str(index), *branch) for index, branch in enumerate(transformers)], remainder=remainder
    )
    return make_pipeline(transformer, LogisticRegression(max_iter=1000) if final is None else final)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(), OrdinalEncoder()], ids=lambda encoder: type(encoder).__name__
)
def test_encoder_categories_become_levels(encoder):
    """Levels of text, integers and booleans get the matching kind."""

    assert [PLAN, SIZE, ACTIVE] == infer_rules(make_pipeline_of((encoder, ["plan", "size", "active"])))


def test_levels_follow_the_column_order_of_the_branch():
    """The schema has the order of the training data."""

    assert [PLAN, ACTIVE] == infer_rules(make_pipeline_of((OneHotEncoder(), ["active", "plan"])))


def test_dropped_columns_are_not_required():
    """Neither those of a dropped branch nor of a dropped remainder."""
    model = make_pipeline_of((OneHotEncoder(), ["plan"]), ("drop", ["size"]), (StandardScaler(), ["age"]))

    assert [Column("age"), PLAN] == infer_rules(model)


@pytest.mark.parametrize("remainder", ["passthrough", StandardScaler()], ids=repr)
def test_remainder_columns_are_required(remainder):
    """Whether they pass through or go to another transformer."""
    model = make_pipeline_of((OneHotEncoder(), ["plan"]), ("drop", ["note", "income"]), remainder=remainder)

    assert [Column("age"), PLAN, Column("size"), Column("active")] == infer_rules(model)


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
def test_branch_may_select_columns_in_any_form(selected):
    """By name, index, slice, mask or function."""

    assert [Column("age"), PLAN] == infer_rules(
        make_pipeline_of((OneHotEncoder(), selected), ("passthrough", ["age"]))
    )


def test_vectorizer_of_a_single_name_reads_a_text_column():
    assert [Column("note", "text")] == infer_rules(make_pipeline_of((TfidfVectorizer(), "note")))


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
        ([RandomForestClassifier(n_estimators=2)], SKLEARN >= (1, 4)),
    ],
    ids=repr,
)
def test_column_is_nullable_if_all_steps_accept_null(steps, nullable):
    """An imputer accepts it for the steps after it. The model predicts such a row."""
    model = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    frame = FRAME[["age", "size"]]

    assert [Column("age", nullable=nullable), Column("size", nullable=nullable)] == infer_rules(model, frame)
    if nullable:
        assert 1 == len(score(model, {"age": None, "size": 1}))


def test_imputer_in_one_branch_makes_only_its_columns_nullable():
    model = make_pipeline_of((SimpleImputer(), ["age"]), (StandardScaler(), ["size"]))

    assert [Column("age", nullable=True), Column("size")] == infer_rules(model)


def test_column_of_two_branches_gets_the_stricter_rules():
    """A column imputed in only one of them is not nullable; levels stay."""
    model = make_pipeline_of((SimpleImputer(), ["size"]), (OneHotEncoder(), ["size"]))

    assert [SIZE] == infer_rules(model)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(), OrdinalEncoder()], ids=lambda encoder: type(encoder).__name__
)
def test_imputed_categorical_column_is_nullable(encoder):
    model = make_pipeline_of((make_pipeline(SimpleImputer(strategy="most_frequent"), encoder), ["plan"]))

    assert [Column("plan", "text", PLAN.levels, nullable=True)] == infer_rules(model)


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
def test_null_text_is_predicted_as_by_the_model(frame, branch):
    """Alone and among other rows, as with a DataFrame of the training data."""
    branch = clone(branch)
    if "constant" in repr(branch) and frame["plan"].iloc[0] is None:
        branch[0].set_params(missing_values=None)
    target = [1 if value is None else 0 for value in NULLS]
    model = make_pipeline_of((branch, ["plan"])).fit(frame, target)
    expected = model.predict(frame[:3]).tolist()

    assert Schema.from_model(model).columns[0].nullable
    assert expected == score(model, [{"plan": value} for value in NULLS[:3]]).values.tolist()
    assert expected[:1] == score(model, [{"plan": None}]).values.tolist()


def test_columns_of_a_grid_search():
    """They are those of its best pipeline."""
    model = make_pipeline_of((OneHotEncoder(), ["plan"]), (SimpleImputer(), ["age"]))
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=2)

    assert [Column("age", nullable=True), PLAN] == infer_rules(search)


def test_columns_of_a_transformed_target_regressor():
    model = TransformedTargetRegressor(
        make_pipeline_of((OneHotEncoder(), ["plan"]), final=LinearRegression())
    )

    assert [PLAN] == infer_rules(model)


def test_columns_of_nested_pipelines():
    assert [PLAN] == infer_rules(make_pipeline(make_pipeline_of((OneHotEncoder(), ["plan"]))))


def test_levels_of_an_encoder_without_column_transformer():
    assert [PLAN, ACTIVE] == infer_rules(
        make_pipeline(OneHotEncoder(), LogisticRegression()), FRAME[["plan", "active"]]
    )


def test_model_fitted_on_an_array_has_numbered_columns():
    model = LinearRegression().fit(np.arange(6.0).reshape(3, 2), [0, 1, 2])

    assert [Column("x0"), Column("x1")] == list(Schema.from_model(model).columns)


class WithoutInputInfo:
    """Model that stores nothing about its input."""

    def predict(self, rows):
        return [0] * len(rows)


@pytest.mark.parametrize(
    "model", [WithoutInputInfo(), LogisticRegression()], ids=["no information", "unfitted"]
)
def test_model_without_column_information_requires_a_schema(model):
    with pytest.raises(ConfigurationError, match=r"Schema\.of"):
        Schema.from_model(model)


@pytest.mark.parametrize("levels", [[1.5, 2.5, 1.5], [1.0, 2.0, 1.0]], ids=repr)
def test_float_levels_are_numbers(levels):
    frame = pandas.DataFrame({"a": levels * 4})
    [column] = infer_rules(make_pipeline_of((OneHotEncoder(), ["a"])), frame, TARGET[:12])

    assert Column("a", "number", tuple(sorted(set(levels)))) == column


def test_null_category_makes_the_column_nullable():
    """Null itself is not a level."""
    frame = pandas.DataFrame({"a": [1.0, 2.0, np.nan] * 4})

    assert [Column("a", "number", (1.0, 2.0), nullable=True)] == infer_rules(
        make_pipeline_of((OneHotEncoder(), ["a"])), frame, TARGET[:12]
    )


AGE = Column("age")
COUNT = Column("size")
INCOME = Column("income", nullable=True)
TWO = np.column_stack([TARGET, [0, 1] * 12])
ROW = {"age": 3.0, "plan": "pro", "note": "bad", "size": 1, "active": True, "income": None}


def make_small_pipeline(final=None):
    """Return a pipeline of three columns: one with levels, one imputed, one neither."""
    return make_pipeline_of(
        (OneHotEncoder(), ["plan"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["income"]),
        (StandardScaler(), ["age"]),
        final=final,
    )


SMALL = [AGE, PLAN, INCOME]
FAMILIES = {
    "LogisticRegression": (make_small_pipeline(), SMALL),
    "Ridge": (make_small_pipeline(Ridge()), SMALL),
    "SVC": (make_small_pipeline(SVC()), SMALL),
    "KNeighbors": (make_small_pipeline(KNeighborsClassifier()), SMALL),
    "GaussianNB": (make_small_pipeline(GaussianNB()), SMALL),
    "MLP": (make_small_pipeline(MLPClassifier((2,), solver="lbfgs", alpha=10.0, max_iter=5000)), SMALL),
    "AdaBoost": (make_small_pipeline(AdaBoostClassifier(n_estimators=2)), SMALL),
    "GradientBoosting": (make_small_pipeline(GradientBoostingClassifier(n_estimators=2)), SMALL),
    "DecisionTree": (
        make_pipeline_of(
            (OrdinalEncoder(), ["plan"]), ("passthrough", ["income"]), final=DecisionTreeClassifier()
        ),
        [PLAN, INCOME],
    ),
    "ExtraTrees": (
        make_pipeline_of((OneHotEncoder(), ["size"]), remainder="drop", final=ExtraTreesClassifier(2)),
        [SIZE],
    ),
    "KMeans": (make_small_pipeline(KMeans(2, n_init=1)), SMALL),
    "IsolationForest": (
        make_small_pipeline(IsolationForest(n_estimators=2)),
        [replace(AGE, nullable=SKLEARN >= (1, 6)), PLAN, INCOME],
    ),
    "Voting": (
        VotingClassifier([("a", make_small_pipeline()), ("b", make_small_pipeline(GaussianNB()))]),
        SMALL,
    ),
    "VotingRegressor": (
        VotingRegressor(
            [("a", make_small_pipeline(Ridge())), ("b", make_small_pipeline(LinearRegression()))]
        ),
        SMALL,
    ),
    "Stacking": (
        StackingClassifier([("a", make_small_pipeline()), ("b", make_small_pipeline(GaussianNB()))], cv=2),
        SMALL,
    ),
    "Calibrated": (CalibratedClassifierCV(make_small_pipeline(), cv=2), SMALL),
    "OneVsRest": (OneVsRestClassifier(make_small_pipeline()), SMALL),
    "GridSearchCV": (GridSearchCV(make_small_pipeline(), {"logisticregression__C": [0.1]}, cv=2), SMALL),
    "TransformedTarget": (TransformedTargetRegressor(make_small_pipeline(Ridge())), SMALL),
}

if SKLEARN >= (1, 4):  # before, a forest takes no null
    FAMILIES["RandomForest"] = (
        make_pipeline_of(
            (TargetEncoder(cv=2), ["plan"]), ("passthrough", ["income"]), final=RandomForestClassifier(2)
        ),
        [PLAN, INCOME],
    )

if SKLEARN >= (1, 5):
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    FAMILIES["TunedThreshold"] = (TunedThresholdClassifierCV(make_small_pipeline(), cv=2), SMALL)
    FAMILIES["FixedThreshold"] = (FixedThresholdClassifier(make_small_pipeline()), SMALL)


@pytest.mark.parametrize(("model", "expected"), FAMILIES.values(), ids=FAMILIES)
def test_columns_of_every_model_family(model, expected):
    """The model predicts all levels and allowed nulls; a row with a missing column is rejected."""
    actual = infer_rules(model)
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
    "final",
    [MultiOutputClassifier(make_small_pipeline()), MultiOutputRegressor(make_small_pipeline(Ridge()))],
    ids=repr,
)
def test_columns_of_multi_output_models(final):
    """All inner pipelines have the same input."""

    assert SMALL == infer_rules(final, target=TWO)
    assert 2 == len(score(final, {"age": 1, "plan": "pro", "income": None}).outputs)


if SKLEARN >= (1, 4):  # before, HistGradientBoosting takes no text and stores no levels

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
    def test_hist_boosting_categories_become_levels(boosting, frame, options):
        """Selected by dtype, name, mask or index. All of them are nullable."""
        model = boosting(max_iter=2, **options)
        expected = [replace(AGE, nullable=True), replace(PLAN, nullable=True), INCOME]

        assert expected == infer_rules(model, frame)
        assert 4 == len(
            score(model, [{"age": 1, "plan": plan, "income": None} for plan in (*PLAN.levels, None)])
        )

    def test_hist_boosting_levels_behind_a_passthrough():
        """The column index is traced through transformers, also one with several outputs per column."""
        model = make_pipeline_of(
            (OneHotEncoder(), ["plan"]),
            ("passthrough", ["size"]),
            final=HistGradientBoostingClassifier(max_iter=2, categorical_features=[3]),
        )

        assert [PLAN, Column("size", "number", (1.0, 2.0, 3.0, 4.0), nullable=True)] == infer_rules(model)

    def test_hist_boosting_without_its_private_encoder():
        """The kind of the column is then unknown."""
        model = HistGradientBoostingClassifier(max_iter=2, categorical_features=["plan"])
        model.fit(FRAME[["age", "plan"]], TARGET)
        model._preprocessor = None

        assert [replace(AGE, nullable=True), Column("plan", "any", nullable=True)] == list(
            Schema.from_model(model).columns
        )

    def test_date_categories_of_hist_boosting_are_rejected():
        """Its encoder would return them as integers."""
        dates = pandas.Categorical(pandas.to_datetime(["2026-01-01", "2026-01-02"] * 12))
        model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1)
        model.fit(pandas.DataFrame({"a": dates}), TARGET)

        with pytest.raises(ConfigurationError, match="of the type datetime64"):
            Schema.from_model(model)


def test_hist_boosting_with_an_unknown_column_index():
    """An imputer that drops an all-null column shifts the others."""
    frame = pandas.DataFrame({"a": [np.nan] * 24, "b": [1.0, 2.0] * 12, "c": np.arange(24.0)})
    imputer = SimpleImputer(strategy="most_frequent")
    model = make_pipeline(imputer, HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]))
    with pytest.warns(UserWarning, match="Skipping features"):
        model.fit(frame, TARGET)

    assert [Column(name, "any", nullable=True) for name in "abc"] == list(Schema.from_model(model).columns)


class CustomTransformer(TransformerMixin, BaseEstimator):
    """Transformer that is not part of scikit-learn."""

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
        (CustomTransformer(), Column("age", "any", nullable=True)),
        (FunctionTransformer(np.log1p), Column("age", "any", nullable=True)),
        (make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)), Column("age", nullable=True)),
        (make_pipeline(StandardScaler(), FunctionTransformer(np.abs)), AGE),
        (make_pipeline(SimpleImputer(), CustomTransformer()), Column("age", nullable=True)),
        (make_pipeline("passthrough", StandardScaler()), AGE),
        (make_pipeline(FunctionTransformer(), SimpleImputer()), Column("age", nullable=True)),
        (FunctionTransformer(validate=True), AGE),
    ],
    ids=repr,
)
def test_kind_of_a_column_with_a_custom_transformer(branch, expected):
    """It is unknown, unless an imputer's mean or a scaler comes first."""

    assert [expected] == infer_rules(make_pipeline_of((branch, ["age"])))


def test_model_that_inherits_predict_reads_numbers_unless_its_tags_differ():
    class Takes(LogisticRegression):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.categorical = True
            return tags

        def _more_tags(self):
            """Return the same for scikit-learn before 1.6."""
            return {"X_types": ["categorical"]}

    class Plain(LogisticRegression):
        pass

    assert [AGE] == infer_rules(Plain(), FRAME[["age"]])
    assert [Column("age", "any", nullable=True)] == infer_rules(Takes(), FRAME[["age"]])


if SKLEARN >= (1, 5):  # before, it stores no columns

    def test_dummy_classifier_accepts_any_kind():
        assert [Column(name, "any", nullable=True) for name in FRAME] == infer_rules(DummyClassifier())


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer(), HashingVectorizer()], ids=repr)
def test_vectorizers_read_text(vectorizer):
    assert [Column("note", "text")] == infer_rules(make_pipeline_of((vectorizer, "note")))


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
def test_model_of_texts_has_one_column(model):
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
def test_model_of_texts_rejects_other_schemas(schema):
    """When the predictor is created, not with each request."""
    model = texts_to(TfidfVectorizer()).fit(["good day", "bad day", "good"] * 8, TARGET)

    with pytest.raises(ConfigurationError, match=r"Schema\.of\(text=str\)"):
        Predictor(model, schema)


def test_column_dropped_by_a_nested_transformer_is_optional():
    """The outer one requires it in the DataFrame."""
    inner = ColumnTransformer(
        [("a", OneHotEncoder(), ["plan"]), ("b", "drop", ["note"])], remainder=StandardScaler()
    )
    model = make_pipeline_of((inner, ["plan", "age", "note"]))
    note = Column("note", "any", required=False, nullable=True)

    assert [AGE, PLAN, note] == infer_rules(model)
    assert 1 == len(score(model, {"plan": "pro", "age": 1}))


def test_second_transformer_selects_outputs_of_the_first():
    """By index among the outputs of the first one. A passthrough is a step from scikit-learn 1.4 on."""
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
    size = Column("size", "any", required=SKLEARN >= (1, 4), nullable=True)

    columns = infer_rules(model)

    assert [AGE, PLAN, size, INCOME] == columns
    assert 1 == len(score(model, {column.name: ROW[column.name] for column in columns if column.required}))


def test_second_transformer_may_select_by_name():
    """If the first one returns a DataFrame."""
    first = ColumnTransformer(
        [("a", "passthrough", ["plan", "age"]), ("b", SimpleImputer(), ["income"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    second = ColumnTransformer([("a", OneHotEncoder(), ["plan"])], remainder="passthrough")

    assert SMALL == infer_rules(make_pipeline(first, second, LogisticRegression()))


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
def test_column_follows_all_branches_of_a_union(union, expected):
    """It is nullable only if all branches accept null. An indicator rejects nulls that training did not have."""
    frame = FRAME[[column.name for column in expected]]
    model = make_pipeline(FeatureUnion(union), StandardScaler(), HistGradientBoostingClassifier(max_iter=2))

    assert expected == infer_rules(model, frame)
    assert 1 == len(score(model, {column.name: None if column.nullable else 1.0 for column in expected}))


def test_column_removed_by_a_selector_is_required():
    """An earlier scaler needs it."""
    model = make_pipeline(StandardScaler(), SelectKBest(k=1), LogisticRegression())

    assert [AGE, COUNT] == infer_rules(model, FRAME[["age", "size"]])


def test_imputer_of_another_missing_value_rejects_null():
    """It replaces -1."""
    model = make_pipeline(SimpleImputer(missing_values=-1), LogisticRegression())

    assert [AGE] == infer_rules(model, FRAME[["age"]])


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        (HistGradientBoostingClassifier(max_iter=2), [INCOME]),
        (make_pipeline(SimpleImputer(), LogisticRegression()), [INCOME]),
    ],
    ids=["boosting", "pipeline"],
)
def test_stacking_passthrough_reaches_the_final_estimator(final, expected):
    model = StackingClassifier([("a", DecisionTreeClassifier())], final, cv=2, passthrough=True)

    assert expected == infer_rules(model, FRAME[["income"]])


def test_columns_of_bagged_pipelines():
    """Each pipeline has its own column indices. Bagged trees are not inspected."""
    bag = BaggingClassifier(
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
        n_estimators=6,
        max_features=1,
        random_state=0,
    )

    assert [PLAN, Column("note", "text", ("bad", "good day"))] == infer_rules(bag, FRAME[["plan", "note"]])
    assert [replace(AGE, nullable=True)] == infer_rules(BaggingClassifier(n_estimators=2), FRAME[["age"]])


if SKLEARN >= (1, 6):
    from sklearn.frozen import FrozenEstimator

    def test_columns_of_a_frozen_estimator():
        """In a calibrated model, and as a step."""
        model = CalibratedClassifierCV(FrozenEstimator(make_small_pipeline().fit(FRAME, TARGET)), cv=2)
        imputer = FrozenEstimator(SimpleImputer().fit(FRAME[["income"]]))

        assert SMALL == infer_rules(model)
        assert [INCOME] == infer_rules(make_pipeline(imputer, LogisticRegression()), FRAME[["income"]])


class Resampler(BaseEstimator):
    """Resampler as in imbalanced-learn, which does nothing at prediction time."""

    def fit_resample(self, rows, target):
        return rows, target

    feature_names_in_ = ("income",)


def test_resampler_is_skipped():
    """A pipeline of imbalanced-learn contains one."""
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(FRAME[["income"]], TARGET)
    model.steps.insert(0, ("resample", Resampler()))

    assert [INCOME] == [replace(column, typical_value=None) for column in Schema.from_model(model)]


def test_levels_of_two_branches_are_intersected():
    model = make_pipeline_of(
        (OneHotEncoder(), ["plan"]),
        (OrdinalEncoder(categories=[["team", "pro", "free", "old"]]), ["plan"]),
    )

    assert [PLAN] == infer_rules(model)


def test_dropped_columns_of_an_array_are_optional():
    """The positions of the other columns do not change."""
    transformer = ColumnTransformer([("a", StandardScaler(), [0, 2]), ("b", "drop", [1])])
    model = make_pipeline(transformer, LogisticRegression())
    array = FRAME[["age", "size", "active"]].to_numpy(dtype=float)
    expected = [Column("x0"), Column("x1", required=False, nullable=True), Column("x2")]

    assert expected == infer_rules(model, array)
    assert model.predict(array[:1]).tolist() == score(model, {"x0": 0.0, "x2": 1.0}).values.tolist()


@pytest.mark.parametrize("schema", [None, Schema.of(a=str)])
@pytest.mark.parametrize(
    "values",
    [
        pandas.to_timedelta([1, 2] * 12, unit="D"),
        pandas.Series([datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)] * 12, dtype=object),
        pandas.cut(pandas.Series([1.0, 9.0] * 12), [0, 5, 10]).astype(object),
    ],
    ids=["durations", "Python dates", "intervals"],
)
def test_levels_without_json_equivalent_are_rejected(values, schema):
    """Their text would be an unknown level, and the prediction wrong."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline_of((encoder, ["a"])).fit(pandas.DataFrame({"a": values}), TARGET)

    with pytest.raises(
        ConfigurationError, match=r"^column 'a': the model was trained with values of the type"
    ):
        Predictor(model, schema)


def test_column_of_nulls_only_is_text():
    """Its encoder has no level."""
    frame = pandas.DataFrame({"a": pandas.Series([None] * 24, dtype=object)})

    assert [Column("a", "text", nullable=True)] == infer_rules(
        make_pipeline_of((OneHotEncoder(), ["a"])), frame
    )


def test_none_category_behind_a_passthrough():
    frame = pandas.DataFrame({"plan": pandas.Series(NULLS, dtype=object)})
    target = [1 if value is None else 0 for value in NULLS]
    model = make_pipeline_of((make_pipeline("passthrough", OneHotEncoder()), ["plan"])).fit(frame, target)

    assert frozenset({"plan"}) == find_none_columns(model)


@pytest.mark.parametrize(
    ("transformer", "typical", "observed"),
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
def test_training_statistics_of_a_column(transformer, typical, observed):
    """Python floats, from the first step that stores some."""
    [column] = infer(make_pipeline_of((transformer, ["age"])))

    assert (typical, observed) == (column.typical_value, column.observed_range)
    assert {float} >= {
        type(value) for value in (column.typical_value, *(column.observed_range or ())) if value is not None
    }


@pytest.mark.parametrize(
    ("name", "typical"), [("plan", "free"), ("size", 1), ("note", "bad"), ("active", False)]
)
def test_most_frequent_value_is_typical(name, typical):
    """It has the column's type."""
    branch = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    frame = FRAME.astype({"active": object})
    [column] = infer(make_pipeline_of((branch, [name])), frame)

    assert (typical, type(typical)) == (column.typical_value, type(column.typical_value))


def test_infinite_statistic_is_ignored():
    """JSON has no spelling for it."""
    model = make_pipeline_of((SimpleImputer(), ["age"])).fit(FRAME, TARGET)
    model[0].named_transformers_["0"].statistics_[0] = np.inf

    assert None is Schema.from_model(model).columns[0].typical_value


@pytest.mark.parametrize(
    ("model", "target", "expected"),
    [
        (make_small_pipeline(), TARGET, ((0, 1),)),
        (make_small_pipeline(), ["b", "a", "c"] * 8, (("a", "b", "c"),)),
        (make_small_pipeline(), [True, False] * 12, ((False, True),)),
        (make_small_pipeline(Ridge()), TARGET, (None,)),
        (make_small_pipeline(LinearRegression()), TWO, (None, None)),
        (make_small_pipeline(KNeighborsRegressor()), TWO, (None, None)),
        (make_small_pipeline(KNeighborsRegressor()), TARGET, (None,)),
        (make_small_pipeline(DecisionTreeRegressor()), TWO, (None, None)),
        (make_small_pipeline(KNeighborsClassifier()), TWO, ((0, 1), (0, 1))),
        (make_small_pipeline(DecisionTreeClassifier()), TWO, ((0, 1), (0, 1))),
        (make_small_pipeline(RidgeClassifier()), TWO, ((0, 1), (0, 1))),
        (
            make_small_pipeline(MLPClassifier((2,), solver="lbfgs", alpha=10.0, max_iter=5000)),
            TWO,
            ((0, 1), (0, 1)),
        ),
        (OneVsRestClassifier(make_small_pipeline()), TWO, ((0, 1), (0, 1))),
        (OneVsRestClassifier(make_small_pipeline()), ["b", "a", "c"] * 8, (("a", "b", "c"),)),
        (make_small_pipeline(OneVsRestClassifier(LogisticRegression())), TWO, ((0, 1), (0, 1))),
        (make_small_pipeline(ClassifierChain(LogisticRegression())), TWO, ((0, 1), (0, 1))),
        (MultiOutputClassifier(make_small_pipeline()), TWO, ((0, 1), (0, 1))),
        (MultiOutputRegressor(make_small_pipeline(Ridge())), TWO, (None, None)),
        (TransformedTargetRegressor(make_small_pipeline(Ridge())), TWO, (None, None)),
        (GridSearchCV(make_small_pipeline(), {"logisticregression__C": [0.1]}, cv=2), TARGET, ((0, 1),)),
        (make_small_pipeline(RandomForestClassifier(2)), TWO, ((0, 1), (0, 1))),
        (make_small_pipeline(KMeans(2, n_init=1)), TARGET, (None,)),
        (make_small_pipeline(IsolationForest(n_estimators=2)), TARGET, (None,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outputs_of_a_model(model, target, expected):
    """Classes are Python values in the order of their probabilities. A numeric output has None."""
    actual = outputs_of(model.fit(FRAME, target))

    assert expected == actual
    assert {int, str, bool} >= {type(label) for labels in actual for label in labels or ()}

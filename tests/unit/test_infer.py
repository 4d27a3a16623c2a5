"""What fitted estimators tell of their columns."""

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modelgate.errors import ConfigurationError
from modelgate.schema import Column, Schema
from modelgate.scoring import score

FRAME = pandas.DataFrame(
    {
        "age": np.arange(24.0),
        "plan": ["free", "pro", "team"] * 8,
        "note": ["good day", "bad"] * 12,
        "size": [1, 2, 3, 4] * 6,
        "active": [True, False] * 12,
    }
)
TARGET = [0, 1, 1] * 8
PLAN = Column("plan", "text", ("free", "pro", "team"))
SIZE = Column("size", "integer", (1, 2, 3, 4))
ACTIVE = Column("active", "boolean", (False, True))


def columns(model, frame=FRAME, target=TARGET):
    return list(Schema.from_model(model.fit(frame, target)).columns)


def transformed(*transformers, remainder="drop", final=None):
    transformer = ColumnTransformer(
        [(str(at), *told) for at, told in enumerate(transformers)], remainder=remainder
    )
    return make_pipeline(transformer, final or LogisticRegression(max_iter=1000))


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
    model = transformed((OneHotEncoder(), ["plan"]), ("drop", ["note"]), remainder=remainder)

    assert [Column("age"), PLAN, Column("size"), Column("active")] == columns(model)


@pytest.mark.parametrize(
    "selected",
    [
        ["plan"],
        [1],
        slice(1, 2),
        slice("plan", "plan"),
        [False, True, False, False, False],
        np.array([False, True, False, False, False]),
        make_column_selector(pattern="plan"),
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

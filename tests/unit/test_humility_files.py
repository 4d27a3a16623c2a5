"""Files of humility rules, and rules recommended for a package."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from modelgate import ConfigurationError, ModelPackage
from modelgate.humility import (
    HumilityRules,
    LowObservationRegion,
    NoOperation,
    OutlyingInput,
    OverridePrediction,
    ThrowError,
    UncertainPrediction,
)
from support.versions import SKLEARN

EDITED = """
[[rule]]
trigger = "uncertain_prediction"
lower = 0.4
upper = 0.6
name = "Uncertain Prediction Trigger"
id = "5ebad4735f11b33a38ff3e0d"

[[rule]]
trigger = "outlying_input"
feature = "age"
lower = 18                      # by law
missing = "trigger"
action = "override"
value = 5220

[[rule]]
trigger = "low_observation_region"
feature = "territory"
values = ["B", "A"]
action = "throw_error"
"""


def test_load_reads_toml_written_by_hand(tmp_path):
    path = tmp_path / "humility.toml"
    path.write_text(EDITED)

    assert [
        UncertainPrediction(0.4, 0.6, rule_id="5ebad4735f11b33a38ff3e0d"),
        OutlyingInput("age", 18, missing="trigger", action=OverridePrediction(5220)),
        LowObservationRegion("territory", ["A", "B"], action=ThrowError()),
    ] == list(HumilityRules.load(path))


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LEVELS = st.one_of(st.text(max_size=5), st.booleans(), st.integers(-5, 5), NUMBERS)
OPTIONS = {
    "action": st.one_of(st.just(NoOperation()), st.just(ThrowError()), st.builds(OverridePrediction, LEVELS)),
    "name": st.text(max_size=5),
    "rule_id": st.one_of(st.just(""), st.text("0123456789abcdef", min_size=24, max_size=24)),
}
FEATURES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
MISSING = st.sampled_from(["ignore", "trigger"])
RULES = st.one_of(
    st.builds(UncertainPrediction, NUMBERS, st.none(), **OPTIONS),
    st.builds(OutlyingInput, FEATURES, st.none(), NUMBERS, missing=MISSING, **OPTIONS),
    st.builds(
        LowObservationRegion, FEATURES, st.lists(LEVELS, min_size=1, max_size=3), missing=MISSING, **OPTIONS
    ),
)


@pytest.mark.slow
@given(st.lists(RULES, max_size=4, unique_by=lambda rule: rule.rule_id))
def test_load_restores_any_saved_rules(tmp_path_factory, rules):
    """With their ids and the types of their values."""
    for name in ("humility.toml", "humility.json"):
        path = tmp_path_factory.mktemp("rules") / name
        HumilityRules(rules).save(path)

        assert list(map(repr, rules)) == list(map(repr, HumilityRules.load(path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[rule]\n", "'rule' must be an array of TOML tables"),
        ("[[rules]]\n", "'rule' must be an array of TOML tables"),
        ("rule = [1]", "rule number 1 must be a table"),
        ('[[rule]]\ntrigger = "x"', "rule 'number 1': trigger must be one of uncertain_prediction, outlying"),
        (
            '[[rule]]\ntrigger = "outlying_input"\nname = "r"\nlowest = 1',
            r"rule 'r': option must be one of trigger, feature, lower, upper, .* \(got 'lowest'\)",
        ),
        ('[[rule]]\ntrigger = "outlying_input"\nlower = 1', "feature must be the name of a column"),
        (
            '[[rule]]\ntrigger = "outlying_input"\nfeature = "a"\nlower = 1\naction = "stop"',
            "action must be one of no_operation, override, throw_error",
        ),
        (
            '[[rule]]\ntrigger = "uncertain_prediction"\nlower = 1\naction = "override"',
            "value must be set for the action override",
        ),
        (
            '[[rule]]\ntrigger = "uncertain_prediction"\nlower = 1\nvalue = 1',
            "and left out for other actions",
        ),
        ('[[rule]]\ntrigger = "low_observation_region"\nfeature = "a"', "values must be a list"),
        ('[[rule]]\ntrigger = "uncertain_prediction"\nlower = "x"', "lower must be a finite number"),
        ("[[rule", "Expected"),
    ],
)
def test_load_says_where_a_file_is_wrong(tmp_path, content, message):
    path = tmp_path / "humility.toml"
    path.write_text(content)

    with pytest.raises(ConfigurationError, match=message) as raised:
        HumilityRules.load(path)
    assert str(raised.value).startswith(f"humility={str(path)!r}: ")


def test_files_must_be_toml_or_json(tmp_path):
    for call in (HumilityRules.load, HumilityRules().save):
        with pytest.raises(ConfigurationError, match=r"humility must be a file ending in \.toml"):
            call(tmp_path / "humility.yaml")


FRAME = pd.DataFrame(
    {"age": np.arange(20.0, 60.0), "plan": ["free"] * 20 + ["pro"] * 17 + ["trial"] * 3, "id": range(40)}
)
COLUMNS = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough")


def recommend(model, y, frame=FRAME, rules=None, **options):
    package = ModelPackage.from_estimator(model.fit(frame, y), frame, y, **options)
    return list(HumilityRules.recommended(package, **(rules or {})))


def test_recommended_rules_have_the_ranges_of_the_training_rows():
    """Of a regression: numbers in and out, and common levels. All of them only report."""
    rules = recommend(make_pipeline(COLUMNS, LinearRegression()), FRAME["age"] * 2)

    assert [
        UncertainPrediction(40.0, 118.0),
        OutlyingInput("age", 20.0, 59.0),
        LowObservationRegion("plan", ["free", "pro"]),
        OutlyingInput("id", 0.0, 39.0),
    ] == rules


@pytest.mark.parametrize(("distinct", "expected"), [(40, (0.0, 39.0)), (60, (0.0, 59.0))])
def test_recommended_rules_know_the_range_of_whole_numbers(distinct, expected):
    """A package has counts of few numbers, and deciles of many."""
    frame = NUMERIC.iloc[np.arange(100) % 40]
    rules = recommend(LinearRegression(), np.arange(100) % distinct, frame)

    assert [expected] == [(rule.lower, rule.upper) for rule in rules if isinstance(rule, UncertainPrediction)]


@pytest.mark.slow
def test_recommended_rules_leave_out_those_that_cannot_trigger():
    """Every level is common, and any other is rejected."""
    rules = recommend(make_pipeline(COLUMNS, LinearRegression()), FRAME["age"], rules={"min_rows": 3})

    assert ["age", "id"] == [rule.feature for rule in rules if not isinstance(rule, UncertainPrediction)]


NUMERIC = FRAME[["age"]]
OLD = np.where(NUMERIC["age"] > 40, "old", "young")


@pytest.mark.slow
def test_recommended_rules_find_the_share_of_uncertain_rows():
    """As many training rows are uncertain as asked for."""
    noisy = np.where(np.arange(40) % 3 == 0, "old", OLD)
    model = LogisticRegression().fit(NUMERIC, noisy)
    (rule, *_) = recommend(model, noisy, NUMERIC, {"uncertain": 0.1})
    old = model.predict_proba(NUMERIC)[:, 0]

    assert 0.5 == pytest.approx((rule.lower + rule.upper) / 2)
    assert 4 == np.sum((old >= rule.lower) & (old <= rule.upper))


OWN_THRESHOLDS = []
if SKLEARN >= (1, 5):
    from sklearn.model_selection import FixedThresholdClassifier

    fixed = FixedThresholdClassifier(DecisionTreeClassifier(), threshold=0.3)
    OWN_THRESHOLDS.append(pytest.param(fixed, {}, (0.2, 0.4), id="own threshold"))


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        pytest.param(DecisionTreeClassifier(), {}, (0.4, 0.6), id="tree"),
        pytest.param(DecisionTreeClassifier(), {"threshold": 0.95}, (0.95, 0.95), id="as likely as all"),
        *OWN_THRESHOLDS,
    ],
)
def test_recommended_rules_are_next_to_the_threshold(model, options, expected):
    """No wider than 0.1, as a tree is certain of all rows that it has learned, and never as wide as to include
    more of these rows than asked for.
    """
    (rule, *_) = recommend(model, OLD, NUMERIC, **options)

    assert expected == pytest.approx((rule.lower, rule.upper))


def test_recommended_rules_of_several_classes_find_low_probabilities():
    classes = np.arange(40) // 14
    (rule, *_) = recommend(GaussianNB(), classes, NUMERIC)

    assert 0.0 == rule.lower
    assert 1 / 3 < rule.upper <= 0.5


def test_recommended_rules_of_several_outputs_concern_the_input():
    rules = recommend(MultiOutputClassifier(GaussianNB()), np.column_stack([OLD, OLD[::-1]]), NUMERIC)

    assert [OutlyingInput("age", 20.0, 59.0)] == rules


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uncertain": 2}, "uncertain must be a number from 0 to 1"),
        ({"min_rows": 0}, "min_rows must be a whole number of at least 1"),
    ],
)
def test_recommended_rules_check_their_options(options, message):
    with pytest.raises(ConfigurationError, match=message):
        recommend(GaussianNB(), OLD, NUMERIC, options)


def test_recommended_rules_need_a_package():
    with pytest.raises(ConfigurationError, match="package must be a ModelPackage with training rows"):
        HumilityRules.recommended(GaussianNB())

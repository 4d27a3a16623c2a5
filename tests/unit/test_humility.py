"""Humility rules: triggers, actions, ids, and checks against a model."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from modelgate import (
    Column,
    ConfigurationError,
    Deployment,
    Gate,
    HumilityError,
    ModelPackage,
    Output,
    Prediction,
    PredictionError,
    Round,
    Schema,
)
from modelgate.humility import (
    HumilityRules,
    LowObservationRegion,
    NoOperation,
    OutlyingInput,
    OverridePrediction,
    ThrowError,
    UncertainPrediction,
)

SCHEMA = Schema.of(a=Column("a", nullable=True))
ROWS = [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0]]
REGRESSOR = LinearRegression().fit(ROWS, [0.0, 1.0, 2.0, 3.0])
CLASSIFIER = LogisticRegression().fit(ROWS, ["no", "no", "yes", "yes"])


def double(table):
    return table["a"] * 2


def build_gate(*rules, model=double, schema=SCHEMA, **options):
    return Gate([Deployment("d", model, schema=schema, humility=rules, **options)], keys="open")


def triggered_names(prediction):
    return [[rule.name for rule in rules] for rules in prediction.humility]


BOUND = st.one_of(st.none(), st.integers(-3, 3), st.floats(-3, 3))
BOUNDS = st.tuples(BOUND, BOUND).filter(
    lambda pair: pair != (None, None) and (None in pair or pair[0] <= pair[1])
)
VALUES = st.lists(st.one_of(st.integers(-4, 4).map(float), st.just(math.nan)), min_size=1, max_size=80)


def is_within(value, bounds):
    return (bounds[0] is None or value >= bounds[0]) and (bounds[1] is None or value <= bounds[1])


@given(VALUES, BOUNDS, st.sampled_from(["ignore", "trigger"]))
def test_outlying_input_finds_the_values_outside_its_bounds(values, bounds, missing):
    """A bound itself is inside. Null counts only if asked for."""
    table = SCHEMA.read([{"a": None if value != value else value} for value in values])
    expected = [
        index
        for index, value in enumerate(values)
        if (missing == "trigger" if value != value else not is_within(value, bounds))
    ]

    assert expected == OutlyingInput("a", *bounds, missing=missing).find_rows(table)


@given(VALUES, BOUNDS, st.sampled_from([np.float32, np.float64, object]))
def test_uncertain_prediction_finds_numbers_outside_its_bounds(values, bounds, dtype):
    """A prediction that is no number triggers nothing."""
    numbers = [None if dtype is object and value != value else value for value in values]
    prediction = Prediction([Output("y", np.array(numbers, dtype=dtype))])
    expected = [i for i, value in enumerate(values) if value == value and not is_within(value, bounds)]

    assert expected == UncertainPrediction(*bounds).find_rows(prediction)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=80), BOUNDS, st.sampled_from([0, 1]))
def test_uncertain_prediction_finds_probabilities_within_its_bounds(tenths, bounds, positive):
    """Those of the positive class."""
    values = np.array(tenths) / 10
    probabilities = np.column_stack([values, 1 - values] if positive == 0 else [1 - values, values])
    output = Output("y", np.array(["no"] * len(tenths)), ["no", "yes"], probabilities, positive)
    expected = [index for index, value in enumerate(values) if is_within(value, bounds)]

    assert expected == UncertainPrediction(*bounds).find_rows(Prediction([output]))


def test_uncertain_prediction_of_several_classes_concerns_the_predicted_one():
    probabilities = np.array([[0.4, 0.35, 0.25], [0.1, 0.1, 0.8], [np.nan, np.nan, np.nan]])
    output = Output("y", np.array(["a", "c", None], dtype=object), ["a", "b", "c"], probabilities)

    assert [0] == UncertainPrediction(0, 0.4).find_rows(Prediction([output]))


@pytest.mark.parametrize(
    ("column", "values", "sent", "expected"),
    [
        (Column("a", "text", nullable=True), ["x", "y"], ["x", "z", None], [1]),
        (Column("a", "integer", nullable=True), [1, 2], [1, 3, None], [1]),
        (Column("a", "boolean", nullable=True), [True], [True, False, None], [1]),
        (Column("a", "any", nullable=True), [1, "x"], [1.0, True, None, "x"], [1]),
    ],
    ids=lambda value: value.kind if isinstance(value, Column) else "",
)
def test_low_observation_region_finds_other_values(column, values, sent, expected):
    """Null counts only if asked for; true is not 1."""
    table = Schema([column]).read([{"a": value} for value in sent])
    nulls = [index for index, value in enumerate(sent) if value is None]

    assert expected == LowObservationRegion("a", values).find_rows(table)
    assert sorted(expected + nulls) == LowObservationRegion("a", values, missing="trigger").find_rows(table)


def test_rules_are_reported_in_order_and_the_first_override_wins():
    rules = [
        OutlyingInput("a", upper=10, name="first"),
        UncertainPrediction(0, 30, name="second", action=OverridePrediction(-1)),
        OutlyingInput("a", upper=5, name="third", action=OverridePrediction(7)),
    ]
    prediction = build_gate(*rules).score("d", [{"a": 1}, {"a": 6}, {"a": 20}])

    assert [[], ["third"], ["first", "second", "third"]] == triggered_names(prediction)
    assert [2, 7, -1] == prediction.values.tolist()
    assert [2, 12, 40] == prediction.outputs[0].model_values.tolist()
    assert ["no_operation", "override", "override"] == [rule.action for rule in prediction.humility[2]]


def test_rules_that_no_row_triggers_change_nothing():
    prediction = build_gate(OutlyingInput("a", upper=10)).score("d", [{"a": 1}])

    assert [()] == prediction.humility
    assert prediction.outputs[0].model_values is None


def test_throw_error_beats_other_actions_and_names_the_rows():
    rules = [
        OutlyingInput("a", upper=5, action=OverridePrediction(7)),
        UncertainPrediction(0, 30, action=ThrowError()),
    ]
    gate = build_gate(*rules)

    assert [7] == gate.score("d", {"a": 6}).values.tolist()
    with pytest.raises(HumilityError) as raised:
        gate.score("d", [{"a": 1}, {"a": 16}, {"a": 20}])
    assert [1, 2] == raised.value.rows


def test_throw_error_of_an_input_saves_the_call_of_the_model():
    def fail(table):
        raise AssertionError

    with pytest.raises(HumilityError):
        build_gate(OutlyingInput("a", upper=5, action=ThrowError()), model=fail).score("d", {"a": 6})


def test_rules_see_predictions_before_they_are_rounded():
    rule = UncertainPrediction(upper=2.004, action=OverridePrediction(0.126))
    for options in ({"decimals": 2}, {"scoring_layers": [Round(2)]}):
        prediction = build_gate(rule, **options).score("d", [{"a": 1.002}, {"a": 1.00201}])

        assert [[], [rule.name]] == triggered_names(prediction)
        assert [2.0, 0.13] == prediction.values.tolist()
        assert [2.0, 2.0] == prediction.outputs[0].model_values.tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "override"),
    [((0, 1), 0), ((False, True), False), (("y", "a longer label"), "a longer label")],
    ids=["numbers", "booleans", "texts"],
)
def test_override_keeps_the_type_of_labels(labels, override):
    model = LogisticRegression().fit(ROWS, [labels[0], labels[0], labels[1], labels[1]])
    rule = OutlyingInput("x0", upper=2, action=OverridePrediction(override))
    prediction = build_gate(rule, model=model, schema=None).score(
        "d", [{"x0": 3, "x1": 1}, {"x0": 0, "x1": 0}]
    )

    assert [override, labels[0]] == prediction.values.tolist()
    assert type(override) is type(prediction.values.tolist()[0])
    assert model.predict_proba([[3, 1], [0, 0]]) == pytest.approx(prediction.probabilities)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_override_is_exact(dtype):
    """In float32, and among whole numbers."""
    rule = OutlyingInput("a", upper=5, action=OverridePrediction(0.1))
    gate = build_gate(rule, model=lambda table: table["a"].astype(dtype))

    assert [0.1, 2] == gate.score("d", [{"a": 6}, {"a": 2}]).values.tolist()


def test_override_leaves_intervals_to_the_model():
    rows = np.column_stack([np.arange(40.0), np.zeros(40)])
    package = ModelPackage.from_estimator(REGRESSOR, rows[::2], rows[::2, 0])
    rule = OutlyingInput("x0", upper=2, action=OverridePrediction(-100))
    gate = build_gate(rule, model=package.calibrate(rows[1::2], rows[1::2, 0] + 1), schema=None)
    output = gate.score("d", {"x0": 3, "x1": 0}, intervals=[90]).outputs[0]

    low, high = output.intervals["90"][0]
    assert [-100] == output.values.tolist()
    assert output.model_values[0] == pytest.approx((low + high) / 2)


def test_override_replaces_a_prediction_that_is_no_number():
    rule = OutlyingInput("a", upper=5, action=OverridePrediction(1.5))
    gate = build_gate(rule, model=lambda table: table["a"] * np.inf, nonfinite="null")
    prediction = gate.score("d", [{"a": 6}, {"a": 2}])

    assert 1.5 == prediction.values[0]
    assert np.isnan(prediction.values[1])


def test_rules_apply_to_the_candidates_of_a_rollout():
    from modelgate import Rollout

    package = ModelPackage.from_estimator(REGRESSOR, np.array(ROWS), name="m", version="2")
    rule = OutlyingInput("x0", upper=2, action=OverridePrediction(-5))
    gate = build_gate(rule, model=REGRESSOR, schema=None, rollout=Rollout({package: 100}))

    assert [-5] == gate.score("d", {"x0": 3, "x1": 1}).values.tolist()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (UncertainPrediction(0, 1), "needs probabilities"),
        (OutlyingInput("a", 9, action=OverridePrediction("x")), "could not convert"),
    ],
    ids=["labels", "text"],
)
def test_function_that_does_not_fit_its_rules_fails(rule, message):
    """Its outputs are not known before it is called."""
    outputs = {
        "needs probabilities": Output("y", np.array(["a"]), ["a", "b"]),
        "could not convert": Output("y", np.array([1.0])),
    }
    gate = build_gate(rule, model=lambda table: Prediction([outputs[message]]))

    with pytest.raises(PredictionError) as raised:
        gate.score("d", {"a": 1})
    assert message in str(raised.value.__cause__)


def test_rule_ids_are_stable():
    """In every process, and for every way to write the same rule."""
    rule = OutlyingInput("age", 18, 99)

    assert "866ee439b6cb6af240154b12" == rule.rule_id
    assert rule.rule_id == OutlyingInput("age", 18.0, 99.0, name="other", missing="ignore").rule_id
    assert LowObservationRegion("a", ["x", "y"]).rule_id == LowObservationRegion("a", ("y", "x")).rule_id
    others = [
        OutlyingInput("age", 18, 98),
        OutlyingInput("age", 18),
        OutlyingInput("income", 18, 99),
        OutlyingInput("age", 18, 99, missing="trigger"),
        OutlyingInput("age", 18, 99, action=ThrowError()),
        OutlyingInput("age", 18, 99, action=OverridePrediction(1)),
        OutlyingInput("age", 18, 99, action=OverridePrediction(True)),
        UncertainPrediction(18, 99),
    ]
    assert len(others) + 1 == len({rule.rule_id, *(other.rule_id for other in others)})


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: UncertainPrediction(), "lower and upper must be at least one number"),
        (lambda: UncertainPrediction(1, 0), "lower must be at most upper=0"),
        (lambda: OutlyingInput("a", math.nan), "lower must be a finite number, or None"),
        (lambda: OutlyingInput("a", upper=True), "upper must be a finite number, or None"),
        (lambda: OutlyingInput("", 1), "feature must be the name of a column"),
        (lambda: OutlyingInput("a", 1, missing="no"), 'missing must be "ignore" or "trigger"'),
        (lambda: OutlyingInput("a", 1, action="override"), r"action must be NoOperation\(\)"),
        (lambda: OutlyingInput("a", 1, name=5), "name must be text"),
        (lambda: OutlyingInput("a", 1, rule_id="5EBAD"), "rule_id must be 24 digits"),
        (lambda: LowObservationRegion("a", "xyz"), "values must be a list of at least one"),
        (lambda: LowObservationRegion("a", []), "values must be a list of at least one"),
        (lambda: LowObservationRegion("a", [None]), "values must be a list of at least one"),
        (lambda: OverridePrediction(math.inf), "value must be a finite number "),
        (lambda: OverridePrediction(None), "value must be a finite number "),
        (lambda: OverridePrediction(2**60), r"value must be .* \(integers from -2\*\*53 to 2\*\*53\)"),
        (lambda: HumilityRules(5), "humility must be a list of rules"),
        (lambda: HumilityRules("rules.toml"), r"HumilityRules.load\(path\)"),
        (lambda: HumilityRules([NoOperation()]), "humility must be a list of rules"),
        (lambda: HumilityRules([OutlyingInput("a", 1)] * 2), "must have different ids"),
    ],
)
def test_rules_reject_invalid_options(create, message):
    with pytest.raises(ConfigurationError, match=message):
        create()


TEXTS = Schema.of(x0=float, x1=["a", "b"])


@pytest.mark.parametrize(
    ("model", "schema", "rule", "message"),
    [
        (REGRESSOR, None, OutlyingInput("X0", 1), r"a column of the input \(got 'X0'\): did you mean 'x0'"),
        (double, TEXTS, OutlyingInput("x1", 1), "the kind number or integer, not text"),
        (double, TEXTS, LowObservationRegion("x1", [1]), "values must be values of the kind text"),
        (REGRESSOR, None, OutlyingInput("x0", 1, action=OverridePrediction("a")), "value must be a number"),
        (REGRESSOR, None, OutlyingInput("x0", 1, action=OverridePrediction(True)), "value must be a number"),
        (
            CLASSIFIER,
            None,
            OutlyingInput("x0", 1, action=OverridePrediction("maybe")),
            r"value must be one of the model's classes \['no', 'yes'\] \(got 'maybe'\)",
        ),
        (
            LogisticRegression().fit(ROWS, [0, 0, 1, 1]),
            None,
            OutlyingInput("x0", 1, action=OverridePrediction(True)),
            r"value must be one of the model's classes \[0, 1\] \(got True\)",
        ),
        (CLASSIFIER, None, UncertainPrediction(0, 5), "upper must be a probability from 0 to 1"),
        (
            RidgeClassifier().fit(ROWS, ["no", "no", "yes", "yes"]),
            None,
            UncertainPrediction(0, 1),
            "the model must predict probabilities",
        ),
        (
            LinearRegression().fit(ROWS, ROWS),
            None,
            UncertainPrediction(0, 1),
            "the model must have one output",
        ),
        (
            LinearRegression().fit(ROWS, ROWS),
            None,
            OutlyingInput("x0", 1, action=OverridePrediction(1)),
            "the model must have one output",
        ),
    ],
)
def test_rules_must_fit_the_model(model, schema, rule, message):
    """A gate is not made otherwise."""
    with pytest.raises(ConfigurationError, match=message):
        build_gate(rule, model=model, schema=schema)


@pytest.mark.slow
def test_rules_must_fit_a_packaged_model(tmp_path):
    """It is not replaced by one that they do not fit."""
    for name, labels in (("old", ["no", "yes"]), ("new", ["n", "y"])):
        model = LogisticRegression().fit(ROWS, np.repeat(labels, 2))
        ModelPackage.from_estimator(model, np.array(ROWS)).save(tmp_path / f"{name}.mgpkg")
    rule = OutlyingInput("x0", upper=2, action=OverridePrediction("no"))
    gate = build_gate(rule, model=tmp_path / "old.mgpkg", schema=None)

    assert ["no"] == gate.score("d", {"x0": 3, "x1": 1}).values.tolist()
    with pytest.raises(ConfigurationError, match="value must be one of the model's classes"):
        gate.deployments.swap("d", tmp_path / "new.mgpkg")


def test_triggered_rules_are_counted():
    """By name, from zero on; also if they throw an error."""
    gate = build_gate(
        OutlyingInput("a", upper=5), UncertainPrediction(0, 30, name='"wild"', action=ThrowError())
    )
    sample = 'modelgate_humility_triggered_total{deployment="d",version="1",role="serving",rule="'

    assert f'{sample}Outlying Input Trigger (a)"}} 0\n' in gate.metrics.render()
    gate.score("d", [{"a": 1}, {"a": 6}, {"a": 7}])
    with pytest.raises(HumilityError):
        gate.score("d", [{"a": 16}])
    assert f'{sample}Outlying Input Trigger (a)"}} 3\n' in gate.metrics.render()
    assert f'{sample}\\"wild\\""}} 1\n' in gate.metrics.render()


def test_metrics_of_a_gate_without_rules_have_no_counter():
    assert "humility" not in build_gate().metrics.render()


def test_split_distributes_triggered_rules():
    """And the values of the model."""
    rule = OutlyingInput("a", upper=5, action=OverridePrediction(7))
    first, second = build_gate(rule).score("d", [{"a": 6}, {"a": 1}, {"a": 8}]).split([2, 1])

    assert [[rule.name], []] == triggered_names(first)
    assert [[rule.name]] == triggered_names(second)
    assert ([12, 2], [16]) == tuple(part.outputs[0].model_values.tolist() for part in (first, second))

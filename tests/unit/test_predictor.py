"""What scores a table."""

import asyncio
import functools
import re
import threading
import time
import warnings

import numpy as np
import pandas
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from closeness import assert_equal_but_for_blas
from modelgate.errors import ConfigurationError, InvalidInput, PredictionError
from modelgate.flow import Workers, adrive, drive
from modelgate.flow.bounded import bounded
from modelgate.schema import Schema
from modelgate.scoring import Output, Prediction, Predictor, estimator
from modelgate.scoring.pace import LIGHT
from modelgate.scoring.tally import Tally
from modelgate.testing import Clock
from waiting import SOON

FRAME = pandas.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
LABELS = np.where(FRAME["a"] > 0, "yes", "no")
PAIRS = np.column_stack([LABELS, np.where(FRAME["b"] > 0, "x", "y")])
SCHEMA = Schema.of(a=float, b=float)
TABLE = SCHEMA.read(FRAME)


@pytest.fixture(params=["drive", "adrive", "adrive in a thread"])
def predict(request):
    """Predicts under either driver."""

    def call(model, table=TABLE, **options):
        if request.param == "adrive in a thread":
            options["workers"] = Workers(1)
        flow = Predictor(model, options.pop("schema", SCHEMA), **options).predict(table)
        return drive(flow) if request.param == "drive" else asyncio.run(adrive(flow))

    return call


# Estimators


@pytest.mark.parametrize(
    "data",
    [FRAME, np.ascontiguousarray(FRAME), np.asfortranarray(FRAME)],
    ids=["frame", "array by rows", "array by columns"],
)
def test_a_classifier_gives_labels_and_probabilities(predict, data):
    """Its own, in the order of classes_."""
    model = LogisticRegression().fit(data, LABELS)
    prediction = predict(model, target="churned")
    [output] = prediction.outputs

    assert ("churned", ["no", "yes"]) == (output.name, output.classes)
    assert np.array_equal(model.predict(data), prediction.values)
    assert_equal_but_for_blas(model.predict_proba(data), prediction.probabilities)
    assert len(FRAME) == len(prediction)


def test_a_regressor_gives_numbers(predict):
    """And neither classes nor probabilities."""
    model = LinearRegression().fit(FRAME, FRAME["a"] * 2)
    prediction = predict(model)

    assert_equal_but_for_blas(model.predict(FRAME), prediction.values)
    assert ("prediction", None, None) == (
        prediction.outputs[0].name,
        prediction.classes,
        prediction.probabilities,
    )


def test_a_classifier_without_probabilities_gives_labels(predict):
    """Its classes are known all the same."""
    prediction = predict(SVC().fit(FRAME, LABELS))

    assert (["no", "yes"], None) == (prediction.classes, prediction.probabilities)


def test_classes_are_plain_python_values(predict):
    """What goes into JSON."""
    prediction = predict(LogisticRegression().fit(FRAME, (FRAME["a"] > 0).astype(np.int64)))

    assert [int, int] == [type(label) for label in prediction.classes]


@pytest.mark.parametrize(
    ("target", "names"), [("t", ["t_0", "t_1"]), (["one", "two"], ["one", "two"]), (["t"], ["t_0", "t_1"])]
)
def test_a_classifier_of_several_outputs(predict, target, names):
    """Each has its labels, its classes and its probabilities."""
    model = RandomForestClassifier(n_estimators=3, random_state=0).fit(FRAME, PAIRS)
    outputs = predict(model, target=target).outputs

    assert names == [output.name for output in outputs]
    assert [["no", "yes"], ["x", "y"]] == [output.classes for output in outputs]
    for at, output in enumerate(outputs):
        assert np.array_equal(model.predict(FRAME)[:, at], output.values)
        assert np.array_equal(model.predict_proba(FRAME)[at], output.probabilities)


def test_a_regressor_of_several_outputs(predict):
    """Each is a column of what the model predicts."""
    model = RandomForestRegressor(n_estimators=3, random_state=0).fit(FRAME, FRAME * 2)
    outputs = predict(model).outputs

    assert ["prediction_0", "prediction_1"] == [output.name for output in outputs]
    assert np.array_equal(model.predict(FRAME), np.column_stack([output.values for output in outputs]))
    assert [None, None] == [output.classes for output in outputs]


def test_a_regressor_of_one_column(predict):
    """A target of shape (rows, 1) is one output."""
    model = LinearRegression().fit(FRAME, FRAME[["a"]])

    assert_equal_but_for_blas(model.predict(FRAME)[:, 0], predict(model).values)


def test_a_classifier_of_several_labels(predict):
    """Several labels at once: an output for each."""
    model = OneVsRestClassifier(LogisticRegression()).fit(FRAME, (FRAME > 0).astype(int))
    outputs = predict(model).outputs

    assert np.array_equal(model.predict(FRAME), np.column_stack([output.values for output in outputs]))


def test_a_model_fitted_with_names_is_given_them(predict):
    """In its own order, whatever the schema's, and without what it does not know."""
    model = LinearRegression().fit(FRAME, FRAME["a"] - FRAME["b"])
    schema = Schema.of(extra=str, b=float, a=float)
    table = schema.read({"a": [3.0], "b": [1.0], "extra": ["x"]})

    assert [2.0] == predict(model, table, schema=schema).values.round(9).tolist()


def test_a_schema_that_lacks_columns_is_refused():
    """All of them are named, at construction."""
    with pytest.raises(ConfigurationError, match="lacks columns the model needs: a, b"):
        Predictor(LinearRegression().fit(FRAME, FRAME["a"]), Schema.of(c=float))


def test_the_schema_of_an_estimator_is_its_own():
    """By default."""

    assert ("a", "b") == Predictor(LinearRegression().fit(FRAME, FRAME["a"])).schema.names


@pytest.mark.parametrize(
    ("sample", "asked"),
    [
        (FRAME.to_dict("records"), FRAME[:1]),
        ([{"a": "no number"}, *FRAME.to_dict("records")], FRAME[:1]),
        ((), pandas.DataFrame([SCHEMA.example])),
        ([{"a": "no number"}], pandas.DataFrame([SCHEMA.example])),
    ],
)
def test_what_an_estimator_is_warmed_with(sample, asked):
    """A row as it will come, where there is one that the schema takes."""
    model = LinearRegression().fit(FRAME, FRAME["a"])
    scored = Predictor(model, SCHEMA, plans=False, sample=sample)
    own, given = model.predict, []
    model.predict = lambda rows: (given.append(rows), own(rows))[1]
    scored.warm()

    assert [asked.astype(float).to_numpy().tolist()] == [rows.to_numpy().tolist() for rows in given]


@pytest.mark.parametrize("sample", [3, "x", b"[]", {"a": 1}, FRAME, FRAME.to_numpy(), [[1, 2]], [None]])
def test_what_is_no_sample(sample):
    """Nothing is compared in silence on less than was given."""
    with pytest.raises(ConfigurationError, match="sample: accepts a list of rows"):
        Predictor(LinearRegression().fit(FRAME, FRAME["a"]), sample=sample)


# Functions


def sync(function):
    return function


def awaited(function):
    async def call(table):
        await asyncio.sleep(0)
        return function(table)

    return call


FUNCTIONS = pytest.mark.parametrize("form", [sync, awaited])
TWO = SCHEMA.read({"a": [1.0, 2.0], "b": [3.0, 4.0]})


@FUNCTIONS
@pytest.mark.parametrize(
    ("result", "names", "values"),
    [
        ([1.5, 2.5], ["t"], [[1.5, 2.5]]),
        ((1, 2), ["t"], [[1, 2]]),
        (np.array([1, 2]), ["t"], [[1, 2]]),
        (pandas.Series([1, 2]), ["t"], [[1, 2]]),
        (["yes", "no"], ["t"], [["yes", "no"]]),
        ([1, "no"], ["t"], [[1, "no"]]),
        ([None, "a"], ["t"], [[None, "a"]]),
        ([[1, 2], [3, 4]], ["t_0", "t_1"], [[1, 3], [2, 4]]),
        (np.array([["x"], ["y"]]), ["t"], [["x", "y"]]),
        ({"one": [1, 2], "two": ["x", "y"]}, ["one", "two"], [[1, 2], ["x", "y"]]),
        (Prediction([Output("own", np.array([1, 2]))]), ["own"], [[1, 2]]),
    ],
    ids=repr,
)
def test_a_function_may_return(predict, form, result, names, values):
    """An array, a list, values by name, or a whole prediction."""
    outputs = predict(form(lambda table: result), TWO, target="t").outputs

    assert names == [output.name for output in outputs]
    assert values == [output.values.tolist() for output in outputs]


@pytest.mark.parametrize(
    "result",
    [
        None,
        1.5,
        "no",
        b"no",
        object(),
        {},
        {"a": "no"},
        {1, 2},
        (n for n in (1, 2)),
        [],
        [1],
        [1, 2, 3],
        [[1], [2, 3]],
        [[], []],
        np.zeros((2, 2, 2)),
        {"a": [1, 2], "b": [1]},
        {"a": [[1, 2], [3, 4]]},
        [1.0, float("nan")],
        [1.0, float("inf")],
        [None, float("nan")],
        [None, float("-inf")],
        [1j, 2j],
        [object(), object()],
        Prediction([]),
        Prediction([Output("a", [1, 2])]),
        Prediction([Output("a", np.array([1]))]),
        Prediction([Output("a", np.array([1, 2]), [1, 2], np.array([[0.5, float("nan")]] * 2))]),
        Prediction([Output("a", np.array([1, 2]), [1, 2], np.array([[0.5, 0.5]]))]),
    ],
    ids=lambda result: re.sub(r" at 0x\w+|\n", "", repr(result))[:60],
)
def test_what_is_no_prediction_is_an_error_of_the_model(result):
    """Not a value a row, not finite, or nothing that JSON can spell."""
    with pytest.raises(PredictionError) as info:
        drive(Predictor(lambda table: result, SCHEMA).predict(TWO))

    assert info.value.__cause__ is not None


@pytest.mark.parametrize("rows", [1, 32, 33, 100])
def test_one_number_among_many_that_is_not_finite_is_found(rows):
    """Wherever it stands; without it, however large they are, they pass."""
    table, numbers = SCHEMA.read([{"a": 1, "b": 2}] * rows), np.full(rows, 1e308)
    predict = Predictor(lambda table: numbers, SCHEMA).predict

    assert rows == len(drive(predict(table)))

    numbers[-1] = np.inf
    with pytest.raises(PredictionError):
        drive(predict(table))


@FUNCTIONS
@pytest.mark.parametrize(
    "error", [KeyError("secret"), SystemExit(3), StopIteration(), MemoryError("secret")], ids=repr
)
def test_what_a_model_raises_is_the_cause(predict, form, error):
    """The message shows none of it."""

    def fail(table):
        raise error

    with pytest.raises(PredictionError) as info:
        predict(form(fail), TWO)

    cause = info.value.__cause__
    assert cause is error or error in (cause.__cause__, cause.__context__)
    assert "The model failed to score this request" == info.value.message


@FUNCTIONS
@pytest.mark.parametrize("error", [InvalidInput("a must be below b"), PredictionError("own words")], ids=repr)
def test_an_error_of_the_tree_passes(predict, form, error):
    """A function may refuse a request itself."""

    def fail(table):
        raise error

    with pytest.raises(type(error)) as info:
        predict(form(fail), TWO)

    assert error is info.value


@FUNCTIONS
def test_an_empty_table_makes_no_call(predict, form):
    """No rows, no model."""
    calls = []
    prediction = predict(form(calls.append), SCHEMA.read([]))

    assert (0, []) == (len(prediction), calls)


def test_an_estimator_is_not_asked_about_no_rows(predict):
    """scikit-learn would refuse an empty array."""
    prediction = predict(LinearRegression().fit(FRAME, FRAME["a"]), SCHEMA.read([]), target="t")

    assert (["t"], []) == ([output.name for output in prediction.outputs], prediction.values.tolist())


def test_where_a_model_runs():
    """With workers in their threads under ASGI; without, on the event loop; an async one always there."""
    here, seen = threading.get_ident(), []

    def see(table):
        seen.append(threading.get_ident() == here)
        return [0.0] * len(table)

    async def asee(table):
        return see(table)

    for model, workers in ((see, None), (see, Workers(1)), (asee, Workers(1))):
        asyncio.run(adrive(Predictor(model, SCHEMA, workers=workers).predict(TWO)))
        drive(Predictor(model, SCHEMA, workers=workers).predict(TWO))

    assert [True, True, False, True, True, True] == seen


@pytest.mark.parametrize(
    ("inline", "expected"), [(None, [False, True, False, True, False]), (False, [False] * 5)]
)
def test_a_light_function_stays_in_a_thread_with_a_deadline(monkeypatch, inline, expected):
    """Once it is known as one, unless it is to run in the gate's; not while a call of it hangs."""
    clock, took, tally, seen = Clock(0), [LIGHT / 2], Tally(), []
    monkeypatch.setattr("modelgate.scoring.tally.perf_counter", clock)

    def see(table):
        clock.advance(took[0])
        seen.append(threading.current_thread() is threading.main_thread())
        return [0.0] * len(table)

    scored = Predictor(see, SCHEMA, workers=Workers(1, patience=SOON), inline=inline, tally=tally)

    def ask():
        drive(bounded(scored.predict(TWO), time.perf_counter() + SOON))

    ask()
    ask()
    hangs = clock()
    tally.running.add(hangs)
    clock.advance(LIGHT * 2)
    ask()
    tally.end(hangs, "unbatched", 1)
    took[0] = LIGHT * 2
    ask()
    ask()

    assert expected == seen


@pytest.mark.parametrize(
    "model", [3, None, "model.skops", pytest.param(object(), id="object"), [1]], ids=repr
)
def test_what_is_no_model_is_refused(model):
    """A fitted estimator or a function."""
    with pytest.raises(ConfigurationError, match="model="):
        Predictor(model, SCHEMA)


class Callable:
    def __call__(self, table):
        return [0] * len(table)


class AsyncCallable:
    async def __call__(self, table):
        return [0] * len(table)


@pytest.mark.parametrize(
    "model", [lambda table: 1, functools.partial(max), Callable()], ids=["function", "partial", "object"]
)
def test_a_function_needs_a_schema(model):
    """There is nothing to read it from."""
    with pytest.raises(ConfigurationError, match="schema"):
        Predictor(model)


@pytest.mark.parametrize("model", [Callable(), AsyncCallable()], ids=["sync", "async"])
def test_an_object_that_is_called_is_a_function(predict, model):
    """Sync or async."""
    with warnings.catch_warnings():
        # "never awaited", where it is not: the assertion tells it better.
        warnings.simplefilter("ignore")

        assert [0, 0] == predict(model, TWO).values.tolist()


@pytest.mark.parametrize("kind", [OneVsRestClassifier, ClassifierChain], ids=lambda kind: kind.__name__)
def test_how_likely_each_of_several_labels_is(predict, kind):
    """Each label is there or not: an output of its own, with the probability of both."""
    model = kind(LogisticRegression()).fit(FRAME, (FRAME > 0).astype(int))
    there = model.predict_proba(FRAME)
    outputs = predict(model).outputs

    assert [[0, 1], [0, 1]] == [output.classes for output in outputs]
    for at, output in enumerate(outputs):
        assert_equal_but_for_blas(np.column_stack([1 - there[:, at], there[:, at]]), output.probabilities)


@pytest.mark.parametrize(
    "targets",
    [
        np.arange(7.0),
        np.array(["a", "b", "a", "b", "c", "c", "c"]),
        np.array([["a", "x"], ["b", "y"]] * 3 + [["a", "y"]]),
    ],
    ids=["numbers", "labels", "two outputs"],
)
def test_many_rows_are_scored_in_parts(monkeypatch, targets):
    """What comes out is what one call gives."""
    rows = np.arange(14.0).reshape(7, 2)
    model = DecisionTreeRegressor() if targets.dtype.kind == "f" else DecisionTreeClassifier()
    scored = Predictor(model.fit(rows, targets))
    table = scored.schema.read(rows)
    whole = drive(scored.predict(table))
    monkeypatch.setattr(estimator, "_AT_ONCE", 3)

    parts = drive(scored.predict(table))
    for one, other in zip(whole.outputs, parts.outputs, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.values.dtype == other.values.dtype
        if one.probabilities is not None:
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_rows_of_one_request_are_one_frame_however_many_they_are(monkeypatch):
    """A null in the last row decides the dtype of the first one too, as in a frame of all of them."""
    first = FunctionTransformer(lambda frame: frame.astype(str) == "75001.0", validate=False)
    model = make_pipeline(first, DecisionTreeClassifier()).fit(
        pandas.DataFrame({"zip": [75001.0, 2.0]}), ["yes", "no"]
    )
    scored = Predictor(model)
    table = scored.schema.read([{"zip": 75001}, {"zip": 2}, {"zip": None}])
    monkeypatch.setattr(estimator, "_AT_ONCE", 2)

    assert ["yes", "no", "no"] == drive(scored.predict(table)).values.tolist()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("plans", [True, False])
def test_a_model_that_changes_its_input_answers_as_ever(named, plans):
    """A transformer with copy=False does, and predict_proba is asked after predict."""
    rows = np.random.default_rng(0).normal(3, 2, size=(60, 2))
    frame = pandas.DataFrame(rows, columns=["a", "b"]) if named else rows
    model = make_pipeline(StandardScaler(copy=False), StandardScaler(copy=False), LogisticRegression())
    scored = Predictor(model.fit(frame.copy(), rows[:, 0] > 3), plans=plans)
    table = scored.schema.read(rows[:5])
    told = drive(scored.predict(table))

    assert_equal_but_for_blas(model.predict_proba(frame[:5].copy()), told.probabilities)
    np.testing.assert_array_equal(rows[:5], table.numbers)


def test_no_rows_have_the_outputs_rows_would_have():
    """Their names, classes and probabilities."""
    model = DecisionTreeClassifier().fit([[0.0], [1.0]], [["a", "x"], ["b", "y"]])
    scored = Predictor(model, target=["p", "q"])
    told = drive(scored.predict(scored.schema.read([])))

    assert [("p", ["a", "b"], (0,), (0, 2)), ("q", ["x", "y"], (0,), (0, 2))] == [
        (output.name, output.classes, output.values.shape, output.probabilities.shape)
        for output in told.outputs
    ]


def test_a_coroutine_whose_event_loop_is_closed_has_not_failed(caplog):
    """It is closed with GeneratorExit, which is neither logged nor counted; one that it raises itself is."""
    tally, waits = Tally(), True

    async def predict(table):
        if waits:
            await asyncio.Event().wait()
        raise GeneratorExit

    scored = Predictor(predict, SCHEMA, workers=Workers(1), tally=tally)
    loop = asyncio.new_event_loop()
    flow = adrive(scored.predict(TWO))
    loop.call_soon(flow.send, None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    flow.close()
    closed = tally.failed, len(tally.running)
    waits = False
    with pytest.raises(PredictionError):
        asyncio.run(adrive(scored.predict(TWO)))

    assert ((0, 0), 1) == (closed, tally.failed)
    assert not caplog.records

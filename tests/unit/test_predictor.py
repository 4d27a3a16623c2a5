"""Predictors: estimators and functions that score tables."""

import asyncio
import functools
import re
import threading
import time
import warnings

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelgate.errors import ConfigurationError, InvalidInput, PredictionError
from modelgate.flow import WorkerPool, adrive, drive
from modelgate.flow.deadline import with_deadline
from modelgate.inference import Output, Prediction, Predictor, estimator
from modelgate.inference.model_metrics import LIGHT, ModelMetrics
from modelgate.schema import Schema
from modelgate.testing import FakeClock
from support.arrays import assert_equal_but_for_blas
from support.waiting import SOON

FRAME = pandas.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
LABELS = np.where(FRAME["a"] > 0, "yes", "no")
PAIRS = np.column_stack([LABELS, np.where(FRAME["b"] > 0, "x", "y")])
SCHEMA = Schema.of(a=float, b=float)
TABLE = SCHEMA.read(FRAME)


@pytest.fixture(params=["drive", "adrive", "adrive in a thread"])
def predict(request):
    """Calls `Predictor.predict` under each driver."""

    def call(model, table=TABLE, **options):
        if request.param == "adrive in a thread":
            options["workers"] = WorkerPool(1)
        flow = Predictor(model, options.pop("schema", SCHEMA), **options).predict(table)
        return drive(flow) if request.param == "drive" else asyncio.run(adrive(flow))

    return call


# Estimators


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [FRAME, np.ascontiguousarray(FRAME), np.asfortranarray(FRAME)],
    ids=["frame", "array by rows", "array by columns"],
)
def test_classifier_returns_labels_and_probabilities(predict, data):
    """In the order of ``classes_``."""
    model = LogisticRegression().fit(data, LABELS)
    prediction = predict(model, target="churned")
    [output] = prediction.outputs

    assert ("churned", ["no", "yes"]) == (output.name, output.classes)
    assert np.array_equal(model.predict(data), prediction.values)
    assert_equal_but_for_blas(model.predict_proba(data), prediction.probabilities)
    assert len(FRAME) == len(prediction)


def test_regressor_returns_numbers(predict):
    """Without classes and probabilities."""
    model = LinearRegression().fit(FRAME, FRAME["a"] * 2)
    prediction = predict(model)

    assert_equal_but_for_blas(model.predict(FRAME), prediction.values)
    assert ("prediction", None, None) == (
        prediction.outputs[0].name,
        prediction.classes,
        prediction.probabilities,
    )


def test_classifier_without_probabilities_returns_labels(predict):
    """Its classes are known nevertheless."""
    prediction = predict(SVC().fit(FRAME, LABELS))

    assert (["no", "yes"], None) == (prediction.classes, prediction.probabilities)


@pytest.mark.slow
def test_classes_are_plain_python_values(predict):
    """JSON needs them."""
    prediction = predict(LogisticRegression().fit(FRAME, (FRAME["a"] > 0).astype(np.int64)))

    assert [int, int] == [type(label) for label in prediction.classes]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "names"), [("t", ["t_0", "t_1"]), (["one", "two"], ["one", "two"]), (["t"], ["t_0", "t_1"])]
)
def test_multi_output_classifier_returns_one_output_per_target(predict, target, names):
    """Each with labels, classes and probabilities."""
    model = RandomForestClassifier(n_estimators=3, random_state=0).fit(FRAME, PAIRS)
    outputs = predict(model, target=target).outputs

    assert names == [output.name for output in outputs]
    assert [["no", "yes"], ["x", "y"]] == [output.classes for output in outputs]
    for index, output in enumerate(outputs):
        assert np.array_equal(model.predict(FRAME)[:, index], output.values)
        assert np.array_equal(model.predict_proba(FRAME)[index], output.probabilities)


def test_multi_output_regressor_returns_one_output_per_column(predict):
    model = RandomForestRegressor(n_estimators=3, random_state=0).fit(FRAME, FRAME * 2)
    outputs = predict(model).outputs

    assert ["prediction_0", "prediction_1"] == [output.name for output in outputs]
    assert np.array_equal(model.predict(FRAME), np.column_stack([output.values for output in outputs]))
    assert [None, None] == [output.classes for output in outputs]


def test_regressor_of_one_column_returns_one_output(predict):
    """Its predictions have the shape (rows, 1)."""
    model = LinearRegression().fit(FRAME, FRAME[["a"]])

    assert_equal_but_for_blas(model.predict(FRAME)[:, 0], predict(model).values)


@pytest.mark.slow
def test_multilabel_classifier_returns_one_output_per_label(predict):
    model = OneVsRestClassifier(LogisticRegression()).fit(FRAME, (FRAME > 0).astype(int))
    outputs = predict(model).outputs

    assert np.array_equal(model.predict(FRAME), np.column_stack([output.values for output in outputs]))


def test_model_fitted_with_names_gets_its_columns(predict):
    """In the model's order, without columns that it does not know."""
    model = LinearRegression().fit(FRAME, FRAME["a"] - FRAME["b"])
    schema = Schema.of(extra=str, b=float, a=float)
    table = schema.read({"a": [3.0], "b": [1.0], "extra": ["x"]})

    assert [2.0] == predict(model, table, schema=schema).values.round(9).tolist()


def test_schema_without_the_columns_of_the_model_is_rejected():
    """At construction, with all missing names."""
    with pytest.raises(ConfigurationError, match="all columns the model needs: add a, b"):
        Predictor(LinearRegression().fit(FRAME, FRAME["a"]), Schema.of(c=float))


def test_default_schema_is_read_from_the_estimator():
    assert ("a", "b") == Predictor(LinearRegression().fit(FRAME, FRAME["a"])).schema.names


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (FRAME.to_dict("records"), FRAME[:1]),
        ([{"a": "no number"}, *FRAME.to_dict("records")], FRAME[:1]),
        ((), pandas.DataFrame([SCHEMA.example])),
        ([{"a": "no number"}], pandas.DataFrame([SCHEMA.example])),
    ],
)
def test_warm_uses_the_sample_or_the_example_of_the_schema(sample, expected):
    """The first row of the sample that the schema accepts."""
    model = LinearRegression().fit(FRAME, FRAME["a"])
    predictor = Predictor(model, SCHEMA, plans=False, sample=sample)
    predict, inputs = model.predict, []
    model.predict = lambda rows: (inputs.append(rows), predict(rows))[1]
    predictor.warm()

    assert [expected.astype(float).to_numpy().tolist()] == [rows.to_numpy().tolist() for rows in inputs]


@pytest.mark.parametrize("sample", [3, "x", b"[]", {"a": 1}, FRAME, FRAME.to_numpy(), [[1, 2]], [None]])
def test_invalid_sample_is_rejected(sample):
    """Ignoring it would verify plans on less than was given."""
    with pytest.raises(ConfigurationError, match="sample must be a list of rows"):
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


@pytest.mark.slow
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
def test_function_result_is_converted(predict, form, result, names, values):
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
def test_invalid_function_result_is_a_prediction_error(result):
    """Without one value per row, not finite, or not representable in JSON."""
    with pytest.raises(PredictionError) as info:
        drive(Predictor(lambda table: result, SCHEMA).predict(TWO))

    assert info.value.__cause__ is not None


@pytest.mark.parametrize("rows", [1, 32, 33, 100])
def test_single_infinite_number_is_rejected(rows):
    """Large finite numbers pass."""
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
def test_model_error_is_the_cause_of_the_prediction_error(predict, form, error):
    """The message reveals none of it."""

    def fail(table):
        raise error

    with pytest.raises(PredictionError) as info:
        predict(form(fail), TWO)

    cause = info.value.__cause__
    assert cause is error or error in (cause.__cause__, cause.__context__)
    assert "The model failed to score this request" == info.value.message


@FUNCTIONS
@pytest.mark.parametrize("error", [InvalidInput("a must be below b"), PredictionError("own words")], ids=repr)
def test_modelgate_error_of_a_function_is_not_wrapped(predict, form, error):
    """A function may reject a request itself."""

    def fail(table):
        raise error

    with pytest.raises(type(error)) as info:
        predict(form(fail), TWO)

    assert error is info.value


@FUNCTIONS
def test_empty_table_makes_no_call(predict, form):
    calls = []
    prediction = predict(form(calls.append), SCHEMA.read([]))

    assert (0, []) == (len(prediction), calls)


def test_empty_table_is_not_passed_to_an_estimator(predict):
    """scikit-learn rejects an empty array."""
    prediction = predict(LinearRegression().fit(FRAME, FRAME["a"]), SCHEMA.read([]), target="t")

    assert (["t"], []) == ([output.name for output in prediction.outputs], prediction.values.tolist())


def test_model_runs_in_a_worker_or_on_the_event_loop():
    """In a worker under ASGI, if there are workers; an async function on the event loop."""
    caller, on_caller = threading.get_ident(), []

    def see(table):
        on_caller.append(threading.get_ident() == caller)
        return [0.0] * len(table)

    async def asee(table):
        return see(table)

    for model, workers in ((see, None), (see, WorkerPool(1)), (asee, WorkerPool(1))):
        asyncio.run(adrive(Predictor(model, SCHEMA, workers=workers).predict(TWO)))
        drive(Predictor(model, SCHEMA, workers=workers).predict(TWO))

    assert [True, True, False, True, True, True] == on_caller


@pytest.mark.parametrize(
    ("inline", "expected"), [(None, [False, True, False, True, False]), (False, [False] * 5)]
)
def test_light_function_runs_in_the_thread_that_has_a_deadline(monkeypatch, inline, expected):
    """Once its latency is known, unless *inline* is False; not while a call of it hangs."""
    clock, duration, metrics, on_main_thread = FakeClock(0), [LIGHT / 2], ModelMetrics(), []
    monkeypatch.setattr("modelgate.inference.model_metrics.perf_counter", clock)

    def see(table):
        clock.advance(duration[0])
        on_main_thread.append(threading.current_thread() is threading.main_thread())
        return [0.0] * len(table)

    predictor = Predictor(
        see, SCHEMA, workers=WorkerPool(1, hang_timeout=SOON), inline=inline, metrics=metrics
    )

    def predict_once():
        drive(with_deadline(predictor.predict(TWO), time.perf_counter() + SOON))

    predict_once()
    predict_once()
    started_at = clock()
    metrics.running.add(started_at)
    clock.advance(LIGHT * 2)
    predict_once()
    metrics.end(started_at, "unbatched", 1)
    duration[0] = LIGHT * 2
    predict_once()
    predict_once()

    assert expected == on_main_thread


@pytest.mark.parametrize(
    "model", [3, None, "model.skops", pytest.param(object(), id="object"), [1]], ids=repr
)
def test_invalid_model_is_rejected(model):
    with pytest.raises(ConfigurationError, match="model must be a fitted estimator"):
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
def test_function_without_a_schema_is_rejected(model):
    with pytest.raises(ConfigurationError, match="schema"):
        Predictor(model)


@pytest.mark.parametrize("model", [Callable(), AsyncCallable()], ids=["sync", "async"])
def test_callable_object_is_a_function(predict, model):
    with warnings.catch_warnings():
        # Ignores "never awaited": the assertion fails with a better message.
        warnings.simplefilter("ignore")

        assert [0, 0] == predict(model, TWO).values.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [OneVsRestClassifier, ClassifierChain], ids=lambda kind: kind.__name__)
def test_multilabel_probabilities_have_two_classes_per_label(predict, kind):
    """Absent and present."""
    model = kind(LogisticRegression()).fit(FRAME, (FRAME > 0).astype(int))
    present = model.predict_proba(FRAME)
    outputs = predict(model).outputs

    assert [[0, 1], [0, 1]] == [output.classes for output in outputs]
    for index, output in enumerate(outputs):
        assert_equal_but_for_blas(
            np.column_stack([1 - present[:, index], present[:, index]]), output.probabilities
        )


@pytest.mark.parametrize(
    "targets",
    [
        np.arange(7.0),
        np.array(["a", "b", "a", "b", "c", "c", "c"]),
        np.array([["a", "x"], ["b", "y"]] * 3 + [["a", "y"]]),
    ],
    ids=["numbers", "labels", "two outputs"],
)
def test_many_rows_are_scored_in_chunks(monkeypatch, targets):
    """The prediction equals that of one call."""
    rows = np.arange(14.0).reshape(7, 2)
    model = DecisionTreeRegressor() if targets.dtype.kind == "f" else DecisionTreeClassifier()
    predictor = Predictor(model.fit(rows, targets))
    table = predictor.schema.read(rows)
    one_call = drive(predictor.predict(table))
    monkeypatch.setattr(estimator, "_CHUNK_ROWS", 3)

    chunks = drive(predictor.predict(table))
    for one, other in zip(one_call.outputs, chunks.outputs, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.values.dtype == other.values.dtype
        if one.probabilities is not None:
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_rows_that_share_a_dtype_are_not_scored_in_chunks(monkeypatch):
    """A null in the last row changes the dtype of the first one, as in a DataFrame of all rows."""
    first = FunctionTransformer(lambda frame: frame.astype(str) == "75001.0", validate=False)
    model = make_pipeline(first, DecisionTreeClassifier()).fit(
        pandas.DataFrame({"zip": [75001.0, 2.0]}), ["yes", "no"]
    )
    predictor = Predictor(model)
    table = predictor.schema.read([{"zip": 75001}, {"zip": 2}, {"zip": None}])
    monkeypatch.setattr(estimator, "_CHUNK_ROWS", 2)

    assert ["yes", "no", "no"] == drive(predictor.predict(table)).values.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("plans", [True, False])
def test_model_that_changes_its_input_gets_a_copy(named, plans):
    """A transformer with copy=False changes it, before predict_proba is called."""
    rows = np.random.default_rng(0).normal(3, 2, size=(60, 2))
    frame = pandas.DataFrame(rows, columns=["a", "b"]) if named else rows
    model = make_pipeline(StandardScaler(copy=False), StandardScaler(copy=False), LogisticRegression())
    predictor = Predictor(model.fit(frame.copy(), rows[:, 0] > 3), plans=plans)
    table = predictor.schema.read(rows[:5])
    prediction = drive(predictor.predict(table))

    assert_equal_but_for_blas(model.predict_proba(frame[:5].copy()), prediction.probabilities)
    np.testing.assert_array_equal(rows[:5], table.numbers)


class BufferModel(BaseEstimator):
    """Model that returns parts of the same arrays from each call."""

    def __init__(self, classes=None):
        self.classes = classes
        self.n_features_in_, self.feature_names_in_ = 2, np.array(["a", "b"], dtype=object)
        self._numbers, self._probabilities = np.empty(100), np.empty((100, 2))
        if classes is not None:
            self.classes_, self._labels = np.array(classes), np.empty(100, dtype=np.array(classes).dtype)
            self.predict_proba = self._predict_proba

    def fit(self, rows, labels):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, rows):
        result = (self._labels if hasattr(self, "classes_") else self._numbers)[: len(rows)]
        first = np.asarray(rows)[:, 0]
        result[:] = self.classes_.take(first > 0) if hasattr(self, "classes_") else first
        return result

    def _predict_proba(self, rows):
        result = self._probabilities[: len(rows)]
        result[:, 1] = np.asarray(rows)[:, 0] > 0
        result[:, 0] = 1 - result[:, 1]
        return result


def function_with_buffer(dtype, convert):
    """Return a function that writes into the same array in each call."""
    buffer = np.empty(100, dtype=dtype)

    def predict(table):
        buffer[: len(table)] = table["a"] > 0
        return convert(buffer[: len(table)])

    return predict


@pytest.mark.parametrize("chunk_rows", [2, 100])
@pytest.mark.parametrize(
    "make_model",
    [
        BufferModel,
        lambda: BufferModel(["no", "yes"]),
        lambda: make_pipeline(FunctionTransformer(), BufferModel(["no", "yes"])),
        lambda: function_with_buffer(float, lambda values: values),
        lambda: function_with_buffer(int, lambda values: values),
        lambda: function_with_buffer("U8", lambda values: {"p": values}),
        lambda: function_with_buffer(object, pandas.Series),
        lambda: function_with_buffer(bool, lambda values: np.column_stack([values, values]).view()),
    ],
)
def test_later_call_of_a_model_does_not_change_a_prediction(monkeypatch, make_model, chunk_rows):
    """Also if many rows need several calls. A response may still be sent when the model is called again."""
    monkeypatch.setattr(estimator, "_CHUNK_ROWS", chunk_rows)
    predictor = Predictor(make_model(), SCHEMA)

    def read(prediction):
        return [
            (output.values.tolist(), output.classes and output.probabilities.tolist())
            for output in prediction.outputs
        ]

    table = SCHEMA.read([{"a": value, "b": 0.0} for value in (1.0, 2.0, -3.0)])
    prediction = drive(predictor.predict(table))
    before = read(prediction)
    drive(predictor.predict(SCHEMA.read([{"a": -value, "b": 0.0} for value in (1.0, 2.0, -3.0)])))

    assert before == read(prediction)
    assert prediction.values[0] != prediction.values[2]


def test_empty_table_has_the_outputs_of_the_model():
    """Their names, classes and probabilities."""
    model = DecisionTreeClassifier().fit([[0.0], [1.0]], [["a", "x"], ["b", "y"]])
    predictor = Predictor(model, target=["p", "q"])
    prediction = drive(predictor.predict(predictor.schema.read([])))

    assert [("p", ["a", "b"], (0,), (0, 2)), ("q", ["x", "y"], (0,), (0, 2))] == [
        (output.name, output.classes, output.values.shape, output.probabilities.shape)
        for output in prediction.outputs
    ]


def test_coroutine_of_a_closed_event_loop_has_not_failed(caplog):
    """It is closed with GeneratorExit, which is neither logged nor counted; one that it raises itself is."""
    metrics, waits = ModelMetrics(), True

    async def predict(table):
        if waits:
            await asyncio.Event().wait()
        raise GeneratorExit

    predictor = Predictor(predict, SCHEMA, workers=WorkerPool(1), metrics=metrics)
    loop = asyncio.new_event_loop()
    flow = adrive(predictor.predict(TWO))
    loop.call_soon(flow.send, None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    flow.close()
    closed = metrics.failed, len(metrics.running)
    waits = False
    with pytest.raises(PredictionError):
        asyncio.run(adrive(predictor.predict(TWO)))

    assert ((0, 0), 1) == (closed, metrics.failed)
    assert not caplog.records


def test_function_may_return_the_same_prediction_each_time():
    """The layers do not change it."""
    same = Prediction([Output("y", np.array([1.26]), ["a"], np.array([[0.26]]))])
    predictor = Predictor(lambda table: same, SCHEMA)
    predicted = drive(predictor.predict(TABLE.slice(0, 1)))
    predicted.warnings = ["changed"]
    predicted.outputs[0].threshold = 0.5
    predicted.outputs[0].values[0] = 0
    predicted.outputs[0].probabilities[0] = 0

    assert (1.26, 0.26) == (same.values[0], same.probabilities[0, 0])
    assert ((), None) == (same.warnings, same.outputs[0].threshold)


def test_numpy_scalars_in_rows_of_several_outputs_become_python_objects():
    predictor = Predictor(lambda table: [[np.int64(1), "a"]] * len(table), SCHEMA, target=["n", "label"])
    number, label = predictor.score(TABLE.slice(0, 2)).outputs

    assert ([1, 1], ["a", "a"]) == (number.values.tolist(), label.values.tolist())
    assert [int, int] == list(map(type, number.values))

"""Predictor, which scores tables with a fitted estimator, a function or a forecaster."""

import asyncio
import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from time import perf_counter
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np

from ..errors import AnswerableError, ConfigurationError, RequestError
from ..explanations import Explainer
from ..flow import Flow, Wait, WorkerPool, isolate_errors, run, run_coroutine
from ..flow.model_thread import ModelLock, call_model
from ..flow.sklearn_config import sklearn_config
from ..forecasting import ForecastRequest
from ..models.calibration import Calibration
from ..schema import Schema, Table
from ..schema.column_spec import ColumnSpec
from ..schema.model_input import InputForm
from .async_calls import is_async, isolate_async_errors, run_with_timeout
from .batching.batcher import Batcher
from .checks import ShapeError
from .conversion import describe_result, to_prediction
from .decision import DecisionRule
from .estimator import Estimator
from .first_prediction import try_prediction
from .forecast import ForecastFunction, try_forecast
from .model_function import create_model_function
from .model_metrics import LIGHT, LatencyEstimator, ModelMetrics
from .nonfinite import NullNonFinite, prediction_error
from .plans import Plan
from .prediction import Output, Prediction, Target
from .training import TrainingData

__all__ = ["Predictor"]

T = TypeVar("T")


class Predictor:
    """Wrapper around *model* that scores tables.

    Args:
        model: Fitted estimator with ``predict``; a function of a `Table`, sync or async, that returns an
            array, a list, values by output name, or a new `Prediction`; or a `Forecaster`.
        schema: Schema of the tables; None to infer it from the estimator.
        columns: Columns of that schema to change (see `Schema.with_columns`).
        target: Name of the target, or of each output.
        version: Version of the model.
        model_id: Name of the model.
        workers: Threads in which the model runs under ASGI. None to run the model on the event loop, which is
            suitable only for a model that takes microseconds.
        plans: Whether to replace an estimator by its exact plan, if it has one (see
            `modelgate.inference.plans`); or ``"onnx"`` to replace it by an ONNX graph, whose predictions may
            differ slightly.
        batch: Whether one call may score several waiting requests together (see `Batcher`). This applies to
            estimators only, because the result of a function for a row may depend on the other rows.
        inline: Whether batches run on the event loop; None if this depends on the latency of the model. If
            False, *workers* call the model for every request under ASGI, and for requests with a deadline
            under WSGI.
        metrics: Counters of the model's calls; None for new ones.
        sample: Typical rows, as mappings of values by column name, on which plans are verified in addition
            to synthetic rows. Rows that do not match the schema are left out.
        nonfinite: How to treat a prediction of NaN or an infinity: ``"error"`` raises `PredictionError`,
            ``"null"`` replaces the prediction by null (see `NullNonFinite`).
        input: Form of the rows that an estimator takes: ``"frame"``, ``"array"``, ``"records"`` or
            ``"texts"``; None to detect it.
        thread_safe: Whether several threads may call the model at once. If False, calls of the model wait
            for each other, and all run in *workers*. Must be True for an async function.

    Attributes:
        forecaster: The model if it is a `Forecaster`; otherwise None.
        nullable: Whether predictions may be null.
        size: Size in bytes of the file or folder that the model was loaded from.
        decision: Decision rule for the predicted labels; None for the labels of the model.
        explainer: Explainer of predictions; None if the deployment offers no explanations.
        calibration: Calibration of prediction intervals; None if the model has none.
        exposure_column: Column of *schema* that the model does not take; None if there is none.
        training: Training data of the model; None if it was not packaged.
        public_examples: Example rows that callers may see.

    Raises:
        ConfigurationError: *model* is neither an estimator nor a function, or it opens files whose names
            come from callers; *schema* is None for a function; or *schema* lacks columns of the estimator.
    """

    def __init__(
        self,
        model: Any,
        schema: Schema | None = None,
        *,
        columns: Mapping[str, ColumnSpec] = MappingProxyType({}),
        target: str | Sequence[str] = "prediction",
        version: str = "1",
        model_id: str = "",
        workers: WorkerPool | None = None,
        plans: bool | Literal["onnx"] = True,
        batch: bool = True,
        inline: bool | None = None,
        metrics: ModelMetrics | None = None,
        sample: Sequence[Mapping[str, Any]] = (),
        nonfinite: Literal["error", "null"] = "error",
        input: InputForm | None = None,  # noqa: A002  a word for users
        thread_safe: bool = True,
    ) -> None:
        self.version = version
        self.model_id = model_id
        self.size = 0
        if nonfinite not in ("error", "null"):
            raise ConfigurationError(f'nonfinite must be "error" or "null" (got {nonfinite!r})')
        self.nullable = nonfinite == "null"
        self._async = is_async(model)
        if self._async and not thread_safe:
            raise ConfigurationError("thread_safe must be True for an async function (got False)")
        function = create_model_function(
            model,
            schema,
            columns=columns,
            target=target,
            name=model_id or type(model).__name__,
            plans=plans,
            sample=sample,
            nullable=self.nullable,
            input=input,
        )
        self.model, self.schema, self.target = function.model, function.schema, function.target
        self.forecaster = function.forecaster
        self._function, self._config, self._sample = function.call, function.config, function.sample
        self.decision: DecisionRule | NullNonFinite | None = NullNonFinite() if self.nullable else None
        self.explainer: Explainer | None = None
        self.calibration: Calibration | None = None
        self.exposure_column: str | None = None
        self.training: TrainingData | None = None
        self.public_examples: Sequence[Mapping[str, Any]] = ()
        self._workers = None if workers is None else workers.share()
        self.metrics = metrics or ModelMetrics()
        if self._workers is not None:
            self.metrics.queues.add(self._workers)
        inline = inline if thread_safe else False
        self._latency = LatencyEstimator() if inline is None else None
        self._call_model = call_model if thread_safe else ModelLock.of(model).call_model
        self.batcher: Batcher | None = None
        if batch and self._workers is not None and isinstance(self._function, Estimator):
            # mypy expects the table, because it does not apply `partial` to a ParamSpec.
            score = partial(self._call_model, self._function)  # type: ignore[call-arg]
            key = self._function.dtype_key
            self.batcher = Batcher(score, self._workers, inline=inline, key=key, metrics=self.metrics)

    @cached_property
    def targets(self) -> list[Target]:
        """Target of each output, derived from a prediction for the schema's example.

        For a function, or an estimator that cannot score the example, only the names in the option *target*
        are known.
        """
        if isinstance(self._function, Estimator):
            # Estimators store the number of outputs in a dozen ways, and some do not store it.
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = self._score(self.schema.read(self.schema.example)).outputs
                return [Target.from_output(output) for output in outputs]
        if self.forecaster is not None:
            return [Target(self.forecaster.spec.target, number=True)]
        return [Target(name) for name in ([self.target] if isinstance(self.target, str) else self.target)]

    @property
    def estimator(self) -> Estimator | None:
        """Function that calls the fitted model; None if the model is itself a function, or a forecaster."""
        return self._function if isinstance(self._function, Estimator) else None

    @property
    def plan(self) -> Plan | str:
        """Plan that replaces the estimator, or the reason why there is none."""
        if isinstance(self._function, Estimator | ForecastFunction):
            return self._function.plan
        return "a function"

    def set_serving(self, serving: bool) -> None:
        """Set whether the model counts when the threads are divided among the models.

        See `WorkerPool.set_serving`.
        """
        if self._workers is not None:
            self._workers.set_serving(serving)

    def warm(self, example: Mapping[str, Any] | None = None) -> str | None:
        """Score one row before the first request, to test the model. See `try_prediction`.

        Args:
            example: Row to score. If None, an estimator scores a row of *sample*, or synthetic rows if there
                is no sample. A function is not called without an example, because it may have side effects.

        Returns:
            None, or the reason why the test is inconclusive.

        Raises:
            ConfigurationError: *example* does not match the schema, or the model cannot score.
        """
        is_estimator = isinstance(self._function, Estimator)
        if self.forecaster is not None:
            return try_forecast(self._score, self.schema, self.forecaster)
        if example is None and not is_estimator:
            return None
        try:
            sample = self._sample if example is None else self.schema.read([example])
        except RequestError as error:
            raise ConfigurationError(f"example must be a row that matches the schema: {error}") from error
        prediction = try_prediction(self.score, self.schema, sample, is_estimator=is_estimator)
        if isinstance(prediction, str):
            return prediction
        if is_estimator:
            self.targets = [Target.from_output(output) for output in prediction.outputs]
        return None

    def predict(self, table: Table | ForecastRequest) -> Flow[Prediction]:
        """Return the prediction for *table*. The model is not called for a table without rows.

        A `Forecaster` gets a request instead of a table.

        Raises:
            PredictionError: The model raised an error or returned an invalid prediction. The ``__cause__``
                is the original error.
            AnswerableError: A function rejected the request with this error, or the request cannot be
                served, for example because the queue of the model is full.
        """
        if not len(table):
            return Prediction([_empty_output(target) for target in (yield from run(lambda: self.targets))])
        prediction = self.predict_now(table)
        if prediction is not None:
            return prediction
        try:
            if self.batcher is not None:
                return (yield from self.batcher.predict(table))  # type: ignore[arg-type]
            return (yield self._wait_for_call(table))  # type: ignore[no-any-return]
        except AnswerableError:
            raise
        except Exception as error:
            raise prediction_error(error) from error

    def predict_now(self, table: Table | ForecastRequest) -> Prediction | None:
        """Return the prediction for *table*, which must have rows, or None if scoring must wait.

        Raises:
            PredictionError, AnswerableError: See `predict`.
        """
        try:
            if self.batcher is not None:
                return self.batcher.predict_now(table)  # type: ignore[arg-type]
            return self._measure(table) if self._workers is None and not self._async else None
        except AnswerableError:
            raise
        except Exception as error:
            raise prediction_error(error) from error

    def call(self, function: Callable[[], T], seconds: float, rows: int) -> Flow[T]:
        """Call *function* in a worker thread, or in this thread if the call is expected to be short.

        Without workers, *function* is always called in this thread. With workers, short calls use this thread
        only for an estimator with ``inline=None`` and ``thread_safe=True``. Other models may block.

        Args:
            function: Function to call.
            seconds: Expected duration of the call.
            rows: Number of rows to score, which count as queued until the call starts.

        Raises:
            Overloaded: Too many calls of the model are stuck (see `WorkerPool`).
        """
        call: Callable[[], T] = partial(self._call_model, function)
        is_inline = seconds < LIGHT and self.estimator is not None and self._latency is not None
        if self._workers is None or is_inline:
            return isolate_errors(call)
        return (yield self._workers.wait(partial(isolate_errors, call), rows=rows))  # type: ignore[no-any-return]

    def _score(self, table: Any) -> Prediction:
        if isinstance(self._function, Estimator):
            return self._call_model(self._function, table)
        return self._call_model(self._call_function, table)

    def _call_function(self, table: Any) -> Prediction:
        if self._config is None:
            return self._to_prediction(self._function(table), table)
        with sklearn_config(self._config):
            return self._to_prediction(self._function(table), table)

    def score(self, table: Table) -> Prediction:
        """Call the model in this thread, and return its prediction for *table*.

        Raises:
            Exception: The error that the model raised.
        """
        if not self._async:
            return self._score(table)
        result = run_coroutine(partial(self._function, table))
        return self._to_prediction(result, table)

    def _to_prediction(self, result: Any, table: Table | ForecastRequest) -> Prediction:
        """Convert the result of a function. If it is invalid, the error names the function."""
        try:
            return to_prediction(result, len(table), self.target, nullable=self.nullable)
        except ShapeError as error:
            name = getattr(self.model, "__name__", type(self.model).__name__)
            raise ShapeError(f"{name} returned {describe_result(result)}: {error}") from None

    def _wait_for_call(self, table: Table | ForecastRequest) -> Wait:
        if self._workers is not None and not self._async:
            call = partial(self._measure, table)
            return self._workers.wait(call, inline_ok=self._is_light(table), rows=len(table))
        # Under WSGI, the coroutine runs on a new event loop, as in Flask's async views.
        coroutine = partial(self._measure_async, table)
        return Wait(
            sync=partial(run_coroutine, coroutine),
            aio=coroutine,
            within=partial(run_with_timeout, coroutine),
        )

    def _is_light(self, table: Table | ForecastRequest) -> bool:
        # A model that was light before may hang now, and must not block the event loop.
        metrics, latency = self.metrics, self._latency
        hangs = metrics.running and metrics.count_stuck(LIGHT)
        return latency is not None and latency.is_light(len(table)) and not hangs

    def _measure(self, table: Table | ForecastRequest) -> Prediction:
        prediction, elapsed = self.metrics.measure("unbatched", len(table), self._score, table)
        if self._latency is not None:
            self._latency.record(elapsed, len(table))
        return prediction

    async def _measure_async(self, table: Table | ForecastRequest) -> Prediction:
        metrics, started_at, failed = self.metrics, perf_counter(), True
        try:
            try:
                metrics.running.add(started_at)
                result = await isolate_async_errors(partial(self._function, table))
                prediction = self._to_prediction(result, table)
                failed = False
            except (asyncio.CancelledError, GeneratorExit):
                # The caller disconnected, or the event loop was closed: this is not a failure of the model.
                failed = False
                raise
            finally:
                metrics.end(started_at, "unbatched", len(table), failed=failed)
        except BaseException:
            # A KeyboardInterrupt may have ended `end` before it did anything.
            metrics.running.discard(started_at)
            raise
        return prediction


def _empty_output(target: Target) -> Output:
    if target.classes is None:
        return Output(target.name, np.empty(0))
    probabilities = np.empty((0, len(target.classes))) if target.probabilities else None
    return Output(target.name, np.empty(0, dtype=object), list(target.classes), probabilities)

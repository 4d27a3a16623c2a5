"""What scores a table: a fitted estimator, or a function somebody wrote."""

import asyncio
import contextlib
import inspect
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property, partial
from time import perf_counter
from typing import Any, Literal

import numpy as np

from ..errors import AnswerableError, ConfigurationError, PredictionError, RequestError
from ..flow import Flow, Wait, Workers, contained, in_main_thread, run, run_coroutine
from ..models.file_readers import check_opens_no_files
from ..schema import Schema, Table
from .batcher import Batcher
from .estimator import Estimator
from .pace import LIGHT, Pace
from .plans import Plan
from .query import Output, Prediction, Target, as_prediction
from .sklearn_config import Config, configured, current_config
from .tally import Tally
from .threshold import Threshold
from .trial import first_answer

__all__ = ["Predictor"]


class Predictor:
    """Scores tables with *model*.

    Args:
        model: a fitted estimator with ``predict``, or a function of a `Table`, sync or async, that
            returns an array, a list, values by output name, or a `Prediction`.
        schema: of its input; by default read from the estimator.
        target: the name of what is predicted, or of each output.
        version: of the model.
        model_id: names the model.
        workers: the threads in which it runs under ASGI; None to run it on the event loop, for a
            model known to take microseconds.
        plans: whether an estimator is answered for by its exact plan, where it has one: see `plan`; or
            ``"onnx"``, to have an ONNX graph made of it, which may answer a little otherwise.
        batch: whether to score in one call what waits together, see `Batcher`: an estimator alone,
            for a function may look at all of its rows.
        inline: whether batches run on the event loop; None to choose by the time the model takes. Where
            it is False every call is one of the threads', under WSGI too where a request has a deadline.
        tally: counts its calls.
        sample: rows as they will come, each values by column name: what answers in an estimator's place is
            compared with it on them too. A row that breaks the schema is left out.

    Attributes:
        size: of what the model was read from, in bytes.
        decision: which class is predicted from which probability on; None to leave it to the model.

    Raises:
        ConfigurationError: *model* is neither, or opens files that callers name, a function comes without a
            schema, or the schema lacks columns that the estimator needs.
    """

    def __init__(
        self,
        model: Any,
        schema: Schema | None = None,
        *,
        target: str | Sequence[str] = "prediction",
        version: str = "1",
        model_id: str = "",
        workers: Workers | None = None,
        plans: bool | Literal["onnx"] = True,
        batch: bool = True,
        inline: bool | None = None,
        tally: Tally | None = None,
        sample: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.model = model
        self.target = target
        self.version = version
        self.model_id = model_id
        self.size = 0
        self.decision: Threshold | None = None
        self._workers = None if workers is None else workers.share()
        self._tally = tally or Tally()
        if self._workers is not None:
            self._tally.queues.add(self._workers)
        self._pace = Pace() if inline is None else None
        self._function: Callable[[Table], Any]
        self._config: Config = None
        self._async = inspect.iscoroutinefunction(model) or inspect.iscoroutinefunction(type(model).__call__)
        if isinstance(model, type):
            raise ConfigurationError(f"model={model.__name__}: accepts a fitted estimator: this is its class")
        check_opens_no_files(model)
        if hasattr(model, "predict"):
            self.schema = schema or Schema.from_model(model)
            named = model_id or type(model).__name__
            self._sample = _read(self.schema, sample)
            self._function = Estimator(
                model, self.schema, target, plans=plans, name=named, sample=self._sample
            )
        elif callable(model):
            if plans == "onnx":
                raise ConfigurationError("plans='onnx': a function has none: accepts an estimator")
            if schema is None:
                raise ConfigurationError(f"schema: the function {model!r} needs one: Schema.of(…)")
            self.schema, self._function = schema, model
            # An estimator has its own. It is local to a thread, which a coroutine shares with others.
            self._config = None if self._async else current_config()
        else:
            raise ConfigurationError(
                f"model={model!r}: accepts a fitted estimator with predict, or a function of a Table"
            )
        self.batcher: Batcher | None = None
        if batch and self._workers is not None and isinstance(self._function, Estimator):
            key = self._function.dtype_key
            self.batcher = Batcher(self._score, self._workers, inline=inline, key=key, tally=self._tally)

    @cached_property
    def targets(self) -> list[Target]:
        """What it predicts: of an estimator, as it tells for an example; of a function, by *target* alone."""
        if isinstance(self._function, Estimator):
            # Estimators tell how many outputs they have in a dozen ways, and some in none.
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = self._function(self.schema.read(self.schema.example)).outputs
                return [Target.of(output) for output in outputs]
        return [Target(name) for name in ([self.target] if isinstance(self.target, str) else self.target)]

    @property
    def plan(self) -> Plan | str:
        """The plan that answers for the estimator, or the reason why there is none."""
        return self._function.plan if isinstance(self._function, Estimator) else "a function"

    def set_serving(self, serving: bool) -> None:
        """Have the other models leave threads to this one, or no longer: see `Workers.set_serving`."""
        if self._workers is not None:
            self._workers.set_serving(serving)

    def warm(self, example: Mapping[str, Any] | None = None) -> str | None:
        """Have the model answer a row before any caller's, see `modelgate.scoring.trial`.

        Args:
            example: The row. Without one, an estimator is called with a row of its sample, or else with
                synthetic rows, and a function is not called: it may do more than predict.

        Returns:
            None, or the reason why it is not known whether the model can answer.

        Raises:
            ConfigurationError: *example* breaks the schema, or the model cannot answer.
        """
        estimator = isinstance(self._function, Estimator)
        if example is None and not estimator:
            return None
        try:
            sample = self._sample if example is None else self.schema.read([example])
        except RequestError as error:
            raise ConfigurationError(f"example must be a row of the schema (got {error})") from error
        told = first_answer(self._score_blocking, self.schema, sample)
        if isinstance(told, str):
            return told
        if estimator:
            self.targets = [Target.of(output) for output in told.outputs]
        return None

    def predict(self, table: Table) -> Flow[Prediction]:
        """The prediction for *table*. No rows, no call.

        Raises:
            PredictionError: the model failed or returned what is no prediction; its cause says how.
            RequestError: a function raised one itself.
        """
        if not len(table):
            return Prediction([_nothing(target) for target in (yield from run(lambda: self.targets))])
        try:
            if self.batcher is not None:
                return (yield from self.batcher.predict(table))
            if self._workers is None and not self._async:
                return contained(self._counted, table)
            return (yield self._call(table))  # type: ignore[no-any-return]
        except AnswerableError:
            raise
        except Exception as error:
            raise PredictionError from error

    def _score(self, table: Table) -> Prediction:
        with configured(self._config):
            return as_prediction(self._function(table), len(table), self.target)

    def _score_blocking(self, table: Table) -> Prediction:
        if not self._async:
            return self._score(table)
        result = run_coroutine(partial(self._function, table))
        return as_prediction(result, len(table), self.target)

    def _call(self, table: Table) -> Wait:
        if self._workers is not None and not self._async:
            call = partial(contained, self._counted, table)
            return self._workers.wait(call, light=self._light(table), rows=len(table))
        # Under WSGI the coroutine has an event loop of its own, as Flask's async views have.
        awaited = partial(self._awaited, table)
        return Wait(sync=partial(run_coroutine, awaited), aio=awaited, within=partial(_run_within, awaited))

    def _light(self, table: Table) -> bool:
        # What hangs now may have been light before.
        pace, tally = self._pace, self._tally
        hangs = tally.running and tally.overdue(LIGHT)
        return pace is not None and pace.is_light(len(table)) and not hangs

    def _counted(self, table: Table) -> Prediction:
        result, took = self._tally.timed("unbatched", len(table), self._score, table)
        if self._pace is not None:
            self._pace.note(took, len(table))
        return result

    async def _awaited(self, table: Table) -> Prediction:
        tally, began, failed = self._tally, perf_counter(), True
        try:
            try:
                tally.running.add(began)
                told = await _awaited(partial(self._function, table))
                result = as_prediction(told, len(table), self.target)
                failed = False
            except (asyncio.CancelledError, GeneratorExit):
                # The caller has left, or the event loop was closed: the model has not failed.
                failed = False
                raise
            finally:
                tally.end(began, "unbatched", len(table), failed=failed)
        except BaseException:
            # As in `Tally.timed`.
            tally.running.discard(began)
            raise
        return result


def _read(schema: Schema, sample: Sequence[Mapping[str, Any]]) -> Table | None:
    """The rows of *sample* that *schema* takes, which need not be their own; None where there are none."""
    if not isinstance(sample, list | tuple) or not all(isinstance(row, Mapping) for row in sample):
        raise ConfigurationError("sample: accepts a list of rows, each values by column name")
    tables = []
    for row in sample:
        with contextlib.suppress(RequestError):
            tables.append(schema.read([row]))
    return Table.joined(tables) if tables else None


def _nothing(target: Target) -> Output:
    """What is predicted of no rows."""
    if target.classes is None:
        return Output(target.name, np.empty(0))
    told = np.empty((0, len(target.classes))) if target.probabilities else None
    return Output(target.name, np.empty(0, dtype=object), list(target.classes), told)


async def _awaited(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    task = asyncio.current_task()
    try:
        return await call()
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the function cancelled itself") from error
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and in_main_thread():
            raise
        if isinstance(error, GeneratorExit) and not _runs(task):
            raise
        raise RuntimeError(f"the function raised {type(error).__name__}") from error


def _runs(task: asyncio.Task[Any] | None) -> bool:
    """Return whether *task* is the one that runs here; it does not where its coroutine is closed."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def _run_within(function: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:
    return run_coroutine(lambda: asyncio.wait_for(function(), seconds))

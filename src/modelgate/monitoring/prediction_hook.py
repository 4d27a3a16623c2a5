"""Hooks that receive every prediction, for prediction logs and monitoring."""

import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from ..errors import ConfigurationError
from ..http.routing import Route
from ..inference import Prediction
from ..inference.training import TrainingData
from ..prometheus import MetricFamily, MetricValues
from ..schema import Table

__all__ = ["PredictionCallback", "PredictionHook", "PredictionHooks", "PredictionRecord"]

logger = logging.getLogger("modelgate")


class PredictionRecord(msgspec.Struct, frozen=True, eq=False):
    """Record of a prediction that was sent to a caller.

    There are no records of response curves (see `modelgate.scoring.layers.curve`). All hooks get the same
    *table* and *prediction*, so a hook must not change them.

    Attributes:
        request_id: Request id, as in the response header ``X-Request-ID``.
        deployment: Deployment name.
        version: Version of the model.
        key_id: Id of the caller's API key; None in a gate without keys.
        time: Time of the prediction, in seconds since the epoch.
        seconds: Time from the arrival of the request to the prediction, in seconds.
        table: Validated rows. Those of a large CSV body are decoded again when they are first read, which takes
            long: read them in the thread that processes the queue.
        prediction: Prediction for each row of *table*, or for each date of a forecast.
        training: Training data of the model; None if its package has none.
        hypothetical: Whether the caller marked the rows as hypothetical. Statistics must not include them.
    """

    request_id: str
    deployment: str
    version: str
    key_id: str | None
    time: float
    seconds: float
    table: Table
    prediction: Prediction
    training: TrainingData | None = None
    hypothetical: bool = False


PredictionCallback: TypeAlias = Callable[[PredictionRecord], object]


class PredictionHook:
    """Base class for hooks with metrics, or with resources to release. Other hooks can be functions.

    A hook is called after the response has been encoded, in the thread of the request, or under ASGI in the
    thread of the event loop. It must not block: pass the record to a queue. An error is logged and does not
    affect the response.
    """

    def __call__(self, record: PredictionRecord) -> None:
        """Process *record*."""
        raise NotImplementedError

    def attach(self, values: MetricValues) -> None:
        """Use *values*, the storage of the gate's metrics, for the metrics of the hook.

        The gate calls this once, when it is constructed.
        """

    def families(self) -> Iterable[MetricFamily]:
        """Return the metrics of the hook, which the gate adds to its own.

        Several hooks may return families of the same name if the values of their labels differ.
        """
        return ()

    def routes(self) -> Iterable[Route]:
        """Return the endpoints of the hook, which the gate adds to its own."""
        return ()

    def flush(self) -> object:
        """Write buffered records.

        Called when an ASGI server shuts down, because the process may exit right afterwards.
        """

    def close(self) -> None:
        """Release the resources. Called by `Gate.close`."""


class PredictionHooks:
    """Prediction hooks of a gate. The object is falsy if there are no hooks.

    Args:
        hooks: Value of the option *on_prediction*: None, a hook or a list of hooks.
        values: Storage for the metrics of the hooks.

    Raises:
        ConfigurationError: One of the hooks is not callable.
    """

    def __init__(self, hooks: object, values: MetricValues) -> None:
        listed: list[Any] = (
            [] if hooks is None else list(hooks) if isinstance(hooks, list | tuple) else [hooks]
        )
        for hook in listed:
            if isinstance(hook, type) or not callable(hook):
                raise ConfigurationError(
                    "on_prediction must be a function of a PredictionRecord, or a list of such functions"
                    f" (got {hook!r})"
                )
            if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
                raise ConfigurationError(
                    f"on_prediction must not be async (got {hook!r}): use a plain function that puts the record into a"
                    " queue"
                )
        self._callbacks: list[PredictionCallback] = listed
        self._hooks = [hook for hook in listed if isinstance(hook, PredictionHook)]
        for hook in self._hooks:
            hook.attach(values)

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def __call__(self, record: PredictionRecord) -> None:
        """Call each hook with *record*, and log errors."""
        for callback in self._callbacks:
            try:
                callback(record)
            except Exception as error:
                logger.error(
                    "request %s: prediction hook %r failed",
                    record.request_id,
                    callback,
                    exc_info=error,
                    extra={"request_id": record.request_id},
                )

    def families(self) -> Iterable[MetricFamily]:
        """Return the metrics of the hooks. Families of the same name are merged."""
        families: dict[str, MetricFamily] = {}
        for family in (family for hook in self._hooks for family in hook.families()):
            before = families.get(family.name, family)
            families[family.name] = family._replace(values={**before.values, **family.values})
        return families.values()

    def routes(self) -> list[Route]:
        """Return the endpoints of the hooks."""
        return [route for hook in self._hooks for route in hook.routes()]

    def flush(self) -> None:
        """Flush each hook."""
        for hook in self._hooks:
            hook.flush()

    def close(self) -> None:
        """Close each hook."""
        for hook in self._hooks:
            hook.close()

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
    """Prediction that was sent to a caller. Response curves are not reported.

    Hooks share the *table* and the *prediction* with each other, so they must not change them.

    Attributes:
        request_id: Request id, which the response has in ``X-Request-ID``.
        deployment: Deployment name.
        version: Version of the model.
        key_id: Id of the caller's API key; None in a gate without keys.
        time: Time of the prediction, in seconds since the epoch.
        seconds: Time from the arrival of the request to the prediction, in seconds.
        table: Validated rows.
        prediction: Prediction, of as many rows as *table*; a forecast has its own rows.
        training: Training data of the model; None if it was not packaged.
        hypothetical: Whether the caller has marked the rows as made up. Statistics must not include them.
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
    """Base class of hooks with metrics, or with resources to release. Any other hook may be a function.

    A hook is called in the thread of the request, under ASGI in that of the event loop, once the
    response is encoded. It must not block: pass the record to a queue. An error is logged and does not
    affect the response.
    """

    def __call__(self, record: PredictionRecord) -> None:
        """Process *record*."""
        raise NotImplementedError

    def attach(self, values: MetricValues) -> None:
        """Count in *values*, the storage of the gate's metrics. Called once, when the gate is constructed."""

    def families(self) -> Iterable[MetricFamily]:
        """Return the metrics of the hook, which the gate adds to its own.

        Hooks may return families of the same name, with other values of the labels.
        """
        return ()

    def routes(self) -> Iterable[Route]:
        """Return the endpoints of the hook, which the gate adds to its own."""
        return ()

    def flush(self) -> object:
        """Write what is buffered. Called when an ASGI server shuts down: the process may exit right after."""

    def close(self) -> None:
        """Release the resources. Called by `Gate.close`."""


class PredictionHooks:
    """Hooks of a gate. False if there are none.

    Args:
        hooks: Value of the option *on_prediction*: None, a hook or a list of hooks.
        values: Storage in which the hooks count.

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
                    "on_prediction must be a function of a PredictionRecord, or a list of them"
                    f" (got {hook!r})"
                )
            if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
                raise ConfigurationError(
                    f"on_prediction must be a function without async, which puts the record into a queue (got {hook!r})"
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

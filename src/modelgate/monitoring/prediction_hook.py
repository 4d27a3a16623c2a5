"""Hooks that get every prediction: for logs of predictions, and for monitoring."""

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

__all__ = [
    "PredictionCallback",
    "PredictionHook",
    "PredictionRecord",
    "call_hooks",
    "close_hooks",
    "hook_routes",
    "metric_sources",
    "resolve_hooks",
]

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


PredictionCallback: TypeAlias = Callable[[PredictionRecord], object]


class PredictionHook:
    """Base class of hooks with metrics, or with resources to release. Any other hook may be a function.

    A hook is called in the thread of the request, under ASGI in that of the event loop, once the
    response is encoded. It must not block: pass the record to a queue. An error is logged and does not
    affect the response.
    """

    def __call__(self, record: PredictionRecord) -> None:
        """Take *record* over."""
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

    def close(self) -> None:
        """Release the resources. Called by `Gate.close`."""


def resolve_hooks(hooks: object, values: MetricValues) -> list[PredictionCallback]:
    """Return the hooks of the option *on_prediction*, which is None, a hook or a list of hooks.

    Args:
        hooks: Value of the option.
        values: Storage in which the hooks count.

    Raises:
        ConfigurationError: One of them is not callable.
    """
    listed: list[Any] = [] if hooks is None else list(hooks) if isinstance(hooks, list | tuple) else [hooks]
    for hook in listed:
        if isinstance(hook, type) or not callable(hook):
            raise ConfigurationError(
                f"on_prediction must be a function of a PredictionRecord, or a list of them (got {hook!r})"
            )
        if isinstance(hook, PredictionHook):
            hook.attach(values)
    return listed


def metric_sources(hooks: Iterable[PredictionCallback]) -> list[Callable[[], Iterable[MetricFamily]]]:
    """Return the methods that return the metrics of *hooks*."""
    return [hook.families for hook in hooks if isinstance(hook, PredictionHook)]


def hook_routes(hooks: Iterable[PredictionCallback]) -> list[Route]:
    """Return the endpoints of *hooks*."""
    return [route for hook in hooks if isinstance(hook, PredictionHook) for route in hook.routes()]


def close_hooks(hooks: Iterable[PredictionCallback]) -> None:
    """Close the hooks that can be closed."""
    for hook in hooks:
        if isinstance(hook, PredictionHook):
            hook.close()


def call_hooks(hooks: Iterable[PredictionCallback], record: PredictionRecord) -> None:
    """Call each hook with *record*, and log errors."""
    for hook in hooks:
        try:
            hook(record)
        except Exception as error:
            logger.error("request %s: prediction hook %r failed", record.request_id, hook, exc_info=error)

"""What a gate tells those who run it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import getpid
from typing import Any, Literal

from ..dialects import Catalog, Route
from ..errors import ConfigurationError
from ..flow import Flow
from ..http import Request, Response
from ..layers import Metrics
from ..metrics import CONTENT_TYPE, Family, Histogram, Kind, Labels, exposition
from ..models import ModelCache
from ..scoring.tally import Tally

__all__ = ["Operations", "metrics_option"]


def metrics_option(metrics: bool | Literal["open"]) -> bool | Literal["open"]:
    """*metrics*, as `Gate` takes it.

    Raises:
        ConfigurationError: it is something else.
    """
    if metrics is not True and metrics is not False and metrics != "open":
        raise ConfigurationError(f'metrics={metrics!r}: accepts True, False, or "open" for anyone')
    return metrics


class Operations:
    """The metrics of a gate.

    Args:
        requests: counts these.
        tallies: count the calls of models, by deployment.
        cache: where the models are.
        patience: after how many seconds a call of a model is overdue; None for never.
    """

    def __init__(
        self,
        requests: Metrics,
        tallies: Mapping[str, Tally],
        cache: ModelCache[Any],
        patience: float | None,
    ) -> None:
        self._requests = requests
        self._tallies = tallies
        self._cache = cache
        self._patience = patience

    def route(self, *, open_to_all: bool) -> Route:
        """``GET /metrics``."""
        return Route("GET", "/metrics", self._answer, open=open_to_all)

    def _answer(self, request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG002  an answer takes both
        yield from ()
        if request.principal is not None:
            # They tell of every deployment.
            request.principal.require("*", "read")
        return Response(200, self.text().encode(), [("content-type", CONTENT_TYPE)])

    def text(self) -> str:
        """What this process has counted, in the text format of Prometheus."""
        return exposition([*self._process(), *self._requests.families(), *self._models(), *self._kept()])

    def _process(self) -> Iterator[Family]:
        pid: dict[Labels, int] = {(str(getpid()),): 1}
        yield Family("modelgate_process_info", "gauge", "The process that tells this.", ("pid",), pid)

    def _models(self) -> Iterator[Family]:
        tallies = list(self._tallies.items())
        yield Family(
            "modelgate_batches_total",
            "counter",
            "Calls of models, by the reason why each was made when it was.",
            ("deployment", "reason"),
            {(name, why): count for name, tally in tallies for why, count in tally.calls.items()},
        )
        for metric, kind, told, value in _OF_A_MODEL:
            yield Family(
                metric, kind, told, ("deployment",), {(name,): value(tally) for name, tally in tallies}
            )
        if self._patience is not None:
            overdue: dict[Labels, int] = {(name,): tally.overdue(self._patience) for name, tally in tallies}
            told = "Calls under way for longer than a request may take."
            yield Family("modelgate_model_calls_overdue", "gauge", told, ("deployment",), overdue)

    def _kept(self) -> Iterator[Family]:
        cache, info = self._cache, self._cache.cache_info()
        counts = {
            "hits": (info.hits, "Models that were asked for and in memory."),
            "misses": (info.misses, "Models that were asked for and not in memory."),
            "loads": (cache.loads, "Loads of models that have ended."),
            "load_failures": (cache.failures, "Loads of models that have failed."),
            "evictions": (cache.evictions, "Models dropped for others."),
        }
        for name, (count, told) in counts.items():
            yield Family(f"modelgate_model_cache_{name}_total", "counter", told, (), {(): count})
        yield Family("modelgate_model_cache_models", "gauge", "Models in memory.", (), {(): info.currsize})
        bytes_told = "Size of what the models in memory were read from."
        yield Family("modelgate_model_cache_bytes", "gauge", bytes_told, (), {(): info.currbytes})


_OF_A_MODEL: Sequence[tuple[str, Kind, str, Callable[[Tally], float | Histogram]]] = (
    ("modelgate_batch_rows", "histogram", "Rows of a call of a model.", lambda tally: tally.rows),
    ("modelgate_model_duration_seconds", "histogram", "A call of a model.", lambda tally: tally.seconds),
    ("modelgate_model_failures_total", "counter", "Calls that raised an error.", lambda tally: tally.failed),
    ("modelgate_model_calls_running", "gauge", "Calls under way.", lambda tally: len(tally.running)),
    ("modelgate_queue_rows", "gauge", "Rows that wait for a model.", lambda tally: tally.rows_waiting),
)

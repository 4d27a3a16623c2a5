"""Export the metrics of a gate through `prometheus_client`."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..prometheus import Histogram, LocalValues, MetricFamily, MetricValues

try:
    import prometheus_client.core
    import prometheus_client.registry
except ImportError:
    raise ConfigurationError(
        'collector needs prometheus_client: pip install "modelgate[prometheus]"'
    ) from None

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["GateCollector"]


class GateCollector(prometheus_client.registry.Collector):
    """Collector that adds the metrics of a gate to the app's `prometheus_client` registry.

    Args:
        families: Function that returns the metrics.
        values: Storage of the metrics.

    Raises:
        ConfigurationError: `prometheus_client` is in multiprocess mode, but *values* contains the metrics of
            only one process.
    """

    def __init__(self, families: Callable[[], Iterable[MetricFamily]], values: MetricValues) -> None:
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ and isinstance(values, LocalValues):
            raise ConfigurationError(
                "metrics_dir must be set in the multiprocess mode of prometheus_client (got None): use a"
                " directory in PROMETHEUS_MULTIPROC_DIR"
            )
        self._families = families

    def collect(self) -> "Iterator[Metric]":
        """Return the metrics as objects of `prometheus_client`."""
        return map(_convert, self._families())

    # With this method, a registry knows the names, and rejects a second gate that would repeat them.
    describe = collect


def _convert(family: MetricFamily) -> "Metric":
    core = prometheus_client.core
    if family.kind == "histogram":
        histograms = core.HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, histogram in family.values.items():
            assert isinstance(histogram, Histogram)
            bounds = [*map("{:g}".format, histogram.bounds), "+Inf"]
            buckets = list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
            histograms.add_metric(labels, buckets, histogram.sum)
        return histograms
    kind = core.CounterMetricFamily if family.kind == "counter" else core.GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in family.values.items():
        assert not isinstance(value, Histogram)
        metric.add_metric(labels, value)
    return metric

"""Metrics of a gate in a registry of prometheus_client."""

import prometheus_client
import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from modelgate import ConfigurationError, Deployment, Gate, Schema
from modelgate.testing import Client
from support.prometheus import parse_samples


def make_gate(**options):
    gate = Gate(
        [Deployment("ages", lambda table: table["age"], schema=Schema.of(age=float))], keys="open", **options
    )
    Client(gate.wsgi).post("/simple/ages", json=[{"age": 1}])
    return gate


def read(registry):
    return parse_samples(prometheus_client.generate_latest(registry).decode())


def test_collector_has_the_metrics_of_the_gate():
    """The same samples, among those of the app."""
    gate, registry = make_gate(), prometheus_client.CollectorRegistry(auto_describe=True)
    prometheus_client.Counter("app_orders", "Orders.", registry=registry).inc()
    registry.register(gate.metrics.collector())
    samples = read(registry)
    own = {key: value for key, value in samples.items() if key[0].startswith("modelgate")}

    assert parse_samples(gate.metrics.render()) == own
    assert 1 == samples["app_orders_total",]


def test_registry_rejects_a_second_gate():
    """Prometheus would reject a text that describes a metric twice."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(make_gate().metrics.collector())

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(make_gate().metrics.collector())


def test_collector_in_multiprocess_mode(tmp_path, monkeypatch):
    """Another gate with the same directory stands for another process."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    make_gate(metrics_dir=tmp_path / "modelgate")
    gate, registry = make_gate(metrics_dir=tmp_path / "modelgate"), prometheus_client.CollectorRegistry()
    MultiProcessCollector(registry)
    registry.register(gate.metrics.collector())

    assert 2 == read(registry)["modelgate_rows_total", ("deployment", "ages"), ("version", "1")]


def test_collector_of_one_process_is_rejected_in_multiprocess_mode(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    with pytest.raises(ConfigurationError, match="metrics_dir must be set in the multiprocess mode"):
        make_gate().metrics.collector()

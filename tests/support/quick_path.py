"""Ask one gate with its quick path and one without it, and compare everything that can be seen."""

import logging
import math
import re

from modelgate.testing import Client
from support.prometheus import parse_samples

ACCESS_LOG = logging.getLogger("modelgate.access")
GENERATED_ID = re.compile(rb"[0-9a-f]{32}")
AGAIN = re.compile(rb"in \d s")
TIMED = re.compile(r"_seconds|modelgate_batches_total")
"""Metrics that depend on the clock, or on how fast the model was. The sum of the batches does not."""


class _Records(logging.Handler):
    """Log handler that collects the lines of the access log, without their durations."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        names = ("client", "method", "path", "status", "key_id", "deployment", "version", "request_id")
        values = {name: getattr(record, name) for name in names}
        if GENERATED_ID.fullmatch(values["request_id"].encode()):
            values["request_id"] = "generated"
        self.lines.append(values)


class Pair:
    """Two equal gates, of which the second has no quick path.

    Args:
        make_gate: Function that returns a new gate.
        interface: ``"wsgi"`` or ``"asgi"``.

    Attributes:
        gates: The two gates.
        taken: Number of requests that the quick path has answered.
    """

    def __init__(self, make_gate, interface):
        self.gates = make_gate(), make_gate()
        quick = self.gates[0]._quick_path
        self.gates[1]._quick_path.enabled = False
        for gate in self.gates:
            # The layers measure the phases of one request per second.
            gate.metrics._requests._next_measured = math.inf
        self._clients = [Client(getattr(gate, interface)) for gate in self.gates]
        self._sent = self._passed_on = 0
        layers = quick.layers

        def count_and_call(request):
            self._passed_on += 1
            return layers(request)

        quick.layers = count_and_call

    @property
    def taken(self):
        return self._sent - self._passed_on

    def request(self, method, path, **options):
        """Send a request to both gates, check that nothing differs, and return the response."""
        self._sent += 1
        seen = [self._send(client, method, path, options) for client in self._clients]

        assert seen[1] == seen[0]
        return seen[0][0]

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def check_counts(self):
        """Check that all counters and gauges of the two gates are equal."""
        expected, counts = (read_counts(gate) for gate in self.gates[::-1])

        assert {} == {
            name: (value, counts.get(name)) for name, value in expected.items() if counts.get(name) != value
        }
        assert expected.keys() == counts.keys()

    def _send(self, client, method, path, options):
        records = _Records()
        ACCESS_LOG.addHandler(records)
        try:
            response = client.request(method, path, **options)
        finally:
            ACCESS_LOG.removeHandler(records)
        return Answer(response), records.lines


class Answer:
    """A response without its generated request id."""

    def __init__(self, response):
        self.response = response
        sent = dict(response.headers)
        self._id = sent.get("x-request-id", "").encode()

    @property
    def status(self):
        return self.response.status

    def json(self):
        return self.response.json()

    def header(self, name):
        return self.response.header(name)

    def _comparable(self):
        """Return all that must be equal. The Retry-After of an overloaded gate is a random number."""
        body, is_generated = self.response.body, GENERATED_ID.fullmatch(self._id)
        masked = {"x-request-id"} if is_generated else set()
        masked |= {"retry-after", "server-timing"} if self.status == 503 else {"server-timing"}
        headers = [(name, "masked" if name in masked else value) for name, value in self.response.headers]
        body = AGAIN.sub(b"later", body)
        return self.response.status, headers, body.replace(self._id, b"generated") if is_generated else body

    def __eq__(self, other):
        return self._comparable() == other._comparable()

    def __repr__(self):
        return repr(self._comparable())


def read_counts(gate):
    """Return the values of the gate's metrics that do not depend on time, and what else it counts."""
    samples = parse_samples(gate.metrics.render())
    counts = {key: value for key, value in samples.items() if not TIMED.search(key[0])}
    calls = [value for (name, *labels), value in samples.items() if name == "modelgate_model_calls_total"]
    counts["calls of models"] = sum(calls)
    for layer in gate.layers:
        for name in ("in_flight", "rejected"):
            if hasattr(layer, name):
                counts[f"{type(layer).__name__}.{name}"] = getattr(layer, name)
    counts["in flight"] = [len(live.in_flight) for live in gate._catalog.values()]
    return counts

"""The testing helpers: a client without sockets, a fake clock, a stub handler."""

from typing import Any, assert_type

from modelgate import Gate, RateLimit, drive
from modelgate.testing import Client, ClientResponse, FakeClock, StubHandler, request

gate = Gate(keys="open")
client = Client(gate.wsgi, headers={"x-api-key": "a-key"}, interface="wsgi")
answer = client.post("/api/predict", json={"input_data": {"age": 41}})

assert_type(answer, ClientResponse)
assert_type(answer.status, int)
assert_type(answer.body, bytes)
assert_type(answer.header("content-type"), str | None)
assert_type(answer.json(), Any)

clock, inner = FakeClock(), StubHandler()
drive(RateLimit("1/minute", clock=clock)(request("GET", "/", body=b"{}"), inner))
clock.advance(60)

Client(gate.asgi, interface="http")  # type: ignore[arg-type]
client.post("/api/predict", data={"age": 41})  # type: ignore[call-arg]
clock.advance("60")  # type: ignore[arg-type]

"""Custom HTTP and scoring layers, as functions and as a class."""

import time
from collections.abc import Sequence
from typing import Any, assert_type

from modelgate import (
    CallNext,
    Deployment,
    Flow,
    Forbidden,
    Gate,
    Handler,
    Layer,
    Prediction,
    Query,
    Request,
    Response,
    Round,
    adrive,
    drive,
    run,
    stack,
)
from modelgate.testing import StubHandler, request


def stamp(request: Request, call_next: CallNext) -> Flow[Response]:
    if request.headers.get("x-blocked") is not None:
        raise Forbidden
    response = yield from call_next(request)
    response.set("x-stamp", "1")
    return response


class Delay:
    """Wait before each request without blocking the event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        yield from run(time.sleep, self.seconds)
        return (yield from call_next(request))


def clip(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    prediction = yield from call_next(query)
    for output in prediction.outputs:
        output.values = output.values.clip(min=0)
    return prediction


model: Any = None
layers: Sequence[Layer[Request, Response]] = [stamp, Delay(0.1)]
Deployment("churn", model, layers=layers, scoring_layers=[clip, Round(2)])
Gate(keys="open", layers=layers, scoring_layers=[clip])

handler = stack(layers, StubHandler())
assert_type(drive(stamp(request(), StubHandler())), Response)


async def call() -> None:
    assert_type(await adrive(stamp(request(), StubHandler())), Response)


def stamp_without_yield_from(request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
    response = call_next(request)
    response.set("x-stamp", "1")  # type: ignore[attr-defined]
    return response  # type: ignore[return-value]
    yield


Deployment("churn", model, layers=[clip])  # type: ignore[list-item]
Deployment("churn", model, scoring_layers=[stamp])  # type: ignore[list-item]

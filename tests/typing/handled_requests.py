"""Gate behind routes of every framework that has types of its own."""

from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, TypeAlias, assert_type

import blacksheep
import falcon
import falcon.asgi
import litestar
import quart
import sanic
import werkzeug
from flask import Response
from litestar.datastructures import State

from modelgate import Gate

gate = Gate(keys="open")


class OtherRequest:
    """A request of a framework without an overload, such as Django."""

    path_info: str


async def handle_quart(request: quart.Request) -> quart.Response:
    return await gate.handle(request, "churn")


async def handle_litestar(request: litestar.Request[str, str, State]) -> litestar.Response[bytes]:
    return await gate.handle(request, "churn")


async def handle_blacksheep(request: blacksheep.Request) -> blacksheep.Response:
    return await gate.handle(request, "churn", dialect="simple")


# A request with parameters of the type Any, as in a handler without annotations, gets an answer of the type Any.
SanicRequest: TypeAlias = "sanic.Request[sanic.Sanic[sanic.Config, SimpleNamespace], SimpleNamespace]"


async def handle_sanic(request: SanicRequest) -> sanic.HTTPResponse:
    return await gate.handle(request, "churn")


def handle_werkzeug(request: werkzeug.Request) -> Response:
    return gate.handle(request, "churn")


class Resource:
    """A resource of Falcon."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        gate.handle(req, "churn", response=resp)


class AsyncResource:
    """A resource of Falcon under ASGI."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        assert_type(gate.handle(req, "churn", response=resp), Awaitable[None])
        await gate.handle(req, "churn", response=resp)


def handle_other(request: OtherRequest, untyped: Any) -> None:
    assert_type(gate.handle(request, "churn"), Any)
    assert_type(gate.handle(untyped, "churn"), Any)
    gate.handle(request, 3)  # type: ignore[call-overload]

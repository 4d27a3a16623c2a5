"""A Starlette app with pages and routes of its own, and a gate at ``/ml``."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from modelgate import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples import demo

gate = demo.gate()


@gate.handler("serving-temperature", schema=demo.SERVING, target="celsius", decimals=1)
async def serving_temperature(table: Table) -> list[float]:
    """At what temperature to serve a wine: the stronger, the warmer."""
    celsius = await temperatures()
    pairs = zip(table["alcohol"], table["colour"], strict=True)
    return [celsius[colour] + 0.5 * (alcohol - 12) for alcohol, colour in pairs]


async def temperatures() -> dict[str, float]:
    """By colour: what a real app would ask its database."""
    await asyncio.sleep(0)
    return demo.CELSIUS


async def start(request: Request) -> Response:
    return HTMLResponse(demo.start_page(str(request.base_url), "Starlette"))


async def about(request: Request) -> Response:  # noqa: ARG001
    return JSONResponse({"name": "The cellar", "made_with": "Starlette"})


async def cellar(request: Request) -> Response:  # noqa: ARG001
    return JSONResponse(demo.CELLAR)


async def which_cultivar(request: Request) -> Response:
    """An ordinary route of the app, answered by the gate."""
    answer: Response = await gate.handle(request, "wine")
    return answer


async def not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return HTMLResponse(demo.not_found_page(request.url.path), 404)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
    gate.warm()
    yield


app = Starlette(
    routes=[
        Route("/", start),
        Route("/about", about),
        Route("/cellar", cellar),
        Route("/which-cultivar", which_cultivar, methods=["POST"]),
        Mount("/ml", gate.asgi),
    ],
    exception_handlers={404: not_found},
    lifespan=lifespan,
)


def main() -> None:
    """Serve the app on this machine alone."""
    # The port is open before the command is shown: whoever pastes it at once only waits.
    with (
        socket.create_server(("127.0.0.1", demo.port())) as listening,
        contextlib.suppress(KeyboardInterrupt),
    ):
        demo.greet(listening.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app)).run(sockets=[listening])


if __name__ == "__main__":
    main()

"""Starlette app with its own pages and routes, and a gate at ``/ml``."""

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

from examples import demo, start_page

gate = demo.gate()


@gate.handler(
    "serving-temperature",
    schema=demo.SERVING,
    target="celsius",
    decimals=1,
    public_examples=demo.SERVING_EXAMPLES,
)
async def serving_temperature(table: Table) -> list[float]:
    """Return the serving temperature of each wine: the stronger, the warmer."""
    celsius = await load_temperatures()
    pairs = zip(table["alcohol"], table["colour"], strict=True)
    return [celsius[colour] + 0.5 * (alcohol - 12) for alcohol, colour in pairs]


async def load_temperatures() -> dict[str, float]:
    """Return the temperature by colour. A real app would query its database."""
    await asyncio.sleep(0)
    return demo.CELSIUS


async def start(request: Request) -> Response:
    # The page requests predictions and waits for them, so it is rendered in a thread.
    page = await asyncio.to_thread(start_page.start_page, gate, str(request.base_url), "Starlette")
    return HTMLResponse(page)


async def about(request: Request) -> Response:  # noqa: ARG001
    return JSONResponse({"name": "The cellar", "made_with": "Starlette"})


async def cellar(request: Request) -> Response:  # noqa: ARG001
    return JSONResponse(demo.CELLAR)


async def which_cultivar(request: Request) -> Response:
    """Pass the request of an ordinary route to the gate."""
    response: Response = await gate.handle(request, "wine")
    return response


async def not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return HTMLResponse(start_page.not_found_page(request.url.path), 404)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
    gate.deployments.warm()
    demo.send_visitors(gate)
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
    """Serve the app on localhost."""
    # The port is open before the command is printed, so that a request sent at once waits instead of failing.
    with (
        socket.create_server(("127.0.0.1", demo.port())) as server_socket,
        contextlib.suppress(KeyboardInterrupt),
    ):
        demo.greet(server_socket.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app)).run(sockets=[server_socket])


if __name__ == "__main__":
    main()

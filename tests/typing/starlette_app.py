"""Gate in a Starlette app, mounted and behind a route of the app, and layers around the app."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

import modelgate
from modelgate import Deadline, Deployment, Gate, KeyAuth

model: Any = None
gate = Gate([Deployment("churn", model)], keys="env:MODELGATE_KEYS", limits=None, poll_interval=30)


async def predict(request: Request) -> Response:
    return await gate.handle(request, "churn")


app = Starlette(routes=[Mount("/ml", gate.asgi), Route("/predict", predict, methods=["POST"])])
modelgate.mount.starlette.mount(app, "/own", gate)
wrapped = modelgate.mount.asgi.wrap(app, Deadline(5), KeyAuth({"a-key": "*"}, scope="churn:predict"))

Deadline("5")  # type: ignore[arg-type]
modelgate.mount.asgi.wrap(app, gate)  # type: ignore[arg-type]

"""Whether a gate is alive, and ready: the same in every wire format that asks."""

from ..flow import Flow
from ..http import Request, Response
from .base import Catalog

__all__ = ["live", "ready"]


def live(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001  an answer takes both
    """Whether the process answers."""
    yield from ()
    return Response.json({"live": True})


def ready(request: Request, catalog: Catalog) -> Flow[Response]:
    """Whether the deployment of the path can score, or without one every active deployment.

    One nobody has asked yet is loaded for it.
    """
    told = yield from catalog.ready(request.deployment)
    named = {} if request.deployment is None else {"name": request.deployment}
    return Response.json({**named, "ready": told}, 200 if told else 503)

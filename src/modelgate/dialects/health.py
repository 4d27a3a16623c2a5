"""Liveness, readiness and startup endpoints for the dialects that define them."""

from ..context import RequestContext
from ..flow import Flow
from ..http import Request, Response

__all__ = ["live", "ready", "startup"]


def live(request: Request) -> Flow[Response]:  # noqa: ARG001
    """Report that the process is alive."""
    yield from ()
    return Response.json({"live": True})


def ready(request: Request) -> Flow[Response]:
    """Report whether the deployment in the path can score.

    If the path names no deployment, report whether all active deployments can score. Models that are not
    loaded yet are loaded.
    """
    context: RequestContext = request.context
    assert context.catalog is not None
    is_ready = yield from context.catalog.ready(context.deployment)
    name = {} if context.deployment is None else {"name": context.deployment}
    return Response.json({**name, "ready": is_ready}, 200 if is_ready else 503)


def startup(request: Request) -> Flow[Response]:
    """Report whether all active deployments have been ready at the same time since the process started.

    Models that are not loaded yet are loaded in the background. The response does not wait for them.
    """
    context: RequestContext = request.context
    assert context.catalog is not None
    has_started = yield from context.catalog.has_started()
    return Response.json({"started": has_started}, 200 if has_started else 503)

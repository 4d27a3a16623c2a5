"""Index of a gate: a page at its mount point, the list of deployments, and one OpenAPI document for all."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..context import RequestContext
from ..deployments import HTTPLayer
from ..deployments.catalog import DeploymentCatalog
from ..flow import Flow
from ..http import Request, Response
from ..http.negotiation import best_media_type
from ..http.routing import Route
from ..keys.principal import OPERATE
from ..openapi import OpenAPI
from .state import describe_deployment, describe_process

__all__ = ["index_routes"]

_INDEX = {
    # KServe's clients expect this at the root of the service.
    "status": "alive",
    "deployments": "deployments",
    "openapi": "openapi.json",
    "live": "health/live",
    "ready": "health/ready",
    "startup": "health/startup",
}
_HEADERS = [
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("vary", "accept"),
]
_PAGE = Template((Path(__file__).parent / "index.html").read_text("utf-8"))


def index_routes(
    openapi: OpenAPI,
    *,
    keyed: bool,
    console: bool,
    layers: Sequence[HTTPLayer],
    key_header: str | None = None,
) -> tuple[Route, ...]:
    """Return the routes of the index.

    Args:
        openapi: Generator of the OpenAPI documents.
        keyed: Whether requests need an API key. If so, the page lists no deployment.
        console: Whether each deployment has a console to link to.
        layers: HTTP layers of the gate.
        key_header: Header field with the key; ``"authorization"`` if None.
    """
    field = "X-API-Key: …" if key_header == "x-api-key" else "Authorization: Bearer …"
    get_index = partial(_get_index, keyed=keyed, console=console, hint=_HOW_TO_LIST.format(field=field))
    return (
        Route("GET", "", get_index, is_public=True),
        Route("GET", "/deployments", partial(_get_deployments, console=console, layers=layers)),
        Route("GET", "/openapi.json", partial(_get_openapi, openapi=openapi)),
    )


def _get_index(request: Request, *, keyed: bool, console: bool, hint: str) -> Flow[Response]:
    """Return the index page, or its links as JSON for a caller that does not accept HTML."""
    yield from ()
    if best_media_type(request.headers.get("accept"), ("application/json", "text/html")) != "text/html":
        response = Response.json(_INDEX)
        response.set("vary", "accept")
        return response
    if not request.path:
        # Relative links need the trailing slash. The redirect is relative, too, because behind a proxy, the
        # prefix that the browser sees is unknown.
        return Response(307, headers=[("location", f"./{request.root_path.rpartition('/')[2]}/")])
    names = [] if keyed else request.context.readable_deployments()
    items = "".join(f"<li>{_link(name, console=console)}</li>" for name in names)
    return Response(200, _PAGE.substitute(deployments=items or hint).encode(), _HEADERS)


_HOW_TO_LIST = (
    '<li>Send your key to list them: <code>curl -H "{field}"</code> '
    "followed by the address of this page and <code>deployments</code>.</li>"
)


def _link(name: str, *, console: bool) -> str:
    path = f"deployments/{escape(name)}"
    links = [*([("console", "console")] if console else []), ("description", ""), ("OpenAPI", "openapi.json")]
    anchors = (f'<a href="{path}{"/" + page if page else ""}">{text}</a>' for text, page in links)
    return f"<b>{escape(name)}</b> {' · '.join(anchors)}"


def _get_deployments(request: Request, *, console: bool, layers: Sequence[HTTPLayer]) -> Flow[Response]:
    """Return the deployments that the key may use, with links to their pages relative to the mount point.

    If the key may operate a deployment, its state is included. If the key may operate all deployments, the
    state of the process is included.
    """
    yield from ()
    context: RequestContext = request.context
    pages = {"description": "", "openapi": "/openapi.json"} | ({"console": "/console"} if console else {})
    deployments: dict[str, dict[str, Any]] = {
        name: {"name": name, **{page: f"deployments/{name}{ending}" for page, ending in pages.items()}}
        for name in context.readable_deployments()
    }
    principal = context.principal
    if principal is None or principal.scopes is None:
        return Response.json({"deployments": list(deployments.values())})
    catalog: DeploymentCatalog = context.catalog  # type: ignore[assignment]  # that of the gate
    for name, live in sorted(catalog.items()):
        if principal.can_access(name, OPERATE):
            deployments.setdefault(name, {"name": name}).update(describe_deployment(live))
    process = {"process": describe_process(layers)} if principal.can_access("*", OPERATE) else {}
    return Response.json({"deployments": [deployments[name] for name in sorted(deployments)], **process})


def _get_openapi(request: Request, *, openapi: OpenAPI) -> Flow[Response]:
    """Return one OpenAPI document for all deployments that the key may use."""
    context: RequestContext = request.context
    assert context.catalog is not None
    document = yield from openapi.merged_document(context.readable_deployments(), context.catalog)
    return Response(200, document, [("content-type", "application/json")])

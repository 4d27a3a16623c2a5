"""Create the routes of a gate."""

from collections.abc import Collection, Sequence

from .. import console as console_page
from ..deployments import HTTPLayer
from ..dialects import Dialect
from ..endpoints.index import index_routes
from ..endpoints.metadata import metadata_routes
from ..errors import ConfigurationError
from ..http import PLAIN_JSON
from ..http.routing import Route, Router
from ..layers import KeyAuth
from ..monitoring.prediction_hook import PredictionHooks
from ..openapi import OpenAPI
from .options import find_key_header

__all__ = ["add_endpoint", "create_router"]


def create_router(
    dialects: Collection[Dialect],
    openapi: OpenAPI,
    hooks: PredictionHooks,
    layers: Sequence[HTTPLayer],
    *,
    console: bool,
) -> Router:
    """Return a router with the routes of the dialects, the metadata routes and the web pages.

    Args:
        dialects: Dialects of the gate.
        openapi: Generator of the OpenAPI documents.
        hooks: Prediction hooks, which may have routes.
        layers: HTTP layers of the gate.
        console: Whether each deployment has a console.
    """
    keyed, key_header = any(isinstance(layer, KeyAuth) for layer in layers), find_key_header(layers)
    pages = index_routes(openapi, keyed=keyed, console=console, layers=layers, key_header=key_header)
    if console:
        pages = (*pages, console_page.route(keyed=keyed, key_header=key_header))
    reports = hooks.routes()
    openapi.add(*reports)
    router = Router()
    for dialect in dialects:
        for route in dialect.routes:
            router.add(route, dialect)
    for route in [*metadata_routes(dialects, openapi), *pages, *reports]:
        router.add(route, PLAIN_JSON)
    return router


def add_endpoint(router: Router, simple: Dialect | None, path: str, deployment: str) -> None:
    """Add the path of a deployment's option *endpoint*.

    Args:
        router: Router of the gate.
        simple: The dialect ``simple``; None if the gate does not have it.
        path: Path to add.
        deployment: Deployment name.

    Raises:
        ConfigurationError: *simple* is None, or the path is in use.
    """
    if simple is None:
        raise ConfigurationError(f"endpoint {path!r} needs the dialect simple: add it to dialects")
    if not router.add(Route("POST", path), simple, {"deployment": deployment}):
        raise ConfigurationError(f"endpoint must be a path that is not in use (got {path!r})")

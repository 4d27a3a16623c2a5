"""Routes of a gate."""

from collections.abc import Collection, Sequence

from ..dialects import Dialect
from ..endpoints.metadata import metadata_routes
from ..http import PLAIN_JSON
from ..http.routing import Route, Router
from ..openapi import OpenAPI

__all__ = ["create_router"]


def create_router(dialects: Collection[Dialect], openapi: OpenAPI, pages: Sequence[Route]) -> Router:
    """Return a router with the routes of the dialects, the metadata routes, and *pages*."""
    router = Router()
    for dialect in dialects:
        for route in dialect.routes:
            router.add(route, dialect)
    for route in [*metadata_routes(dialects, openapi), *pages]:
        router.add(route, PLAIN_JSON)
    return router

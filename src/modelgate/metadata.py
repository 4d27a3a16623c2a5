"""What a gate tells of itself on paths that belong to no dialect, in plain JSON."""

from typing import Any

from .dialects import Catalog, Route
from .flow import Flow
from .http import Request, Response
from .schema import Column
from .scoring import Target

__all__ = ["ROUTES"]


def _deployment(request: Request, catalog: Catalog) -> Flow[Response]:
    """The fields a deployment takes and gives."""
    assert request.deployment is not None
    told = yield from catalog.describe(request.deployment)
    return Response.json(
        {
            "name": told.name,
            "version": told.version,
            "model_id": told.model_id,
            "input": [_field(column) for column in told.schema],
            "output": [_target(target) for target in told.targets],
        }
    )


def _field(column: Column) -> dict[str, Any]:
    told = {
        "levels": column.levels,
        "minimum": column.minimum,
        "maximum": column.maximum,
        "pattern": column.pattern,
        "max_length": column.max_length,
        "default": column.default,
        "description": column.description or None,
        "example": column.example,
    }
    rule = {
        "name": column.name,
        "type": column.kind,
        "required": column.required,
        "nullable": column.nullable,
    }
    return rule | {name: value for name, value in told.items() if value is not None}


def _target(target: Target) -> dict[str, Any]:
    if target.classes is None:
        return {"name": target.name}
    return {"name": target.name, "classes": target.classes}


def _live(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001  an answer takes both
    """Whether the process answers."""
    yield from ()
    return Response.json({"live": True})


def _ready(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001
    """Whether every active deployment can score; one nobody has asked yet is loaded for it."""
    ready = yield from catalog.ready()
    return Response.json({"ready": ready}, 200 if ready else 503)


ROUTES = (
    Route("GET", "/deployments/{deployment}", _deployment),
    Route("GET", "/health/live", _live, open=True),
    Route("GET", "/health/ready", _ready, open=True),
)

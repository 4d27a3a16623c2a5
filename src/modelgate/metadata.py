"""What a gate tells of itself on paths that belong to no dialect, in plain JSON."""

from typing import Any

from .dialects import Catalog, Route
from .dialects.health import live, ready
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


ROUTES = (
    Route("GET", "/deployments/{deployment}", _deployment),
    Route("GET", "/health/live", live, open=True),
    Route("GET", "/health/ready", ready, open=True),
)

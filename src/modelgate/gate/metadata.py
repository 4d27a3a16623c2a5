"""What a gate tells of itself on paths that belong to no dialect, in plain JSON."""

from collections.abc import Collection
from functools import partial
from typing import Any
from urllib.parse import quote

from ..dialects import Catalog, Dialect, Route, Sample
from ..dialects.health import live, ready
from ..flow import Flow
from ..http import Request, Response
from ..openapi import OpenAPI
from ..schema import Column
from ..scoring import Description, Target

__all__ = ["routes"]


def routes(dialects: Collection[Dialect], documents: OpenAPI) -> tuple[Route, ...]:
    """The routes of a gate that speaks *dialects*."""
    return (
        Route("GET", "/deployments/{deployment}/openapi.json", partial(_openapi, documents=documents)),
        Route("GET", "/deployments/{deployment}", partial(_deployment, dialects=dialects)),
        Route("GET", "/health/live", live, open=True),
        Route("GET", "/health/ready", ready, open=True),
    )


def _deployment(request: Request, catalog: Catalog, *, dialects: Collection[Dialect]) -> Flow[Response]:
    """The fields a deployment takes and gives, and how it is asked."""
    assert request.deployment is not None
    told = yield from catalog.describe(request.deployment)
    samples = {dialect.name: getattr(dialect, "sample", None) for dialect in dialects}
    return Response.json(
        {
            "name": told.name,
            "version": told.version,
            "model_id": told.model_id,
            "input": [_field(column) for column in told.schema],
            "output": [_target(target) for target in told.targets],
            "requests": [_request(name, sample, told) for name, sample in samples.items() if sample],
        }
    )


def _openapi(request: Request, catalog: Catalog, *, documents: OpenAPI) -> Flow[Response]:
    """The OpenAPI document of a deployment."""
    assert request.deployment is not None
    document = yield from documents.document(request.deployment, catalog)
    name = f'inline; filename="{request.deployment}.openapi.json"'
    return Response(200, document, [("content-type", "application/json"), ("content-disposition", name)])


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


def _request(dialect: str, sample: Sample, told: Description) -> dict[str, Any]:
    """A template of a request to score: its marks are those of `modelgate.dialects.sample`."""
    path = sample.path.replace("{deployment}", told.name).replace("{version}", quote(told.version, safe=""))
    return {
        "dialect": dialect,
        "method": "POST",
        "path": path.removeprefix("/"),
        "headers": sample.headers,
        "body": sample.body,
        "media_type": sample.media_type,
    }

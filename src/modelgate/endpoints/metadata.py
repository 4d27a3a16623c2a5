"""Endpoints for metadata and health that do not belong to a dialect. They return plain JSON."""

from collections.abc import Collection
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from ..context import RequestContext
from ..dialects import Dialect, RequestTemplate, can_forecast
from ..dialects.health import live, ready, startup
from ..flow import Flow
from ..http import Request, Response
from ..http.routing import Route
from ..inference import Target
from ..openapi import OpenAPI
from ..schema import Column
from ..scoring import Description

__all__ = ["metadata_routes"]


def metadata_routes(dialects: Collection[Dialect], openapi: OpenAPI) -> tuple[Route, ...]:
    """Return the routes of the metadata endpoints for a gate with *dialects*."""
    return (
        Route("GET", "/deployments/{deployment}/openapi.json", partial(_get_openapi, openapi=openapi)),
        Route("GET", "/deployments/{deployment}/training", _get_training),
        Route(
            "GET", "/deployments/{deployment}", partial(_get_deployment, dialects=dialects, openapi=openapi)
        ),
        Route("GET", "/health/live", live, is_public=True),
        Route("GET", "/health/ready", ready, is_public=True),
        Route("GET", "/health/startup", startup, is_public=True),
    )


def _get_deployment(request: Request, *, dialects: Collection[Dialect], openapi: OpenAPI) -> Flow[Response]:
    """Return a deployment's input and output fields, request templates, and the names of its reports."""
    context: RequestContext = request.context
    assert context.catalog is not None and context.deployment is not None
    description = yield from context.catalog.describe(context.deployment)
    may_monitor = context.principal is None or context.principal.can_access(context.deployment, "monitor")
    forecasts, limit = description.time_series is not None, description.max_explanations
    templates = {
        dialect.name: getattr(dialect, "request_template", None)
        for dialect in dialects
        if not forecasts or can_forecast(dialect)
    }
    return Response.json(
        {
            "name": description.name,
            "version": description.version,
            "model_id": description.model_id,
            "input": [
                _input_field(column, accepts_others=description.schema.options.unknown_levels != "reject")
                for column in description.schema
            ],
            "output": [_output_field(target) for target in description.targets],
            **_time_series(description),
            **({"function": True} if description.function else {}),
            **({"max_explanations": limit} if limit is not None else {}),
            "requests": [
                _request_template(name, template, description)
                for name, template in templates.items()
                if template
            ],
            # Null if the key does not permit reading the reports.
            "reports": openapi.reports() if may_monitor else None,
        }
    )


def _get_training(request: Request) -> Flow[Response]:
    """Return aggregates of a deployment's training data, and the example rows that its owner has released."""
    context: RequestContext = request.context
    assert context.catalog is not None and context.deployment is not None
    return Response.json((yield from context.catalog.summarize_training(context.deployment)))


def _get_openapi(request: Request, *, openapi: OpenAPI) -> Flow[Response]:
    """Return the OpenAPI document of a deployment."""
    context: RequestContext = request.context
    assert context.catalog is not None and context.deployment is not None
    document = yield from openapi.document(context.deployment, context.catalog)
    disposition = f'inline; filename="{context.deployment}.openapi.json"'
    return Response(
        200, document, [("content-type", "application/json"), ("content-disposition", disposition)]
    )


def _input_field(column: Column, *, accepts_others: bool) -> dict[str, Any]:
    """Return the description of an input column.

    *accepts_others* is True if the schema accepts unknown levels.
    """
    options = {
        **column.constraints(),
        "default": column.default,
        "description": column.description or None,
        "example": column.example,
        "shape": list(column.array_shape) or None,
        "accepts_other_levels": (accepts_others and column.levels is not None) or None,
    }
    return {
        "name": column.name,
        "type": column.kind,
        "required": column.required,
        "nullable": column.nullable,
        "rule": column.rule,
        **{name: value for name, value in options.items() if value is not None},
    }


def _time_series(description: Description) -> dict[str, Any]:
    """Return the columns, the windows and example rows of a forecaster, or an empty dict for other models."""
    spec = description.time_series
    if spec is None:
        return {}
    example = {} if description.example is None else {"example": description.example}
    return {"time_series": msgspec.to_builtins(spec), **example}


def _output_field(target: Target) -> dict[str, Any]:
    if target.classes is None:
        return {"name": target.name, **({"intervals": True} if target.intervals else {})}
    return {"name": target.name, "classes": target.classes}


def _request_template(dialect: str, template: RequestTemplate, description: Description) -> dict[str, Any]:
    """Return a template with placeholders for the rows and the key; see `dialects.request_template`."""
    path = template.path.replace("{deployment}", description.name)
    path = path.replace("{version}", quote(description.version, safe=""))
    return {
        "dialect": dialect,
        "method": "POST",
        "path": path.removeprefix("/"),
        "headers": template.headers,
        "body": template.body,
        "media_type": template.media_type,
    }

"""OpenAPI document of a deployment in the form that Peltarion's client sidekick reads.

sidekick finds the path by the literal text ``{deploymentId}``, the type of an input in ``x-peltarion``,
and the outputs in ``properties`` of the array ``rows``. JSON Schema ignores ``properties`` of an array,
so the outputs are also listed under ``items``.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..inference import Target
from ..schema import Column
from ..schema.json_schema import to_json_schema
from ..scoring import Description

__all__ = ["build_openapi", "label_text"]

_KEYWORDS = ("type", "format", "enum", "minimum", "maximum", "maxLength", "pattern", "description")


def build_openapi(description: Description) -> dict[str, Any]:
    """Return the OpenAPI document of a deployment."""
    name = description.name
    parameter = {"name": "deploymentId", "in": "path", "required": True, "schema": {"const": name}}
    inputs = {column.name: _input_schema(column) for column in description.schema}
    outputs = {target.name: _output_schema(target) for target in description.targets}
    required = [column.name for column in description.schema if column.required]
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": description.version},
        # The mount point, relative to /deployment/<name>/openapi.json.
        "servers": [{"url": "../.."}],
        "security": [{"token": []}],
        "paths": {
            "/deployment/{deploymentId}/forward": {
                "x-peltarion-tensorjson": True,
                "parameters": [parameter],
                "post": {
                    "summary": "Predict",
                    "requestBody": {"required": True, **_content("input-row-batch")},
                    "responses": {
                        "200": {"description": "A row for each row sent", **_content("output-row-batch")},
                        "default": {"description": "The request failed", **_content("error")},
                    },
                },
            }
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "input-row": {"type": "object", "properties": inputs, "required": required},
                "input-row-batch": _batch("input-row"),
                "output-row": {"type": "object", "properties": outputs, "required": list(outputs)},
                "output-row-batch": _batch("output-row", {"properties": outputs}),
                "error": {
                    "type": "object",
                    "properties": {"errorCode": {"type": "string"}, "errorMessage": {"type": "string"}},
                },
            },
        },
    }


def _content(schema: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _reference(schema)}}}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _batch(row: str, keywords: Mapping[str, Any] | None = None) -> dict[str, Any]:
    rows = {"type": "array", "items": _reference(row), **(keywords or {})}
    return {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}


def _input_schema(column: Column) -> dict[str, Any]:
    schema = to_json_schema(column)
    if column.kind == "image":
        return {"type": "string", **_feature("image", *column.array_shape)}
    if column.kind == "tensor":
        # sidekick has no type "tensor": it sends an object with shape and data, or a number for one element.
        return {"type": ["array", "number", "object", "string"], **_feature("numeric", *column.array_shape)}
    is_text = column.kind in ("text", "datetime") or isinstance(column.example, str)
    return {name: schema[name] for name in _KEYWORDS if name in schema} | _feature(
        "text" if is_text else "numeric"
    )


def _output_schema(target: Target) -> dict[str, Any]:
    if target.classes is None:
        return {"type": "number"} | _feature("numeric")
    labels = [label_text(label) for label in target.classes]
    if not target.probabilities:
        return {"type": "string", "enum": labels} | _feature("text")
    scores = {label: {"type": "number"} for label in labels}
    return {"type": "object", "properties": scores, "required": labels} | _feature("categorical", len(labels))


def _feature(kind: str, *shape: int) -> dict[str, Any]:
    return {"x-peltarion": {"type": kind, "shape": list(shape or (1,))}}


def label_text(label: object) -> str:
    """Return a class label as text. Text is unchanged; any other value is written as JSON."""
    return label if isinstance(label, str) else msgspec.json.encode(label).decode()

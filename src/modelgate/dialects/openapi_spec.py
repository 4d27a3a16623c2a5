"""OpenAPI descriptions of wire formats, and JSON Schemas that most dialects share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

from ..errors import ConfigurationError, RequestError
from ..inference import Target

__all__ = [
    "COLUMNS",
    "DETAILS",
    "ITEMS",
    "OBJECT",
    "PLAIN_ERROR",
    "ROW",
    "ROWS",
    "SCHEMES",
    "SCHEME_OF_HEADER",
    "VALUES",
    "WARNINGS",
    "JSONSchema",
    "OpenAPISpec",
    "OperationSpec",
    "any_of_schema",
    "array_schema",
    "lone_member_schema",
    "number_schema",
    "object_schema",
    "targets_schema",
    "value_schema",
]

JSONSchema: TypeAlias = dict[str, Any]

ROW: JSONSchema = {"$ref": "#/components/schemas/Row"}
"""One row: an object of values by column name."""

VALUES: JSONSchema = {"$ref": "#/components/schemas/Values"}
"""One row: an array of values in the schema's order."""

COLUMNS: JSONSchema = {"$ref": "#/components/schemas/Columns"}
"""Rows: an object with an array of values per column."""

OBJECT: JSONSchema = {"type": "object", "additionalProperties": True}
"""Any object. Without ``additionalProperties``, TypeScript generators make it an empty object."""

SCHEMES: Mapping[str, JSONSchema] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "basic": {"type": "http", "scheme": "basic", "description": "The key is the password; any user name"},
    # Client generators do not know the HTTP scheme Token, which is not registered.
    "token": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Token <key>"},
    "datarobot-key": {"type": "apiKey", "in": "header", "name": "datarobot-key"},
}
"""OpenAPI security schemes by name: the ways to send an API key."""

SCHEME_OF_HEADER: Mapping[str, str] = {"authorization": "bearer", "x-api-key": "x-api-key"}
"""Name in `SCHEMES` for each value of the gate's *key_header*."""


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """OpenAPI description of a scoring route whose request body has other members besides rows.

    The only such route is the one for response curves.

    Args:
        summary: Name of the operation.
        request: Schema of the JSON body of a request.
        answer: Function that takes the targets of a model and returns the schema of the response body.
        example: Function that returns the body of a request for the example row.
    """

    summary: str
    request: JSONSchema
    answer: Callable[[Sequence[Target]], JSONSchema]
    example: Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class OpenAPISpec:
    """OpenAPI description of a dialect's requests and responses.

    Args:
        title: Name of the service.
        requests: Schema of the body of a request to score, by media type.
        answer: Function that takes the targets of a model and returns the schema of the response body.
        error: Schema of the body of an error response.
        answer_types: Media types of responses in addition to JSON. They are described as text.
        keys: Ways to send the API key. Each way is a list of names in `SCHEMES`, all of which are required.
            An empty list stands for a key in the body or the path.
        parameters: OpenAPI parameter objects for the query string.
        errors: Errors that only this dialect raises.
        operations: Descriptions of the scoring routes whose body has other members besides rows, by path.
        explanation_parameters: Additional parameters for a deployment that explains its predictions.
        explanation_path: Ending of the paths that exist only for deployments with explanations.
        interval_parameters: Additional parameters for a model with prediction intervals.

    Raises:
        ConfigurationError: *keys* has a name that is not in `SCHEMES`.
    """

    title: str
    requests: Mapping[str, JSONSchema]
    answer: Callable[[Sequence[Target]], JSONSchema]
    error: JSONSchema
    answer_types: Sequence[str] = ()
    keys: Sequence[Sequence[str]] = (("bearer",), ("x-api-key",))
    parameters: Sequence[JSONSchema] = ()
    errors: Sequence[RequestError] = ()
    operations: Mapping[str, OperationSpec] = field(default_factory=dict)
    explanation_parameters: Sequence[JSONSchema] = ()
    explanation_path: str | None = None
    interval_parameters: Sequence[JSONSchema] = ()

    def __post_init__(self) -> None:
        for scheme in chain.from_iterable(self.keys):
            if scheme not in SCHEMES:
                raise ConfigurationError(
                    f"keys must be lists of names from {', '.join(SCHEMES)} (got {scheme!r})"
                )


def array_schema(items: JSONSchema) -> JSONSchema:
    """Return the schema of an array of *items*."""
    return {"type": "array", "items": items}


def object_schema(required: Sequence[str] = (), /, **properties: JSONSchema) -> JSONSchema:
    """Return the schema of an object with *properties*, of which *required* are required."""
    schema: JSONSchema = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def lone_member_schema(name: str, schema: JSONSchema) -> JSONSchema:
    """Return the schema of an object whose only member is *name*."""
    return {**object_schema([name], **{name: schema}), "additionalProperties": False}


def any_of_schema(*schemas: JSONSchema) -> JSONSchema:
    """Return a schema for values that match any of *schemas*."""
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def value_schema(target: Target) -> JSONSchema:
    """Return the schema of one output: one of the classes, a number, or anything if the type is unknown."""
    if target.classes is not None:
        return {"enum": [*target.classes, None] if target.nullable else list(target.classes)}
    return number_schema(target) if target.number else {}


def number_schema(target: Target) -> JSONSchema:
    """Return the schema of a number that is predicted for *target*, or of a probability."""
    return {"type": ["number", "null"] if target.nullable else "number"}


def targets_schema(
    targets: Sequence[Target], target_schema: Callable[[Target], JSONSchema] = value_schema
) -> JSONSchema:
    """Return the schema of the only target, or of an object with a member per target.

    Args:
        targets: Targets of the model.
        target_schema: Function that returns the schema of one target.
    """
    if len(targets) == 1:
        return target_schema(targets[0])
    return object_schema(
        [target.name for target in targets], **{target.name: target_schema(target) for target in targets}
    )


ROWS = array_schema(ROW)

ITEMS: JSONSchema = {"$ref": "#/components/schemas/Items"}
"""Rows: an array of objects, of arrays, or, for a model with one column, of plain values."""

_TEXTS = array_schema({"type": "string"})
_BY_COLUMN: JSONSchema = {"type": "object", "additionalProperties": {"type": "string"}}

WARNINGS: JSONSchema = {"warnings": _TEXTS}
"""Member of a response with warnings about rows that were scored but have a problem."""

DETAILS: Mapping[str, JSONSchema] = {
    "missing_columns": _TEXTS,
    "errors": {**_BY_COLUMN, "description": "Rule that the column's values break, by column name"},
    "did_you_mean": {
        **_BY_COLUMN,
        "description": "By unknown name in the request, the column or deployment it may mean",
    },
    "deployments": {**_TEXTS, "description": "Deployments that the API key permits"},
    "unexpected_columns": _TEXTS,
    "rows": {**array_schema({"type": "integer"}), "description": "Indices of the rows at fault, from 0"},
    "example": {"description": "Body that the deployment scores"},
    "request_id": {"type": "string"},
}
"""Members of an error response that can accompany the message."""

PLAIN_ERROR = object_schema(["error"], error={"type": "string"}, **DETAILS)
"""Error response ``{"error": message}`` plus details."""

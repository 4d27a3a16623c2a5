"""What an OpenAPI document says of a wire format, in JSON Schema; and the pieces that most of them share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import ConfigurationError, RequestError
from ..scoring import Target

__all__ = [
    "COLUMNS",
    "DETAILS",
    "ITEMS",
    "PLAIN_ERROR",
    "ROW",
    "ROWS",
    "SCHEMES",
    "VALUES",
    "WARNINGS",
    "Document",
    "JSONSchema",
    "array",
    "by_name",
    "either",
    "members",
    "value_of",
]

JSONSchema: TypeAlias = dict[str, Any]

ROW: JSONSchema = {"$ref": "#/components/schemas/Row"}
"""One row, an object by name."""

VALUES: JSONSchema = {"$ref": "#/components/schemas/Values"}
"""One row, an array in the schema's order."""

COLUMNS: JSONSchema = {"$ref": "#/components/schemas/Columns"}
"""Rows as an object of arrays, one a column."""

SCHEMES: Mapping[str, JSONSchema] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "basic": {"type": "http", "scheme": "basic", "description": "The key is the password, of any user"},
    "token": {"type": "http", "scheme": "token"},
    "datarobot-key": {"type": "apiKey", "in": "header", "name": "datarobot-key"},
}
"""Where a key may stand."""


@dataclass(frozen=True, slots=True)
class Document:
    """How a dialect's requests and answers look.

    Args:
        title: of the service.
        requests: by media type, the body of a request to score.
        answer: what gives the body of an answer, for what is predicted.
        error: the body of an answer to a request that failed.
        answer_types: the media types besides JSON in which answers can be asked for: as text.
        keys: where the key may stand: each a set of `SCHEMES`, an empty one for within the body or path.
        parameters: of the query string, as OpenAPI has them.
        errors: those that this dialect alone raises.

    Raises:
        ConfigurationError: *keys* names a scheme that is none of them.
    """

    title: str
    requests: Mapping[str, JSONSchema]
    answer: Callable[[Sequence[Target]], JSONSchema]
    error: JSONSchema
    answer_types: Sequence[str] = ()
    keys: Sequence[Sequence[str]] = (("bearer",), ("x-api-key",))
    parameters: Sequence[JSONSchema] = ()
    errors: Sequence[RequestError] = ()

    def __post_init__(self) -> None:
        for scheme in (scheme for way in self.keys for scheme in way):
            if scheme not in SCHEMES:
                raise ConfigurationError(f"keys: {scheme!r}: accepts sequences of {', '.join(SCHEMES)}")


def array(items: JSONSchema) -> JSONSchema:
    """An array of *items*."""
    return {"type": "array", "items": items}


def members(required: Sequence[str] = (), /, **properties: JSONSchema) -> JSONSchema:
    """An object of *properties*, those of *required* always there."""
    told: JSONSchema = {"type": "object", "properties": properties}
    return {**told, "required": list(required)} if required else told


def either(*schemas: JSONSchema) -> JSONSchema:
    """One of *schemas*, or several at once."""
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def value_of(target: Target) -> JSONSchema:
    """What is predicted of a row: one of the classes, or a number. A function may give anything."""
    if target.classes is not None:
        return {"enum": list(target.classes)}
    return {"type": "number"} if target.number else {}


def by_name(targets: Sequence[Target], each: Callable[[Target], JSONSchema] = value_of) -> JSONSchema:
    """What *each* makes of the only target; of several an object with a member for each."""
    if len(targets) == 1:
        return each(targets[0])
    return members([target.name for target in targets], **{target.name: each(target) for target in targets})


ROWS = array(ROW)

ITEMS: JSONSchema = {
    **either(ROWS, array(VALUES), array({"type": ["number", "string", "boolean", "null"]})),
    "description": "An item a row; a bare value is a row of a model with one column",
}
"""An array of rows, each in one of three ways."""

_TEXTS = array({"type": "string"})
_BY_COLUMN: JSONSchema = {"type": "object", "additionalProperties": {"type": "string"}}

WARNINGS: JSONSchema = {"warnings": _TEXTS}
"""What stands beside an answer to rows that passed and should not have come so."""

DETAILS: Mapping[str, JSONSchema] = {
    "missing_columns": _TEXTS,
    "errors": {**_BY_COLUMN, "description": "By column, what its values must be"},
    "did_you_mean": {**_BY_COLUMN, "description": "By a name that was sent, the column it may stand for"},
    "unexpected_columns": _TEXTS,
    "request_id": {"type": "string"},
}
"""What stands beside the message of an error."""

PLAIN_ERROR = members(["error"], error={"type": "string"}, **DETAILS)
"""``{"error": message}``, with the details beside it."""

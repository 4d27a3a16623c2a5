"""JSON Schemas (draft 2020-12) of columns."""

from typing import Any

from .columns import EXACT, Column

__all__ = ["to_json_schema"]

_TYPES = {
    "number": ["number"],
    "integer": ["integer"],
    "boolean": ["boolean"],
    "text": ["string"],
    "datetime": ["string"],
    "any": ["number", "string", "boolean"],
    "image": ["string"],
}
_KEYWORDS = {
    "levels": "enum",
    "minimum": "minimum",
    "maximum": "maximum",
    "max_length": "maxLength",
    "pattern": "pattern",
}


def to_json_schema(column: Column, *, any_level: bool = False) -> dict[str, Any]:
    """Return the JSON Schema for values of *column*, including null if the column is nullable.

    Args:
        column: Column to describe.
        any_level: Whether to allow values that are not among the levels, as in `Column.allows`.
    """
    if column.kind == "tensor":
        schema = _nested_arrays(column.array_shape)
        return schema | ({"description": column.description} if column.description else {})
    schema = {"type": list(_TYPES[column.kind])} | _constraint_keywords(column, any_level)
    if column.kind == "datetime":
        schema["format"] = "date-time"
    if column.kind == "image":
        schema["contentEncoding"] = "base64"
        schema["contentMediaType"] = "image/*"
    if column.nullable:
        schema["type"].append("null")
        if "enum" in schema:
            schema["enum"].append(None)
    if len(schema["type"]) == 1:
        schema["type"] = schema["type"][0]
    annotations = {
        "description": column.description or None,
        "default": column.default,
        "examples": None if column.example is None else [column.example],
    }
    return schema | {name: value for name, value in annotations.items() if value is not None}


def _constraint_keywords(column: Column, any_level: bool) -> dict[str, Any]:
    constraints = column.constraints(any_level=any_level)
    if "levels" in constraints:
        return {"enum": list(constraints["levels"])}
    if column.kind == "integer":
        # A float64 rounds larger integers.
        constraints["minimum"] = max(-EXACT, constraints.get("minimum", -EXACT))
        constraints["maximum"] = min(EXACT, constraints.get("maximum", EXACT))
    return {keyword: constraints[option] for option, keyword in _KEYWORDS.items() if option in constraints}


def _nested_arrays(shape: tuple[int, ...]) -> dict[str, Any]:
    if not shape:
        return {"type": "number"}
    length = shape[0]
    return {"type": "array", "minItems": length, "maxItems": length, "items": _nested_arrays(shape[1:])}

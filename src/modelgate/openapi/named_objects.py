"""Move the objects inside a JSON Schema to named components, for client generators."""

import re

from ..dialects.openapi_spec import JSONSchema

__all__ = ["name_objects"]

_NOT_IN_NAMES = re.compile(r"[^\w.-]+", re.ASCII)


def name_objects(name: str, schema: JSONSchema) -> dict[str, JSONSchema]:
    """Return *schema* and the objects inside it as components, which refer to each other.

    Client generators create a class for each component. They invent names for unnamed objects, and
    openapi-python-client fails on objects inside the alternatives of a component.

    Args:
        name: Name of *schema*, and the beginning of the names of the objects inside it.
        schema: JSON Schema, which is not changed.
    """
    components: dict[str, JSONSchema] = {}
    root = _replace_objects(schema, name, components)
    return {name: root, **components}


def _replace_objects(schema: JSONSchema, name: str, components: dict[str, JSONSchema]) -> JSONSchema:
    """Move the objects inside *schema* to *components*, and return a copy of *schema* that refers to them."""
    copy = dict(schema)
    for keyword in ("anyOf", "oneOf", "prefixItems"):
        if keyword in schema:
            copy[keyword] = [
                _refer(part, f"{name}_{number}", components) for number, part in enumerate(schema[keyword], 1)
            ]
    if "properties" in schema:
        copy["properties"] = {
            member: _refer(part, f"{name}_{member}", components)
            for member, part in schema["properties"].items()
        }
    for keyword, ending in (("items", "item"), ("additionalProperties", "value")):
        if isinstance(schema.get(keyword), dict):
            copy[keyword] = _refer(schema[keyword], f"{name}_{ending}", components)
    return copy


def _refer(schema: JSONSchema, name: str, components: dict[str, JSONSchema]) -> JSONSchema:
    """Add a copy of *schema* to *components* and return a reference to it, if *schema* is an object.

    Otherwise return the copy.
    """
    copy = _replace_objects(schema, name, components)
    if schema.get("type") != "object":
        return copy
    name = _NOT_IN_NAMES.sub("_", name)
    while components.get(name, copy) != copy:
        name += "_"
    name = next((known for known, component in components.items() if component == copy), name)
    components[name] = copy
    return {"$ref": f"#/components/schemas/{name}"}

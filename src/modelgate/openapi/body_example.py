"""Example body of a scoring request, for callers that sent no rows."""

from typing import Any

import msgspec

from ..dialects import Dialect, RequestTemplate, render_request
from ..schema import Schema
from .rows import example_of

__all__ = ["example_body"]

_MAX_LENGTH = 1000


def example_body(dialect: Dialect, deployment: str, schema: Schema) -> Any:
    """Return a JSON body for *dialect* that scores the example of *schema*.

    Return None if the schema is not shown to callers, if there is no example, or if the body is not JSON or
    has more than 1000 bytes. A member for an API key is left out.
    """
    template: RequestTemplate | None = getattr(dialect, "request_template", None)
    row = example_of(schema) if schema.options.show_schema else None
    if template is None or row is None or "json" not in template.media_type:
        return None
    body = render_request(template, deployment, "", schema, [row]).body
    if len(body) > _MAX_LENGTH:
        return None
    value = msgspec.json.decode(body)
    if not isinstance(template.body, dict):
        return value
    return {name: member for name, member in value.items() if template.body.get(name) != "{key}"}

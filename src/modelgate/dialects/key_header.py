"""Describe the requests of a dialect with the API key in another header field."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from .base import Dialect
from .openapi_spec import SCHEME_OF_HEADER

__all__ = ["with_key_header"]


def with_key_header(dialect: Dialect, header: str) -> Dialect:
    """Return a copy of *dialect* whose request template and OpenAPI description have the key in *header*.

    Args:
        dialect: Dialect to copy.
        header: One of `modelgate.http.credentials.KEY_HEADERS`.
    """
    changed: Any = copy(dialect)
    template, spec = getattr(dialect, "request_template", None), getattr(dialect, "openapi_spec", None)
    if template is not None:
        others = {name: value for name, value in template.headers.items() if "{key}" not in value}
        key = {"x-api-key": "{key}"} if header == "x-api-key" else {"Authorization": "Bearer {key}"}
        changed.request_template = replace(
            template, headers={**others, **key}, body=_without_key(template.body)
        )
    if spec is not None:
        more = [name for name in next(iter(spec.keys), ()) if name == "datarobot-key"]
        changed.openapi_spec = replace(spec, keys=[[SCHEME_OF_HEADER[header], *more]])
    return changed  # type: ignore[no-any-return]


def _without_key(body: Any) -> Any:
    if isinstance(body, Mapping):
        return {name: _without_key(value) for name, value in body.items() if value != "{key}"}
    return body

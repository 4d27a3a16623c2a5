"""Templates of scoring requests, used for examples in the OpenAPI document and the console.

A string in the body that consists of one placeholder is replaced::

    {key}         API key                          {matrix}    array of arrays in the schema's order
    {deployment}  deployment name                  {names}     column names
    {row}         row as an object by name         {columns}   object with an array per column
    {rows}        array of such rows               {tensors}   array of Open Inference tensors, one per column
    {values}      row in the schema's order        {csv}       the whole body as CSV with a header line

With several rows, ``{row}`` is replaced like ``{rows}`` and ``{values}`` like ``{matrix}``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from ..codecs.csv_writer import write_csv
from ..schema import Column, Schema
from .tensors import infer_datatype

__all__ = ["TENSOR_TYPES", "RenderedRequest", "RequestTemplate", "render_request"]

TENSOR_TYPES = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "text": "BYTES",
    "datetime": "BYTES",
    "any": "BYTES",
    "image": "BYTES",
    "tensor": "FP64",
}
"""Tensor datatypes by column kind."""

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """Template of a scoring request.

    Args:
        path: Path below the mount point, with the placeholders ``{deployment}`` and ``{version}``.
        headers: Headers, with the placeholder ``{key}``: ``{"Authorization": "Bearer {key}"}``.
        body: JSON value with the placeholders listed in the module's docstring.
        media_type: Content type of the body.
    """

    path: str
    headers: Mapping[str, str]
    body: Any
    media_type: str = "application/json"


class RenderedRequest(NamedTuple):
    """Scoring request, to be sent with ``POST``."""

    path: str
    headers: dict[str, str]
    body: bytes


def render_request(
    template: RequestTemplate, deployment: str, key: str, schema: Schema, rows: Sequence[Row]
) -> RenderedRequest:
    """Render *template* as a request that scores *rows*.

    A missing value is sent as the column's default or null. Rows that are sent as objects leave it out.
    """
    words = {"{key}": key, "{deployment}": deployment}

    def fill(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {name: fill(value) for name, value in part.items()}
        if isinstance(part, list | tuple):
            return [fill(value) for value in part]
        if isinstance(part, str) and part in _PLACEHOLDERS:
            return _PLACEHOLDERS[part](schema, rows)
        return words.get(part, part) if isinstance(part, str) else part

    body = fill(template.body)
    path = template.path
    for placeholder, word in words.items():
        path = path.replace(placeholder, quote(word, safe=""))
    headers = {name: value.replace("{key}", key) for name, value in template.headers.items()}
    headers["Content-Type"] = template.media_type
    return RenderedRequest(path, headers, body if isinstance(body, bytes) else msgspec.json.encode(body))


def _unwrap_single(rows: Sequence[Any]) -> Any:
    """Return the only row, or the list of several rows."""
    return rows[0] if len(rows) == 1 else list(rows)


def _columns(schema: Schema, rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {column.name: [row.get(column.name, column.default) for row in rows] for column in schema}


def _matrix(schema: Schema, rows: Sequence[Row]) -> list[list[Any]]:
    return [[row.get(column.name, column.default) for column in schema] for row in rows]


def _tensors(schema: Schema, rows: Sequence[Row]) -> list[dict[str, Any]]:
    columns = _columns(schema, rows)
    return [_tensor(column, columns[column.name]) for column in schema]


def _tensor(column: Column, values: list[Any]) -> dict[str, Any]:
    datatype = TENSOR_TYPES[column.kind]
    if column.kind == "any":
        datatype = infer_datatype([value for value in values if value is not None]) or datatype
    shape = [len(values), *column.shape] if column.shape is not None else [len(values)]
    return {"name": column.name, "shape": shape, "datatype": datatype, "data": values}


_PLACEHOLDERS: Mapping[str, Callable[[Schema, Sequence[Row]], Any]] = {
    "{row}": lambda _, rows: _unwrap_single(rows),
    "{rows}": lambda _, rows: list(rows),
    "{values}": lambda schema, rows: _unwrap_single(_matrix(schema, rows)),
    "{matrix}": _matrix,
    "{names}": lambda schema, _: list(schema.names),
    "{columns}": _columns,
    "{tensors}": _tensors,
    "{csv}": lambda schema, rows: write_csv(list(_columns(schema, rows).items()), len(rows)),
}

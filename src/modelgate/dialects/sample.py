"""How a request to score looks in a wire format: a template, and the template filled.

In the body a text that is exactly a mark stands for data::

    {key}         the key                             {matrix}    an array of arrays, in the schema's order
    {deployment}  the deployment's name               {names}     the names of the columns
    {row}         a row, an object by name            {columns}   an object of arrays, one a column
    {rows}        an array of such rows               {tensors}   an array of Open Inference tensors, one a column
    {values}      a row, in the schema's order        {csv}       the whole body: a header line, and a line a row

Where there are several rows, ``{row}`` stands for as many as ``{rows}``, and ``{values}`` as ``{matrix}``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from ..schema import Column, Schema, csv_of
from .tensors import datatype_of

__all__ = ["TENSOR_TYPES", "Filled", "Sample", "filled"]

TENSOR_TYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "text": "BYTES", "any": "BYTES"}
"""By the kind of a column: the datatype of its tensor."""

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to score, as a template.

    Args:
        path: below the mount point, with ``{deployment}`` and ``{version}`` where these stand.
        headers: with ``{key}`` where the key stands: ``{"Authorization": "Bearer {key}"}``.
        body: a JSON value with marks, see the module.
        media_type: of the body.
    """

    path: str
    headers: Mapping[str, str]
    body: Any
    media_type: str = "application/json"


class Filled(NamedTuple):
    """A request to score: what to send with ``POST``."""

    path: str
    headers: dict[str, str]
    body: bytes


def filled(sample: Sample, deployment: str, key: str, schema: Schema, rows: Sequence[Row]) -> Filled:
    """The request that *sample* makes of *rows*.

    In the schema's order, and by column, a value that a row leaves out is its column's default, or null.
    """
    words = {"{key}": key, "{deployment}": deployment}

    def fill(template: Any) -> Any:
        if isinstance(template, Mapping):
            return {name: fill(value) for name, value in template.items()}
        if isinstance(template, list | tuple):
            return [fill(value) for value in template]
        if isinstance(template, str) and template in _MARKS:
            return _MARKS[template](schema, rows)
        return words.get(template, template) if isinstance(template, str) else template

    body = fill(sample.body)
    path = sample.path
    for mark, word in words.items():
        path = path.replace(mark, quote(word, safe=""))
    headers = {name: value.replace("{key}", key) for name, value in sample.headers.items()}
    headers["Content-Type"] = sample.media_type
    return Filled(path, headers, body if isinstance(body, bytes) else msgspec.json.encode(body))


def _bare(rows: Sequence[Any]) -> Any:
    """The only row by itself, or all of them."""
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
        datatype = datatype_of([value for value in values if value is not None]) or datatype
    return {"name": column.name, "shape": [len(values)], "datatype": datatype, "data": values}


_MARKS: Mapping[str, Callable[[Schema, Sequence[Row]], Any]] = {
    "{row}": lambda _, rows: _bare(rows),
    "{rows}": lambda _, rows: list(rows),
    "{values}": lambda schema, rows: _bare(_matrix(schema, rows)),
    "{matrix}": _matrix,
    "{names}": lambda schema, _: list(schema.names),
    "{columns}": _columns,
    "{tensors}": _tensors,
    "{csv}": lambda schema, rows: csv_of(list(_columns(schema, rows).items()), len(rows)),
}

"""Coercion of values as documented in the table of docs/schema.md."""

import json
from pathlib import Path

import pytest

from modelgate import Column, InvalidValues, Schema
from modelgate.schema.row_validator import validate_rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "schema.md"


def iter_documented_cells():
    """Yield the value sent, the kind, whether strings are coerced, and the documented result."""
    section = DOCUMENT.read_text("utf-8").split("## Values and kinds")[1].split("\n\n")[1]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    for sent, *results in rows:
        for kind, cell in zip(head[1:], results, strict=True):
            strict, _, lenient = cell.partition("; coerced ")
            yield sent.strip("`"), kind, False, strict
            yield sent.strip("`"), kind, True, lenient or strict


TABLE = list(iter_documented_cells())


def test_documented_table_is_complete():
    """Every kind, both modes, and no row lost by the parser."""
    assert {"number", "integer", "boolean", "text", "any"} == {kind for _, kind, _, _ in TABLE}
    assert 2 * 5 * 14 == len(TABLE)


@pytest.mark.parametrize(("sent", "kind", "lenient", "documented"), TABLE)
def test_values_are_coerced_as_documented(sent, kind, lenient, documented):
    """From JSON and from Python, by the typed decoder and cell by cell."""
    schema = Schema([Column("a", kind)]).with_options(coerce_strings=lenient)
    reads = [
        lambda: schema.read(b'{"a": %s}' % sent.encode()),
        lambda: schema.read({"a": json.loads(sent)}),
        lambda: validate_rows(schema.columns, [{"a": json.loads(sent)}], schema.options),
    ]
    for read in reads:
        if documented == "rejected":
            with pytest.raises(InvalidValues):
                read()
        else:
            [row] = read().rows()
            expected = json.loads(documented)

            assert (type(expected), expected) == (type(row["a"]), row["a"])

"""The table in docs/schema.md, cell by cell: it says what is so."""

import json
from pathlib import Path

import pytest

from modelgate import Column, InvalidValues, Schema
from modelgate.schema.check import check

DOCUMENT = Path(__file__).parents[2] / "docs" / "schema.md"


def cells():
    """What is sent, to which kind, in which mode, and what the table says of it."""
    section = DOCUMENT.read_text("utf-8").split("## What a value becomes")[1].split("\n\n")[1]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    for sent, *told in rows:
        for kind, cell in zip(head[1:], told, strict=True):
            strict, _, lenient = cell.partition("; lenient ")
            yield sent.strip("`"), kind, False, strict
            yield sent.strip("`"), kind, True, lenient or strict


TABLE = list(cells())


def test_the_table_is_whole():
    """Every kind, both modes, and no row lost to the parsing."""
    assert {"number", "integer", "boolean", "text", "any"} == {kind for _, kind, _, _ in TABLE}
    assert 2 * 5 * 14 == len(TABLE)


@pytest.mark.parametrize(("sent", "kind", "lenient", "told"), TABLE)
def test_a_value_becomes_what_the_table_says(sent, kind, lenient, told):
    """From JSON and from Python, typed and cell by cell."""
    schema = Schema([Column("a", kind)]).reading(lenient=lenient)
    reads = [
        lambda: schema.read(b'{"a": %s}' % sent.encode()),
        lambda: schema.read({"a": json.loads(sent)}),
        lambda: check(schema.columns, [{"a": json.loads(sent)}], schema.policy),
    ]
    for read in reads:
        if told == "refused":
            with pytest.raises(InvalidValues):
                read()
        else:
            [row] = read().rows()
            expected = json.loads(told)

            assert (type(expected), expected) == (type(row["a"]), row["a"])

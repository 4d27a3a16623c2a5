"""CSV files in the console: read, scored, and given back."""

import csv
import email.utils
import io
import re
import threading
import time

import numpy as np
import pytest

from browser.conftest import downloaded, drop, enter, served
from browser.gates import make_gate
from modelgate import Column, Gate, RateLimit, Schema
from modelgate.dialects import DIALECTS


def rows_of(text, *columns):
    """The cells of *columns* in each line of a result, whose separator is the file's own."""
    table = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in text.partition("\n")[0] else ",")
    return [tuple(row[column] for column in columns) for row in table]


def score(page):
    page.get_by_role("button", name=re.compile("^Score ")).click()
    page.get_by_role("button", name="Download the result").wait_for()


def test_rows_that_are_refused(page, tmp_path):
    """Are told with their line, quoted line ends counted; the others are scored, in order."""
    text = (
        'amount;note;plan;member;count\n1;"two\nlines; quoted ""so""";free;true;\n'
        "x;;free;true;1\n3;;free;perhaps;1\n4;;pro;TRUE;1\n5;;pro\n6;;gold;false;2\n"
    )
    with served(make_gate().wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", text)
        score(page)
        result = downloaded(page, tmp_path)

    assert [
        ["Line 4", "amount must be a number between 0 and 90"],
        ["Line 5", "member must be true or false"],
        ["Line 7", "has 3 cells, and the header 5"],
        ["Line 8", "plan must be one of free, pro"],
    ] == [line.split("\n") for line in page.locator(".lines li").all_inner_texts()]
    assert [
        ("1", 'two\nlines; quoted "so"', "2", ""), ("x", "", "", "amount must be a number between 0 and 90"),
        ("3", "", "", "member must be true or false"), ("4", "", "8", ""), ("5", "", "", "has 3 cells, and the header 5"),
        ("6", "", "", "plan must be one of free, pro"),
    ] == rows_of(result, "amount", "note", "total", "refused")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("amount,note\n1,a\n", "These columns are missing: count, plan, member"),
        ("amount,amount,count,plan,member\n", "There is no row below the header line."),
        ("amount,amount,count,plan,member\n1,1,1,pro,true\n", "These columns are there twice: amount"),
        ('amount,"plan\n1,pro\n', "Line 1: a quotation mark is open until the end of the file"),
    ],
)
def test_files_that_cannot_be_scored(page, text, told):
    """Say why before anything is sent."""
    with served(make_gate().wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", text)

        assert told == page.locator("#batch [role=alert]").inner_text()
        assert 0 == page.get_by_role("button", name=re.compile("^Score ")).count()


def test_a_file_that_is_not_utf8(page):
    """Says how to save it."""
    with served(make_gate().wsgi) as address:
        enter(page, address, "sum")
        page.locator("#file").set_input_files(
            {"name": "x.csv", "mimeType": "text/csv", "buffer": "größe\n1\n".encode("latin-1")}
        )

        assert (
            "The file is not UTF-8 text: save it as “CSV UTF-8”."
            == page.locator("#batch [role=alert]").inner_text()
        )


@pytest.mark.parametrize(("note", "rows"), [("x" * 100_000, 0), ('""' * 10_000_000 + '"', 1)])
def test_long_quotations(page, tmp_path, note, rows):
    """Are read at once, and where one is never closed that is said: the page goes on."""
    path = tmp_path / "rows.csv"
    path.write_text(f'note\n"{note}')
    with served(make_gate(schema=Schema.of(note=str)).wsgi) as address:
        enter(page, address, "sum")
        page.locator("#file").set_input_files(path)
        page.locator("#batch [role=alert], #actions").wait_for()

        assert rows == page.get_by_role("button", name="Score 1 row").count()


def test_rows_of_an_empty_cell(page, tmp_path):
    """Are rows where they are quoted, as `modelgate score` writes them, and given back so; a blank line is none."""
    schema = Schema.of(count=Column("count", "integer", nullable=True))
    with served(make_gate(lambda table: np.nan_to_num(table["count"]), schema).wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", 'count\n1\n""\n\n3\n""')
        score(page)

        assert [("1", "1"), ("", "0"), ("3", "3"), ("", "0")] == rows_of(
            downloaded(page, tmp_path), "count", "total"
        )


def test_a_file_that_has_columns_of_the_results_names(page, tmp_path):
    """Keeps them: those of the result have other names."""
    with served(make_gate(schema=AMOUNT).wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", "amount,total,refused\n2,known,\nx,,why\n")
        score(page)

        assert [
            "amount,total,refused,total_scored,refused_scored",
            "2,known,,4,",
            "x,,why,,amount must be a number",
        ] == downloaded(page, tmp_path).splitlines()


AMOUNTS = "amount\n" + "".join(f"{at}\n" for at in range(2000))
AMOUNT = Schema.of(amount=float)


def test_a_limit_is_waited_for(page, tmp_path):
    """As long as it asks; then scoring goes on, and no row is lost."""
    with served(make_gate(schema=AMOUNT, limits=RateLimit("3/2 seconds")).wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", AMOUNTS)
        page.get_by_role("button", name=re.compile("^Score ")).click()
        page.get_by_text("Asked to wait: going on in").wait_for()
        page.get_by_role("button", name="Download the result").wait_for()

        assert [(str(at), str(2 * at)) for at in range(2000)] == rows_of(
            downloaded(page, tmp_path), "amount", "total"
        )


def test_an_overload_is_waited_for(page, tmp_path):
    """Until the date that it names."""
    gate, until = make_gate(schema=AMOUNT), email.utils.formatdate(time.time() + 3, usegmt=True)
    refusals = [[("Retry-After", until), ("Content-Type", "application/json")]]

    def overloaded(environ, start_response):
        if environ["REQUEST_METHOD"] == "POST" and refusals:
            start_response("503 Service Unavailable", refusals.pop())
            return [b'{"error": "overloaded"}']
        return gate.wsgi(environ, start_response)

    with served(overloaded) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", "amount\n1\n")
        page.get_by_role("button", name="Score 1 row").click()
        page.get_by_text("Asked to wait: going on in").wait_for()
        page.get_by_role("button", name="Download the result").wait_for()

        assert [("1", "2")] == rows_of(downloaded(page, tmp_path), "amount", "total")


def test_many_rows_that_are_refused(page, tmp_path):
    """Stop the scoring, which can go on all the same; what is right among them is scored."""
    text = "amount\n" + "".join(f"{at if at % 4 == 0 else 'x'}\n" for at in range(2000))
    with served(make_gate(schema=AMOUNT, limits=RateLimit("10000/second")).wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", text)
        page.get_by_role("button", name="Score 2,000 rows").click()
        page.get_by_role("alert").get_by_text("Stopped: 750 rows were refused").wait_for()
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("1,500 rows refused").wait_for()
        told = page.locator(".lines").inner_text()
        rows = rows_of(downloaded(page, tmp_path), "amount", "total", "refused")

    assert told.startswith("Line 3\namount must be a number")
    assert [(str(at), str(2 * at), "") for at in range(0, 2000, 4)] == rows[::4]
    assert 2000 == len(rows)


def failing_on(*amounts):
    """What fails for rows of these amounts, and the sizes of what it was asked."""
    sizes = []

    def predict(table):
        sizes.append(len(table["amount"]))
        if not set(amounts).isdisjoint(table["amount"].tolist()):
            raise ZeroDivisionError
        return table["amount"] * 2

    return predict, sizes


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_that_the_model_fails_for(page, tmp_path, dialect):
    """Are found and told with the id of their request; those around them are scored, as many at once as before."""
    predict, sizes = failing_on(3, 700)
    with served(make_gate(predict, AMOUNT).wsgi) as address:
        enter(page, address, "sum")
        page.get_by_label("Wire format").select_option(dialect)
        drop(page, "rows.csv", AMOUNTS)
        score(page)
        lines = page.locator(".lines li").all_inner_texts()
        rows = rows_of(downloaded(page, tmp_path), "amount", "total")

    assert [(str(at), "" if at in (3, 700) else str(2 * at)) for at in range(2000)] == rows
    assert ["Line 5", "Line 702"] == [line.partition("\n")[0] for line in lines]
    assert all(re.search("The server failed.* under the id [0-9a-f]{32}", line) for line in lines)
    assert [500, 500] == sizes[-2:]


def test_a_model_that_fails_for_every_row(page):
    """Is not asked for each of them."""
    predict, sizes = failing_on(*range(2000))
    with served(make_gate(predict, AMOUNT).wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", AMOUNTS)
        page.get_by_role("button", name="Score 2,000 rows").click()
        told = page.get_by_role("alert").inner_text()

    assert "The server failed" in told
    assert 20 >= len(sizes)


def test_a_deployment_that_takes_few_rows(page, tmp_path):
    """Is sent as many as it takes, which is found out once."""
    gate, sizes = Gate(keys="open"), []

    def double(table):
        sizes.append(len(table["amount"]))
        return table["amount"] * 2

    gate.handler("sum", schema=AMOUNT, target="total", max_rows=100)(double)
    with served(gate.wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", AMOUNTS)
        score(page)

        assert [(str(at), str(2 * at)) for at in range(2000)] == rows_of(
            downloaded(page, tmp_path), "amount", "total"
        )
    assert {63, 62} >= set(sizes[:8])
    posted = [url for url in page.watched.asked if url.endswith("/api/predict")]
    assert len(posted) - len(sizes) == 7


def test_a_connection_that_is_cut(page, tmp_path):
    """Is tried again, and what was scored before is not lost."""
    gate, calls = make_gate(schema=AMOUNT), []

    def cutting(environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            calls.append(environ["PATH_INFO"])
            if len(calls) == 2:
                start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "100000")])
                return [b'{"predictions": [']
        return gate.wsgi(environ, start_response)

    with served(cutting) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", AMOUNTS)
        score(page)

        assert [(str(at), str(2 * at)) for at in range(2000)] == rows_of(
            downloaded(page, tmp_path), "amount", "total"
        )
    assert 5 == len(calls)


def test_cancelling_and_going_on(page, tmp_path):
    """What was scored stays, and the rest can be scored later."""
    started, go_on = threading.Event(), threading.Event()

    def slow(table):
        if table["amount"][0] == 1000 and not started.is_set():
            started.set()
            go_on.wait(20)
        return table["amount"] * 2

    with served(make_gate(slow, AMOUNT).wsgi) as address:
        enter(page, address, "sum")
        drop(page, "rows.csv", AMOUNTS)
        page.get_by_role("button", name=re.compile("^Score ")).click()
        assert started.wait(20)
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Go on").wait_for()
        go_on.set()
        partly = rows_of(downloaded(page, tmp_path), "amount", "total")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Go on").wait_for(state="detached")
        page.get_by_role("button", name="Download the result").wait_for()
        whole = rows_of(downloaded(page, tmp_path), "amount", "total")

    assert [(str(at), str(2 * at) if at < 1000 else "") for at in range(2000)] == partly
    assert [(str(at), str(2 * at)) for at in range(2000)] == whole

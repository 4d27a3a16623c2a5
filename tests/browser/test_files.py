"""CSV files in the console: read, scored, and given back."""

import csv
import email.utils
import io
import re
import threading
import time

import numpy as np
import pytest

from modelgate import Column, Gate, RateLimit, Schema
from modelgate.dialects import DIALECTS
from support.browser import download_result, drop_file, open_console, serve_wsgi
from support.console_gate import make_gate
from support.waiting import SOON


def read_columns(text, *columns):
    """Return the cells of *columns* in each line of a result, which has the separator of its file."""
    table = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in text.partition("\n")[0] else ",")
    return [tuple(row[column] for column in columns) for row in table]


def score_file(page):
    page.get_by_role("button", name=re.compile("^Score ")).click()
    page.get_by_role("button", name="Download the result").wait_for()


def test_invalid_rows_are_listed_by_line(page, tmp_path):
    """Quoted line ends count; the other rows are scored, in order."""
    text = (
        'amount;note;plan;member;count\n1;"two\nlines; quoted ""so""";free;true;\n'
        "x;;free;true;1\n3;;free;perhaps;1\n4;;pro;TRUE;1\n5;;pro\n6;;gold;false;2\n"
    )
    with serve_wsgi(make_gate().wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", text)
        score_file(page)
        result = download_result(page, tmp_path)

    assert [
        ["Line 4", "amount must be a number between 0 and 90"],
        ["Line 5", "member must be true or false"],
        ["Line 7", "has 3 cells, the header has 5"],
        ["Line 8", "plan must be one of free, pro"],
    ] == [line.split("\n") for line in page.locator(".lines li").all_inner_texts()]
    assert [
        ("1", 'two\nlines; quoted "so"', "2", ""), ("x", "", "", "amount must be a number between 0 and 90"),
        ("3", "", "", "member must be true or false"), ("4", "", "8", ""), ("5", "", "", "has 3 cells, the header has 5"),
        ("6", "", "", "plan must be one of free, pro"),
    ] == read_columns(result, "amount", "note", "total", "error")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amount,note\n1,a\n", "These columns are missing: count, plan, member"),
        ("amount,amount,count,plan,member\n", "There is no row below the header line."),
        ("amount,amount,count,plan,member\n1,1,1,pro,true\n", "These columns appear more than once: amount"),
        ('amount,"plan\n1,pro\n', "Line 1: a quotation mark is never closed"),
    ],
)
def test_unusable_files_are_rejected(page, text, message):
    """Before anything is sent."""
    with serve_wsgi(make_gate().wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", text)

        assert message == page.locator("#batch [role=alert]").inner_text()
        assert 0 == page.get_by_role("button", name=re.compile("^Score ")).count()


def test_file_that_is_not_utf_8_is_rejected(page):
    with serve_wsgi(make_gate().wsgi) as address:
        open_console(page, address, "sum")
        page.locator("#file").set_input_files(
            {"name": "x.csv", "mimeType": "text/csv", "buffer": "größe\n1\n".encode("latin-1")}
        )

        assert (
            "The file is not UTF-8 text. Save it as “CSV UTF-8”."
            == page.locator("#batch [role=alert]").inner_text()
        )


@pytest.mark.parametrize(("note", "rows"), [("x" * 100_000, 0), ('""' * 10_000_000 + '"', 1)])
def test_long_quotations_are_read(page, tmp_path, note, rows):
    """A quotation that is never closed is reported."""
    path = tmp_path / "rows.csv"
    path.write_text(f'note\n"{note}')
    with serve_wsgi(make_gate(schema=Schema.of(note=str)).wsgi) as address:
        open_console(page, address, "sum")
        page.locator("#file").set_input_files(path)
        page.locator("#batch [role=alert], #actions").wait_for()

        assert rows == page.get_by_role("button", name="Score 1 row").count()


def test_quoted_empty_cells_are_rows(page, tmp_path):
    """As `modelgate score` writes them; blank lines are not."""
    schema = Schema.of(count=Column("count", "integer", nullable=True))
    with serve_wsgi(make_gate(lambda table: np.nan_to_num(table["count"]), schema).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", 'count\n1\n""\n\n3\n""')
        score_file(page)

        assert [("1", "1"), ("", "0"), ("3", "3"), ("", "0")] == read_columns(
            download_result(page, tmp_path), "count", "total"
        )


def test_result_columns_do_not_replace_columns_of_the_file(page, tmp_path):
    with serve_wsgi(make_gate(schema=AMOUNT).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", "amount,total,error\n2,known,\nx,,why\n")
        score_file(page)

        assert [
            "amount,total,error,total_scored,error_scored",
            "2,known,,4,",
            "x,,why,,amount must be a number",
        ] == download_result(page, tmp_path).splitlines()


def test_formulas_in_the_result_are_escaped(page, tmp_path):
    """Spreadsheets run them. Numbers are not changed."""
    with serve_wsgi(make_gate(schema=AMOUNT).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", "amount,note\n-2,=1+1\n-1e5,-a\n+3,@x\n")
        score_file(page)

        assert ["amount,note,total", "-2,'=1+1,-4", "-1e5,'-a,-200000", "+3,'@x,6"] == download_result(
            page, tmp_path
        ).splitlines()


AMOUNTS = "amount\n" + "".join(f"{at}\n" for at in range(2000))
AMOUNT = Schema.of(amount=float)


def test_rate_limit_pauses_scoring(page, tmp_path):
    """No row is lost. The clock of the limit stands still until the limit is reached, however long that takes."""
    start, is_running = time.time(), threading.Event()
    limit = RateLimit("3/2 seconds", clock=lambda: time.time() if is_running.is_set() else start)
    with serve_wsgi(make_gate(schema=AMOUNT, limits=limit).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", AMOUNTS)
        page.get_by_role("button", name=re.compile("^Score ")).click()
        page.get_by_text("The gate is busy: continuing in").wait_for()
        is_running.set()
        page.get_by_role("button", name="Download the result").wait_for()

        assert [(str(at), str(2 * at)) for at in range(2000)] == read_columns(
            download_result(page, tmp_path), "amount", "total"
        )


def test_overload_pauses_scoring(page, tmp_path):
    """Until the date in Retry-After."""
    page.clock.install()
    gate, until = make_gate(schema=AMOUNT), email.utils.formatdate(time.time() + 2 * SOON, usegmt=True)
    refusals = [[("Retry-After", until), ("Content-Type", "application/json")]]

    def overloaded(environ, start_response):
        if environ["REQUEST_METHOD"] == "POST" and refusals:
            start_response("503 Service Unavailable", refusals.pop())
            return [b'{"error": "overloaded"}']
        return gate.wsgi(environ, start_response)

    with serve_wsgi(overloaded) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", "amount\n1\n")
        page.get_by_role("button", name="Score 1 row").click()
        page.get_by_text("The gate is busy: continuing in").wait_for()
        page.clock.run_for(2 * SOON * 1000)
        page.get_by_role("button", name="Download the result").wait_for()

        assert [("1", "2")] == read_columns(download_result(page, tmp_path), "amount", "total")


def test_many_invalid_rows_stop_scoring(page, tmp_path):
    """It can be continued; valid rows between them are scored."""
    text = "amount\n" + "".join(f"{at if at % 4 == 0 else 'x'}\n" for at in range(2000))
    with serve_wsgi(make_gate(schema=AMOUNT, limits=RateLimit("10000/second")).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", text)
        page.get_by_role("button", name="Score 2,000 rows").click()
        page.get_by_role("alert").get_by_text("Stopped: 750 rows were rejected").wait_for()
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("1,500 rows rejected").wait_for()
        lines = page.locator(".lines").inner_text()
        rows = read_columns(download_result(page, tmp_path), "amount", "total", "error")

    assert lines.startswith("Line 3\namount must be a number")
    assert [(str(at), str(2 * at), "") for at in range(0, 2000, 4)] == rows[::4]
    assert 2000 == len(rows)


def fail_for(*amounts):
    """Return a function that fails for rows with these amounts, and a list of the sizes of its calls."""
    sizes = []

    def predict(table):
        sizes.append(len(table["amount"]))
        if not set(amounts).isdisjoint(table["amount"].tolist()):
            raise ZeroDivisionError
        return table["amount"] * 2

    return predict, sizes


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_that_the_model_fails_for_are_found(page, tmp_path, dialect):
    """They are listed with the request id; the rows around them are scored, in batches as large as before."""
    predict, sizes = fail_for(3, 700)
    with serve_wsgi(make_gate(predict, AMOUNT).wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_label("Wire format").select_option(dialect)
        drop_file(page, "rows.csv", AMOUNTS)
        score_file(page)
        lines = page.locator(".lines li").all_inner_texts()
        rows = read_columns(download_result(page, tmp_path), "amount", "total")

    assert [(str(at), "" if at in (3, 700) else str(2 * at)) for at in range(2000)] == rows
    assert ["Line 5", "Line 702"] == [line.partition("\n")[0] for line in lines]
    assert all(re.search("The server failed.* under the id [0-9a-f]{32}", line) for line in lines)
    assert [500, 500] == sizes[-2:]


def test_broken_model_stops_scoring(page):
    """It is not called for each row."""
    predict, sizes = fail_for(*range(2000))
    with serve_wsgi(make_gate(predict, AMOUNT).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", AMOUNTS)
        page.get_by_role("button", name="Score 2,000 rows").click()
        alert = page.get_by_role("alert").inner_text()

    assert "The server failed" in alert
    assert 20 >= len(sizes)


def test_row_limit_of_a_deployment_reduces_the_batch_size(page, tmp_path):
    gate, sizes = Gate(keys="open"), []

    def double(table):
        sizes.append(len(table["amount"]))
        return table["amount"] * 2

    gate.handler("sum", schema=AMOUNT, target="total", max_rows=100)(double)
    with serve_wsgi(gate.wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", AMOUNTS)
        score_file(page)

        assert [(str(at), str(2 * at)) for at in range(2000)] == read_columns(
            download_result(page, tmp_path), "amount", "total"
        )
    assert {63, 62} >= set(sizes[:8])
    posted = [url for url in page.watched.asked if url.endswith("/deployments/sum/predict")]
    assert len(posted) - len(sizes) == 7


def test_interrupted_connection_is_tried_again(page, tmp_path):
    """Rows that were scored before are not lost."""
    gate, calls = make_gate(schema=AMOUNT), []

    def cutting(environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            calls.append(environ["PATH_INFO"])
            if len(calls) == 2:
                start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "100000")])
                return [b'{"predictions": [']
        return gate.wsgi(environ, start_response)

    with serve_wsgi(cutting) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", AMOUNTS)
        score_file(page)

        assert [(str(at), str(2 * at)) for at in range(2000)] == read_columns(
            download_result(page, tmp_path), "amount", "total"
        )
    assert 5 == len(calls)


def test_cancelled_scoring_can_be_continued(page, tmp_path):
    started, go_on = threading.Event(), threading.Event()

    def slow(table):
        if table["amount"][0] == 1000 and not started.is_set():
            started.set()
            go_on.wait(SOON)
        return table["amount"] * 2

    with serve_wsgi(make_gate(slow, AMOUNT).wsgi) as address:
        open_console(page, address, "sum")
        drop_file(page, "rows.csv", AMOUNTS)
        page.get_by_role("button", name=re.compile("^Score ")).click()
        assert started.wait(SOON)
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Continue").wait_for()
        go_on.set()
        partly = read_columns(download_result(page, tmp_path), "amount", "total")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Continue").wait_for(state="detached")
        page.get_by_role("button", name="Download the result").wait_for()
        whole = read_columns(download_result(page, tmp_path), "amount", "total")

    assert [(str(at), str(2 * at) if at < 1000 else "") for at in range(2000)] == partly
    assert [(str(at), str(2 * at)) for at in range(2000)] == whole

"""The console of gates made for it: every kind of column and output, what goes wrong, and what is kept."""

import csv
import io
import os
import re
import subprocess
import threading

import numpy as np
import pytest

from browser.conftest import console_of, downloaded, drop, enter, opened, predict, served
from modelgate import Gate, Output, Prediction, RateLimit, Schema
from modelgate.errors import KeyInactive
from modelgate.schema import Column

KEY = "mg_a-key-of-the-console-tests"
SCHEMA = Schema.of(
    amount=Column("amount", "number", minimum=0, maximum=90, description="in euros", typical=4.5),
    count=Column("count", "integer", nullable=True, typical=3),
    plan=["free", "pro"],
    member=bool,
    note=Column("note", "text", required=False, nullable=True, max_length=40),
    region=Column("region", "text", default="north"),
)
ROW = {"amount": 12.5, "count": 2, "plan": "pro", "member": True, "note": "new", "region": "south"}


def make_gate(predict=lambda table: table["amount"] * 2, schema=SCHEMA, **options):
    gate = Gate(**{"keys": "open", **options})
    gate.handler("sum", schema=schema, target="total")(predict)
    return gate


@pytest.fixture
def recorded():
    """A gate that anyone may use, with the rows it was given."""
    rows = []

    def predict(table):
        rows.extend(
            dict(zip(SCHEMA.names, row, strict=True))
            for row in zip(*(table[name].tolist() for name in SCHEMA.names), strict=True)
        )
        return table["amount"] * 2

    return make_gate(predict), rows


def test_a_gate_without_keys_below_a_long_prefix(page, recorded):
    """Opens at once, and asks nobody but the gate below that prefix."""
    gate, rows = recorded
    with served(gate.wsgi, "/tools/ml") as address:
        enter(page, address, "sum")
        for name, value in ROW.items():
            field = page.get_by_label(name, exact=True)
            field.select_option(str(value).lower()) if name in ("plan", "member") else field.fill(str(value))
        predict(page)

        assert ("total", "25") == (
            page.locator(".output .muted").first.inner_text(),
            page.locator(".value").inner_text(),
        )
        assert [ROW] == rows
        assert all(url.startswith(f"{address}/") for url in page.watched.asked if not url.startswith("data:"))
        assert [] == page.watched.errors
        assert not page.get_by_role("button", name="Change key").is_visible()
        assert "KEY" not in page.locator("#code").inner_text()


def test_what_is_left_empty(page, recorded):
    """Is null where that may be, the default where there is one, and otherwise missing, which is told there."""
    gate, rows = recorded
    with served(gate.wsgi) as address:
        enter(page, address, "sum")
        page.get_by_label("amount", exact=True).fill("1")
        predict(page)
        missing = {name: page.get_by_label(name, exact=True).get_attribute("aria-invalid") for name in ROW}
        told = page.locator(".error:not(:empty)").all_inner_texts()
        focused = page.evaluate("document.activeElement.labels[0].innerText")
        page.get_by_label("plan", exact=True).select_option("free")
        page.get_by_label("member", exact=True).select_option("false")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Predict").click()
        page.locator(".value").wait_for()

    assert {"plan", "member"} == {name for name, invalid in missing.items() if invalid == "true"}
    assert ["is missing", "is missing"] == told
    assert "plan" == focused
    assert [
        {**ROW, "amount": 1, "count": None, "plan": "free", "member": False, "note": None, "region": "north"}
    ] == [{name: None if value != value else value for name, value in row.items()} for row in rows]
    assert "in euros · from 0 to 90" == page.locator("#field-0-hint").inner_text()
    assert ["4.5", "3"] == [
        page.get_by_label(name, exact=True).get_attribute("placeholder") for name in ("amount", "count")
    ]


@pytest.mark.parametrize(
    "dialect",
    ["mlclever", "plexe", "datarobot", "peltarion", "simple", "open_inference", "tf_serving", "mlflow"],
)
def test_wrong_values_are_told_at_their_fields(chromium, recorded, dialect):
    """In whatever words the service spoken has for it."""
    with served(recorded[0].wsgi) as address, opened(chromium) as page:
        enter(page, address, "sum")
        page.get_by_role("button", name="Fill with a typical row").click()
        page.get_by_label("Wire format").select_option(dialect)
        page.get_by_label("amount", exact=True).fill("120")
        page.get_by_label("count", exact=True).fill("some")
        predict(page)
        told = {
            name: page.get_by_label(name, exact=True).get_attribute("aria-invalid") == "true" for name in ROW
        }
        errors = page.locator(".error").all_inner_texts()

    # A tensor of whole numbers with a text in it cannot be read at all, and no value is looked at.
    expected = {"count"} if dialect == "open_inference" else {"amount", "count"}
    assert expected == {name for name, invalid in told.items() if invalid}
    assert "whole number" in errors[1]


def test_several_outputs(page):
    """Each has its own name, value and bars."""

    def predict_both(table):
        size = len(table["amount"])
        shares = np.tile([0.2, 0.7, 0.1], (size, 1))
        return Prediction([
            Output("risk", np.array(["mid"] * size), ["low", "mid", "high"], shares),
            Output("price", table["amount"] * 3),
        ])  # fmt: skip

    gate = Gate(keys="open")
    gate.handler("both", schema=Schema.of(amount=float), target=["risk", "price"])(predict_both)
    with served(gate.wsgi) as address:
        enter(page, address, "both")
        page.get_by_label("amount", exact=True).fill("2")
        told = {}
        for dialect in page.locator("#dialect option").all_inner_texts():
            page.get_by_label("Wire format").select_option(dialect)
            predict(page)
            told[dialect] = (
                page.locator(".value").all_inner_texts(),
                page.locator(".bars .label").all_inner_texts(),
            )

    assert {("mid", "6")} == {tuple(values) for values, _ in told.values()}
    assert ["mid", "low", "high"] == told["datarobot"][1] == told["peltarion"][1]


AWKWARD = 'it\'s "$HOME" `id` \\ !! %s € {row}'


def test_awkward_values_in_code(page, tmp_path):
    """Reach the gate as they were typed, through a shell and through every dialect."""
    rows = []

    def predict_note(table):
        rows.extend(table["note"].tolist())
        return np.zeros(len(table["note"]))

    gate = make_gate(predict_note, Schema.of(note=str), keys={KEY: "*"})
    with served(gate.wsgi) as address:
        enter(page, address, "sum", KEY)
        page.get_by_label("note", exact=True).fill(AWKWARD)
        dialects = page.locator("#dialect option").all_inner_texts()
        for dialect in dialects:
            page.get_by_label("Wire format").select_option(dialect)
            ran = subprocess.run(
                ["sh", "-c", page.locator("#code").inner_text() + " --silent --fail-with-body"],
                env={**os.environ, "MODELGATE_KEY": KEY, "no_proxy": "*"}, capture_output=True, text=True,
            )  # fmt: skip
            assert 0 == ran.returncode, (dialect, ran.stdout, ran.stderr)

    assert [AWKWARD] * len(dialects) == rows


class _Expired:
    """A key store whose one key is no longer valid."""

    def find(self, key):
        yield from ()
        raise KeyInactive("k1", "expired", "This API key expired on 2026-11-01")


def test_keys_that_open_nothing(page):
    """A wrong key is told and can be mended; an expired one is told as such; neither stays in the page."""
    with served(make_gate(keys={KEY: "*"}).wsgi) as address:
        page.goto(console_of(address, "sum"))
        page.get_by_label("API key").fill("mg_broken")
        page.keyboard.press("Enter")
        wrong = page.get_by_role("alert").inner_text()
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Predict").wait_for()

        assert "The key was not accepted" in wrong
        assert not page.get_by_role("alert").is_visible()
    with served(make_gate(keys=_Expired()).wsgi) as address:
        page.goto(console_of(address, "sum"))
        page.get_by_label("API key").fill("mg_was-good-once")
        page.keyboard.press("Enter")

        assert "This API key expired on 2026-11-01" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("API key").is_visible()


def test_the_key_is_kept_nowhere(page):
    """Neither in the document nor in what a browser stores; and it is gone after leaving the page."""
    with served(make_gate(keys={KEY: "*"}).wsgi) as address:
        enter(page, address, "sum", KEY)
        page.get_by_role("button", name="Fill with a typical row").click()
        predict(page)
        values = page.locator("input, select").evaluate_all("fields => fields.map(field => field.value)")

        assert KEY not in page.content()
        assert KEY not in values
        assert [0, 0, ""] == page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        assert not any(KEY in url for url in page.watched.asked)
        page.goto("about:blank")
        page.go_back()
        page.get_by_label("API key").wait_for()
        assert "" == page.get_by_label("API key").input_value()


def test_a_server_that_is_gone(page):
    """What happened and what to do is told, before and after the page was opened."""
    with served(make_gate().wsgi) as address:
        enter(page, address, "sum")
        page.get_by_role("button", name="Fill with a typical row").click()
    predict(page)

    assert "no answer" == page.locator("#status").inner_text()
    assert "No answer came" in page.locator("#result").inner_text()
    assert "Is it running" in page.locator("#result").inner_text()


def test_something_in_front_that_answers_in_html(page):
    """Is told as what it is."""
    gate = make_gate()

    def proxy(environ, start_response):
        if environ["REQUEST_METHOD"] == "GET":
            return gate.wsgi(environ, start_response)
        start_response("502 Bad Gateway", [("Content-Type", "text/html")])
        return [b"<h1>Bad gateway</h1>"]

    with served(proxy) as address:
        enter(page, address, "sum")
        page.get_by_role("button", name="Fill with a typical row").click()
        predict(page)

    assert "Something in front of the gate has answered with 502" in page.locator("#result").inner_text()


def test_too_many_requests(page):
    """When to try again is told, and what is left of the limit."""
    with served(make_gate(limits=RateLimit("3/hour")).wsgi) as address:
        enter(page, address, "sum")
        page.get_by_role("button", name="Fill with a typical row").click()
        predict(page)
        left = page.locator("#facts").inner_text()
        predict(page)
        page.locator(".value").wait_for()
        page.get_by_role("button", name="Predict").click()
        page.locator(".problem").wait_for()

        assert "1 of 3 left" in left
        assert re.search(r"Try again in \d+ (min|s)", page.locator("#result").inner_text())


def test_phases_of_the_server(page):
    """Are shown where an answer has Server-Timing."""

    def timed(request, call_next):
        response = yield from call_next(request)
        response.set("server-timing", 'auth;dur=0.25, model;desc="the model";dur=1.5, total;dur=1.9')
        return response

    with served(make_gate(layers=[timed]).wsgi) as address:
        enter(page, address, "sum")
        page.get_by_role("button", name="Fill with a typical row").click()
        predict(page)

    assert ["auth 0.25 ms", "the model 1.50 ms"] == page.locator(".timing li").all_inner_texts()


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


def test_the_keyboard_alone(page):
    """Reaches everything: from the key to the prediction, and the languages with the arrows."""
    with served(
        make_gate(schema=Schema.of(amount=float, plan=["free", "pro"]), keys={KEY: "*"}).wsgi
    ) as address:
        page.goto(console_of(address, "sum"))
        page.keyboard.type(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Predict").wait_for()
        page.keyboard.type("4")
        page.keyboard.press("Tab")
        page.keyboard.type("pro")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.locator(".value").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")

        assert "8" == page.locator(".value").inner_text()
        assert ["false", "true", "false"] == [
            tab.get_attribute("aria-selected") for tab in page.get_by_role("tab").all()
        ]
        assert "import requests" in page.get_by_role("tabpanel").inner_text()


def test_without_javascript(chromium):
    """The page says that it needs it."""
    with served(make_gate().wsgi) as address, opened(chromium, java_script_enabled=False) as page:
        page.goto(console_of(address, "sum"))

        assert "This console works with JavaScript" in page.locator("main").inner_text()

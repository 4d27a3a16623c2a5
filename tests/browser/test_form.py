"""The console's form, its predictions and its code, for every kind of column and output."""

import io
import json
import os
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from modelgate import Column, Gate, ImageSpec, Output, Prediction, Schema
from modelgate.dialects import Simple
from support.browser import (
    console_url,
    drop_file,
    open_console,
    open_page,
    press_predict,
    read_dialects,
    serve_wsgi,
)
from support.console_gate import KEY, ROW, SCHEMA, make_gate


@pytest.fixture
def recorded():
    """Return an open gate, and the list of the rows that it receives."""
    rows = []

    def predict(table):
        rows.extend(
            dict(zip(SCHEMA.names, row, strict=True))
            for row in zip(*(table[name].tolist() for name in SCHEMA.names), strict=True)
        )
        return table["amount"] * 2

    return make_gate(predict), rows


def test_open_gate_below_a_prefix(page, recorded):
    """The page opens at once, and only sends requests below that prefix."""
    gate, rows = recorded
    with serve_wsgi(gate.wsgi, "/tools/ml") as address:
        open_console(page, address, "sum")
        for name, value in ROW.items():
            field = page.get_by_label(name, exact=True)
            field.select_option(str(value).lower()) if name in ("plan", "member") else field.fill(str(value))
        press_predict(page)

        assert ("total", "25") == (
            page.locator(".output .muted").first.inner_text(),
            page.locator(".value").inner_text(),
        )
        assert [ROW] == rows
        assert all(url.startswith(f"{address}/") for url in page.watched.asked if not url.startswith("data:"))
        assert [] == page.watched.errors
        assert not page.get_by_role("button", name="Change key").is_visible()
        assert "KEY" not in page.locator("#code").inner_text()


def test_datetimes_and_guessed_numbers(page):
    """A datetime is sent as text, and ``true`` for a number as a boolean. The hint shows what to send."""
    schema = Schema(
        [Column("when", "datetime", timezone="Europe/Berlin"), Column("on", accepts_booleans=True)]
    )
    tables = []
    gate = make_gate(lambda table: tables.append(table) or table["on"], schema)
    with serve_wsgi(gate.wsgi) as address:
        open_console(page, address, "sum")
        hint = page.locator("#field-0-hint").inner_text()
        page.get_by_label("when", exact=True).fill("2024")
        page.get_by_label("on", exact=True).fill("True")
        press_predict(page)
        error = page.locator("#field-0-error").inner_text()
        page.get_by_label("when", exact=True).fill("2024-01-06T10:00:00+01:00")
        page.get_by_role("button", name="Predict").click()
        page.locator(".value").wait_for()

    assert "must be a date and time with UTC offset, such as 2024-01-06T10:00:00+01:00" in hint
    assert hint == error
    assert ["2024-01-06T09:00:00.000000", 1.0] == [str(tables[-1]["when"][0]), tables[-1]["on"][0]]


def test_image_file_and_tensor(page):
    """A chosen file is sent as a data URL, and nested arrays as they are typed."""
    schema = Schema(
        [
            Column("photo", "image", image=ImageSpec(size=(2, 2), mode="L")),
            Column("window", "tensor", shape=(1, 2)),
        ]
    )
    tables = []
    gate = make_gate(
        lambda table: tables.append(table) or table["photo"].mean(axis=(1, 2)) + table["window"][:, 0, 1],
        schema,
    )
    with serve_wsgi(gate.wsgi) as address, io.BytesIO() as buffer:
        Image.new("L", (9, 9), 40).save(buffer, "PNG")
        open_console(page, address, "sum")
        page.get_by_label("window", exact=True).fill("[[1, 2]]")
        page.get_by_label("Image file for photo").set_input_files(
            {"name": "grey.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
        )
        page.wait_for_function(
            "document.getElementById('field-0').value.startsWith('data:image/png;base64,')"
        )
        press_predict(page)

        assert "42" == page.locator(".value").inner_text()
        assert [] == page.watched.errors


def test_empty_fields(page, recorded):
    """Are null if the column is nullable, the default if it has one, and otherwise reported as missing."""
    gate, rows = recorded
    with serve_wsgi(gate.wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_label("amount", exact=True).fill("1")
        press_predict(page)
        missing = {name: page.get_by_label(name, exact=True).get_attribute("aria-invalid") for name in ROW}
        messages = page.locator(".error:not(:empty)").all_inner_texts()
        focused = page.evaluate("document.activeElement.labels[0].innerText")
        page.get_by_label("plan", exact=True).select_option("free")
        page.get_by_label("member", exact=True).select_option("false")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Predict").click()
        page.locator(".value").wait_for()

    assert {"plan", "member"} == {name for name, invalid in missing.items() if invalid == "true"}
    assert ["is missing", "is missing"] == messages
    assert "plan" == focused
    assert [
        {**ROW, "amount": 1, "count": None, "plan": "free", "member": False, "note": None, "region": "north"}
    ] == [{name: None if value != value else value for name, value in row.items()} for row in rows]
    assert "in euros · must be a number between 0 and 90" == page.locator("#field-0-hint").inner_text()
    assert ["4.5", "3"] == [
        page.get_by_label(name, exact=True).get_attribute("placeholder") for name in ("amount", "count")
    ]


LOSSY = {"size": "1e400", "count": "9007199254740993", "code": "007", "id": "12345678901234567891"}


def test_numbers_that_javascript_cannot_represent(page, tmp_path):
    """Are rejected or sent as text, and never rounded: in the form, in files and in code."""
    names = {"size": "number", "count": "integer", "code": "any", "id": "any"}
    schema = Schema([Column(name, kind, nullable=True) for name, kind in names.items()])
    rows = []

    def keep(table):
        rows.extend([table["code"][0], table["id"][0]])
        return np.zeros(len(table["code"]))

    with serve_wsgi(make_gate(keep, schema).wsgi) as address:
        open_console(page, address, "sum")
        for name, text in LOSSY.items():
            page.get_by_label(name, exact=True).fill(text)
        press_predict(page)
        errors = page.locator(".error").all_inner_texts()
        drop_file(page, "rows.csv", f"{','.join(LOSSY)}\n{','.join(LOSSY.values())}\n")
        page.get_by_role("button", name="Score 1 row").click()
        refused = page.locator(".lines li").inner_text()
        for name in ("size", "count"):
            page.get_by_label(name, exact=True).fill("9007199254740992")
        press_predict(page)
        page.get_by_role("tab", name="Python", exact=True).click()
        code = page.locator("#code").inner_text()

    size = "is too large: send a number from -1.7e308 to 1.7e308"
    count = "is too large: send a number from -9007199254740992 to 9007199254740992"
    assert [size, count, "", ""] == errors
    assert f"Line 2\nsize {size}; count {count}" == refused
    assert ["007", "12345678901234567891"] == rows
    assert '"size": 9007199254740992,' in code
    assert '"code": "007",' in code


def test_columns_with_names_of_object_members(page):
    """Such as __proto__: in the form, in files and in code."""
    names = ["__proto__", "constructor"]
    schema = Schema([Column(name, "number", nullable=True) for name in names])
    rows = []

    def keep(table):
        rows.append([table[name].tolist() for name in names])
        return np.zeros(len(table["constructor"]))

    with serve_wsgi(make_gate(keep, schema, dialects=["simple", "mlflow"]).wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_label("__proto__", exact=True).fill("1")
        page.get_by_label("constructor", exact=True).fill("2")
        for dialect in ("simple", "mlflow"):
            page.get_by_label("Wire format").select_option(dialect)
            press_predict(page)
            page.get_by_role("tab", name="JavaScript").click()
            page.evaluate(f"async () => {{{page.locator('#code').inner_text()}}}")
        drop_file(page, "rows.csv", "__proto__,constructor\n1,2\n")
        page.get_by_role("button", name="Score 1 row").click()
        page.get_by_role("button", name="Download the result").wait_for()

    assert [[[1], [2]]] * 5 == rows


@pytest.mark.parametrize(
    "dialect",
    ["mlclever", "plexe", "datarobot", "peltarion", "simple", "open_inference", "tf_serving", "mlflow"],
)
def test_errors_are_shown_at_their_fields(chromium, recorded, dialect):
    """In the error format of any service."""
    with serve_wsgi(recorded[0].wsgi) as address, open_page(chromium) as page:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Typical row").click()
        page.get_by_label("Wire format").select_option(dialect)
        page.get_by_label("amount", exact=True).fill("120")
        page.get_by_label("count", exact=True).fill("some")
        press_predict(page)
        is_invalid = {
            name: page.get_by_label(name, exact=True).get_attribute("aria-invalid") == "true" for name in ROW
        }
        errors = page.locator(".error").all_inner_texts()

    # A tensor of whole numbers with a text in it cannot be read at all, and no value is looked at.
    expected = {"count"} if dialect == "open_inference" else {"amount", "count"}
    assert expected == {name for name, invalid in is_invalid.items() if invalid}
    assert "whole number" in errors[1]


def predict_in_each_dialect(page):
    """Yield each wire format once its prediction is shown."""
    for dialect in read_dialects(page):
        page.get_by_label("Wire format").select_option(dialect)
        press_predict(page)
        yield dialect


def test_several_outputs_are_shown_separately(page):
    def predict_both(table):
        size = len(table["amount"])
        shares = np.tile([0.2, 0.7, 0.1], (size, 1))
        return Prediction([
            Output("risk", np.array(["mid"] * size), ["low", "mid", "high"], shares),
            Output("price", table["amount"] * 3),
        ])  # fmt: skip

    gate = Gate(keys="open")
    gate.handler("both", schema=Schema.of(amount=float), target=["risk", "price"])(predict_both)
    with serve_wsgi(gate.wsgi) as address:
        open_console(page, address, "both")
        page.get_by_label("amount", exact=True).fill("2")
        results = {}
        for dialect in predict_in_each_dialect(page):
            results[dialect] = (
                page.locator(".value").all_inner_texts(),
                page.locator("#result .bars .label").all_inner_texts(),
            )

    assert {("mid", "6")} == {tuple(values) for values, _ in results.values()}
    assert ["mid", "low", "high"] == results["datarobot"][1] == results["peltarion"][1]


@pytest.mark.parametrize("names", [["high"], ["high", "low"]])
def test_unnamed_outputs_are_shown_as_received(page, names):
    """Or their value alone, without bars."""
    gate = Gate(keys="open")
    gate.handler("sum", schema=Schema.of(amount=float))(lambda table: dict.fromkeys(names, table["amount"]))
    with serve_wsgi(gate.wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_label("amount", exact=True).fill("82")
        results = {}
        for dialect in predict_in_each_dialect(page):
            results[dialect] = (
                page.locator(".value").all_inner_texts() or page.locator("#result p").inner_text()
            )
            assert 0 == page.locator("#result .bars").count(), dialect
        drop_file(page, "rows.csv", "amount\n82\n")
        page.get_by_label("Wire format").select_option("peltarion")
        page.get_by_role("button", name="Score 1 row").click()
        refused = page.get_by_role("alert").inner_text()

    assert "This page cannot read the responses of this wire format" in refused
    for dialect, shown in results.items():
        assert shown == ["82"] or "shown below as received" in shown, dialect
    assert len(names) == 1 or ["82"] not in results.values()


AWKWARD = 'it\'s "$HOME" `id` \\ !! %s € {row}'


def test_special_characters_in_code(page, tmp_path):
    """Reach the gate as entered, through a shell and every dialect."""
    rows = []

    def predict_note(table):
        rows.extend(table["note"].tolist())
        return np.zeros(len(table["note"]))

    gate = make_gate(predict_note, Schema.of(note=str), keys={KEY: "*"})
    with serve_wsgi(gate.wsgi) as address:
        open_console(page, address, "sum", KEY)
        page.get_by_label("note", exact=True).fill(AWKWARD)
        dialects = read_dialects(page)
        for dialect in dialects:
            page.get_by_label("Wire format").select_option(dialect)
            ran = subprocess.run(
                ["sh", "-c", page.locator("#code").inner_text() + " --silent --fail-with-body"],
                env={**os.environ, "MODELGATE_KEY": KEY, "no_proxy": "*"}, capture_output=True, text=True,
            )  # fmt: skip
            assert 0 == ran.returncode, (dialect, ran.stdout, ran.stderr)

    assert [AWKWARD] * len(dialects) == rows


def test_custom_dialect(page):
    """Its sample is used for requests, and its response shown as received; files need another dialect."""

    class Ours(Simple):
        name = "ours"

    with serve_wsgi(make_gate(schema=Schema.of(amount=float), dialects=[Ours()]).wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_label("amount", exact=True).fill("2")
        press_predict(page)
        drop_file(page, "rows.csv", "amount\n2\n")
        page.get_by_role("button", name="Score 1 row").click()
        alert = page.get_by_role("alert").inner_text()

        assert "this page cannot read this wire format" in page.locator("#result").inner_text()
        assert '[{"prediction": 4}]' == page.locator("#received pre").inner_text().split("\n\n")[1]
    assert "choose another one" in alert


def test_facts_of_a_response(page):
    """Time by phase, and every window of a limit."""

    def limited(request, call_next):
        response = yield from call_next(request)
        response.set("ratelimit-policy", '"10 per 1 day";q=10;w=86400, "5 per 1 minute";q=5;w=60')
        response.set("ratelimit", '"10 per 1 day";r=9;t=80000, "5 per 1 minute";r=4;t=59')
        return response

    with serve_wsgi(make_gate(layers=[limited]).wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Typical row").click()
        press_predict(page)

    phases = [re.sub(r"[\d.]+ ms", "0 ms", phase) for phase in page.locator(".timing li").all_inner_texts()]
    assert ["auth 0 ms", "checks 0 ms", "cache (hit) 0 ms", "model 0 ms", "encode 0 ms"] == phases
    assert re.search(r"\d ms in the server", page.locator("#facts dd").first.inner_text())
    assert [
        "9 of 10 left · 10 per 1 day, resets in 22\xa0h",
        "4 of 5 left · 5 per 1 minute, resets in 59\xa0s",
    ] == [row.inner_text() for row in page.locator("dl div", has_text="Limit").locator("dd").all()]


def test_time_bar_is_full(page):
    """Also if the phases take less than a millisecond together."""

    gate = make_gate()

    def app(environ, start_response):
        def start_with_short_phases(status, headers, *more):
            headers = [field for field in headers if field[0].lower() != "server-timing"]
            return start_response(
                status, [*headers, ("Server-Timing", "auth;dur=0.02, model;dur=0.06")], *more
            )

        return gate.wsgi(environ, start_with_short_phases)

    with serve_wsgi(app) as address:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Typical row").click()
        press_predict(page)
        whole, auth, model = (element.bounding_box() for element in page.locator(".stack, .stack span").all())

    assert whole["x"] + whole["width"] == pytest.approx(model["x"] + model["width"])
    assert 3 == pytest.approx(model["width"] / auth["width"], rel=0.05)


def test_key_is_sent_in_the_header_of_the_gate(page):
    """In every dialect, and in the requests that describe the deployment."""
    gate, sent = make_gate(keys={KEY: "*"}, key_header="x-api-key"), []

    def app(environ, start_response):
        sent.append((environ.get("HTTP_X_API_KEY"), environ.get("HTTP_AUTHORIZATION")))
        return gate.wsgi(environ, start_response)

    with serve_wsgi(app) as address:
        open_console(page, address, "sum", KEY)
        page.get_by_role("button", name="Typical row").click()
        dialects = list(predict_in_each_dialect(page))

    assert list(gate._dialects) == dialects
    assert {(None, None), (KEY, None)} == set(sent)


def test_openapi_document_is_downloaded_with_the_key(page, tmp_path):
    with serve_wsgi(make_gate(keys={KEY: "*"}).wsgi) as address:
        open_console(page, address, "sum", KEY)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download OpenAPI").click()
        download.value.save_as(tmp_path / "openapi.json")

    assert "sum.openapi.json" == download.value.suggested_filename
    assert "3.1.0" == json.loads((tmp_path / "openapi.json").read_text("utf-8"))["openapi"]


def test_copy_puts_the_code_on_the_clipboard(chromium):
    allowed = ["clipboard-read", "clipboard-write"]
    with serve_wsgi(make_gate().wsgi) as address, open_page(chromium, permissions=allowed) as page:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Copy", exact=True).click()
        page.get_by_role("button", name="Copied").wait_for()

        assert page.locator("#code").inner_text() == page.evaluate("navigator.clipboard.readText()")


def test_page_without_javascript_says_so(chromium):
    with serve_wsgi(make_gate().wsgi) as address, open_page(chromium, java_script_enabled=False) as page:
        page.goto(console_url(address, "sum"))

        assert "This console works with JavaScript" in page.locator("main").inner_text()

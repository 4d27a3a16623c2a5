"""What the console says of keys that do not open, and of servers that do not answer; and what it keeps."""

import re

from browser.conftest import console_of, enter, predict, served
from browser.gates import KEY, make_gate
from modelgate import RateLimit
from modelgate.dialects import Simple
from modelgate.errors import KeyInactive, Unauthorized


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


def test_a_login_of_the_app_in_place_of_keys(page):
    """Its cookie goes with what the page asks; who has none is asked for a key, and told that it does not help."""

    def logged_in(request, call_next):
        if "session=ours" not in (request.headers.get("cookie") or ""):
            raise Unauthorized("Log in first")
        return call_next(request)

    with served(make_gate(layers=[logged_in]).wsgi) as address:
        page.goto(console_of(address, "sum"))
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        told = page.get_by_role("alert").inner_text()
        page.context.add_cookies([{"name": "session", "value": "ours", "url": address}])
        enter(page, address, "sum")

    assert "Log in first" in told


def test_another_key(page):
    """What was typed in stays."""
    with served(make_gate(keys={KEY: "*"}).wsgi) as address:
        enter(page, address, "sum", KEY)
        page.get_by_label("note", exact=True).fill("kept")
        page.get_by_role("button", name="Change key").click()
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Predict").wait_for()

        assert "kept" == page.get_by_label("note", exact=True).input_value()


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


def test_a_login_page_in_place_of_an_answer(page):
    """Of an app whose session is over."""
    gate = make_gate()

    def app(environ, start_response):
        if environ["PATH_INFO"].endswith("/console"):
            return gate.wsgi(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<h1>Log in</h1>"]

    with served(app) as address:
        page.goto(console_of(address, "sum"))
        told = page.get_by_role("alert").inner_text()

    assert "Is there a login in front of it?" in told


def test_a_gate_whose_dialects_tell_nothing(page):
    """That is said, and nothing is asked."""

    class Mute(Simple):
        name = "mute"
        sample = None

    with served(make_gate(dialects=[Mute()]).wsgi) as address:
        page.goto(console_of(address, "sum"))

        assert "none has a sample" in page.get_by_role("alert").inner_text()


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
        assert re.search(r"Try again in \d+\s(min|s)", page.locator("#result").inner_text())

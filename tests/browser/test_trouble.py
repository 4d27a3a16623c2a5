"""The console with invalid keys and failing servers."""

import re

from modelgate import RateLimit
from modelgate.dialects import Simple
from modelgate.errors import KeyInactive, Unauthorized
from support.browser import console_url, open_console, press_predict, serve_wsgi
from support.console_gate import KEY, make_gate


class _Expired:
    """Key store whose only key has expired."""

    def find(self, key):
        yield from ()
        raise KeyInactive("k1", "expired", "This API key expired on 2026-11-01")


def test_invalid_keys_are_reported(page):
    """A wrong key can be corrected; neither stays in the page."""
    with serve_wsgi(make_gate(keys={KEY: "*"}).wsgi) as address:
        page.goto(console_url(address, "sum"))
        page.get_by_label("API key").fill("mg_broken")
        page.keyboard.press("Enter")
        wrong = page.get_by_role("alert").inner_text()
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Predict").wait_for()

        assert "The key was not accepted" in wrong
        assert not page.get_by_role("alert").is_visible()
    with serve_wsgi(make_gate(keys=_Expired()).wsgi) as address:
        page.goto(console_url(address, "sum"))
        page.get_by_label("API key").fill("mg_was-good-once")
        page.keyboard.press("Enter")

        assert "This API key expired on 2026-11-01" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("API key").is_visible()


def test_login_of_the_app_replaces_keys(page):
    """Its cookie is sent with each request; without it the page asks for a key."""

    def logged_in(request, call_next):
        if "session=ours" not in (request.headers.get("cookie") or ""):
            raise Unauthorized("Log in first")
        return call_next(request)

    with serve_wsgi(make_gate(layers=[logged_in]).wsgi) as address:
        page.goto(console_url(address, "sum"))
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        alert = page.get_by_role("alert").inner_text()
        page.context.add_cookies([{"name": "session", "value": "ours", "url": address}])
        open_console(page, address, "sum")

    assert "Log in first" in alert


def test_changing_the_key_keeps_the_form(page):
    with serve_wsgi(make_gate(keys={KEY: "*"}).wsgi) as address:
        open_console(page, address, "sum", KEY)
        page.get_by_label("note", exact=True).fill("kept")
        page.get_by_role("button", name="Change key").click()
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Predict").wait_for()

        assert "kept" == page.get_by_label("note", exact=True).input_value()


def test_key_is_not_stored(page):
    """Neither in the document nor in the browser; it is gone after leaving the page."""
    with serve_wsgi(make_gate(keys={KEY: "*"}).wsgi) as address:
        open_console(page, address, "sum", KEY)
        page.get_by_role("button", name="Typical row").click()
        press_predict(page)
        values = page.locator("input, select").evaluate_all("fields => fields.map(field => field.value)")

        assert KEY not in page.content()
        assert KEY not in values
        assert [0, 0, ""] == page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        assert not any(KEY in url for url in page.watched.asked)
        page.goto("about:blank")
        page.go_back()
        page.get_by_label("API key").wait_for()
        assert "" == page.get_by_label("API key").input_value()


def test_unreachable_server_is_reported(page):
    """Before and after the page was opened."""
    with serve_wsgi(make_gate().wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Typical row").click()
    press_predict(page)

    assert "no response" == page.locator("#status").inner_text()
    assert "No response" in page.locator("#result").inner_text()
    assert "Is it running" in page.locator("#result").inner_text()


def test_login_page_instead_of_a_response_is_reported(page):
    gate = make_gate()

    def app(environ, start_response):
        if environ["PATH_INFO"].endswith("/console"):
            return gate.wsgi(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<h1>Log in</h1>"]

    with serve_wsgi(app) as address:
        page.goto(console_url(address, "sum"))
        alert = page.get_by_role("alert").inner_text()

    assert "Is there a login in front of it?" in alert


def test_dialects_without_sample_are_reported(page):
    """No request is sent."""

    class Mute(Simple):
        name = "mute"
        request_template = None

    with serve_wsgi(make_gate(dialects=[Mute()]).wsgi) as address:
        page.goto(console_url(address, "sum"))

        assert "None of the gate's wire formats has a sample" in page.get_by_role("alert").inner_text()


def test_html_error_of_a_proxy_is_reported(page):
    gate = make_gate()

    def proxy(environ, start_response):
        if environ["REQUEST_METHOD"] == "GET":
            return gate.wsgi(environ, start_response)
        start_response("502 Bad Gateway", [("Content-Type", "text/html")])
        return [b"<h1>Bad gateway</h1>"]

    with serve_wsgi(proxy) as address:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Typical row").click()
        press_predict(page)

    assert "A server in front of the gate responded with 502" in page.locator("#result").inner_text()


def test_rate_limit_is_reported(page):
    """With the time to wait, and the remaining requests."""
    with serve_wsgi(make_gate(limits=RateLimit("4/hour")).wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_role("button", name="Typical row").click()
        press_predict(page)
        left = page.locator("#facts").inner_text()
        press_predict(page)
        page.locator(".value").wait_for()
        page.get_by_role("button", name="Predict").click()
        page.locator("#result .problem").wait_for()

        assert "1 of 4 left" in left
        assert re.search(r"Try again in \d+\s(min|s)", page.locator("#result").inner_text())

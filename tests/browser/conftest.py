"""A Chromium, pages that tell what they did, and gates served on real ports."""

import shutil
import threading
import wsgiref.simple_server
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn

import pytest
from playwright.sync_api import sync_playwright

from servers.serving import ROOT, serving

SCREENSHOTS = ROOT / "artifacts"
TIMEOUT = 10_000


@pytest.fixture(scope="module")
def chromium():
    """The browser of the machine. Closed after each module: its event loop would be in the way of others."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed: no chromium, chromium-browser or google-chrome on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """What a page did: the errors in its console, and whom it asked."""

    def __init__(self, page):
        self.errors, self.asked = [], []
        page.on(
            "console", lambda message: self.errors.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def hosts(self):
        """Who was asked; what is in the page itself asks nobody."""
        return {"/".join(url.split("/")[:3]) for url in self.asked if not url.startswith(("data:", "blob:"))}


@pytest.fixture
def page(chromium):
    """A page of a browser nobody has used, `page.watched` telling what it did."""
    with opened(chromium) as page:
        yield page


@contextmanager
def opened(chromium, **options):
    """A page with *options* of its own."""
    context = chromium.new_context(accept_downloads=True, **options)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    page.watched = Watched(page)
    yield page
    context.close()


@pytest.fixture(scope="module", params=["flask", "starlette"])
def example(request, tmp_path_factory):
    """Each example app, started as its README says."""
    name = request.param
    with serving(name, [f"examples/{name}_app/app.py"], tmp_path_factory.mktemp(name)) as server:
        yield server


def screenshot(page, name):
    """Keep what the whole page looks like as an artifact."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *told):
        pass


@contextmanager
def served(app, prefix=""):
    """The address of a WSGI app below *prefix*, as a server behind a proxy has it."""

    def below(environ, start_response):
        environ["SCRIPT_NAME"] = prefix
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
        return app(environ, start_response)

    with wsgiref.simple_server.make_server("127.0.0.1", 0, below, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()


def console_of(address, deployment):
    return f"{address}/deployments/{deployment}/console"


def enter(page, address, deployment, key=None):
    """Open the console of a deployment, with *key* where one is asked for."""
    page.goto(console_of(address, deployment))
    if key is not None:
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Predict").wait_for()


def predict(page):
    """Ask for a prediction, and wait for whatever comes of it."""
    page.get_by_role("button", name="Predict").click()
    page.locator("#predict:enabled").wait_for()


def drop(page, name, text):
    """Drop a file on the page, as a person does."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, {type: "text/csv"}));
            return transfer;
        }""",
        [name, text],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def downloaded(page, folder: Path):
    """The text of the result."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the result").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path.read_text("utf-8")

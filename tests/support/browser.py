"""Open and operate consoles in a browser."""

import threading
import wsgiref.simple_server
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn

from support.servers import ROOT
from support.waiting import SOON

SCREENSHOTS = ROOT / "artifacts"


class Watched:
    """Records the errors in the console of a page, and the requests it sends."""

    def __init__(self, page):
        self.errors, self.asked = [], []
        page.on(
            "console", lambda message: self.errors.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def hosts(self):
        """Return the hosts that requests went to. Data in the page itself is no request."""
        return {"/".join(url.split("/")[:3]) for url in self.asked if not url.startswith(("data:", "blob:"))}


@contextmanager
def open_page(chromium, **options):
    """Open a page in a new browser context with *options*."""
    context = chromium.new_context(accept_downloads=True, **options)
    context.set_default_timeout(SOON * 1000)
    page = context.new_page()
    page.watched = Watched(page)
    yield page
    context.close()


def save_screenshot(page, name):
    """Save an image of the whole page in artifacts/."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


@contextmanager
def serve_wsgi(app, prefix=""):
    """Serve a WSGI app below *prefix*, as behind a proxy, and yield its address."""

    def serve_below_prefix(environ, start_response):
        environ["SCRIPT_NAME"] = prefix
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
        return app(environ, start_response)

    with wsgiref.simple_server.make_server("127.0.0.1", 0, serve_below_prefix, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join(SOON)


def console_url(address, deployment):
    return f"{address}/deployments/{deployment}/console"


def open_console(page, address, deployment, key=None, *, is_cleared=True):
    """Open the console of a deployment, and enter *key* if there is one.

    The console opens with an example row. If *is_cleared*, clear the form.
    """
    page.goto(console_url(address, deployment))
    if key is not None:
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Predict").wait_for()
    if is_cleared:
        page.get_by_role("button", name="Clear").click()


def open_filled(page, address, deployment, key=None):
    """Open a console, and wait for its first prediction and plot."""
    open_console(page, address, deployment, key, is_cleared=False)
    page.locator(".value").first.wait_for()
    page.locator("#what-if-plot figure").first.wait_for()


def press_predict(page):
    """Press Predict, and wait until the response is shown."""
    page.get_by_role("button", name="Predict").click()
    page.locator("#predict[aria-busy=false]").wait_for()


def read_dialects(page):
    """Return the names of the wire formats that the page offers, in order."""
    return page.locator("#dialect option").evaluate_all("options => options.map(option => option.value)")


def drop_file(page, name, text):
    """Drop a file on the page."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, {type: "text/csv"}));
            return transfer;
        }""",
        [name, text],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def download_result(page, folder: Path):
    """Download the result, and return its text."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the result").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path.read_text("utf-8")

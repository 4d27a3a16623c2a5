"""Chromium, and the example apps on real ports."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from support.browser import open_page
from support.servers import run_server

# The first has no windows, so that a page takes a quarter of the CPU time.
PROGRAMS = "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"


@pytest.fixture(scope="module")
def chromium():
    """The browser of the machine. Closed after each module: its event loop would be in the way of others."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"Chromium is not installed: none of {', '.join(PROGRAMS)} is on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page of a new browser context. `page.watched` records its errors and requests."""
    with open_page(chromium) as page:
        yield page


@pytest.fixture(scope="module", params=["flask", "starlette"])
def example(request, tmp_path_factory):
    """Each example app, started as its README says."""
    name = request.param
    with run_server(name, [f"examples/{name}_app/app.py"], tmp_path_factory.mktemp(name)) as server:
        yield server

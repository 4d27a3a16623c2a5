"""The console of a deployment that predicts time series."""

import json

import pytest

from modelgate import Deployment, Gate
from support.browser import console_url, serve_wsgi
from support.series import Drift, drift_rows


@pytest.fixture
def gate():
    return Gate([Deployment("sales", Drift())], keys="open")


def fill_history(page, rows):
    page.get_by_label("History").fill(json.dumps(rows))


def test_console_plots_history_and_forecast(page, gate):
    with serve_wsgi(gate.wsgi) as address:
        page.goto(console_url(address, "sales"))
        page.locator("figure").first.wait_for()
        fill_history(page, drift_rows(history=8))
        page.get_by_role("button", name="Forecast", exact=True).click()
        page.locator("figure").nth(1).wait_for()

        assert ["1: 3 steps from 2018-01-09, first 108", "2: 3 steps from 2018-01-09, first 208"] == [
            plot.get_attribute("aria-label") for plot in page.get_by_role("img").all()
        ]
        assert 8 == page.locator("path.past").first.get_attribute("d").count(",")
        assert not page.get_by_role("button", name="Predict").is_visible()
        assert [] == page.watched.errors


def test_forecast_point_can_be_moved(page, gate):
    with serve_wsgi(gate.wsgi) as address:
        page.goto(console_url(address, "sales"))
        page.locator("figure").first.wait_for()
        fill_history(page, drift_rows(history=8))
        page.get_by_label("Forecast point").select_option("2018-01-05")
        page.locator("figure").nth(1).wait_for()

        assert "1: 3 steps from 2018-01-06, first 105" == page.get_by_role("img").first.get_attribute(
            "aria-label"
        )


def test_doing_says_that_forecasts_are_not_monitored(page, gate):
    with serve_wsgi(gate.wsgi) as address:
        page.goto(console_url(address, "sales"))
        page.locator("#plots figure").first.wait_for()
        page.locator("#doing").scroll_into_view_if_needed()

        assert (
            "The errors and the drift of forecasts are not monitored."
            == page.locator("#drift-part p").inner_text()
        )


def test_incomplete_history_is_explained(page, gate):
    rows = drift_rows(history=8)
    with serve_wsgi(gate.wsgi) as address:
        page.goto(console_url(address, "sales"))
        fill_history(page, rows[:6] + rows[7:])
        page.get_by_role("button", name="Forecast", exact=True).click()
        page.locator("#plots .problem").wait_for()

        assert "there is no row for 2018-01-07" in page.locator("#plots").inner_text()


def test_page_opens_with_the_forecast_of_a_generated_history(page, gate):
    with serve_wsgi(gate.wsgi) as address:
        page.goto(console_url(address, "sales"))

        assert page.get_by_role("img").get_attribute("aria-label").startswith("1: 3 steps from 2024-01-02")

"""The console shows how a deployment is doing, and says what it cannot show and why."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelgate import Deployment, DriftMonitor, Gate, ModelPackage, OutcomeLog, Rollout
from modelgate.testing import Client
from support.browser import open_filled, open_page, press_predict, save_screenshot, serve_wsgi
from support.keys import KEY

X = pd.DataFrame({"age": np.arange(300.0), "income": np.arange(300.0)[::-1] % 50})
LABELS = np.where(X["age"] > 150, "yes", "no")
MODEL = LogisticRegression(max_iter=1000).fit(X, LABELS)
EVERYTHING = "churn"


@pytest.fixture(scope="module")
def packages():
    return [
        ModelPackage.from_estimator(MODEL, X, LABELS, name="churn", version=version, target="churn")
        for version in ("1", "2")
    ]


def make_gate(packages, scope=EVERYTHING, hooks=None, **options):
    first, second = packages
    rollout = Rollout({second: 50}, sticky_by="column:customer")
    churn = Deployment("churn", first, rollout=rollout)
    return Gate([churn], keys={KEY: scope}, on_prediction=hooks, **options)


def show_doing(page, address):
    open_filled(page, address, "churn", KEY)
    page.locator("#doing").scroll_into_view_if_needed()
    page.locator("#requests-part > p.empty").wait_for(state="detached")
    return page.locator("#doing-parts").inner_text()


def read_drift(page):
    """Return the versions that predictions and drift are shown of, and the number of rows."""
    headings = page.locator("#drift-part h3").all_inner_texts()
    rows = page.locator("#drift-part p.muted").inner_text().split(" row")[0]
    return re.findall(r"version (\d)", " ".join(headings)), int(rows)


def test_doing_shows_traffic_versions_predictions_and_drift(chromium, packages, tmp_path):
    """With numbers rounded for people, on a phone too; axe finds nothing."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    monitor = DriftMonitor(min_rows=100)
    log = OutcomeLog(
        f"sqlite:///{tmp_path / 'outcomes.db'}",
        association="customer",
        sticky_by="column:customer",
        min_rows=20,
    )
    gate = make_gate(packages, hooks=[monitor, log])
    client = Client(gate.wsgi, headers={"x-api-key": KEY})
    for number in range(300):
        row = {"age": 100.0 + number % 30, "income": float(number % 50), "customer": str(number)}
        client.post("/deployments/churn/predict?passthrough=customer", json=[row])
    client.post("/deployments/churn/predict", json={"age": "young"})
    assert monitor.flush() and log.flush()
    outcomes = [{"association": str(number), "actual": "no"} for number in range(300)]
    client.post("/deployments/churn/outcomes", json={"outcomes": outcomes})
    found = []
    with serve_wsgi(gate.wsgi) as address:
        for scheme, width in (("light", 1280), ("dark", 390)):
            with open_page(chromium, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
                text = show_doing(page, address)
                found += [each["id"] for each in axe.run(page).response["violations"]]
                save_screenshot(page, f"doing-{scheme}-{width}")
                wide = page.evaluate("document.documentElement.scrollWidth")
                table = page.get_by_role("region", name="Error of the predictions").inner_text().split()
                drifted = page.locator("#doing td .unusual").all_inner_texts()
                described = [read_drift(page)]
                page.get_by_label("Predictions and drift of version").select_option("2")
                described.append(read_drift(page))
                assert [] == page.watched.errors
                assert width >= wide

    assert [] == found
    assert "1 rejected (0.3 %), none failed" in text
    assert ["Version", "Predictions", "Known", "outcomes", "Error"] == table[:5]
    assert {"1", "2", "0.0"} <= set(table)
    assert "cannot be compared yet" in text
    assert "Probability of yes" in text
    assert "1 of 2 inputs differs from the training data: age." in text
    assert ["values have shifted"] == drifted
    [(versions, rows), (other_versions, other_rows)] = described
    assert (["1", "1"], ["2", "2"]) == (versions, other_versions)
    assert 300 == rows + other_rows


def test_doing_says_which_right_the_key_lacks(page, packages):
    with serve_wsgi(make_gate(packages, ["churn:predict", "churn:read"]).wsgi) as address:
        text = show_doing(page, address)

    assert "Your key does not permit this view. It needs the scope churn:monitor." == text
    assert [] == page.watched.errors


def test_doing_says_what_turns_it_on(page, packages):
    with serve_wsgi(make_gate(packages, metrics=False).wsgi) as address:
        text = show_doing(page, address)

    assert "Gate(metrics=True)" in text
    assert "Gate(on_prediction=DriftMonitor())" in text
    assert "Gate(on_prediction=OutcomeLog())" in text
    assert [] == page.watched.errors


def test_doing_keeps_last_state_focus_and_scroll_position_when_updates_fail(page, packages):
    page.clock.install()
    with serve_wsgi(make_gate(packages).wsgi) as address:
        show_doing(page, address)
        page.evaluate("document.querySelector('#requests-part').firstElementChild.id = 'first'")
        page.clock.fast_forward("01:00")
        # The update replaces the region, which therefore gets the focus afterwards.
        page.locator("#first").wait_for(state="detached")
        region = page.get_by_role("region", name="Versions in the last hour")
        region.evaluate("region => { region.style.width = '9rem'; region.scrollLeft = 40; region.focus(); }")
        note = page.get_by_text("Not updated since")
        before = note.count()
        page.route("**/traffic", lambda route: route.abort())
        page.clock.fast_forward("01:00")
        note.wait_for()
        failed = note.inner_text()
        focused = region.evaluate("region => region === document.activeElement")
        page.unroute("**/traffic")
        page.clock.fast_forward("01:00")
        note.wait_for(state="detached")

    assert 0 == before
    assert failed.startswith("Not updated since ") and failed.endswith(": No response.")
    assert focused


def test_hypothetical_rows_do_not_count_as_predictions(page, packages):
    """Rows that the page tries, not those that the reader sends with Predict."""
    records = []
    with serve_wsgi(make_gate(packages, hooks=[records.append]).wsgi) as address:
        open_filled(page, address, "churn", KEY)
        page.get_by_role("button", name="Find the smallest change").click()
        page.locator("#changes ol").wait_for()
        tried = [record.hypothetical for record in records]
        press_predict(page)

    assert {True} == set(tried)
    assert [False] == [record.hypothetical for record in records[len(tried) :]]


def test_prediction_is_visible_beside_a_long_form_on_a_phone(chromium, packages):
    with (
        serve_wsgi(make_gate(packages).wsgi) as address,
        open_page(chromium, viewport={"width": 390, "height": 420}) as page,
    ):
        open_filled(page, address, "churn", KEY)
        page.evaluate("scrollTo(0, 0)")
        box, value = page.locator("#peek").bounding_box(), page.locator(".value").bounding_box()

        assert page.locator("#peek").inner_text().startswith(page.locator(".value").inner_text())
        assert 0 <= box["y"] and box["y"] + box["height"] <= 420
        assert value["y"] > 420

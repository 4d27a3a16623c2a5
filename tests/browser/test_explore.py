"""The console explains a model: what it predicts, why, and what would change it."""

import re
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate import Deployment, Gate, ModelPackage, RateLimit, Schema
from modelgate.errors import RateLimitExceeded
from support.browser import console_url, open_console, open_filled, press_predict, serve_wsgi
from support.console_gate import make_gate
from support.waiting import wait_until

X = pd.DataFrame({"age": np.arange(100.0), "plan": ["free", "pro"] * 50})
LABELS = np.where(X["age"] > 50, "yes", "no")
ENCODE = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough")
MODEL = make_pipeline(ENCODE, LogisticRegression(max_iter=1000)).fit(X, LABELS)
EXAMPLE = {"age": 41.0, "plan": "pro"}


@pytest.fixture(scope="module")
def package():
    return ModelPackage.from_estimator(MODEL, X, LABELS, target="churn")


def serve_package(package, gate_options=None, **options):
    options = {"explanations": "auto", "public_examples": [EXAMPLE], **options}
    return serve_wsgi(
        Gate([Deployment("churn", package, **options)], keys="open", **(gate_options or {})).wsgi
    )


def wait_for_value(page, value):
    page.locator("#result:not(.stale) .value", has_text=re.compile(f"^{value}$")).wait_for()


def plot_label(page):
    return page.locator("#what-if-plot svg").first.get_attribute("aria-label")


def test_prediction_follows_the_form(page, package):
    """With undo, a history, and marks at values that are not in the training data."""
    with serve_package(package) as address:
        open_filled(page, address, "churn")
        opened = page.get_by_label("age", exact=True).input_value()
        page.get_by_label("age", exact=True).fill("140")
        wait_for_value(page, "yes")
        mark = page.locator("#field-0-place").inner_text()
        page.get_by_label("plan", exact=True).select_option("free")
        page.locator(".entry").nth(2).wait_for()
        entries = page.locator(".entry span").all_inner_texts()
        page.get_by_role("button", name="Undo").click()
        undone = page.get_by_label("plan", exact=True).input_value()
        page.get_by_role("button", name="start no").click()
        wait_for_value(page, "no")

    assert "41" == opened
    assert "above all training values, which end at 99" == mark
    assert ["plan free", "age 140", "start"] == entries
    assert "pro" == undone
    assert "41" == page.get_by_label("age", exact=True).input_value()
    assert [] == page.watched.errors


def test_why_is_hidden_for_a_rejected_row(page, package):
    with serve_package(package) as address:
        open_filled(page, address, "churn")
        page.get_by_role("heading", name="Why").wait_for()
        page.get_by_label("age", exact=True).fill("old")
        press_predict(page)
        page.locator("#result .problem").wait_for()

        assert not page.get_by_role("heading", name="Why").is_visible()


def test_arrow_keys_move_a_number(page, package):
    with serve_package(package) as address:
        open_filled(page, address, "churn")
        page.get_by_label("age", exact=True).press("ArrowUp")
        one = page.get_by_label("age", exact=True).input_value()
        page.get_by_label("age", exact=True).press("PageDown")
        slider = page.locator("#field-0-range input").input_value()

    assert ("41.5", "36.5") == (one, slider)


def test_link_restores_the_row_and_marks_unknown_levels(page, package):
    """The key is not in the link, and the row is in no request for the page."""
    with serve_package(package, unknown_levels="accept") as address:
        open_filled(page, address, "churn")
        page.get_by_label("plan", exact=True).fill("gold")
        page.locator("#field-1-place.unusual").wait_for()
        page.get_by_role("button", name="Copy link").click()
        wait_until(lambda: "#row=" in page.url)
        link = page.url
        page.goto("about:blank")
        page.watched.asked.clear()
        page.goto(link)
        page.locator("#field-1-place.unusual").wait_for()

        assert ["41", "gold"] == [
            page.get_by_label(name, exact=True).input_value() for name in ("age", "plan")
        ]
        assert "no training row has this value" == page.locator("#field-1-place").inner_text()
        assert not any("gold" in url for url in page.watched.asked if "#" not in url)


def test_curve_has_the_current_row(page, package):
    """Lines for a number, a list for levels. A change of the varied input requests no other curve."""
    with serve_package(package) as address:
        open_filled(page, address, "churn")
        chosen, label = page.get_by_label("Vary").input_value(), plot_label(page)
        curves = len([url for url in page.watched.asked if url.endswith("/curves")])
        page.get_by_label("age", exact=True).fill("60")
        wait_for_value(page, "yes")
        page.locator("figcaption", has_text="now: age 60").wait_for()
        again = len([url for url in page.watched.asked if url.endswith("/curves")])
        page.get_by_label("Vary").select_option("plan")
        page.locator("#what-if-plot .levels").wait_for()
        levels = page.locator("#what-if-plot dt").all_inner_texts()
        current = page.locator("#what-if-plot .current dt").inner_text()

    assert "age" == chosen
    assert (
        "Probability of no: 0.0 % to 100.0 %; Probability of yes: 0.0 % to 100.0 %; for age from 0 to 99"
        == label
    )
    assert (1, 1) == (curves, again)
    assert (["free", "pro"], "pro") == (levels, current)


def test_numbers_have_a_curve_and_a_map(page):
    model = make_pipeline(ENCODE, LinearRegression()).fit(X, X["age"])
    package = ModelPackage.from_estimator(model, X, X["age"], target="years")
    with serve_package(package) as address:
        open_filled(page, address, "churn")
        label = plot_label(page)
        page.get_by_label("and", exact=True).select_option("plan")
        page.locator(".heat").wait_for()
        cells = page.locator(".heat title").evaluate_all("all => all.map(one => one.textContent)")

    assert "years: 0 to 99; for age from 0 to 99" == re.sub(r"-?[\d.]+e-\d+", "0", label)
    assert 30 == len(cells)
    assert "age 99, plan pro: 99" == cells[-1]
    assert not page.get_by_role("button", name="Find the smallest change").is_visible()


def test_functions_are_only_called_on_request(page):
    """They may have side effects."""
    called = []
    schema = Schema.of(amount=float)
    with serve_wsgi(make_gate(lambda table: called.append(1) or table["amount"], schema).wsgi) as address:
        open_console(page, address, "sum")
        page.get_by_label("amount", exact=True).fill("2")
        page.get_by_role("button", name="Copy", exact=True).click()
        before = list(called)
        page.get_by_label("Update while I type").check()
        page.locator(".value").wait_for()

    assert [] == before
    assert "side effects" in page.locator("#live-note").inner_text()
    assert [1] == called


def test_updates_leave_requests_of_a_limit(page, package):
    """The last ones are for the button and for other callers."""
    # Without metrics, the page requests no traffic, which would count whenever that section is visible.
    with serve_package(package, {"limits": RateLimit("8/hour"), "metrics": False}) as address:
        open_filled(page, address, "churn")
        for age, left in ((30, 3), (31, 2), (32, 1)):
            page.get_by_label("age", exact=True).fill(str(age))
            page.locator("#facts dd", has_text=f"{left} of 8 left").wait_for()
        page.get_by_label("age", exact=True).fill("33")
        page.get_by_text("press Predict").wait_for()
        page.get_by_role("button", name="Predict").click()
        page.locator("#facts dd", has_text="0 of 8 left").wait_for()

    assert [] == page.watched.errors


def test_updates_wait_as_long_as_the_gate_asks(page, package):
    busy = threading.Event()

    def reject_once(request, call_next):
        if request.method == "POST" and not busy.is_set():
            busy.set()
            raise RateLimitExceeded("1 per second", 1)
        return call_next(request)

    with serve_package(package, {"layers": [reject_once]}) as address:
        open_console(page, address, "churn", is_cleared=False)
        page.get_by_text("The gate is busy: continuing in 1").wait_for()
        wait_for_value(page, "no")


def test_typing_changes_only_its_own_field(page):
    """However many columns there are: typing stays smooth with 200."""
    names = [f"c{index}" for index in range(200)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 200)), columns=names)
    model = LinearRegression().fit(frame, frame["c0"])
    with serve_package(ModelPackage.from_estimator(model, frame), public_examples=None) as address:
        open_filled(page, address, "churn")
        changed = page.evaluate(
            """async () => {
                const field = document.getElementById("field-150");
                const changed = new Set();
                const nameOf = ({id, className, nodeName}) => id || className || nodeName;
                const note = (all) => all.forEach(({target}) => changed.add(nameOf(target)));
                const observer = new MutationObserver(note);
                const everything = {subtree: true, childList: true, attributes: true, characterData: true};
                observer.observe(document.body, everything);
                field.value = "1.25";
                field.dispatchEvent(new Event("input", {bubbles: true}));
                note(observer.takeRecords());
                return [...changed];
            }"""
        )

    assert {"field-150-place", "peek", "result"} >= set(changed)


def test_what_if_needs_the_dialect_native(page):
    gate = Gate([Deployment("churn", MODEL)], keys="open", dialects=["simple"])
    with serve_wsgi(gate.wsgi) as address:
        page.goto(console_url(address, "churn"))
        page.locator(".value").wait_for()

        assert not page.get_by_label("Vary").is_visible()
        assert [] == page.watched.errors


def test_curve_that_is_not_available_says_why(page):
    with serve_wsgi(Gate([Deployment("churn", MODEL)], keys="open").wsgi) as address:
        open_console(page, address, "churn", is_cleared=False)
        page.get_by_label("Vary").select_option("age")
        problem = page.locator("#what-if-plot .problem")
        problem.wait_for()

        assert "The range of age is not known" in problem.inner_text()

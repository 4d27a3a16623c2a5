"""The console's response curves."""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate import Deployment, Gate, ModelPackage
from support.browser import open_console, save_screenshot, serve_wsgi

X = pd.DataFrame({"age": np.arange(100.0), "plan": ["free", "pro"] * 50})
LABELS = np.where(X["age"] > 50, "yes", "no")
ENCODE = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
MODEL = make_pipeline(ENCODE, LogisticRegression(max_iter=1000)).fit(X, LABELS)


def open_page_for(page, address):
    open_console(page, address, "churn")
    page.get_by_label("age", exact=True).fill("41")
    page.get_by_label("plan", exact=True).select_option("pro")
    return page.get_by_label("How the prediction depends on")


def test_curve_of_a_number_is_a_line_and_of_levels_a_list(page):
    gate = Gate([Deployment("churn", ModelPackage.from_estimator(MODEL, X, LABELS))], keys="open")
    with serve_wsgi(gate.wsgi) as address:
        columns = open_page_for(page, address)
        columns.select_option("age")
        plot = page.locator("#curve-plot svg")
        plot.wait_for()
        label = plot.get_attribute("aria-label")
        points = plot.locator("polyline").get_attribute("points").split()
        save_screenshot(page, "curve")
        columns.select_option("plan")
        page.locator("#curve-plot dl").wait_for()
        levels = page.locator("#curve-plot dt").all_inner_texts()
        errors = page.watched.errors

    assert label.startswith("Probability of yes: 0.0 % to 100.0 %, for age from 9.9 to 89.1")
    assert 40 == len(points)
    heights = [float(point.split(",")[1]) for point in points]
    assert sorted(heights, reverse=True) == heights
    assert ["free", "pro"] == levels
    assert [] == errors


def test_curve_that_is_not_available_says_why(page):
    gate = Gate([Deployment("churn", MODEL)], keys="open")
    with serve_wsgi(gate.wsgi) as address:
        open_page_for(page, address).select_option("age")
        problem = page.locator("#curve-plot .problem")
        problem.wait_for()

        assert "The range of age is not known" in problem.inner_text()


def test_curves_are_not_offered_without_the_dialect_native(page):
    gate = Gate([Deployment("churn", MODEL)], keys="open", dialects=["simple"])
    with serve_wsgi(gate.wsgi) as address:
        columns = open_page_for(page, address)

        assert not columns.is_visible()

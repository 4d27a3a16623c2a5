"""Everything in the console can be done with the keyboard alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelgate import Deployment, DriftMonitor, Gate, ModelPackage, Rollout
from modelgate.testing import Client
from support.browser import console_url, open_page, serve_wsgi
from support.keys import KEY

X = pd.DataFrame({"age": np.arange(100.0), "income": np.arange(100.0)[::-1] % 30})
LABELS = np.where(X["age"] > 50, "yes", "no")
EXAMPLE = {"age": 41.0, "income": 12.0}
ROWS = "age,income\n" + "".join(f"{number},{number % 7}\n" for number in range(30, 70))

PAGE = "(page)"
LANDMARKS = [
    "Change key",
    "Copy link",
    "Example 1",
    "Predict",
    "Update while I type",
    "Vary",
    "Find the smallest change that gives another class",
    "Choose a CSV or drop it here",
    "Download the result",
    "Show",
    "Rows of the file",
    "churn confidence",
    "Versions in the last hour",
    "Predictions and drift of version",
    "Drift by input",
    "Wire format",
    "Python",
    "Copy",
    "Download OpenAPI",
    "Errors",
]

# An input for a file is invisible, and its label has the outline.
READ_STOP = """() => {
    const element = document.activeElement;
    const shown = element.type === "file" ? element.closest("label") : element;
    const [box, style] = [shown.getBoundingClientRect(), getComputedStyle(shown)];
    const within = (low, high, size) => (Math.max(low, 0) + Math.min(high, size)) / 2;
    const top = document.elementFromPoint(within(box.left, box.right, innerWidth), within(box.top, box.bottom, innerHeight));
    return {
        name: element === document.body ? "(page)" : (element.ariaLabel ?? element.labels?.[0]?.innerText ?? element.innerText).split("\\n")[0].trim(),
        place: [...document.querySelectorAll("*")].indexOf(element),
        hasOutline: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2,
        isOnTop: shown === top || shown.contains(top),
    };
}"""


@pytest.fixture(scope="module")
def gate():
    model = LogisticRegression(max_iter=1000).fit(X, LABELS)
    first, second = (
        ModelPackage.from_estimator(model, X, LABELS, version=version, target="churn")
        for version in ("1", "2")
    )
    churn = Deployment(
        "churn",
        first,
        rollout=Rollout({second: 50}, sticky_by="column:customer"),
        explanations="auto",
        public_examples=[EXAMPLE],
    )
    monitor = DriftMonitor(min_rows=5)
    gate = Gate([churn], keys={KEY: "churn"}, on_prediction=monitor)
    client = Client(gate.wsgi, headers={"x-api-key": KEY})
    for number in range(40):
        row = {**EXAMPLE, "customer": str(number)}
        client.post("/deployments/churn/predict?passthrough=customer", json=[row])
    assert monitor.flush()
    yield gate
    gate.close()


class Keyboard:
    """Presses keys on a page, and records where the focus has stopped."""

    def __init__(self, page):
        self._page = page
        self.stops = []

    def press(self, *keys):
        for key in keys:
            self._page.keyboard.press(key)

    def type(self, text):
        self._page.keyboard.type(text)

    def focused(self):
        return self._page.evaluate(READ_STOP)

    def move(self, key="Tab"):
        self.press(key)
        self.stops.append(self.focused())
        return self.stops[-1]

    def move_to(self, name, key="Tab"):
        """Press *key* until the focus is on the element called *name*."""
        seen = []
        while (stop := self.move(key))["name"] != name:
            seen.append(stop["name"])
            assert len(seen) < 100, f"{name} is not reached: {seen}"


def test_keyboard_alone_does_everything(chromium, gate, tmp_path):
    """From the key to the copied code. The focus is always visible, and one round of it reaches everything in order."""
    (tmp_path / "people.csv").write_text(ROWS)
    allowed = ["clipboard-read", "clipboard-write"]
    with serve_wsgi(gate.wsgi) as address, open_page(chromium, permissions=allowed) as page:
        keyboard = Keyboard(page)
        page.goto(console_url(address, "churn"))
        page.get_by_label("API key").wait_for()
        keyboard.type(KEY)
        keyboard.press("Enter")
        page.locator("#result:not(.stale) .value").wait_for()
        page.locator("#what-if-plot figure").wait_for()
        assert "no" == page.locator(".value").inner_text()

        # The focus is in the first field, and the arrow keys move its slider.
        assert "age" == keyboard.focused()["name"]
        keyboard.press(*["PageUp"] * 4)
        page.locator("#result:not(.stale) .value", has_text="yes").wait_for()
        assert "61" == page.locator("#field-0-range input").input_value()
        why = page.locator("#why").inner_text()
        assert "age" in why and "61" in why

        keyboard.move_to("Example 1", "Shift+Tab")
        keyboard.press("Enter")
        page.locator("#result:not(.stale) .value", has_text="no").wait_for()
        assert "41" == page.get_by_label("age", exact=True).input_value()

        keyboard.move_to("Vary")
        keyboard.type("income")
        page.locator("#what-if-plot .axis", has_text="income").wait_for()
        keyboard.move_to("Find the smallest change that gives another class")
        keyboard.press("Enter")
        page.locator("#changes ol").wait_for()

        keyboard.move_to("Choose a CSV or drop it here")
        # Whether a key opens the dialog is up to the browser, and it sometimes does not without a window.
        page.locator("input[type=file]:focus").set_input_files(tmp_path / "people.csv")
        page.get_by_role("button", name="Score 40 rows").wait_for()
        keyboard.move_to("Score 40 rows")
        keyboard.press("Space")
        page.get_by_role("button", name="Download the result").wait_for()
        assert "Download the result" == keyboard.focused()["name"]
        keyboard.move_to("age")
        keyboard.press("Enter", "Enter")
        page.locator(".rows [aria-sort=descending]").wait_for()
        assert "69" == page.locator(".rows tbody tr:nth-child(2) td:nth-child(4)").inner_text()

        keyboard.move_to("Wire format")
        page.locator("#drift-part h3").first.wait_for()
        keyboard.move_to("Predictions and drift of version", "Shift+Tab")
        keyboard.type("2")
        page.locator("#drift-part h3", has_text="version 2").first.wait_for()
        keyboard.move_to("curl")
        keyboard.press("ArrowRight")
        assert "Python" == keyboard.focused()["name"]
        keyboard.move_to("Copy")
        keyboard.press("Enter")
        page.get_by_role("button", name="Copied").wait_for()
        assert "import requests" in page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("button", name="Copy", exact=True).wait_for()

        keyboard.move_to("Skip to the inputs")
        lap = len(keyboard.stops)
        keyboard.move_to("Skip to the inputs")

    # Between the last and the first element, the focus is on the page itself.
    lap = [stop for stop in keyboard.stops[lap:-1] if stop["name"] != PAGE]
    names = [stop["name"] for stop in lap]
    assert sorted(stop["place"] for stop in lap) == [stop["place"] for stop in lap]
    assert len(lap) == len({stop["place"] for stop in lap})
    assert LANDMARKS == [name for name in names if name in LANDMARKS]
    assert [] == [
        stop["name"]
        for stop in keyboard.stops
        if stop["name"] != PAGE and not (stop["hasOutline"] and stop["isOnTop"])
    ]

"""The consoles of both example apps in a browser: form, files, and example code that is run in a shell."""

import csv
import io
import json
import os
import re
import subprocess
import sys

import pytest

from support.arrays import assert_equal_but_for_blas
from support.browser import (
    console_url,
    download_result,
    drop_file,
    open_console,
    open_filled,
    open_page,
    press_predict,
    read_dialects,
    save_screenshot,
)
from support.servers import BEARER, KEY, PREDICT, WINE
from support.waiting import SOON

DIALECTS = [
    "native", "mlclever", "plexe", "datarobot", "peltarion", "simple", "open_inference", "tf_serving", "mlflow",
]  # fmt: skip
WITHOUT_PROBABILITIES = {"plexe": 1, "simple": 1, "tf_serving": 0, "mlflow": 0}
VARYING = {
    "request_id", "processing_time_ms",
    # The page requests these members, the example code does not.
    "explanations", "explanation", "explanation_label", "remaining_strength", "context",
}  # fmt: skip
ENVIRON = {**os.environ, "MODELGATE_KEY": KEY, "no_proxy": "*"}


@pytest.fixture
def console(page, example):
    """Return the console of the wine deployment, opened with its key."""
    open_console(page, f"http://127.0.0.1:{example.port}/ml", "wine", KEY)
    return page


def type_in(page, row):
    for name, value in row.items():
        field = page.get_by_label(name, exact=True)
        if isinstance(value, str):
            field.select_option(value)
        else:
            field.fill(str(value))


def read_bars(page):
    """Return the share of each class as shown_response."""
    return dict(
        zip(
            page.locator("#result .bars .label").all_inner_texts(),
            page.locator("#result .bars .share").all_inner_texts(),
            strict=True,
        )
    )


def test_prediction_of_entered_values(console, example):
    """It has a bar for each class; the page only sends requests to its own host."""
    type_in(console, WINE)
    press_predict(console)

    assert "cultivar-1" == console.locator(".value").inner_text()
    assert {"cultivar-1", "cultivar-2", "cultivar-3"} == read_bars(console).keys()
    assert "cultivar-1" == next(iter(read_bars(console)))
    assert 100 == pytest.approx(sum(float(share.removesuffix(" %")) for share in read_bars(console).values()))
    facts = console.locator("#facts").inner_text()
    assert re.search(r"5\d\d of 600 left", facts)
    assert console.locator("#facts code").inner_text() in console.locator("#received pre").text_content()
    assert [] == console.watched.errors
    assert {f"http://127.0.0.1:{example.port}"} == console.watched.hosts()
    save_screenshot(console, f"{example.name}-prediction")


def test_example_apps_explain_their_predictions(page, example):
    """From open to the smallest change, without an error or a request to elsewhere."""
    address = f"http://127.0.0.1:{example.port}"
    open_filled(page, f"{address}/ml", "wine", KEY)
    filled = page.locator("#fields input:not([type=range])").evaluate_all("all => all.map(one => one.value)")
    why = page.locator("#why .label").all_inner_texts()
    save_screenshot(page, f"{example.name}-explained")
    page.get_by_label("and", exact=True).select_option("flavanoids")
    page.locator(".heat").wait_for()
    page.get_by_role("button", name="Find the smallest change").click()
    page.locator("#changes li").first.wait_for()
    change = page.locator("#changes li").first.inner_text()
    save_screenshot(page, f"{example.name}-what-if")
    open_filled(page, f"{address}/ml", "diabetes", KEY)
    interval = page.locator(".interval").inner_text()
    save_screenshot(page, f"{example.name}-interval")

    assert ["14.23", "1.71", "3.06", "1.04", "1065"] == filled, "the first row of the training data"
    assert ["Base value", "Score of cultivar-1"] == [why[0], why[-1]]
    assert {"alcohol", "malic_acid", "flavanoids", "hue", "proline", "colour", "body"} == set(why[1:-1])
    assert re.match(
        r"If \w+ were [\d.]+ instead of [\d.]+, the prediction would be cultivar-[23]\. [\d.]+ % of the training values",
        change,
    )
    assert re.search(r"Interval of 90 %: [\d.]+ to [\d.]+", interval)
    assert [] == page.watched.errors
    assert {address} == page.watched.hosts()


def test_example_apps_show_how_they_are_doing(page, example):
    """With the requests, versions and drift of their simulated visitors. The view is updated by itself."""
    open_filled(page, f"http://127.0.0.1:{example.port}/ml", "wine", KEY)
    page.locator("#doing").scroll_into_view_if_needed()
    page.get_by_text("differs from the training data: alcohol.").wait_for()
    versions = page.get_by_role("region", name="Versions").locator("td:first-child").all_inner_texts()
    save_screenshot(page, f"{example.name}-doing")

    assert ["1", "2"] == versions
    assert "none failed" in page.locator("#doing").inner_text()
    assert [] == page.watched.errors


def wine_rows(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", *WINE])
    writer.writeheader()
    writer.writerows({"id": at, **WINE, "proline": 300 + at % 1000} for at in range(rows))
    return text.getvalue()


def test_file_of_10000_rows_is_scored(console, example, tmp_path):
    """With a preview and progress; the result has every row, in order, with its probabilities."""
    drop_file(console, "wines.csv", wine_rows(10_000))
    preview = console.locator("#batch table").inner_text()
    console.evaluate(
        """() => {
            window.seen = [];
            const note = () => seen.push(document.querySelector("progress")?.value);
            new MutationObserver(note).observe(document.body, {subtree: true, childList: true, attributes: true});
        }"""
    )
    console.get_by_role("button", name="Score 10,000 rows").click()
    console.get_by_role("button", name="Download the result").wait_for()
    progress = [value for value in console.evaluate("seen") if value is not None]
    rows = list(csv.DictReader(io.StringIO(download_result(console, tmp_path))))

    assert "id\talcohol" in preview.replace("\n", "")
    assert sorted(progress) == progress
    assert len({value for value in progress if 0 < value < 10_000}) > 5
    assert list(map(str, range(10_000))) == [row["id"] for row in rows]
    for index in (0, 777, 9_999):
        row = {**WINE, "proline": 300 + index % 1000}
        answer = example.post(PREDICT, {"deployment": "wine", "input_data": row}, BEARER).json()
        shares = [float(rows[index][f"cultivar_cultivar-{label}"]) for label in (1, 2, 3)]
        assert answer["predictions"] == [rows[index]["cultivar"]]
        assert_equal_but_for_blas(answer["confidence_intervals"], shares)
    assert [] == console.watched.errors
    save_screenshot(console, f"{example.name}-file")


def read_lines(page):
    """Return the lines of the file of the rows that are drawn, in order."""
    return [int(text) for text in page.locator(".rows tbody td:first-child").all_inner_texts() if text]


def test_scored_file_is_sorted_filtered_and_scrolled(console):
    """Only the visible rows of the table are in the page; predictions are beside the columns of the file."""
    drop_file(console, "wines.csv", wine_rows(3_000).replace(",deep,", ",green,", 2))
    console.get_by_role("button", name="Score 3,000 rows").click()
    console.get_by_role("button", name="Download the result").wait_for()
    names = console.locator(".rows th").all_inner_texts()
    counts = console.locator(".counts .share").all_inner_texts()
    first = read_lines(console)
    console.get_by_role("region", name="Rows of the file").evaluate(
        "view => view.scrollTo(0, view.scrollHeight)"
    )
    console.locator(".rows tbody td:first-child", has_text="3001").wait_for()
    last = read_lines(console)
    console.get_by_role("button", name="proline").click()
    console.get_by_role("button", name="proline").click()
    console.locator(".rows [aria-sort=descending]").wait_for()
    console.get_by_role("region", name="Rows of the file").evaluate("view => view.scrollTo(0, 0)")
    console.locator(".rows tbody tr:nth-child(2) td:first-child", has_text=re.compile("^1001$")).wait_for()
    console.get_by_label("Show", exact=True).select_option(label="rejected rows (2)")
    console.locator(".filters").get_by_text("2 rows", exact=True).wait_for()
    rejected = read_lines(console)
    reasons = console.locator(".rows td.reason").all_inner_texts()
    console.get_by_label("Show", exact=True).select_option("")
    console.get_by_label("with the text").fill("2999")
    console.locator(".filters").get_by_text("2 rows", exact=True).wait_for()
    found = read_lines(console)

    assert ["Line", "cultivar", "cultivar confidence", "Rejected because", "id", "alcohol"] == names[:6]
    assert 2_998 == sum(int(text.partition(" ")[0].replace(",", "")) for text in counts)
    assert first[:3] == [2, 3, 4]
    assert (3001, len(last)) == (last[-1], len(set(last)))
    assert max(len(first), len(last)) < 50
    assert [2, 3] == sorted(rejected)
    assert {"colour must be one of deep, light, medium"} == set(reasons)
    assert [3001, 2999] == found, "one by its id, one by its line"


def test_curl_commands_work_in_every_dialect(console, example):
    """They do not contain the key."""
    type_in(console, WINE)
    for dialect in DIALECTS:
        console.get_by_label("Wire format").select_option(dialect)
        press_predict(console)
        command = code(console, "curl")

        assert "cultivar-1" == console.locator(".value").inner_text(), dialect
        assert WITHOUT_PROBABILITIES.get(dialect, 3) == len(read_bars(console)), dialect
        assert (dialect in WITHOUT_PROBABILITIES) == (
            "Responses in this wire format have" in console.locator("#result").inner_text()
        )
        assert KEY not in command
        assert (200, shown_response(console)) == run_in_shell(command), dialect
    assert DIALECTS == read_dialects(console)
    assert [] == console.watched.errors


def test_programs_work_in_every_dialect(console, example):
    """In Python and JavaScript; that of the client of this package in the wire format that it speaks."""
    type_in(console, WINE)
    client = run_python(code(console, "Python client"))

    for dialect in DIALECTS:
        console.get_by_label("Wire format").select_option(dialect)
        python, script = code(console, "Python"), code(console, "JavaScript")
        ran = run_python(python)
        logged = console.evaluate(
            f"""async () => {{
                const logged = [], process = {{env: {{MODELGATE_KEY: {json.dumps(KEY)}}}}};
                const console = {{log: (value) => logged.push(value)}};
                {script}
                return JSON.stringify(logged[0]);
            }}"""
        )

        assert (0, "") == (ran.returncode, ran.stderr), dialect
        assert "cultivar-1" in ran.stdout
        assert "cultivar-1" in logged
        assert KEY not in python + script
        assert (dialect == "native") == console.get_by_role("tab", name="Python client").is_visible()
    assert (0, "") == (client.returncode, client.stderr)
    assert client.stdout.startswith("['cultivar-1'] [[0.99")


def run_python(program):
    return subprocess.run(
        [sys.executable, "-c", program], env=ENVIRON, capture_output=True, text=True, timeout=SOON
    )


def code(page, language):
    page.get_by_role("tab", name=language, exact=True).click()
    return page.locator("#code").inner_text()


def shown_response(page):
    """Return the response under "Request and response", without the parts that differ each time."""
    text = page.locator("#received pre").text_content()
    return without_varying_parts(json.loads(text.partition("\n\n")[2]))


def run_in_shell(command):
    ran = subprocess.run(
        ["sh", "-c", f"{command} --silent --max-time {SOON} --write-out '\\n%{{http_code}}'"],
        env=ENVIRON, capture_output=True, text=True, check=True,
    )  # fmt: skip
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), without_varying_parts(json.loads(body))


def without_varying_parts(answer):
    if isinstance(answer, dict):
        return {name: value for name, value in answer.items() if name not in VARYING}
    return answer


# Both examples serve the same console.
@pytest.mark.parametrize(
    ("example", "width", "scheme"),
    [("flask", 1280, "light"), ("starlette", 390, "dark")],
    indirect=["example"],
)
def test_page_is_accessible(chromium, example, width, scheme):
    """Axe finds no violation: on the start page and the index, and in the console before a key, with a prediction, with
    errors, and with a scored file.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found, name = [], f"{example.name}-{scheme}-{width}"
    with open_page(chromium, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        for path, view in (("/", "start"), ("/ml/", "index")):
            page.goto(f"http://127.0.0.1:{example.port}{path}")
            found.append(axe.run(page))
            save_screenshot(page, f"{name}-{view}")
        page.goto(console_url(f"http://127.0.0.1:{example.port}/ml", "wine"))
        page.get_by_label("API key").wait_for()
        found.append(axe.run(page))
        save_screenshot(page, f"{name}-key")
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Typical row").click()
        press_predict(page)
        page.get_by_label("and", exact=True).select_option("hue")
        page.locator(".heat").wait_for()
        page.get_by_role("button", name="Find the smallest change").click()
        page.locator("#changes ol").wait_for()
        drop_file(page, "wines.csv", wine_rows(20).replace(",deep,", ",green,", 2))
        page.get_by_role("button", name="Score 20 rows").click()
        page.get_by_role("button", name="Download the result").wait_for()
        for part in page.locator("summary").all()[1:]:
            part.click()
        found.append(axe.run(page))
        save_screenshot(page, f"{name}-answered")
        page.get_by_label("alcohol").fill("strong")
        press_predict(page)
        page.locator("#result .problem").wait_for()
        found.append(axe.run(page))
        save_screenshot(page, f"{name}-rejected")
        wide = page.evaluate("document.documentElement.scrollWidth")

    assert [] == [violation["id"] for result in found for violation in result.response["violations"]]
    assert width >= wide

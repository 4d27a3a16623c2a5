"""Start page of the example apps: what the app predicts for its own data, and its deployments."""

from datetime import date
from html import escape
from pathlib import Path
from string import Template

from modelgate import Gate

from . import demo
from .bottles import HISTORY

__all__ = ["not_found_page", "start_page"]

_CONSOLE = "ml/deployments/{}/console"
_PAGE = Template((Path(__file__).parent / "page.html").read_text("utf-8"))
_WIDTH, _HEIGHT = 640, 160
_DESCRIPTIONS = {
    "wine": "Which of three cultivars a wine is made from: a classifier with numbers and text as inputs.",
    "diabetes": "The progression of the disease within a year: a regressor; any value may be null.",
    "bottles": "The bottles sold on each day of the next week: a time series, with its history in the request.",
    "digits": "The digit in a photo of it, as base64 text.",
    "serving-temperature": "The serving temperature of a wine in °C: a function of this app, not a model.",
}


def start_page(gate: Gate, base: str, made_with: str) -> str:
    """Return the start page of an app at *base*, with predictions of its *gate* for its own wines."""
    return _PAGE.substitute(
        title="Good wine, served right",
        main=f'<p class="lead">An ordinary {made_with} app. It serves its models at <a href="ml/">/ml</a> with modelgate,'
        " and shows their predictions on this page.</p>"
        '<h2>In the cellar</h2><p class="muted">Each wine with the temperature to serve it at.</p>'
        f'<div class="grid">{"".join(_wine_cards(gate))}</div>'
        f'<h2>Next week</h2><div class="card">{_forecast(gate)}</div>'
        '<h2>Models to try</h2><p class="muted">Each has a console in the browser, which explains its predictions.</p>'
        '<p class="note small">The key is in the environment variable <code>MODELGATE_KEY</code>. If you have not set it,'
        " the app has printed its own when it started.</p>"
        '<p class="note small">Simulated visitors use the model <code>wine</code>. Its console shows how it is doing.</p>'
        f'<div class="grid">{"".join(_model_cards(base))}</div>',
    )


def not_found_page(path: str) -> str:
    """Return the app's own page for an unknown path."""
    return _PAGE.substitute(
        title="No such shelf",
        main=f'<p class="lead">There is nothing at <code>{escape(path)}</code>. <a href="/">Back to the cellar</a></p>',
    )


def _wine_cards(gate: Gate) -> list[str]:
    (degrees,) = gate.score("serving-temperature", demo.SERVING_EXAMPLES).outputs
    return [
        f'<div class="card wine {wine["colour"]}"><h3>{escape(str(wine["name"]))}</h3>'
        f'<p class="muted small">{wine["alcohol"]} % alcohol, {wine["colour"]} red</p>'
        f'<p class="degrees">{celsius:.1f} <small>°C</small></p></div>'
        for wine, celsius in zip(demo.CELLAR, degrees.values, strict=True)
    ]


def _forecast(gate: Gate) -> str:
    """Return a chart of the bottles sold, those of the next week, and their interval."""
    prediction = gate.score("bottles", HISTORY)
    (output,) = prediction.outputs
    assert output.intervals is not None and prediction.forecast is not None
    ((level, intervals),) = output.intervals.items()
    sold, coming = [row["bottles"] for row in HISTORY], output.values.tolist()
    low, high = min([*sold, *intervals[:, 0]]), max([*sold, *intervals[:, 1]])
    today = len(sold) - 1

    def points(values: list[float], first: int) -> str:
        step = _WIDTH / (today + len(coming))
        return " ".join(
            f"{day * step:.1f},{(high - value) / (high - low) * _HEIGHT:.1f}"
            for day, value in enumerate(values, first)
        )

    def day_of(text: str) -> str:
        day = date.fromisoformat(text)
        return f"{day.day} {day:%b}"

    upper, lower = (points([sold[-1], *intervals[:, end]], today) for end in (1, 0))
    band = " ".join([*upper.split(), *lower.split()[::-1]])
    return (
        f"<h3>About {sum(coming):.0f} bottles of {HISTORY[0]['wine']} will be sold</h3>"
        f'<p class="muted small">From {min(coming):.0f} to {max(coming):.0f} on each day, after {min(sold):.0f} to'
        f" {max(sold):.0f} in the last two weeks. The band is an interval of {level} %.</p>"
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon class="band" points="{band}"/>'
        f'<polyline class="known" points="{points(sold, 0)}"/>'
        f'<polyline class="future" points="{points([sold[-1], *coming], today)}"/></svg>'
        f'<p class="ends"><span style="flex: {today}">{day_of(HISTORY[0]["date"])}</span>'
        f'<span style="flex: {len(coming)}">{day_of(HISTORY[-1]["date"])}</span>'
        f"<span>{day_of(prediction.forecast.dates[-1])}</span></p>"
    )


def _model_cards(base: str) -> list[str]:
    return [
        f'<div class="card model"><h3>{name}</h3><p>{text}</p>'
        f'<a class="button" href="{_CONSOLE.format(name)}">Open the console</a>'
        f'<details><summary>Call it with curl</summary><pre id="{name}">{escape(demo.curl(base, name))}</pre>'
        f'<button type="button" data-copies="{name}">Copy</button></details></div>'
        for name, text in _DESCRIPTIONS.items()
    ]

"""Shared parts of the example apps: the gate, its key and their pages."""

import json
import os
import shlex
from html import escape
from pathlib import Path
from string import Template

from modelgate import Deployment, Gate, Schema, keys

from .training import PHOTO, SAMPLES, train

__all__ = [
    "CELLAR",
    "CELSIUS",
    "KEY",
    "SERVING",
    "SERVING_EXAMPLES",
    "curl",
    "greet",
    "not_found_page",
    "port",
    "start_page",
]

KEY = os.environ.setdefault("MODELGATE_DEMO_KEY", keys.generate())
"""API key from the environment, or a new one, which is set there for child processes."""

CELSIUS = {"light": 8.0, "medium": 12.0, "deep": 16.0}
"""Serving temperature of a wine with 12 % alcohol, by colour."""

SERVING = Schema.of(alcohol=float, colour=list(CELSIUS))
"""Input of the function ``serving-temperature``, which each app defines itself."""

CELLAR = [
    {"name": "Barolo 2016", "alcohol": 14.2, "colour": "deep"},
    {"name": "Grignolino 2019", "alcohol": 12.4, "colour": "light"},
    {"name": "Barbera 2018", "alcohol": 13.1, "colour": "medium"},
]

SERVING_EXAMPLES = [{column: wine[column] for column in SERVING.names} for wine in CELLAR]
"""Example rows of the function ``serving-temperature``."""

_SAMPLES = {**SAMPLES, "serving-temperature": {"alcohol": 13.1, "colour": "medium"}}
_DESCRIPTIONS = {
    "wine": "the cultivar of a wine: a classifier with numbers and text as inputs",
    "diabetes": "the progression of the disease within a year: a regressor; any value may be null",
    "bottles": "the bottles sold on each day of the next week: a time series, with its history in the request",
    "digits": "the digit in a photo of it, as base64 text",
    "serving-temperature": "the serving temperature of a wine in °C: a function of this app, not a model",
}
_CONSOLE = "ml/deployments/{}/console"
_PAGE = Template((Path(__file__).parent / "page.html").read_text("utf-8"))


def gate() -> Gate:
    """Return a gate with the trained models."""
    models = train()
    return Gate(
        [
            Deployment(
                "wine",
                models / "wine.mgpkg",
                unknown_levels="reject",
                explanations="auto",
                public_examples=5,
            ),
            Deployment(
                "diabetes",
                models / "diabetes.mgpkg",
                explanations="permutation",
                public_examples=5,
            ),
            Deployment("bottles", models / "bottles.mgpkg"),
            Deployment(
                "digits",
                models / "digits.skops",
                target="digit",
                schema=Schema.of(photo=PHOTO),
                public_examples=[SAMPLES["digits"]],
            ),
        ],
        keys={KEY: "*"},
        limits="600/minute",
    )


def port() -> int:
    """Return the port to listen on."""
    return int(os.environ.get("PORT", "8000"))


def curl(base: str, deployment: str, key: str | None = None) -> str:
    """Return a command that requests a prediction.

    Args:
        base: URL of the app.
        deployment: Deployment name.
        key: API key; by default the command reads it from the environment, so that it is not shown.
    """
    url = shlex.quote(f"{base.rstrip('/')}/ml/deployments/{deployment}/predict")
    header = "Authorization: Bearer "
    bearer = f'"{header}$MODELGATE_DEMO_KEY"' if key is None else shlex.quote(header + key)
    body = shlex.quote(json.dumps(_SAMPLES[deployment]))
    return f"curl {url} -H {bearer} -H 'Content-Type: application/json' -d {body}"


def greet(port: int) -> None:
    """Print the URLs of the app and its console, and an example request."""
    base = f"http://127.0.0.1:{port}/"
    print(f"Start page: {base}\nConsole: {base}{_CONSOLE.format('wine')}, with the key {KEY}\n")
    print(f"{curl(base, 'wine', KEY)}\n", flush=True)


def start_page(base: str, made_with: str) -> str:
    """Return the start page of an app at *base*: its deployments, each with a command to paste."""
    sections = [
        f'<h2>{name}</h2><p>Predicts {text}. <a href="{_CONSOLE.format(name)}">Try it in the browser</a></p>'
        f"<pre>{escape(curl(base, name))}</pre>"
        for name, text in _DESCRIPTIONS.items()
    ]
    return _PAGE.substitute(
        title="The cellar",
        main=f"<p>An ordinary {made_with} app with a gate at <code>/ml</code>. Its own routes are"
        ' <a href="about">/about</a> and <a href="cellar">/cellar</a>. Paste a command into a shell that has the key as'
        " <code>MODELGATE_DEMO_KEY</code>.</p>" + "".join(sections),
    )


def not_found_page(path: str) -> str:
    """Return the app's own page for an unknown path."""
    return _PAGE.substitute(
        title="No such shelf",
        main=f'<p>There is nothing at <code>{escape(path)}</code>. <a href="/">Back</a></p>',
    )

"""What the example apps share: the gate and its key, and what their pages say."""

import json
import os
import shlex
from html import escape
from pathlib import Path
from string import Template

from modelgate import Deployment, Gate, Schema, keys

from .training import SAMPLES, train

__all__ = ["CELLAR", "CELSIUS", "KEY", "SERVING", "curl", "greet", "not_found_page", "port", "start_page"]

KEY = os.environ.setdefault("MODELGATE_DEMO_KEY", keys.generate())
"""From the environment, or a new one, which goes to the environment of child processes."""

CELSIUS = {"light": 8.0, "medium": 12.0, "deep": 16.0}
"""At what temperature a wine of 12 % is served, by its colour."""

SERVING = Schema.of(alcohol=float, colour=list(CELSIUS))
"""The input of the custom handler ``serving-temperature``, which each app writes for itself."""

CELLAR = [
    {"name": "Barolo 2016", "alcohol": 14.2, "colour": "deep"},
    {"name": "Grignolino 2019", "alcohol": 12.4, "colour": "light"},
    {"name": "Barbera 2018", "alcohol": 13.1, "colour": "medium"},
]

_SAMPLES = {**SAMPLES, "serving-temperature": {"alcohol": 13.1, "colour": "medium"}}
_TOLD = {
    "wine": "the cultivar of a wine: a classifier over numbers and text",
    "diabetes": "how far the disease progresses in a year: a regressor; any value may be null",
    "serving-temperature": "how warm to serve a wine, in °C: a function of this app, and no model",
}
_CONSOLE = "ml/deployments/{}/console"
_PAGE = Template((Path(__file__).parent / "page.html").read_text("utf-8"))


def gate() -> Gate:
    """A gate with the two trained models."""
    models = train()
    return Gate(
        [
            Deployment("wine", models / "wine.skops", target="cultivar"),
            Deployment("diabetes", models / "diabetes.skops", target="progression"),
        ],
        keys={KEY: "*"},
        limits="600/minute",
    )


def port() -> int:
    """Where to listen."""
    return int(os.environ.get("PORT", "8000"))


def curl(base: str, deployment: str, key: str | None = None) -> str:
    """The command that asks *deployment* for a prediction.

    Args:
        base: the address of the app.
        deployment: its name.
        key: by default left to the shell, for whoever shall not see it.
    """
    url = shlex.quote(base.rstrip("/") + "/ml/api/predict")
    header = "Authorization: Bearer "
    bearer = f'"{header}$MODELGATE_DEMO_KEY"' if key is None else shlex.quote(header + key)
    body = shlex.quote(json.dumps({"deployment": deployment, "input_data": _SAMPLES[deployment]}))
    return f"curl {url} -H {bearer} -H 'Content-Type: application/json' -d {body}"


def greet(port: int) -> None:
    """Say where the app and its console are, and how to ask it."""
    base = f"http://127.0.0.1:{port}/"
    print(f"Start page: {base}\nConsole: {base}{_CONSOLE.format('wine')}, with the key {KEY}\n")
    print(f"{curl(base, 'wine', KEY)}\n", flush=True)


def start_page(base: str, made_with: str) -> str:
    """The start page of an app at *base*: its deployments, each with a command to paste."""
    sections = [
        f'<h2>{name}</h2><p>Tells {told}. <a href="{_CONSOLE.format(name)}">Ask it in the browser</a></p>'
        f"<pre>{escape(curl(base, name))}</pre>"
        for name, told in _TOLD.items()
    ]
    return _PAGE.substitute(
        title="The cellar",
        main=f"<p>An ordinary {made_with} app with a gate at <code>/ml</code>. Its own routes are"
        ' <a href="about">/about</a> and <a href="cellar">/cellar</a>. Paste a command into a shell that has the key as'
        " <code>MODELGATE_DEMO_KEY</code>.</p>" + "".join(sections),
    )


def not_found_page(path: str) -> str:
    """The app's own page for a path it does not have."""
    return _PAGE.substitute(
        title="No such shelf",
        main=f'<p>There is nothing at <code>{escape(path)}</code>. <a href="/">Back</a></p>',
    )

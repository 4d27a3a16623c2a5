"""Shared parts of the example apps: the gate, its key and its sample requests."""

import json
import os
import shlex
import tempfile
from pathlib import Path

from modelgate import Deployment, DriftMonitor, Gate, OutcomeLog, Rollout, Schema, keys

from . import visitors
from .training import PHOTO, SAMPLES, train

__all__ = [
    "CELLAR",
    "CELSIUS",
    "KEY",
    "SERVING",
    "SERVING_EXAMPLES",
    "curl",
    "greet",
    "port",
    "send_visitors",
]

KEY = os.environ.setdefault("MODELGATE_KEY", keys.generate())
"""API key from the environment, or a new one, which is set there for child processes."""

_VISITORS_KEY = keys.generate()
_FOLDER = tempfile.TemporaryDirectory(prefix="modelgate-demo-")

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


def gate() -> Gate:
    """Return a gate with the trained models. It records what the console shows of them under "How it is doing"."""
    models = train()
    monitor = DriftMonitor(min_rows=200)
    outcomes = OutcomeLog(
        f"sqlite:///{Path(_FOLDER.name) / 'outcomes.db'}",
        association="visitor",
        sticky_by="column:visitor",
        min_rows=50,
    )
    return Gate(
        [
            Deployment(
                "wine",
                models / "wine.mgpkg",
                unknown_levels="reject",
                rollout=Rollout({models / "wine-2.mgpkg": 30}, sticky_by="column:visitor"),
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
        keys={KEY: "*", _VISITORS_KEY: ["wine:predict", "wine:outcomes"]},
        limits="600/minute",
        on_prediction=[monitor, outcomes],
    )


def send_visitors(gate: Gate) -> None:
    """Start the simulated visitors of *gate*."""
    visitors.start(gate, _VISITORS_KEY)


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
    bearer = f'"{header}$MODELGATE_KEY"' if key is None else shlex.quote(header + key)
    body = shlex.quote(json.dumps(_SAMPLES[deployment]))
    return f"curl {url} -H {bearer} -H 'Content-Type: application/json' -d {body}"


def greet(port: int) -> None:
    """Print the URLs of the app and its console, and an example request."""
    base = f"http://127.0.0.1:{port}/"
    print(f"Start page: {base}\nConsole: {base}ml/deployments/wine/console, with the key {KEY}\n")
    print(f"{curl(base, 'wine', KEY)}\n", flush=True)

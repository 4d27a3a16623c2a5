"""A Flask app with pages and routes of its own, and a gate at ``/ml``."""

import sys
from pathlib import Path

from flask import Flask, Response, jsonify, request

from modelgate import Table
from modelgate.mount import flask as mount_flask

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples import demo

gate = demo.gate()


@gate.handler("serving-temperature", schema=demo.SERVING, target="celsius", decimals=1)
def serving_temperature(table: Table) -> list[float]:
    """At what temperature to serve a wine: the stronger, the warmer."""
    pairs = zip(table["alcohol"], table["colour"], strict=True)
    return [demo.CELSIUS[colour] + 0.5 * (alcohol - 12) for alcohol, colour in pairs]


app = Flask(__name__)
mount_flask.mount(app, "/ml", gate)
gate.warm()


@app.get("/")
def start() -> str:
    return demo.start_page(request.host_url, "Flask")


@app.get("/about")
def about() -> Response:
    return jsonify(name="The cellar", made_with="Flask")


@app.get("/cellar")
def cellar() -> Response:
    return jsonify(demo.CELLAR)


@app.post("/which-cultivar")
def which_cultivar() -> Response:
    """An ordinary route of the app, answered by the gate."""
    answer: Response = gate.handle(request, "wine")
    return answer


@app.errorhandler(404)
def not_found(error: Exception) -> tuple[str, int]:  # noqa: ARG001
    return demo.not_found_page(request.path), 404


def main() -> None:
    """Serve the app on this machine alone, with Flask's own development server."""
    demo.greet(demo.port())
    app.run("127.0.0.1", demo.port())


if __name__ == "__main__":
    main()

"""Flask app with its own pages and routes, and a gate at ``/ml``."""

import sys
from pathlib import Path

from flask import Flask, Response, jsonify, request

from modelgate import Table
from modelgate.mount import flask as mount_flask

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples import demo, start_page

gate = demo.gate()


@gate.handler(
    "serving-temperature",
    schema=demo.SERVING,
    target="celsius",
    decimals=1,
    public_examples=demo.SERVING_EXAMPLES,
)
def serving_temperature(table: Table) -> list[float]:
    """Return the serving temperature of each wine: the stronger, the warmer."""
    pairs = zip(table["alcohol"], table["colour"], strict=True)
    return [demo.CELSIUS[colour] + 0.5 * (alcohol - 12) for alcohol, colour in pairs]


app = Flask(__name__)
mount_flask.mount(app, "/ml", gate)
gate.deployments.warm()


@app.get("/")
def start() -> str:
    return start_page.start_page(gate, request.host_url, "Flask")


@app.get("/about")
def about() -> Response:
    return jsonify(name="The cellar", made_with="Flask")


@app.get("/cellar")
def cellar() -> Response:
    return jsonify(demo.CELLAR)


@app.post("/which-cultivar")
def which_cultivar() -> Response:
    """Pass the request of an ordinary route to the gate."""
    response: Response = gate.handle(request, "wine")
    return response


@app.errorhandler(404)
def not_found(error: Exception) -> tuple[str, int]:  # noqa: ARG001
    return start_page.not_found_page(request.path), 404


def main() -> None:
    """Serve the app on localhost with Flask's development server."""
    demo.greet(demo.port())
    demo.send_visitors(gate)
    app.run("127.0.0.1", demo.port())


if __name__ == "__main__":
    main()

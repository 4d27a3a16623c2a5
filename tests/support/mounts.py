"""One gate behind every mount."""

import asyncio

import fastapi
import flask
import starlette.applications
import starlette.responses
import starlette.routing

import modelgate
from modelgate.testing import Client
from support.keys import KEY, OTHER_KEY

MOUNTS = ("wsgi", "asgi", "flask", "starlette", "fastapi")


class Failing:
    """A fitted model that cannot predict anything but 0."""

    n_features_in_ = 1

    def predict(self, rows):
        if not rows.any():
            return rows[:, 0]
        raise RuntimeError("the secret recipe is missing")


def make_gate(wine, **options):
    """Make the gate that every mount serves: two models, a broken one, a paused one, and functions."""
    keys = {
        KEY: "wine",
        OTHER_KEY: ["double", "triple", "panic", "broken", "paused", "vanished"],
    }
    gate = modelgate.Gate(
        [
            modelgate.Deployment("wine", wine[0]),
            modelgate.Deployment("broken", Failing()),
            modelgate.Deployment("paused", Failing(), state="paused"),
        ],
        **{"keys": keys, **options},
    )

    @gate.handler(
        "panic", schema=modelgate.Schema.of(error=["CancelledError", "SystemExit", "GeneratorExit"])
    )
    def panic(table):
        raise {
            "CancelledError": asyncio.CancelledError,
            "SystemExit": SystemExit,
            "GeneratorExit": GeneratorExit,
        }[table["error"][0]]

    @gate.handler("double", schema=modelgate.Schema.of(amount=float))
    def double(table):
        return table["amount"] * 2

    @gate.handler("triple", schema=modelgate.Schema.of(amount=float))
    async def triple(table):
        return table["amount"] * 3

    return gate


def mount_gate(mount, gate):
    """Return a web app of the kind *mount*, with a page of its own and *gate* below its prefix, and the prefix."""
    if mount == "wsgi":
        return gate.wsgi, ""
    if mount == "asgi":
        return gate.asgi, ""
    if mount == "flask":
        app = flask.Flask("host")
        app.add_url_rule("/", view_func=lambda: "the host's page", endpoint="page")
        app.register_error_handler(404, lambda error: ("the host's 404", 404))
        modelgate.mount.flask.mount(app, "/ml", gate)
        return app, "/ml"
    if mount == "starlette":
        app = starlette.applications.Starlette(
            routes=[
                starlette.routing.Route(
                    "/", lambda request: starlette.responses.PlainTextResponse("the host's page")
                ),
                starlette.routing.Mount("/ml", gate.asgi),
            ],
            exception_handlers={
                404: lambda request, error: starlette.responses.PlainTextResponse("the host's 404", 404)
            },
        )
        return app, "/ml"
    app = fastapi.FastAPI()
    app.get("/", response_class=fastapi.responses.PlainTextResponse)(lambda: "the host's page")
    app.exception_handler(404)(
        lambda request, error: starlette.responses.PlainTextResponse("the host's 404", 404)
    )
    app.mount("/ml", gate.asgi)
    return app, "/ml"


class Mounted:
    """A gate behind one mount, with a client that knows its prefix."""

    def __init__(self, mount, gate):
        app, self.prefix = mount_gate(mount, gate)
        self.mount = mount
        self.gate = gate
        self.client = Client(app)

    def post(self, path, **options):
        return self.client.post(self.prefix + path, **options)

    def request(self, method, path, **options):
        return self.client.request(method, self.prefix + path, **options)

    def predict(self, rows, key=KEY, **members):
        return self.post("/api/predict", json={"api_key": key, "input_data": rows, **members})

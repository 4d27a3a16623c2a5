"""Compare a whole request with the two usual hand-written stacks.

In process, without a model: key, two rate limits, validation of a row of 30 columns, a JSON answer. The gate's
ASGI app is compared with FastAPI: pydantic body, dependency for the key, slowapi, and a sync endpoint, which
runs in a thread. The WSGI app is compared with Flask, a key check and Flask-Limiter. Only the gate adds request
ids, limits on body size and requests in flight, and rate limit headers.

Figures are CPU time of the process with its threads, above a raw handler that decodes and encodes the same. All
take turns in one run; figures are the median of the rounds. Run with BLAS and OpenMP threads
pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/frameworks.py
"""

import hmac
from functools import partial
from typing import Annotated, Any

import fastapi
import flask
import flask_limiter
import pydantic
import slowapi
from fastapi.security import APIKeyHeader

from overhead import (
    ANSWER,
    COLUMNS,
    KEY,
    compare,
    floor_asgi,
    floor_wsgi,
    make_gate,
    send_asgi,
    send_wsgi,
)

LIMITS = "1000000/minute;10000000/day"
HEADER = "x-api-key"


def fastapi_app() -> Any:
    """Return an app as in the documentation of FastAPI and slowapi."""
    fields: dict[str, Any] = {
        f"column_{index}": (float, pydantic.Field(alias=name)) for index, name in enumerate(COLUMNS)
    }
    row_model = pydantic.create_model("Row", **fields)
    body_model = pydantic.create_model("Body", input_data=(row_model, ...))
    limiter = slowapi.Limiter(key_func=lambda request: request.headers[HEADER])
    app = fastapi.FastAPI()
    app.state.limiter = limiter

    def check_key(key: Annotated[str, fastapi.Security(APIKeyHeader(name=HEADER))]) -> None:
        if not hmac.compare_digest(key, KEY):
            raise fastapi.HTTPException(401)

    @app.post("/api/predict", dependencies=[fastapi.Depends(check_key)])
    @limiter.limit(LIMITS)
    def predict(request: fastapi.Request, body: body_model) -> dict[str, Any]:  # type: ignore[valid-type]
        return ANSWER

    return app


def flask_app() -> Any:
    """Return an app as in the documentation of Flask and Flask-Limiter."""
    app = flask.Flask("peer")
    limiter = flask_limiter.Limiter(lambda: flask.request.headers[HEADER], app=app, storage_uri="memory://")

    def check_key() -> None:
        if not hmac.compare_digest(flask.request.headers.get(HEADER, ""), KEY):
            flask.abort(401)

    @app.post("/api/predict")
    @limiter.limit(LIMITS)
    def predict() -> dict[str, Any]:
        check_key()
        row = flask.request.get_json()["input_data"]
        if not all(isinstance(row.get(name), float) for name in COLUMNS):
            flask.abort(400)
        return ANSWER

    return app


def main() -> None:
    """Print the table."""
    gate, headers = make_gate(), {HEADER: KEY}
    rows: dict[str, tuple[Any, Any, Any, Any, int]] = {
        "FastAPI, slowapi": (send_asgi, floor_asgi, gate.asgi, fastapi_app(), 25),
        "Flask, Flask-Limiter": (send_wsgi, floor_wsgi, gate.wsgi, flask_app(), 12),
    }
    heads = "".join(f"{head:>9}" for head in ("floor", "gate", "theirs", "times", "goal"))
    print(f"{'us of CPU above the floor':32}{heads}")
    for name, (send, floor, ours, theirs, goal) in rows.items():
        base, gate_us, peer_us = compare(
            *(partial(send, app, headers=headers) for app in (floor, ours, theirs))
        )
        times = (peer_us - base) / (gate_us - base)
        print(f"{name:32}{base:9.1f}{gate_us - base:9.1f}{peer_us - base:9.1f}{times:9.1f}{f'>= {goal}':>9}")


if __name__ == "__main__":
    main()

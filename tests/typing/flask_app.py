"""Gate below a prefix of a Flask app and behind one of its views, and layers around the app."""

from typing import Any, assert_type

from flask import Flask, Response, request

import modelgate
from modelgate import BodyLimit, Deployment, Gate, Prediction, RateLimit, RequestId

model: Any = None

app = Flask(__name__)
gate = Gate(
    [Deployment("churn", model, decimals=2, max_rows=100)],
    keys={"a-key": "churn", "another-key": ["churn", "price"]},
    limits="60/minute; 10000/day",
)
modelgate.mount.flask.mount(app, "/ml", gate)
modelgate.mount.flask.wrap(app, RequestId(), BodyLimit(1_000), RateLimit("1/second"))
# mypy reports every assignment to a method, as it does for ProxyFix of werkzeug.
app.wsgi_app = modelgate.mount.wsgi.wrap(app.wsgi_app, RequestId())  # type: ignore[method-assign]
app.wsgi_app = modelgate.mount.wsgi.mount(app.wsgi_app, "/ml", gate)  # type: ignore[method-assign]


@app.post("/predict")
def predict() -> Response:
    return gate.handle(request, "churn", dialect="simple")


assert_type(gate.score("churn", {"age": 41}), Prediction)

Gate([Deployment(1, model)], keys="open")  # type: ignore[arg-type]
Gate([model], keys="open", deadline="30")  # type: ignore[arg-type]
Deployment("churn", model, state="stopped")  # type: ignore[arg-type]
modelgate.mount.flask.mount(gate, "/ml", gate)  # type: ignore[arg-type]

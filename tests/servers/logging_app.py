"""Apps with a gate whose access log is configured as docs/cookbook/logs.md says, if CONFIGURED is set."""

import os
import re
from pathlib import Path

import flask
import starlette.applications
import starlette.routing

from modelgate import Deployment, Gate, Schema, mount

if os.environ["CONFIGURED"] == "yes":
    page = Path(__file__).parents[2] / "docs" / "cookbook" / "logs.md"
    recipe = re.search(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert recipe is not None
    exec(recipe[1])

gate = Gate([Deployment("churn", lambda table: table["age"] > 30, schema=Schema.of(age=float))], keys="open")

wsgi_app = flask.Flask(__name__)
mount.flask.mount(wsgi_app, "/ml", gate)
asgi_app = starlette.applications.Starlette(routes=[starlette.routing.Mount("/ml", gate.asgi)])

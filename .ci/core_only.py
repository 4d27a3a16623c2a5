"""Test a wheel that is installed with the core dependencies only."""

import importlib.util
import pathlib
import sys
import time

started = time.perf_counter()
import modelgate  # noqa: E402
from modelgate.testing import Client  # noqa: E402

seconds = time.perf_counter() - started

for extra in ("sklearn", "pandas", "flask", "fastapi", "skops", "onnx", "joblib", "sqlalchemy", "click"):
    assert importlib.util.find_spec(extra) is None, f"{extra} is installed, so this test proves nothing"
assert "site-packages" in modelgate.__file__, modelgate.__file__
assert pathlib.Path(modelgate.__file__).with_name("py.typed").is_file()

KEY = modelgate.keys.generate()
gate = modelgate.Gate(keys={KEY: "double"})


@gate.handler("double", schema=modelgate.Schema.of(amount=float))
def double(table):
    """Double the amount; needs only numpy."""
    return table["amount"] * 2


for app in (gate.wsgi, gate.asgi):
    response = Client(app).post("/api/predict", json={"api_key": KEY, "input_data": {"amount": 2.5}})
    assert (200, {"predictions": [5.0]}) == (response.status, response.json()), response
    assert 200 == Client(app).get("/deployments/double/console").status, (
        "the console is missing from the wheel"
    )

for name, extra in (
    ("model.skops", "modelgate[skops]"),
    ("model.onnx", "modelgate[onnx]"),
    ("model.joblib", "modelgate[sklearn]"),
):
    pathlib.Path(name).write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    try:
        modelgate.models.load_model(name, sha256=empty)
    except modelgate.ConfigurationError as error:
        assert extra in str(error), error
    else:
        sys.exit(f"{name} was loaded without {extra}")

try:
    modelgate.Gate(keys="sqlite:///keys.db")
except modelgate.ConfigurationError as error:
    assert "modelgate[sql]" in str(error), error
else:
    sys.exit("a key database was opened without SQLAlchemy")

try:
    modelgate.RateLimit(storage="memcached://127.0.0.1:11211")
except modelgate.ConfigurationError as error:
    assert "modelgate[memcached]" in str(error), error
else:
    sys.exit("Memcached was used without a client library")

print(f"the wheel works with the core dependencies only; imported in {seconds:.2f} s")

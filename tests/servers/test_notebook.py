"""A gate in a notebook, in the kernel that Jupyter uses, where an event loop is always running."""

import nbclient
import nbformat

from support.waiting import SOON

CELLS = [
    """
from modelgate import Deployment, Gate, Schema
from modelgate.testing import Client

schema = Schema.of(age=float)
gate = Gate([Deployment("double", lambda table: table["age"] * 2, schema=schema)], keys="open")
gate.score("double", {"age": 21}).values.tolist()
""",
    """
client = Client(gate.asgi)
(await client.apost("/deployments/double/predict", json={"age": 21})).json()["prediction"]
""",
    """
Client(gate.wsgi).post("/deployments/double/predict", json={"age": 21}).json()["prediction"]
""",
    """
try:
    client.post("/deployments/double/predict", json={"age": 21})
except RuntimeError as error:
    message = str(error)
message
""",
]


def test_gate_in_a_notebook():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=SOON, kernel_name="python3").execute()
    results = [cell.outputs[-1]["data"]["text/plain"] for cell in notebook.cells]

    assert ["[42.0]", "42.0", "42.0"] == results[:3]
    assert "write await client.apost" in results[3]

"""App whose model waits until a file exists."""

import os
import time
from pathlib import Path

from modelgate import Deployment, Gate, Schema, Table

FOLDER = Path(os.environ["DRAINING_FOLDER"])


def double(table: Table) -> list[float]:
    (FOLDER / f"entered-{table['x'][0]:.0f}").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.01)
    doubled: list[float] = (table["x"] * 2).tolist()
    return doubled


gate = Gate([Deployment("double", double, schema=Schema.of(x=float))], keys="open", dialects=["simple"])
asgi, wsgi = gate.asgi, gate.wsgi

"""A gate that refuses many requests: one a second passes, and the first of them finds it busy."""

import os

from modelgate import Gate, Overloaded, Schema, Table

gate = Gate(keys={os.environ["MODELGATE_DEMO_KEY"]: "*"}, limits="1/second", dialects=["datarobot"])
app = gate.asgi
_refused: list[bool] = []


@gate.handler("double", schema=Schema.of(amount=float), target="amount")
def double(table: Table) -> list[float]:
    if not _refused:
        _refused.append(True)
        raise Overloaded
    doubled: list[float] = (table["amount"] * 2).tolist()
    return doubled

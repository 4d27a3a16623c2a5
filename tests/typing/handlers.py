"""Functions as deployments: decorated, async, and passed to `Deployment`."""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

from modelgate import Deployment, Gate, Output, Prediction, Schema, Table
from modelgate.schema import Column

gate = Gate(keys="open")
schema = Schema.of(
    age=float, plan=["free", "pro"], count=Column("count", "integer", minimum=0, nullable=True)
)


@gate.handler("double", schema=schema, decimals=2)
def double(table: Table) -> npt.NDArray[Any]:
    return table["age"] * 2


@gate.handler("triple", schema=schema)
async def triple(table: Table) -> list[float]:
    return [value * 3 for value in table["age"]]


def predict(table: Table) -> Prediction:
    return Prediction([Output("risk", np.zeros(len(table)))])


gate.deployments.add(Deployment("risk", predict, schema=schema, target=["risk"]))

# The decorator returns the function itself.
assert_type(double(schema.read({"age": 1})), npt.NDArray[Any])
assert_type(schema.read([{"age": 1}]), Table)
assert_type(gate.score("risk", {"age": 1}).outputs[0], Output)

gate.handler("quadruple")  # type: ignore[call-arg]
Column("age", "numeric")  # type: ignore[arg-type]
Schema.of(age=3)  # type: ignore[arg-type]

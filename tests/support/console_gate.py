"""A gate for tests of the console, with one deployment, ``sum``."""

from modelgate import Gate, Schema
from modelgate.schema import Column

KEY = "mg_a-key-of-the-console-tests"
SCHEMA = Schema.of(
    amount=Column("amount", "number", minimum=0, maximum=90, description="in euros", typical_value=4.5),
    count=Column("count", "integer", nullable=True, typical_value=3),
    plan=["free", "pro"],
    member=bool,
    note=Column("note", "text", required=False, nullable=True, max_length=40),
    region=Column("region", "text", default="north"),
)
ROW = {"amount": 12.5, "count": 2, "plan": "pro", "member": True, "note": "new", "region": "south"}


def make_gate(predict=lambda table: table["amount"] * 2, schema=SCHEMA, **options):
    """Make the gate, open to everyone unless *options* has keys."""
    gate = Gate(**{"keys": "open", **options})
    gate.handler("sum", schema=schema, target="total")(predict)
    return gate

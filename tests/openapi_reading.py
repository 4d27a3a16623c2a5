"""An OpenAPI document, read as its users do: what it says of an operation, and whether a value is as it says."""

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


class Document:
    """A document, its references followed."""

    def __init__(self, document):
        self.document = document
        self._registry = Registry().with_resource("urn:d", Resource(document, DRAFT202012))

    def operations(self):
        """Each path and its operation."""
        return [(path, item["post"]) for path, item in self.document["paths"].items()]

    def of(self, dialect):
        """The first operation of a dialect."""
        return next(told for _, told in self.operations() if told["operationId"] == dialect)

    def follow(self, told):
        if "$ref" not in told:
            return told
        part = self.document
        for name in told["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        return part

    def check(self, schema, value):
        """Raises where *value* is not as *schema*, a part of this document, says."""
        held = {"$id": "urn:d", **self.document, "$defs": {"asked": schema}}
        registry = Registry().with_resource("urn:d", Resource(held, DRAFT202012))
        Draft202012Validator({"$ref": "urn:d#/$defs/asked"}, registry=registry).validate(value)

    def check_answer(self, operation, answer):
        """Raises where *answer* is none that *operation* tells of."""
        told = self.follow(operation["responses"][str(answer.status)])
        kind = answer.header("content-type").partition(";")[0]
        shown = told["content"][kind]
        if kind == "application/json":
            self.check(shown["schema"], answer.json())
        if "example" in shown or "examples" in shown:
            # Which fields there are is known from examples.
            silent = {"content-type", "content-length"}
            assert {name for name, _ in answer.headers} - silent <= {name.lower() for name in told["headers"]}


def contents(document):
    """Each schema of a body in *document* with the examples that are said to be as it says."""
    bodies = [
        *document["components"]["requestBodies"].values(),
        *document["components"]["responses"].values(),
    ]
    for body in bodies:
        for told in body["content"].values():
            if "example" in told:
                yield told["schema"], told["example"]
            for example in told.get("examples", {}).values():
                yield told["schema"], example["value"]

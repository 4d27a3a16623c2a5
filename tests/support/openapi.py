"""Read an OpenAPI document as its users do: find operations, and check values against their schemas."""

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


class OpenAPIDocument:
    """An OpenAPI document whose references can be resolved."""

    def __init__(self, document):
        self.document = document
        self._registry = Registry().with_resource("urn:d", Resource(document, DRAFT202012))

    def list_operations(self):
        """Return each path on which rows are scored, with its operation."""
        return [
            (path, item["post"])
            for path, item in self.document["paths"].items()
            if "post" in item and item["post"]["tags"] != ["monitoring"]
        ]

    def find_operation(self, dialect):
        """Return the first operation of a dialect."""
        return next(
            operation for _, operation in self.list_operations() if operation["operationId"] == dialect
        )

    def resolve(self, value):
        """Return the part of the document that *value* refers to, or *value* itself if it is no reference."""
        if "$ref" not in value:
            return value
        part = self.document
        for name in value["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        return part

    def check(self, schema, value):
        """Raise a ValidationError if *value* does not fit *schema*, which may refer to this document."""
        resource = {"$id": "urn:d", **self.document, "$defs": {"checked": schema}}
        registry = Registry().with_resource("urn:d", Resource(resource, DRAFT202012))
        Draft202012Validator({"$ref": "urn:d#/$defs/checked"}, registry=registry).validate(value)

    def check_response(self, operation, response):
        """Raise an error if *response* does not fit the responses of *operation*."""
        documented = self.resolve(operation["responses"][str(response.status)])
        media_type = response.header("content-type").partition(";")[0]
        content = documented["content"][media_type]
        if media_type.endswith("json"):
            self.check(content["schema"], response.json())
        if "example" in content or "examples" in content:
            # Header fields are documented where there are examples.
            undocumented = {"content-type", "content-length"}
            names = {name for name, _ in response.headers}
            assert names - undocumented <= {name.lower() for name in documented["headers"]}


def list_examples(document):
    """Yield each example of a body in *document*, after its schema."""
    bodies = [
        *document["components"]["requestBodies"].values(),
        *document["components"]["responses"].values(),
    ]
    for body in bodies:
        for content in body["content"].values():
            if "example" in content:
                yield content["schema"], content["example"]
            for example in content.get("examples", {}).values():
                yield content["schema"], example["value"]

"""The operations of a document: one for each path on which a dialect takes rows."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from ..dialects import Dialect, Document, Sample, filled
from ..dialects.document import SCHEMES, JSONSchema
from ..errors import AnswerableError
from ..http import Request, Response
from ..scoring import Description, Target
from .example import EXAMPLE_ID, EXAMPLE_KEY
from .faults import faults
from .rows import example_of, row_schemas

__all__ = ["Operations"]

_LIMITS = {
    "X-RateLimit-Limit": "How many requests the window to heed lets pass",
    "X-RateLimit-Remaining": "How many are left of them",
    "X-RateLimit-Reset": "When it begins anew, in seconds since the epoch",
}


class Operations:
    """The operations of a deployment, and the components they share.

    Args:
        told: what is known of the deployment.
        targets: what it predicts.
        keyed: whether a key is asked.
        limited: whether answers tell of a rate limit.
        alone: whether it is the only deployment, and asked wherever no other is named.

    Attributes:
        tags: one for each dialect.
        paths: by path, its operation.
        components: what the operations refer to.
    """

    def __init__(
        self, told: Description, targets: Sequence[Target], *, keyed: bool, limited: bool, alone: bool
    ) -> None:
        self._told = told
        self._targets = targets
        self._keyed = keyed
        self._alone = alone
        self._row = example_of(told.schema)
        self._headers = ["X-Request-ID", *(_LIMITS if limited else ())]
        request_id = {"description": "Names the request in logs", "schema": {"type": "string"}}
        limits = {
            name: {"description": word, "schema": {"type": "integer"}} for name, word in _LIMITS.items()
        }
        headers = {"X-Request-ID": request_id, **limits}
        self.tags: list[JSONSchema] = []
        self.paths: dict[str, JSONSchema] = {}
        self.components: dict[str, dict[str, Any]] = {
            "schemas": row_schemas(told.schema),
            "parameters": {"X-Request-ID": {"name": "X-Request-ID", "in": "header", **request_id}},
            "requestBodies": {},
            "responses": {},
            "headers": {name: headers[name] for name in self._headers},
            "securitySchemes": {},
        }

    def add(self, dialect: Dialect, answer: Response | None) -> None:
        """Add the operations of *dialect*, whose answer to the example is *answer*."""
        document: Document = getattr(dialect, "document", None) or _unknown(dialect)
        name = re.sub(r"[^\w.-]", "_", dialect.name, flags=re.ASCII)
        self.tags.append({"name": dialect.name, "description": document.title})
        schemas = self.components["schemas"]
        schemas[f"{name}_answer"], schemas[f"{name}_error"] = document.answer(self._targets), document.error
        self.components["requestBodies"][name] = self._request_body(dialect, document)
        responses = {200: self._answer(name, document, answer), **self._errors(name, dialect, document)}
        for status, response in responses.items():
            self.components["responses"][f"{name}_{status}"] = response
        operation = {
            "tags": [dialect.name],
            "summary": "Predict",
            "requestBody": _ref("requestBodies", name),
            "responses": {str(status): _ref("responses", f"{name}_{status}") for status in responses},
            **self._security(document),
        }
        for at, path in enumerate(self._paths(dialect), 1):
            parameters = [_ref("parameters", "X-Request-ID"), *_in_path(path), *document.parameters]
            told = {"operationId": name if at == 1 else f"{name}_{at}", "parameters": parameters, **operation}
            self.paths.setdefault(path, {"post": told})

    def _paths(self, dialect: Dialect) -> Iterator[str]:
        """The paths on which rows are taken, below the mount point, where they or the body name the deployment."""
        named = self._alone or _is_named(getattr(dialect, "sample", None))
        words = {"{deployment}": self._told.name, "{version}": quote(self._told.version, safe="")}
        for route in dialect.routes:
            takes_rows = route.method == "POST" and route.answer is None
            if takes_rows and (named or "{deployment}" in route.path):
                path = route.path or "/"
                for mark, word in words.items():
                    path = path.replace(mark, word)
                yield path
        if dialect.name == "simple" and self._told.endpoint is not None:
            yield self._told.endpoint

    def _security(self, document: Document) -> dict[str, Any]:
        if not self._keyed:
            return {}
        schemes = {scheme: SCHEMES[scheme] for way in document.keys for scheme in way}
        self.components["securitySchemes"].update(schemes)
        return {"security": [{scheme: [] for scheme in way} for way in document.keys]}

    def _request_body(self, dialect: Dialect, document: Document) -> JSONSchema:
        content: dict[str, JSONSchema] = {kind: {"schema": told} for kind, told in document.requests.items()}
        samples = [Sample("", {}, "{csv}", "text/csv"), getattr(dialect, "sample", None)]
        for sample in samples:
            if sample is not None and self._row is not None and sample.media_type in content:
                request = filled(sample, self._told.name, EXAMPLE_KEY, self._told.schema, [self._row])
                content[sample.media_type]["example"] = _value(sample.media_type, request.body)
        size = f"At most {dialect.max_body} bytes"
        return {"required": True, "description": size, "content": content}

    def _answer(self, name: str, document: Document, answer: Response | None) -> JSONSchema:
        text: JSONSchema = {"schema": {"type": "string"}}
        content = {kind: text if kind.startswith("text/") else {} for kind in document.answer_types}
        told: JSONSchema = {"schema": _ref("schemas", f"{name}_answer")}
        kind = "application/json"
        if answer is not None and isinstance(answer.body, bytes):
            kind = _media_type(answer)
            told["example"] = _value(kind, answer.body)
        headers = self._told_headers([answer] if answer is not None else [])
        return {"description": "The predictions", "headers": headers, "content": {kind: told, **content}}

    def _errors(self, name: str, dialect: Dialect, document: Document) -> dict[int, JSONSchema]:
        """By status, what is answered to requests that fail."""
        by_status: dict[int, list[tuple[AnswerableError, Response]]] = {}
        known = faults(self._told.schema, dialect.max_body, keyed=self._keyed)
        for error in (*known, *document.errors):
            request = Request("POST", "/", {})
            request.id, request.deployment = EXAMPLE_ID, self._told.name
            response = dialect.encode_error(request, error)
            by_status.setdefault(response.status, []).append((error, response))
        return {status: self._refusals(name, told) for status, told in sorted(by_status.items())}

    def _refusals(self, name: str, told: Sequence[tuple[AnswerableError, Response]]) -> JSONSchema:
        content: dict[str, JSONSchema] = {}
        for error, response in told:
            kind = _media_type(response)
            shown = content.setdefault(kind, {"schema": _ref("schemas", f"{name}_error"), "examples": {}})
            assert isinstance(response.body, bytes)
            examples, code = shown["examples"], error.code
            key = code if code not in examples else f"{code}_{len(examples)}"
            examples[key] = {"summary": error.message, "value": _value(kind, response.body)}
        description = " ".join(dict.fromkeys(_sentence(error) for error, _ in told))
        headers = self._told_headers([response for _, response in told])
        if told[0][0].status == 401:
            # Who has no key is told of no limit.
            headers = {field: header for field, header in headers.items() if field not in _LIMITS}
        return {"description": description, "headers": headers, "content": content}

    def _told_headers(self, responses: Iterable[Response]) -> dict[str, JSONSchema]:
        """The fields of *responses*, and those that every answer has."""
        told: dict[str, JSONSchema] = {name: _ref("headers", name) for name in self._headers}
        for response in responses:
            for name, value in response.headers:
                if name != "content-type":
                    number = value.isdigit()
                    example = int(value) if number else value
                    told[name] = {"schema": {"type": "integer" if number else "string"}, "example": example}
        return told


def _unknown(dialect: Dialect) -> Document:
    """Of a dialect that says nothing of itself, what can be seen from its answers."""
    sample: Sample | None = getattr(dialect, "sample", None)
    kind = "application/json" if sample is None else sample.media_type
    return Document(dialect.name, {kind: {}}, lambda _: {}, {}, keys=())


def _is_named(sample: Sample | None) -> bool:
    """Whether the body of a request names the deployment, so that its path need not."""
    return sample is not None and b'"{deployment}"' in msgspec.json.encode(sample.body)


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _in_path(path: str) -> list[JSONSchema]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _media_type(response: Response) -> str:
    return (response.header("content-type") or "application/json").partition(";")[0]


def _value(kind: str, body: bytes) -> Any:
    return msgspec.json.decode(body) if kind == "application/json" else body.decode(errors="replace")


def _sentence(error: AnswerableError) -> str:
    """What kind of error it is, in the words of its class."""
    return (type(error).__doc__ or f"{error.message}.").partition("\n")[0].replace("``", "`")

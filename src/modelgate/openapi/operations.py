"""Build the operations of an OpenAPI document, one for each path on which a dialect accepts rows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec

from ..context import RequestContext
from ..dialects import Dialect, OpenAPISpec, RequestTemplate, render_request
from ..dialects.openapi_spec import PLAIN_ERROR, SCHEME_OF_HEADER, SCHEMES, JSONSchema, OperationSpec
from ..errors import AnswerableError
from ..http import Request, Response
from ..http.routing import Route
from ..inference import Target
from ..scoring import Description
from .error_examples import error_examples
from .named_objects import name_objects
from .prediction_example import EXAMPLE_ID, EXAMPLE_KEY
from .rows import example_rows, row_schemas

__all__ = ["OperationBuilder"]

_LIMITS = {
    "X-RateLimit-Limit": "Requests allowed in the tightest window",
    "X-RateLimit-Remaining": "Requests left in that window",
    "X-RateLimit-Reset": "End of that window, in seconds since the epoch",
}

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "New key for each new request. If a request is repeated with its key, it gets the same answer",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_PLAIN = OpenAPISpec("", {}, lambda _: {}, PLAIN_ERROR)
_MONITORING = {"name": "monitoring", "description": "Traffic, drift and accuracy of the deployment"}
_STATUSES = (401, 403, 404, 406, 429, 500, 503)
_BODY_STATUSES = (400, 408, 413, 415)

_EXPLANATION_HEADERS = {
    "X-Explanation-Method": "How the predictions are explained: linear, tree or permutation",
    "X-Explanation-Space": "Unit of the strengths: value, link, probability or margin",
    "X-Explanation-Base-Value": "Prediction to which the strengths are added, if it is the same for all rows",
}


class OperationBuilder:
    """Builder of the operations of a deployment, and of the components that they share.

    Args:
        description: Description of the deployment.
        targets: Targets that the deployment predicts.
        keyed: Whether requests need an API key.
        key_header: See `Gate`.
        limited: Whether responses have rate limit headers.
        idempotent: Whether requests may have an ``Idempotency-Key``.
        is_only: Whether this is the gate's only deployment, so that requests need not name the deployment.

    Attributes:
        tags: Tags, one for each dialect.
        paths: Operations by path.
        components: Components that the operations refer to.
    """

    def __init__(
        self,
        description: Description,
        targets: Sequence[Target],
        *,
        keyed: bool,
        key_header: str | None,
        limited: bool,
        idempotent: bool,
        is_only: bool,
    ) -> None:
        self._description = description
        self._targets = targets
        self._keyed = keyed
        self._idempotent = idempotent
        self._plain = _PLAIN if key_header is None else replace(_PLAIN, keys=[[SCHEME_OF_HEADER[key_header]]])
        self._is_only = is_only
        self._rows = example_rows(description)
        self._headers = ["X-Request-ID", *(_LIMITS if limited else ())]
        request_id = {"description": "ID of the request in logs", "schema": {"type": "string"}}
        limits = {
            name: {"description": text, "schema": {"type": "integer"}} for name, text in _LIMITS.items()
        }
        headers = {"X-Request-ID": request_id, **limits}
        self.tags: list[JSONSchema] = []
        self.paths: dict[str, JSONSchema] = {}
        self.components: dict[str, dict[str, Any]] = {
            "schemas": row_schemas(description.schema),
            "parameters": {
                "X-Request-ID": {"name": "X-Request-ID", "in": "header", **request_id},
                **({"Idempotency-Key": _IDEMPOTENCY_KEY} if idempotent else {}),
            },
            "requestBodies": {},
            "responses": {},
            "headers": {name: headers[name] for name in self._headers},
            "securitySchemes": {},
        }

    def add(self, dialect: Dialect, response: Response | None) -> None:
        """Add the operations of *dialect*.

        Args:
            dialect: Dialect to add.
            response: Response of the dialect to the example rows, shown as an example; None for no example.
        """
        attribute = "openapi_spec" if self._description.time_series is None else "forecast_openapi_spec"
        spec: OpenAPISpec = getattr(dialect, attribute, None) or _default_spec(dialect)
        name = re.sub(r"[^\w.-]", "_", dialect.name, flags=re.ASCII)
        self.tags.append({"name": dialect.name, "description": spec.title})
        schemas = {f"{name}_answer": spec.answer(self._targets), f"{name}_error": spec.error}
        if "application/json" in spec.requests:
            schemas[f"{name}_request"] = spec.requests["application/json"]
        for schema_name, schema in schemas.items():
            self.components["schemas"] |= name_objects(schema_name, schema)
        self.components["requestBodies"][name] = self._request_body(name, dialect, spec)
        responses = {200: self._success(name, spec, response), **self._errors(name, dialect, spec)}
        for status, component in responses.items():
            self.components["responses"][f"{name}_{status}"] = component
        operation = {
            "tags": [dialect.name],
            "summary": "Predict",
            "requestBody": _ref("requestBodies", name),
            "responses": {str(status): _ref("responses", f"{name}_{status}") for status in responses},
            **self._security(spec),
        }
        if self._description.time_series is None:
            for template, described in spec.operations.items():
                self._add_other(name, template, described, operation)
        explains = self._description.max_explanations is not None
        query = [*spec.parameters, *(spec.explanation_parameters if explains else ())]
        if any(target.intervals for target in self._targets):
            query += spec.interval_parameters
        paths = [
            path
            for path in self._paths(dialect, spec)
            if explains or spec.explanation_path is None or not path.endswith(spec.explanation_path)
        ]
        for number, path in enumerate(paths, 1):
            operation_id = name if number == 1 else f"{name}_{number}"
            parameters = [*self._predict_parameters(path), *query]
            post = {"operationId": operation_id, "parameters": parameters, **operation}
            self.paths.setdefault(path, {"post": post})

    def add_route(self, route: Route) -> None:
        """Add the operation of a *route* that scores no rows. Its API key is in a header field."""
        assert route.spec is not None
        summary, answer, request, query = route.spec
        path = self._fill(route.path)
        name = f"{route.method.lower()}_{path.rpartition('/')[2]}"
        types = [answer] if request is None else [answer, request]
        schemas, components = msgspec.json.schema_components(
            types, ref_template="#/components/schemas/{name}"
        )
        for component, schema in {**components, "Error": PLAIN_ERROR}.items():
            # Docstrings continue with a section in their own markup.
            text = schema.get("description", "An error").partition("\n")[0]
            self.components["schemas"] |= name_objects(component, {**schema, "description": text})
        content = [{"application/json": {"schema": schema}} for schema in schemas]
        self.components["responses"] |= {
            f"{name}_200": {
                "description": summary,
                "headers": self._response_headers([]),
                "content": content[0],
            },
            "Error": {
                "description": "The request was rejected or has failed",
                "headers": self._response_headers([]),
                "content": {"application/json": {"schema": _ref("schemas", "Error")}},
            },
        }
        statuses = {*_STATUSES, *(_BODY_STATUSES if request is not None else ())}
        statuses -= set() if self._keyed else {401, 403}
        if _MONITORING not in self.tags:
            self.tags.append(_MONITORING)
        operation = {
            "operationId": name,
            "tags": [_MONITORING["name"]],
            "summary": summary,
            "parameters": [
                _ref("parameters", "X-Request-ID"),
                *(
                    {"name": parameter, "in": "query", "description": text, "schema": {"type": "string"}}
                    for parameter, text in query.items()
                ),
            ],
            **({} if request is None else {"requestBody": {"required": True, "content": content[1]}}),
            "responses": {
                "200": _ref("responses", f"{name}_200"),
                **{str(status): _ref("responses", "Error") for status in sorted(statuses)},
            },
            **self._security(self._plain),
        }
        self.paths.setdefault(path, {})[route.method.lower()] = operation

    def _add_other(self, name: str, template: str, spec: OperationSpec, predict: Mapping[str, Any]) -> None:
        """Add a scoring operation whose request has other members besides rows; see `OpenAPISpec`.

        Its errors and API keys are those of the operation *predict*. Its path is *template*, filled in.
        """
        path = self._fill(template)
        other = f"{name}_{path.rpartition('/')[2]}"
        schemas = {f"{other}_request": spec.request, f"{other}_answer": spec.answer(self._targets)}
        for schema_name, schema in schemas.items():
            self.components["schemas"] |= name_objects(schema_name, schema)
        body: JSONSchema = {"schema": _ref("schemas", f"{other}_request")}
        if self._rows is not None:
            body["example"] = spec.example(self._rows[0])
        self.components["requestBodies"][other] = {"required": True, "content": {"application/json": body}}
        self.components["responses"][f"{other}_200"] = {
            "description": spec.summary,
            "headers": self._response_headers([]),
            "content": {"application/json": {"schema": _ref("schemas", f"{other}_answer")}},
        }
        responses = {**predict["responses"], "200": _ref("responses", f"{other}_200")}
        parameters = self._predict_parameters(path)
        post = {
            **predict,
            "operationId": other,
            "summary": spec.summary,
            "parameters": parameters,
            "requestBody": _ref("requestBodies", other),
            "responses": responses,
        }
        self.paths.setdefault(path, {"post": post})

    def _paths(self, dialect: Dialect, spec: OpenAPISpec) -> Iterator[str]:
        """Yield the paths, relative to the mount point, on which the deployment accepts rows."""
        is_named = self._is_only or _is_named_in_body(getattr(dialect, "request_template", None))
        for route in dialect.routes:
            accepts_rows = (
                route.method == "POST" and route.handler is None and route.path not in spec.operations
            )
            if accepts_rows and (is_named or "{deployment}" in route.path):
                yield self._fill(route.path or "/")
        if dialect.name == "simple" and self._description.endpoint is not None:
            yield self._description.endpoint

    def _predict_parameters(self, path: str) -> list[JSONSchema]:
        """Return the parameters of an operation that predicts on *path*, except those of its query string."""
        headers = ["X-Request-ID", *(["Idempotency-Key"] if self._idempotent else ())]
        return [*(_ref("parameters", name) for name in headers), *_path_parameters(path)]

    def _fill(self, path: str) -> str:
        """Return *path* with the placeholders replaced by the name and the version of the deployment."""
        path = path.replace("{deployment}", self._description.name)
        return path.replace("{version}", quote(self._description.version, safe=""))

    def _security(self, spec: OpenAPISpec) -> dict[str, Any]:
        if not self._keyed:
            return {}
        schemes = {scheme: SCHEMES[scheme] for alternative in spec.keys for scheme in alternative}
        self.components["securitySchemes"].update(schemes)
        return {"security": [{scheme: [] for scheme in alternative} for alternative in spec.keys]}

    def _request_body(self, name: str, dialect: Dialect, spec: OpenAPISpec) -> JSONSchema:
        content: dict[str, JSONSchema] = {
            media_type: {
                "schema": _ref("schemas", f"{name}_request") if media_type == "application/json" else schema
            }
            for media_type, schema in spec.requests.items()
        }
        schema = self._description.schema
        for template in (
            RequestTemplate("", {}, "{csv}", "text/csv"),
            getattr(dialect, "request_template", None),
        ):
            if template is not None and self._rows is not None and template.media_type in content:
                request = render_request(template, self._description.name, EXAMPLE_KEY, schema, self._rows)
                content[template.media_type]["example"] = _decode(template.media_type, request.body)
        size = f"At most {dialect.max_body} bytes"
        return {"required": True, "description": size, "content": content}

    def _success(self, name: str, spec: OpenAPISpec, response: Response | None) -> JSONSchema:
        text: JSONSchema = {"schema": {"type": "string"}}
        content = {
            media_type: text if media_type.startswith("text/") else {} for media_type in spec.answer_types
        }
        predictions: JSONSchema = {"schema": _ref("schemas", f"{name}_answer")}
        media_type = "application/json"
        if response is not None and isinstance(response.body, bytes):
            media_type = _media_type(response)
            predictions["example"] = _decode(media_type, response.body)
        headers = self._response_headers([response] if response is not None else [])
        if self._description.max_explanations is not None and spec.explanation_parameters:
            headers |= {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in _EXPLANATION_HEADERS.items()
            }
        content = {media_type: predictions, **content}
        return {"description": "The predictions", "headers": headers, "content": content}

    def _errors(self, name: str, dialect: Dialect, spec: OpenAPISpec) -> dict[int, JSONSchema]:
        """Return the OpenAPI response objects of the dialect's errors, by HTTP status."""
        by_status: dict[int, list[tuple[AnswerableError, Response]]] = {}
        errors = error_examples(
            self._description.schema, dialect.max_body, keyed=self._keyed, idempotent=self._idempotent
        )
        for error in (*errors, *spec.errors):
            context = RequestContext(deployment=self._description.name)
            request = Request("POST", "/", {}, context=context)
            request.id = EXAMPLE_ID
            response = dialect.encode_error(request, error)
            by_status.setdefault(response.status, []).append((error, response))
        return {status: self._error(name, examples) for status, examples in sorted(by_status.items())}

    def _error(self, name: str, responses: Sequence[tuple[AnswerableError, Response]]) -> JSONSchema:
        """Return the component for error *responses* that all have the same status."""
        content: dict[str, JSONSchema] = {}
        for error, response in responses:
            media_type = _media_type(response)
            component = content.setdefault(
                media_type, {"schema": _ref("schemas", f"{name}_error"), "examples": {}}
            )
            assert isinstance(response.body, bytes)
            examples, code = component["examples"], error.code
            key = code if code not in examples else f"{code}_{len(examples)}"
            examples[key] = {"summary": error.message, "value": _decode(media_type, response.body)}
        description = " ".join(dict.fromkeys(_error_summary(error) for error, _ in responses))
        headers = self._response_headers([response for _, response in responses])
        if responses[0][0].status == 401:
            # Requests without a valid key are rejected before rate limits are checked.
            headers = {field: header for field, header in headers.items() if field not in _LIMITS}
        return {"description": description, "headers": headers, "content": content}

    def _response_headers(self, responses: Iterable[Response]) -> dict[str, JSONSchema]:
        """Return the headers of *responses*, including the headers that all responses of the gate have."""
        headers: dict[str, JSONSchema] = {name: _ref("headers", name) for name in self._headers}
        for response in responses:
            for name, value in response.headers:
                if name != "content-type":
                    is_number = value.isdigit()
                    example = int(value) if is_number else value
                    schema = {"type": "integer" if is_number else "string"}
                    headers[name] = {"schema": schema, "example": example}
        return headers


def _default_spec(dialect: Dialect) -> OpenAPISpec:
    """Return a minimal `OpenAPISpec`, for a dialect that does not provide one."""
    template: RequestTemplate | None = getattr(dialect, "request_template", None)
    media_type = "application/json" if template is None else template.media_type
    return OpenAPISpec(dialect.name, {media_type: {}}, lambda _: {}, {}, keys=())


def _is_named_in_body(template: RequestTemplate | None) -> bool:
    """Return whether the request body contains the deployment's name. If so, the path may omit the name."""
    return template is not None and b'"{deployment}"' in msgspec.json.encode(template.body)


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _path_parameters(path: str) -> list[JSONSchema]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _media_type(response: Response) -> str:
    return (response.header("content-type") or "application/json").partition(";")[0]


def _decode(media_type: str, body: bytes) -> Any:
    is_json = media_type == "application/json" or media_type.endswith("+json")
    return msgspec.json.decode(body) if is_json else body.decode(errors="replace")


def _error_summary(error: AnswerableError) -> str:
    """Return the first docstring line of the error's class, or the error message if there is no docstring."""
    return (type(error).__doc__ or f"{error.message}.").partition("\n")[0].replace("``", "`")

"""Dispatch requests: find the route, run the HTTP layers, then score or call the route's handler."""

import contextlib
import logging
from collections.abc import Sequence

import msgspec

from ..context import RequestContext
from ..deployments import Deployments, HTTPLayer
from ..dialects import Dialect
from ..errors import (
    AnswerableError,
    InsufficientScope,
    InvalidInput,
    NotFound,
    PredictionError,
    RequestError,
    ServingError,
)
from ..flow import Flow
from ..flow.tracebacks import clear_locals
from ..http import PLAIN_JSON, Request, Response, encode_error, http_stack
from ..http.routing import Router
from ..layers import Deadline, KeyAuth
from ..openapi.body_example import example_body

__all__ = ["RequestDispatcher"]

logger = logging.getLogger("modelgate")


class RequestDispatcher:
    """Dispatcher for the requests to a gate. Every error becomes a response.

    Args:
        router: Routes of the gate.
        deployments: Deployments of the gate.
        layers: HTTP layers around all deployments. On public routes, only the `Deadline` applies.
        default_dialect: Dialect for requests to unknown paths.
    """

    def __init__(
        self,
        router: Router,
        deployments: Deployments,
        layers: Sequence[HTTPLayer],
        default_dialect: Dialect,
    ) -> None:
        self._router = router
        self._deployments = deployments
        self._default_dialect = default_dialect
        self._unchecked_keys = [layer for layer in layers if isinstance(layer, KeyAuth)]
        self._guarded = http_stack(layers, self._respond)
        self._public = http_stack((layer for layer in layers if isinstance(layer, Deadline)), self._respond)

    def dispatch(self, request: Request) -> Flow[Response]:
        """Route *request*, pass it through the HTTP layers and return the response."""
        if self._unchecked_keys:
            self._check_keys()
        try:
            context: RequestContext = request.context
            context.catalog = self._deployments.catalog
            if request.wire is PLAIN_JSON:
                self._route(request, context)
            route = context.route
            call_layers = self._guarded if route is None or not route.is_public else self._public
            response = yield from call_layers(request)
            if not isinstance(response, Response):
                raise TypeError(f"layers must return a Response (got {response!r})")
            return response
        except AnswerableError as error:
            return _error_response(request, error)
        except Exception as error:
            _report_exception(request, error, "request %s failed", request.id)
            return _error_response(request, ServingError())

    def _check_keys(self) -> None:
        """Log a warning if a configured key permits a deployment that the gate does not have.

        The first request runs this check, because `Gate.handler` adds deployments after construction.
        """
        layers, self._unchecked_keys = self._unchecked_keys, []
        for layer in layers:
            unknown = layer.unknown_deployments(self._deployments)
            if unknown:
                names = ", ".join(self._deployments) or "none"
                logger.warning("keys: unknown deployments: %s (the gate has %s)", ", ".join(unknown), names)

    def _route(self, request: Request, context: RequestContext) -> None:
        try:
            route, request.wire, request.params = self._router.find(request.method, request.path)
        except RequestError as error:
            # Encode the error in the wire format of the most similar path.
            request.wire = self._router.nearest(request.path) or self._default_dialect
            template = getattr(request.wire, "request_template", None)
            if isinstance(error, NotFound) and template is not None:
                path = request.root_path + template.path
                raise NotFound(f"Not found: send rows with POST to {path}") from None
            raise
        context.route, context.deployment = route, request.params.get("deployment")
        if route.handler is not None:
            context.action = route.action

    def _respond(self, request: Request) -> Flow[Response]:
        """Respond to a request that has passed the gate's HTTP layers. Errors become responses.

        The deployment's own layers run after the path and the body have been decoded, so they do not see
        errors in the path or the body.
        """
        context: RequestContext = request.context
        try:
            if request.timing is not None:
                request.timing.mark("auth")
            route, version = context.route, request.params.get("version")
            if version is not None:
                yield from self._check_version(context, version)
            if route is not None and route.handler is not None:
                response = yield from route.handler(request)
                _forbid_caching(request, response)
                return response
            return (yield from self._score(request, context, version))
        except AnswerableError as error:
            if isinstance(error, NotFound):
                context.suggest_deployment(error)
            return _error_response(request, error)

    def _score(self, request: Request, context: RequestContext, version: str | None) -> Flow[Response]:
        dialect: Dialect = request.wire  # type: ignore[assignment]  # a route that scores has one
        try:
            query = context.query = yield from dialect.decode(request)
        except RequestError as error:
            if error.needs_example:
                self._add_example(error, dialect, context)
            raise
        except Exception as error:
            if not isinstance(error, AnswerableError):
                # The local variables contain the body, which may contain an API key.
                clear_locals(error)
            raise
        query.deployment = context.deployment = self._deployment_name(context, query.deployment)
        query.version = version
        catalog = self._deployments.catalog
        in_flight = catalog[query.deployment].in_flight
        try:
            try:
                in_flight.begin(request)
                # Looked up again: a concurrent drain either waits for the request, or is noticed here.
                live = catalog[query.deployment]
                if live.state != "active":
                    raise live.inactive_error()
                if context.failure is not None:
                    raise context.take_failure()
                return (yield from live.answer(request))
            finally:
                in_flight.end(request)
        except BaseException:
            # Call `end` again: an interruption may have ended the first call before it took effect.
            in_flight.end(request)
            raise

    def _add_example(self, error: RequestError, dialect: Dialect, context: RequestContext) -> None:
        """Add an example body to *error*, unless the deployment's schema is hidden or not in memory."""
        with contextlib.suppress(RequestError):
            name = self._deployment_name(context, None)
            live = self._deployments.catalog[name]
            schema = live.deployment.request_schema or live.model.schema_in_memory()
            example = None if schema is None else example_body(dialect, name, schema)
            if example is not None:
                error.add_hint(f". Example: {msgspec.json.encode(example).decode()}", example=example)

    def _check_version(self, context: RequestContext, version: str) -> Flow[None]:
        """Raise `NotFound` unless the deployment has the *version* that the request path names."""
        assert context.deployment is not None and context.route is not None
        live = self._deployments.catalog.get_active(context.deployment)
        versions = yield from live.versions()
        if context.route.handler is not None:
            # Metadata describes only the deployment's own model, not the other models of a rollout.
            del versions[1:]
        if version not in versions:
            raise NotFound(f"This deployment has no such version: use {' or '.join(versions)}")

    def _deployment_name(self, context: RequestContext, name_in_body: str | None) -> str:
        """Return the deployment that the path or the body names, or the only one that the caller may use."""
        principal, name = context.principal, context.deployment or name_in_body
        if name is not None:
            if name_in_body is not None and name_in_body != name:
                raise InvalidInput(
                    f"The path names deployment {name!r}, but the body names another one: send only one name"
                )
            context.require_access(name)
            return name
        permitted = principal.deployments if principal is not None else None
        names = list(permitted if permitted is not None else self._deployments)
        if len(names) == 1:
            return names[0]
        if permitted == ():
            raise InsufficientScope
        raise InvalidInput(
            f"The request must name a deployment, in the path or in the member 'deployment' of the body:"
            f" {', '.join(names)}"
        )


def _error_response(request: Request, error: AnswerableError) -> Response:
    if isinstance(error, PredictionError):
        message, name = "request %s: deployment %s failed to predict", request.context.deployment
        _report_exception(request, error.__cause__ or error, message, request.id, name)
    response = encode_error(request, error)
    if request.method != "POST":
        # Some caches store a 404, which may name the deployments of a key.
        _forbid_caching(request, response)
    return response


def _forbid_caching(request: Request, response: Response) -> None:
    """Forbid caching, unless the route is public or the response already has ``Cache-Control``.

    Shared HTTP caches do not know that a response depends on the x-api-key header.
    """
    route = request.context.route
    if (route is None or not route.is_public) and response.header("cache-control") is None:
        response.headers.append(("cache-control", "private, no-store"))


def _report_exception(request: Request, error: BaseException, message: str, *args: object) -> None:
    """Report *error* to the app's error tracker, through the log and the framework."""
    logger.error(message, *args, exc_info=error, extra={"request_id": request.id})
    context: RequestContext = request.context
    if context.catalog is not None and context.deployment is not None:
        context.catalog.record_error(context.deployment, error, request.id)
    if request.on_exception is not None:
        request.on_exception(error)

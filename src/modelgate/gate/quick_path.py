"""Quick path: answers the usual request in one function, instead of through fifteen layers.

A usual request has one row, as JSON in the native format or that of ML Clever, and its key has been accepted before.
All policies are those of the layers: this module calls their parts, in the order of the layers. It makes no error:
whatever is not certain to be answered with 200 is passed to the layers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from ..context import RequestContext, Settled
from ..deployments import HTTPLayer
from ..deployments.catalog import DeploymentCatalog, LiveDeployment
from ..dialects import MLClever, Native
from ..errors import AnswerableError, RequestError
from ..flow import Flow, Handler
from ..http import PLAIN_JSON, Request, Response, credentials_from_headers
from ..http.routing import Router
from ..inference import Prediction
from ..keys import Principal
from ..layers import (
    AccessLog,
    Admission,
    AuthFailureLimit,
    BodyLimit,
    Deadline,
    KeyAuth,
    Metrics,
    RateLimit,
    RequestId,
    ServerTiming,
)
from ..limiting import RateLimitDecision
from ..schema import Schema
from ..scoring import Query, Round
from ..scoring.score import predict
from .dispatcher import reject_lone_surrogates

__all__ = ["QuickPath", "create_quick_path"]

_Route: TypeAlias = tuple[MLClever | Native, str | None]

_STANDARD_LAYERS = (
    *(RequestId, Metrics, AccessLog, ServerTiming),
    *(Deadline, Admission, BodyLimit, AuthFailureLimit, KeyAuth, RateLimit),
)
_MAX_ROUTES = 1000


def create_quick_path(
    layers: Sequence[HTTPLayer],
    router: Router,
    catalog: DeploymentCatalog,
    layered: Handler[Request, Response],
) -> "QuickPath | None":
    """Return a quick path beside *layered*, or None unless *layers* are the standard ones.

    Args:
        layers: All layers of *layered*, outermost first.
        router: Routes of the gate.
        catalog: Deployments of the gate.
        layered: Handler that answers all requests.
    """
    # Exactly these classes: a subclass may do anything.
    by_type: dict[type, Any] = {type(layer): layer for layer in layers}
    failures = by_type.get(AuthFailureLimit)
    expected = [kind for kind in _STANDARD_LAYERS if kind is not AuthFailureLimit or failures is not None]
    if [type(layer) for layer in layers] != expected:
        return None
    if by_type[KeyAuth].key_header is not None or not by_type[RateLimit].is_plain():
        return None
    return QuickPath(by_type, router, catalog, layered)


class _Usual(msgspec.Struct, eq=False):
    """Parts of a usual request: the row in *query*, read with *schema*, for the deployment *live*."""

    dialect: MLClever | Native
    query: Query
    principal: Principal
    live: LiveDeployment
    rounding: Round
    schema: Schema


class QuickPath:
    """Handler that answers usual requests itself, and passes all others to *layers* as they came.

    Args:
        by_type: The layers by their classes.
        router: Routes of the gate.
        catalog: Deployments of the gate.
        layers: Handler that answers all requests, through the layers.

    Attributes:
        enabled: Whether any request is answered without the layers. Tests set this to False.
        layers: As passed. Tests replace it, to see which requests are passed on.
    """

    def __init__(
        self,
        by_type: Mapping[type, Any],
        router: Router,
        catalog: DeploymentCatalog,
        layers: Handler[Request, Response],
    ) -> None:
        self.enabled = True
        self.layers = layers
        self._router = router
        self._catalog = catalog
        self._request_id: RequestId = by_type[RequestId]
        self._metrics: Metrics = by_type[Metrics]
        self._access_log: AccessLog = by_type[AccessLog]
        self._deadline: Deadline = by_type[Deadline]
        self._admission: Admission = by_type[Admission]
        self._body_limit: BodyLimit = by_type[BodyLimit]
        self._auth_failures: AuthFailureLimit | None = by_type.get(AuthFailureLimit)
        self._key_auth: KeyAuth = by_type[KeyAuth]
        self._rate_limit: RateLimit = by_type[RateLimit]
        # None for the routes of other wire formats.
        self._routes: dict[str, _Route | None] = {}

    def forget_routes(self) -> None:
        """Look up all routes again, because the router has a new one."""
        self._routes = {}

    def __call__(self, request: Request) -> Flow[Response]:
        """Return the response to *request*."""
        # The wire format is set if a view of the app has chosen it.
        if (
            self.enabled
            and request.method == "POST"
            and not request.query_string
            and request.wire is PLAIN_JSON
            and request.is_usual()
            and not self._metrics.measures_next(request)
            and (self._auth_failures is None or self._auth_failures.allows(request))
        ):
            try:
                usual = self._recognize(request)
            except Exception:
                # If the request causes the error, the layers report it.
                usual = None
            if usual is not None:
                return self._answer(request, usual)
        return self.layers(request)

    def _recognize(self, request: Request) -> _Usual | None:
        """Return what a usual request asks for, or None for any other request. Nothing is counted or charged."""
        path = request.path
        route = self._routes[path] if path in self._routes else self._find_route(path)
        if route is None:
            return None
        dialect, name = route
        found = self._authenticate(request, dialect)
        if found is None:
            return None
        principal, query = found
        live = self._find_deployment(principal, name)
        if live is None or live.rounding is None:
            return None
        schema = live.deployment.request_schema
        if schema is None:
            schema = live.model.known_schema
        if schema is None:
            return None
        query.table = schema.read_exact_row(query.rows)
        return None if query.table is None else _Usual(dialect, query, principal, live, live.rounding, schema)

    def _authenticate(self, request: Request, dialect: MLClever | Native) -> tuple[Principal, Query] | None:
        """Return the principal and the decoded body of a request with one known key, or None."""
        try:
            key = credentials_from_headers(request.headers)
        except AnswerableError:
            return None
        principal = None if key is None else self._key_auth.find_accepted(key)
        if principal is not None:
            body = request.read_arrived()
        elif key is None and dialect.keys_in_body:
            body = self._key_auth.read_arrived(request)
        else:
            return None
        if body is None or len(body) > self._body_limit.limit_of(dialect):
            return None
        decoded = dialect.decode_usual(body)
        if decoded is None:
            return None
        key_in_body, query = decoded
        if key_in_body is not None:
            # Two keys are not usual, even if they are equal.
            principal = self._key_auth.find_accepted(key_in_body) if key is None else None
        return None if principal is None else (principal, query)

    def _find_deployment(self, principal: Principal, name: str | None) -> LiveDeployment | None:
        """Return the active deployment *name*, or the only one of *principal*; None if there is none."""
        if name is None:
            names = [*self._catalog] if principal.deployments is None else principal.deployments
            name = names[0] if len(names) == 1 else ""
        elif not principal.can_access(name):
            return None
        live = self._catalog.get(name)
        return None if live is None or live.state != "active" else live

    def _answer(self, request: Request, usual: _Usual) -> Flow[Response]:
        """Answer a usual request, or pass it to the layers: with what is settled, if it was charged."""
        context: RequestContext = request.context
        metrics, live, query = self._metrics, usual.live, usual.query
        try:
            try:
                metrics.begin(request)
                live.in_flight.begin(request)
                request.wire, context.principal, context.query = usual.dialect, usual.principal, query
                context.deployment = query.deployment = live.deployment.name
                # Looked up again: a concurrent drain either waits for the request, or is noticed here.
                is_live = self._catalog.get(query.deployment) is live
                if is_live and self._admission.admit(request):
                    decision = self._rate_limit.charge(request)
                    if decision.allowed:
                        response = yield from self._score(request, usual, decision)
                        if response is not None:
                            return response
            finally:
                live.in_flight.end(request)
                metrics.discard(request)
        except BaseException as error:
            # Once more: an interruption may have ended the `finally` before it did anything.
            live.in_flight.end(request)
            metrics.discard(request)
            if not isinstance(error, Exception):
                raise
        # The layers get the request as it came.
        request.close()
        request.wire, request.id = PLAIN_JSON, None
        context.principal = context.query = context.deployment = None
        return (yield from self.layers(request))

    def _score(self, request: Request, usual: _Usual, decision: RateLimitDecision) -> Flow[Response | None]:
        """Return the response to a request that was charged, or None if the layers must answer it."""
        query, schema, error = usual.query, usual.schema, None
        try:
            predictor = usual.live.model.use_loaded(query)
            # The model may have been evicted or replaced since the row was read.
            if predictor is not None and schema in (predictor.schema, usual.live.deployment.request_schema):
                prediction = yield from self._deadline.limit(request, predict(query))
                usual.rounding.round(query, prediction)
                prediction.cache_hit = True
                request.id = self._request_id.choose(request)
                response = _encode(usual.dialect, request, query, prediction)
                response.headers += self._rate_limit.headers(decision)
                response.headers.append(("x-request-id", request.id))
                self._count(request, response.status)
                return response
        except GeneratorExit:
            # A generator that is being closed cannot call the layers.
            self._count(request, None)
            raise
        except BaseException as raised:
            error = raised
        context: RequestContext = request.context
        context.settled = Settled(usual.principal, decision, query, error)
        return None

    def _count(self, request: Request, status: int | None) -> None:
        if self._access_log.is_enabled():
            self._access_log.write(request, status, request.started)
        self._metrics.end(request, status)

    def _find_route(self, path: str) -> _Route | None:
        """Return the dialect and the deployment of the usual requests to *path*, or None if it has none."""
        try:
            route, wire, params = self._router.find("POST", path)
        except RequestError:
            return None
        name = params.get("deployment")
        # The path may contain a key, and the number of unknown names is not limited.
        if params.keys() - {"deployment"} or (name is not None and name not in self._catalog):
            return None
        # Exactly these classes: a subclass may decode in another way.
        usual = route.handler is None and type(wire) in (MLClever, Native)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes = {}
        self._routes[path] = found = (cast(MLClever | Native, wire), name) if usual else None
        return found


def _encode(dialect: MLClever | Native, request: Request, query: Query, prediction: Prediction) -> Response:
    try:
        return dialect.encode(request, query, prediction)
    except UnicodeEncodeError:
        reject_lone_surrogates(prediction)
        raise

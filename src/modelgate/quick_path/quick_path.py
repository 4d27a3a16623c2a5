"""Quick path: answer usual requests in one function, without calling the layers.

A usual request has one row of JSON in the dialect ``native``, ``mlclever`` or ``simple``, and its key has
been accepted before. This module contains no policy of its own: it calls methods of the layers, in the order
in which the layers run. It only returns responses with status 200. If another status is possible, it passes
the request to the layers. These do not charge the request again, and do not call the model again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from ..context import RequestContext, Settled
from ..deployments import HTTPLayer
from ..deployments.catalog import DeploymentCatalog, LiveDeployment
from ..dialects import MLClever, Native, Simple
from ..errors import RequestError, ServingError
from ..flow import Flow, Handler
from ..http import PLAIN_JSON, USUAL_BODY, Request, Response, credentials_from_headers
from ..http.credentials import is_json_web_token
from ..http.routing import Router
from ..inference import Prediction
from ..inference.nonfinite import reject_lone_surrogates
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
from ..scoring import Query
from ..scoring.score import predict
from .usual_response import UsualResponse

__all__ = ["QuickPath", "create_quick_path"]

_Dialect: TypeAlias = MLClever | Native | Simple
_DIALECTS = (MLClever, Native, Simple)
_Route: TypeAlias = tuple[_Dialect, str | None]

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
    """Return a quick path in front of *layered*, or None if the quick path does not support *layers*.

    The quick path supports the standard layers, but not all of their options.

    Args:
        layers: All layers of *layered*, outermost first.
        router: Routes of the gate.
        catalog: Catalog of the gate's deployments.
        layered: Handler that answers any request by calling the layers.
    """
    # Exactly these classes: a subclass may do anything.
    by_type: dict[type, Any] = {type(layer): layer for layer in layers}
    failures = by_type.get(AuthFailureLimit)
    expected = [kind for kind in _STANDARD_LAYERS if kind is not AuthFailureLimit or failures is not None]
    if [type(layer) for layer in layers] != expected:
        return None
    body_limit: BodyLimit = by_type[BodyLimit]
    has_usual_limit = all(body_limit.limit_of(dialect()) >= USUAL_BODY for dialect in _DIALECTS)
    if not (has_usual_limit and by_type[KeyAuth].is_plain() and by_type[RateLimit].is_plain()):
        return None
    return QuickPath(by_type, router, catalog, layered)


class QuickPath:
    """Handler that answers usual requests, and passes all other requests to *layers*.

    Args:
        by_type: Layers of the gate by class.
        router: Routes of the gate.
        catalog: Catalog of the gate's deployments.
        layers: Handler that answers any request by calling the layers.

    Attributes:
        enabled: Whether the quick path is in use. If False, all requests are passed to the layers; for tests.
        layers: The argument *layers*. Tests replace it to record which requests reach the layers.
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
        self._auth_failures: AuthFailureLimit | None = by_type.get(AuthFailureLimit)
        self._key_auth: KeyAuth = by_type[KeyAuth]
        self._rate_limit: RateLimit = by_type[RateLimit]
        # None for a path whose requests are never usual.
        self._routes: dict[str, _Route | None] = {}

    def forget_routes(self) -> None:
        """Clear the cache of routes. Call this after adding a route to the router."""
        self._routes = {}

    def __call__(self, request: Request) -> Flow[Response]:
        """Return the response to *request*."""
        # A view of the app may have chosen another wire format.
        if (
            self.enabled
            and request.method == "POST"
            and not request.query_string
            and request.wire is PLAIN_JSON
            and request.is_usual()
            and not self._metrics.measures_next(request)
            and (self._auth_failures is None or self._auth_failures.allows(request))
        ):
            path, routes = request.path, self._routes
            route = routes[path] if path in routes else self._find_route(path, routes)
            if route is not None:
                return self._answer(request, *route)
        return self.layers(request)

    def _find_route(self, path: str, routes: dict[str, _Route | None]) -> _Route | None:
        """Return the dialect and the deployment name for *path*, or None if only the layers support it.

        The result is cached in *routes*. It is not cached if the path or the deployment is unknown, or if the
        path may contain a key.
        """
        try:
            route, wire, params = self._router.find("POST", path)
        except RequestError:
            return None
        name = params.get("deployment")
        # Do not cache these paths: they may contain keys, and there is no limit on unknown names.
        if params.keys() - {"deployment"} or (name is not None and name not in self._catalog):
            return None
        found = None
        # Exactly these classes: a subclass may decode in another way.
        if type(wire) in _DIALECTS:
            dialect = cast(_Dialect, wire)
            # The dialect `simple` has the same requests at all paths, also at those of the option `endpoint`.
            is_any_path = type(wire) is Simple and route.handler is None
            if is_any_path or route.path == dialect.request_template.path:
                found = dialect, name
        if len(routes) >= _MAX_ROUTES:
            routes.clear()
        routes[path] = found
        return found

    def _answer(self, request: Request, dialect: _Dialect, name: str | None) -> Flow[Response]:
        """Answer *request* if it is usual. Otherwise pass it to the layers."""
        context: RequestContext = request.context
        live = None
        try:
            try:
                self._metrics.begin(request)
                request.wire, request.id = dialect, self._request_id.choose(request)
                usual = self._recognize(request, dialect, name)
                if usual is not None:
                    live = usual[1]
                    response = yield from self._score(request, dialect, *usual)
                    if response is not None:
                        self._count(request, response.status)
                        return response
                request.wire, request.id = PLAIN_JSON, None
                context.principal = context.query = context.deployment = None
                return (yield from self.layers(request))
            finally:
                self._forget(request, live)
        except BaseException:
            # Once more: an interruption may have ended the `finally` before it did anything.
            self._forget(request, live)
            raise

    def _forget(self, request: Request, live: LiveDeployment | None) -> None:
        """Remove *request* from the requests in flight. Safe to call twice."""
        self._metrics.discard(request)
        if live is not None:
            live.in_flight.end(request)

    def _recognize(
        self, request: Request, dialect: _Dialect, name: str | None
    ) -> tuple[Query, LiveDeployment, Schema] | None:
        """Authenticate, charge and decode a usual request.

        Returns:
            The query with the table of the row, the requested deployment, and the schema that was used to
            decode the row; or None if the layers must answer the request. If `RequestContext.settled` is
            set, the request has been charged, even if the result is None.
        """
        try:
            query = self._authenticate(request, dialect, name) if self._admission.admit(request) else None
            if query is None:
                return None
            live = self._find_deployment(request.context.principal, name)
            if live is None or live.rounding is None:
                return None
            schema = live.deployment.request_schema
            if schema is None:
                schema = live.revisions[0].model.known_schema
                if schema is None:
                    return None
            query.table = schema.read_exact_row(query.rows)
            return None if query.table is None else (query, live, schema)
        except Exception:
            # If the request causes the error, the layers report it.
            return None
        except BaseException:
            # Raised while the server reads the body, for example by a timeout of gevent.
            request.error_code = ServingError.code
            self._count(request, ServingError.status, has_response=False)
            raise

    def _authenticate(self, request: Request, dialect: _Dialect, name: str | None) -> Query | None:
        """Charge the request's key and return the decoded query.

        Return None if the layers must answer the request, for example because it has an unknown key.

        Like the layers, this method charges a key in a header field before it reads the body. If the key is
        rejected, the body is then still unread. Some middleware fails if an app reads only a part of a body.
        """
        key = credentials_from_headers(request.headers)
        if key is None:
            body = self._key_auth.read_arrived(request) if dialect.keys_in_body else None
        # The token may be for the hosting platform. The key is then in the body.
        elif dialect.keys_in_body and is_json_web_token(key):
            return None
        else:
            body = request.read_arrived() if self._charge(request, key, name) else None
        decoded = None if body is None else dialect.decode_usual(body)
        if decoded is None:
            return None
        key_in_body, query = decoded
        if key_in_body is None:
            return None if key is None else query
        # Two keys are not usual, even if they are equal.
        return query if key is None and self._charge(request, key_in_body, name) else None

    def _charge(self, request: Request, key: str, name: str | None) -> bool:
        """Charge *key*, and return whether it permits the request.

        The result is False if the key was not accepted before, does not permit the deployment *name*, or has
        exceeded a rate limit.
        """
        principal = self._key_auth.find_accepted(key)
        if principal is None or (name is not None and not principal.can_access(name)):
            return False
        context: RequestContext = request.context
        context.principal, context.deployment = principal, name
        decision = self._rate_limit.charge(request)
        if decision.allowed:
            context.settled = Settled(principal, decision)
        return decision.allowed

    def _find_deployment(self, principal: Principal, name: str | None) -> LiveDeployment | None:
        """Return the active deployment *name*, or the only deployment of *principal* if *name* is None.

        Return None if there is none.
        """
        if name is None:
            names = [*self._catalog] if principal.deployments is None else principal.deployments
            name = names[0] if len(names) == 1 else ""
        live = self._catalog.get(name)
        return None if live is None or live.state != "active" else live

    def _score(
        self, request: Request, dialect: _Dialect, query: Query, live: LiveDeployment, schema: Schema
    ) -> Flow[Response | None]:
        """Return the response to a usual request, or None if the layers must answer it."""
        context: RequestContext = request.context
        deployment = live.deployment
        context.query = query
        context.deployment = query.deployment = name = deployment.name
        try:
            live.in_flight.begin(request)
            # Looked up again: a concurrent drain either waits for the request, or is noticed here.
            if self._catalog.get(name) is not live:
                return None
            predictor = live.revisions[0].model.use_loaded(query)
            if predictor is None or predictor.forecaster is not None:
                return None
            # The model may have been replaced since the row was read.
            if schema is not predictor.schema and schema is not deployment.request_schema:
                return None
            assert query.table is not None and live.rounding is not None  # see `_recognize`
            prediction = predictor.predict_now(query.table) if predictor.decision is None else None
            if prediction is None:
                prediction = yield from self._deadline.limit(request, predict(query))
            live.rounding.round(query, prediction)
            prediction.cache_hit = True
            return self._encode(request, dialect, query, prediction)
        except GeneratorExit:
            # A generator that is being closed cannot call the layers.
            self._count(request, None)
            raise
        except BaseException as error:
            context.failure = query, error
            return None

    def _encode(self, request: Request, dialect: _Dialect, query: Query, prediction: Prediction) -> Response:
        """Return the response with *prediction*."""
        decision: RateLimitDecision = request.context.settled.decision
        assert request.id is not None  # set by `_answer`
        try:
            body = dialect.encode_usual(request, query, prediction)
            if body is not None and not self._rate_limit.has_ietf_headers:
                return UsualResponse(body, dialect.usual_field(query), decision.binding_quota, request.id)
            response = dialect.encode(request, query, prediction)
        except UnicodeEncodeError:
            reject_lone_surrogates(prediction)
            raise
        response.headers += self._rate_limit.headers(decision)
        response.headers.append(("x-request-id", request.id))
        return response

    def _count(self, request: Request, status: int | None, *, has_response: bool = True) -> None:
        """Log a finished request, and count it in the metrics.

        Args:
            request: Finished request.
            status: Status of the response; None if the request was cancelled.
            has_response: Whether the gate returns the response; False if the server creates it.
        """
        if self._access_log.is_enabled():
            self._access_log.write(request, status if has_response else None, request.started)
        self._metrics.end(request, status)

"""A gate: deployments, the layers around them, and the dialects in which they are asked."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from .. import console as page
from ..dialects import Dialect, Route
from ..errors import (
    AnswerableError,
    ConfigurationError,
    DeploymentUnavailable,
    InsufficientScope,
    InvalidInput,
    NotFound,
    PredictionError,
    RequestError,
    ServingError,
)
from ..flow import Flow, Handler, Workers, drive, run, stack
from ..http import PLAIN, Request, Response, http_stack, refusal
from ..keys import KeyStore
from ..layers import AccessLog, KeyAuth, Metrics, RateLimit, RequestId, ServerTiming, TrustedProxies
from ..models import ModelStore
from ..models.model_thread import in_model_thread
from ..mount import asgi, wsgi
from ..openapi import OpenAPI
from ..scoring import Prediction, Query
from ..scoring.validate import is_large
from .deployment import Deployment, HTTPLayer, ScoringLayer
from .deployments import Deployments
from .following import Following, Registry
from .metadata import routes as metadata_routes
from .operations import Operations, metrics_option
from .options import auth_failures as failures_of
from .options import deadline_of, given_layers, registry_of, spoken, standard_layers
from .routes import Routes
from .watch import Poll, Watch

__all__ = ["Gate"]

logger = logging.getLogger("modelgate")


_LOOK = 10.0
_FIRST_LOOK = 2.0

_MANY_ROWS = 500
"""From how many rows on an answer is no work for an event loop; with what was sent in it, one may do."""


class Gate(Deployments):
    """Serves deployments from inside an app.

    `asgi` and `wsgi` are apps to mount; `handle` answers in an ordinary route; `score` needs no
    server. A gate is itself a handler of requests. Gates in one process share nothing.

    Args:
        deployments: what is served; `handler` adds functions later.
        keys: who may ask: ``{key: deployments}``, ``"env:VARIABLE"``, the URL of a database such as
            ``"sqlite:///keys.db"``, a key store, or ``"open"`` for anyone. Without it a gate refuses
            to start.
        limits: how often one caller may ask, ``"60/minute; 10000/day"``, or layers that limit, such
            as `RateLimit` and `Concurrency`; by default the limits of the ML Clever Prediction API.
        auth_failures: how often one address may fail to authenticate; None for any number.
        trusted_proxies: the networks of the proxies whose ``Forwarded`` or ``X-Forwarded-For`` is
            believed, see `TrustedProxies`; none by default. An empty list says that there are none.
        deadline: how many seconds a request may take, see `Deadline`; None for any number. A model
            that has been at one call for longer hangs: its deployment is refused with 503 until the
            call returns.
        metrics: whether ``GET /metrics`` tells Prometheus what was counted: with True to keys that open
            every deployment to be read, ``"*"`` or ``"*:read"``; with ``"open"`` to anyone; with False
            nothing is counted.
        dialects: the wire formats spoken, by name or as a `Dialect`; by default all of them. The
            first one also answers where no other is spoken.
        layers: the HTTP layers, in place of the standard ones (`Deadline`, `Admission`, `BodyLimit`,
            `AuthFailures`, `KeyAuth`, `RateLimit`), which *deadline*, *keys*, *limits* and
            *auth_failures* then no longer make.
        scoring: the scoring layers around a prediction, in place of the standard one (`Round`).
            Rows are validated and models cached in any case.
        store: where ``"store:name"`` models are: a `ModelStore`, or a folder.
        public_keys: Ed25519 keys, PEM files or in base64, of which one's holder must have signed every
            package that is loaded from a file or a folder; a *store* of its own asks for signatures itself.
        cache_size: how many models to keep in memory of those that are loaded from files.
        cache_bytes: how large their files may be together; None for no bound.
        load_timeout: Seconds a request waits for a model that is being loaded, counted from the start of
            the load; then it is answered with 503. `warm` and `score` wait until the model is loaded.
        watch: every how many seconds to look whether what is loaded has changed where it is kept, and
            to swap what has; None to never look.
        registry: what says which models to serve, for many processes alike: a `SqlRegistry`, or the
            URL of its database. It is looked at every *watch* seconds, or every 10.
        threads: how many predictions may run at once under ASGI, of all deployments together; by
            default four more than there are cores, and 32 at most. Deployments take turns, and none
            has more than half of the threads where there are several.
        console: whether ``GET /deployments/{deployment}/console`` is a page from which to ask a deployment.

    Attributes:
        cache: the models in memory.
        layers: the HTTP layers around all deployments.

    Raises:
        ConfigurationError: an option cannot work, or there are no keys.
    """

    def __init__(
        self,
        deployments: Iterable[Deployment] = (),
        *,
        keys: KeyStore | Mapping[str, str | Sequence[str]] | str | None = None,
        limits: str | HTTPLayer | Sequence[HTTPLayer] | None = None,
        auth_failures: str | None = "60/minute",
        trusted_proxies: Sequence[str] | None = None,
        deadline: float | None = 30.0,
        metrics: bool | Literal["open"] = True,
        dialects: Sequence[str | Dialect] | None = None,
        layers: Sequence[HTTPLayer] | None = None,
        scoring: Sequence[ScoringLayer] | None = None,
        store: ModelStore | str | Path | None = None,
        public_keys: Sequence[str | Path] | None = None,
        cache_size: int = 16,
        cache_bytes: int | None = None,
        load_timeout: float = 10.0,
        watch: float | None = None,
        registry: Registry | str | None = None,
        threads: int | None = None,
        console: bool = True,
    ) -> None:
        if layers is None:
            failures = failures_of(auth_failures, trusted_proxies) if keys != "open" else []
            layers = standard_layers(keys, limits, failures, deadline)
        else:
            layers = given_layers(layers, keys, limits)
        workers = Workers(threads, patience=deadline_of(layers))
        super().__init__(store, public_keys, cache_size, cache_bytes, load_timeout, workers, scoring)
        self._dialects = spoken(dialects)
        self._first = next(iter(self._dialects.values()))
        keyed = any(isinstance(layer, KeyAuth) for layer in layers)
        limited = any(isinstance(layer, RateLimit) for layer in layers)
        self._documents = OpenAPI(self._dialects.values(), keyed=keyed, limited=limited)
        self._routes = self._all_routes([page.route(keyed=keyed)] if console else [])
        proxies: list[HTTPLayer] = [] if trusted_proxies is None else [TrustedProxies(trusted_proxies)]
        self.layers = (*proxies, *layers)
        self._guarded = http_stack(layers, self._answer)
        self._poll = self._watching(watch, registry)
        outermost: list[HTTPLayer] = [*([] if self._poll is None else [self._poll]), *proxies, RequestId()]
        self.metrics: Operations | None = None
        if metrics_option(metrics):
            counts = Metrics(self._entries)
            outermost.append(counts)
            self.metrics = Operations(counts, self._loader.tallies, self.cache, workers.patience)
            self._routes.add(self.metrics.route(open_to_all=metrics == "open"), PLAIN)
        outermost += [AccessLog(), ServerTiming(everyone=keys == "open")]
        self._handler = stack(outermost, self._guard)
        self.asgi = asgi.app(self._handler)
        self.wsgi = wsgi.app(self._handler)
        if isinstance(deployments, Deployment | Mapping) or not isinstance(deployments, Iterable):
            raise ConfigurationError("deployments: accepts a list of Deployment(name, model)")
        for deployment in deployments:
            self.add(deployment)

    def add(self, deployment: Deployment) -> None:
        """Serve one more deployment. For start-up, before the first request.

        Raises:
            ConfigurationError: its name is taken, or its model cannot work.
        """
        super().add(deployment)
        if deployment.endpoint is not None:
            self._add_endpoint(deployment.endpoint, deployment.name)

    def _all_routes(self, further: Sequence[Route]) -> Routes:
        """Those of the dialects, those that tell of deployments, and *further* ones."""
        routes = Routes()
        for dialect in self._dialects.values():
            for route in dialect.routes:
                routes.add(route, dialect)
        for route in [*metadata_routes(self._dialects.values(), self._documents), *further]:
            routes.add(route, PLAIN)
        return routes

    def _watching(self, watch: float | None, registry: Registry | str | None) -> Poll | None:
        self._looks: list[Callable[[], None]] = []
        if registry is not None:
            followed = registry_of(registry)
            self._looks.append(Following(followed, self._entries, self._serving).look)
        if watch is not None:
            self._loader.watching = True
            self._looks.append(Watch(self._entries, self._loader, self._serving.install).look)
        if not self._looks:
            return None
        # What is paused is not served for the first look having to be waited for.
        patience = 0 if registry is None else _FIRST_LOOK
        return Poll(self._look, _LOOK if watch is None else watch, patience=patience)

    def _look(self) -> None:
        for look in self._looks:
            look()

    def _add_endpoint(self, path: str, name: str) -> None:
        if "simple" not in self._dialects:
            raise ConfigurationError(
                f"endpoint={path!r}: needs the dialect simple, which this gate does not speak"
            )
        if not self._routes.add(Route("POST", path), self._dialects["simple"], {"deployment": name}):
            raise ConfigurationError(f"endpoint={path!r}: is taken")

    def score(self, name: str, rows: Any, *, timeout: float | None = None) -> Prediction:
        """The prediction of deployment *name* for *rows*: no server, no event loop, no key.

        Args:
            rows: see `modelgate.Schema.read`.
            timeout: Seconds to wait for a model that is being loaded; None to wait until it is.

        Raises:
            NotFound, DeploymentInactive: there is no such deployment, or it is paused.
            DeploymentUnavailable: it is being drained, or its model cannot be loaded; the cause says why.
            MissingColumns, InvalidValues, InvalidInput, MalformedBody: the rows break the schema.
            PredictionError: the model failed.
        """
        if self._poll is not None:
            drive(self._poll.begin())
        query = Query(rows, deployment=name, load_timeout=math.inf if timeout is None else timeout)
        entry = self._entries.enter(name, query)
        try:
            return drive(entry.score(query))
        finally:
            entry.in_flight.end(query)

    def openapi(self, name: str) -> dict[str, Any]:
        """The OpenAPI 3.1 document of deployment *name*, as its path ``openapi.json`` gives it.

        Its ``servers`` are relative to that path: put yours there before you give it to others.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: as for `score`.
            Forbidden: the schema is not for callers to see.
        """
        # Its examples are the model's answers, and shown where it is in memory.
        with contextlib.suppress(DeploymentUnavailable):
            self.predictor(name)
        document = in_model_thread(drive, self._documents.document(name, self._entries))
        return msgspec.json.decode(document, type=dict[str, Any])

    def close(self) -> None:
        """Look no more for what *watch* and *registry* ask; what serves goes on. Nothing else needs closing."""
        if self._poll is not None:
            self._poll.close()

    def handle(self, request: Any, deployment: str | None = None, *, dialect: str | None = None) -> Any:
        """Answer the request of an ordinary route of the app's own.

        In a Flask view ``return gate.handle(request, "churn")``; in a Starlette or FastAPI endpoint
        ``return await gate.handle(request, "churn")``.

        Args:
            request: the framework's own request.
            deployment: the deployment asked; where it is None, the request or its key says which.
            dialect: the wire format spoken; by default the gate's first.

        Raises:
            ConfigurationError: the gate does not speak *dialect*.
            TypeError: *request* is of no framework known.
        """
        if dialect is not None and dialect not in self._dialects:
            raise ConfigurationError(f"dialect={dialect!r}: this gate speaks {', '.join(self._dialects)}")
        spoken = self._dialects[dialect] if dialect is not None else self._first
        answer = partial(self._handle, deployment=deployment, dialect=spoken)
        if hasattr(request, "environ"):
            from ..mount import flask

            return flask.handle(request, answer)
        if hasattr(request, "scope"):
            from ..mount import starlette

            return starlette.handle(request, answer)
        raise TypeError(f"{type(request).__name__} is neither a Flask nor a Starlette request")

    def _handle(self, request: Request, *, deployment: str | None, dialect: Dialect) -> Flow[Response]:
        request.wire, request.deployment = dialect, deployment
        return self._handler(request)

    def __call__(self, request: Request) -> Flow[Response]:
        """The answer to *request*: an error becomes one too, of whatever kind it is."""
        return self._handler(request)

    def _guard(self, request: Request) -> Flow[Response]:
        try:
            if request.wire is PLAIN:
                self._route(request)
            route = request.route
            guarded = self._guarded if route is None or not route.open else self._answer
            response = yield from guarded(request)
            if not isinstance(response, Response):
                raise TypeError(f"a layer returned {response!r} instead of a Response")
            return response
        except AnswerableError as error:
            return _refusal(request, error)
        except Exception as error:
            logger.error("request %s failed", request.id, exc_info=error)
            return _refusal(request, ServingError())

    def _route(self, request: Request) -> None:
        try:
            request.route, request.wire, request.params = self._routes.find(request.method, request.path)
        except RequestError:
            # This is answered too, in the wire format that is spoken nearby.
            request.wire = self._routes.nearest(request.path) or self._first
            raise
        request.deployment = request.params.get("deployment")
        if request.route.answer is not None:
            request.action = "read"

    def _answer(self, request: Request) -> Flow[Response]:
        try:
            if request.timing is not None:
                request.timing.mark("auth")
            version = request.params.get("version")
            if version is not None:
                yield from self._refuse_other_versions(request, version)
            if request.route is not None and request.route.answer is not None:
                return (yield from request.route.answer(request, self._entries))
            dialect: Dialect = request.wire  # type: ignore[assignment]  # a route that scores has one
            query = request.query = yield from dialect.decode(request)
            query.deployment = request.deployment = self._named(request, query.deployment)
            query.version = version
            entry = self._entries.enter(query.deployment, request)
            try:
                return (yield from entry.answer(request))
            finally:
                entry.in_flight.end(request)
        except AnswerableError as error:
            return _refusal(request, error)

    def _score(self, score: Handler[Query, Prediction], request: Request) -> Flow[Response]:
        query = request.query
        assert query is not None
        query.on_rows, query.timing = request.on_rows, request.timing
        prediction = yield from score(query)
        dialect: Dialect = request.wire  # type: ignore[assignment]
        if len(prediction.outputs[0].values) > _MANY_ROWS or (prediction.kept and is_large(query.rows)):
            return (yield from run(dialect.encode, request, query, prediction))
        return dialect.encode(request, query, prediction)

    def _refuse_other_versions(self, request: Request, version: str) -> Flow[None]:
        assert request.deployment is not None and request.route is not None
        told = yield from self._entries.active(request.deployment).versions()
        if request.route.answer is not None:
            # What is told of a deployment is told of its own model.
            del told[1:]
        if version not in told:
            raise NotFound(f"This deployment has version {' and '.join(told)}")

    def _named(self, request: Request, in_body: str | None) -> str:
        """The deployment asked: by path or body, or because the key, or the gate, has only one."""
        principal, asked = request.principal, request.deployment or in_body
        if in_body is not None and in_body != asked:
            raise InvalidInput(f"The path is that of deployment {asked!r}: the body names another")
        if asked is not None:
            if principal is not None:
                principal.require(asked, request.action)
            return asked
        own = principal.deployments if principal is not None else None
        names = list(own if own is not None else self._entries)
        if len(names) == 1:
            return names[0]
        if own == ():
            raise InsufficientScope
        raise InvalidInput(
            f"Several deployments can be meant: ask one by its path, or name it as deployment: {', '.join(names)}"
        )


def _refusal(request: Request, error: AnswerableError) -> Response:
    if isinstance(error, PredictionError):
        logger.error(
            "request %s: deployment %s failed to predict",
            request.id,
            request.deployment,
            exc_info=error.__cause__,
        )
    return refusal(request, error)

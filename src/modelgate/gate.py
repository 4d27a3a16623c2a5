"""A gate: deployments, the layers around them, and the dialects in which they are asked."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from . import console as page
from .deployment import Deployment, HTTPLayer, ScoringLayer
from .dialects import Dialect, Route
from .entries import Entries, Entry
from .errors import (
    AnswerableError,
    ConfigurationError,
    InsufficientScope,
    InvalidInput,
    NotFound,
    PredictionError,
    RequestError,
    ServingError,
)
from .flow import Flow, Workers, checked_layers, drive, run, stack
from .http import PLAIN, Request, Response, http_stack
from .keys import KeyStore
from .layers import AccessLog, KeyAuth, RateLimit, RequestId, TrustedProxies
from .loader import Loader
from .metadata import routes as metadata_routes
from .models import FolderStore, ModelCache, ModelStore
from .mount import asgi, wsgi
from .openapi import OpenAPI
from .options import auth_failures as failures_of
from .options import given_layers, naming, spoken, standard_layers
from .routes import Routes
from .schema import Schema
from .scoring import (
    Known,
    Model,
    Prediction,
    Predictor,
    Query,
    Round,
    Validate,
    decide,
    held,
    keep_columns,
)
from .scoring.query import check_prediction
from .scoring.score import predict
from .scoring.validate import is_large

__all__ = ["Gate"]

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("modelgate")


_MANY_ROWS = 500
"""From how many rows on an answer is no work for an event loop; with what was sent in it, one may do."""


class Gate:
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
        dialects: the wire formats spoken, by name or as a `Dialect`; by default all of them. The
            first one also answers where no other is spoken.
        layers: the HTTP layers, in place of the standard ones (`Admission`, `BodyLimit`,
            `AuthFailures`, `KeyAuth`, `RateLimit`), which *keys*, *limits* and *auth_failures* then
            no longer make.
        scoring: the scoring layers around a prediction, in place of the standard one (`Round`).
            Rows are validated and models cached in any case.
        store: where ``"store:name"`` models are: a `ModelStore`, or a folder.
        cache_size: how many models to keep in memory of those that are loaded from files.
        cache_bytes: how large their files may be together; None for no bound.
        threads: how many predictions may run at once under ASGI, of all deployments together; by
            default four more than there are cores, and 32 at most.
        console: whether ``GET /deployments/{deployment}/console`` is a page from which to ask a deployment.

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
        dialects: Sequence[str | Dialect] | None = None,
        layers: Sequence[HTTPLayer] | None = None,
        scoring: Sequence[ScoringLayer] | None = None,
        store: ModelStore | str | Path | None = None,
        cache_size: int = 16,
        cache_bytes: int | None = None,
        threads: int | None = None,
        console: bool = True,
    ) -> None:
        self._entries = Entries()
        with naming("store"):
            kept = FolderStore(store) if isinstance(store, str | Path) else store
        self._loader = Loader(lambda name: self._entries[name].deployment, kept, Workers(threads))
        with naming("cache_size, cache_bytes"):
            self.cache: ModelCache[Predictor] = ModelCache(
                self._loader.load, cache_size, maxbytes=cache_bytes, sizeof=lambda predictor: predictor.size
            )
        self._described: ModelCache[Known | None] = ModelCache(self._loader.describe, 1000, patience=2)
        self._scoring = None if scoring is None else checked_layers(scoring)
        self._dialects = spoken(dialects)
        self._first = next(iter(self._dialects.values()))
        self._routes = Routes()
        for dialect in self._dialects.values():
            for route in dialect.routes:
                self._routes.add(route, dialect)
        if layers is None:
            failures = failures_of(auth_failures, trusted_proxies) if keys != "open" else []
            layers = standard_layers(keys, limits, failures)
        else:
            layers = given_layers(layers, keys, limits)
        keyed = any(isinstance(layer, KeyAuth) for layer in layers)
        limited = any(isinstance(layer, RateLimit) for layer in layers)
        self._documents = OpenAPI(self._dialects.values(), keyed=keyed, limited=limited)
        for route in metadata_routes(self._dialects.values(), self._documents):
            self._routes.add(route, PLAIN)
        if console:
            self._routes.add(page.route(keyed=keyed), PLAIN)
        proxies: list[HTTPLayer] = [] if trusted_proxies is None else [TrustedProxies(trusted_proxies)]
        self._guarded = http_stack(layers, self._answer)
        self._handler = stack([*proxies, RequestId(), AccessLog()], self._guard)
        self.asgi = asgi.app(self)
        self.wsgi = wsgi.app(self)
        if isinstance(deployments, Deployment | Mapping) or not isinstance(deployments, Iterable):
            raise ConfigurationError("deployments: accepts a list of Deployment(name, model)")
        for deployment in deployments:
            self.add(deployment)

    def add(self, deployment: Deployment) -> None:
        """Serve one more deployment. For start-up, before the first request.

        Raises:
            ConfigurationError: its name is taken, or its model cannot work.
        """
        if not isinstance(deployment, Deployment):
            raise ConfigurationError(f"deployments: {deployment!r}: accepts Deployment(name, model)")
        if deployment.name in self._entries:
            raise ConfigurationError(f"deployments: two are called {deployment.name!r}")
        self._loader.check(deployment)
        if not deployment.is_loaded:
            model = Model(held(self._loader.predictor(deployment, deployment.model)))
        else:
            model = Model(
                partial(self.cache.get, deployment.name), partial(self._described.get, deployment.name)
            )
        scoring = deployment.scoring if deployment.scoring is not None else self._scoring
        inner: list[ScoringLayer] = (
            [Round(deployment.decimals)] if scoring is None else [check_prediction, *scoring]
        )
        inner.append(decide)
        validate = Validate(deployment.schema or model.schema, max_rows=deployment.max_rows)
        self._entries[deployment.name] = Entry(
            deployment,
            model,
            stack([validate, keep_columns, model, *inner], predict),
            http_stack(deployment.layers, self._score),
        )
        if deployment.endpoint is not None:
            self._add_endpoint(deployment.endpoint, deployment.name)

    def _add_endpoint(self, path: str, name: str) -> None:
        if "simple" not in self._dialects:
            raise ConfigurationError(
                f"endpoint={path!r}: needs the dialect simple, which this gate does not speak"
            )
        if not self._routes.add(Route("POST", path), self._dialects["simple"], {"deployment": name}):
            raise ConfigurationError(f"endpoint={path!r}: is taken")

    def handler(self, name: str, *, schema: Schema, **options: Any) -> Callable[[F], F]:
        """Serve the decorated function, sync or async, as the deployment *name*.

        It is given a `Table` and returns an array, a list, values by output name, or a
        `Prediction`, with a value for each row. It stays an ordinary function.

        Args:
            name: of the deployment.
            schema: of its input.
            options: further ones of `Deployment`.
        """

        def serve(function: F) -> F:
            self.add(Deployment(name, function, schema=schema, **options))
            return function

        return serve

    def score(self, name: str, rows: Any) -> Prediction:
        """The prediction of deployment *name* for *rows*: no server, no event loop, no key.

        Args:
            rows: see `modelgate.Schema.read`.

        Raises:
            NotFound, DeploymentInactive: there is no such deployment, or it is paused.
            MissingColumns, InvalidValues, InvalidInput, MalformedBody: the rows break the schema.
            PredictionError, DeploymentUnavailable: the model failed, or cannot be loaded.
        """
        return drive(self._entries.active(name).score(Query(rows, deployment=name)))

    def openapi(self, name: str) -> dict[str, Any]:
        """The OpenAPI 3.1 document of deployment *name*, as its path ``openapi.json`` gives it.

        Its ``servers`` are relative to that path: put yours there before you give it to others.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: as for `score`.
            Forbidden: the schema is not for callers to see.
        """
        document: dict[str, Any] = msgspec.json.decode(drive(self._documents.document(name, self._entries)))
        return document

    def warm(self) -> None:
        """Load every model now, as far as the cache holds them, and not when it is first asked for.

        Raises:
            NotFound, DeploymentUnavailable: a model cannot be loaded; the cause says why.
        """
        loaded = [name for name, entry in self._entries.items() if entry.deployment.is_loaded]
        drive(self.cache.prewarm(*loaded))

    def reload(self, name: str) -> None:
        """Load the model of deployment *name* anew, from where it is kept.

        The one in memory serves until the new one is there, and goes on where that cannot be loaded.

        Raises:
            NotFound, DeploymentInactive: there is no such deployment or model, or it is paused.
            DeploymentUnavailable: the model cannot be loaded; the cause says why.
        """
        if self._entries.active(name).deployment.is_loaded:
            drive(self.cache.reload(name))

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
            from .mount import flask

            return flask.handle(request, answer)
        if hasattr(request, "scope"):
            from .mount import starlette

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
            return request.wire.encode_error(request, ServingError())

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
            if "version" in request.params:
                self._refuse_other_version(request)
            if request.route is not None and request.route.answer is not None:
                return (yield from request.route.answer(request, self._entries))
            dialect: Dialect = request.wire  # type: ignore[assignment]  # a route that scores has one
            query = request.query = yield from dialect.decode(request)
            query.deployment = request.deployment = self._named(request, query.deployment)
            return (yield from self._entries.active(query.deployment).answer(request))
        except AnswerableError as error:
            return _refusal(request, error)

    def _score(self, request: Request) -> Flow[Response]:
        query = request.query
        assert query is not None and query.deployment is not None
        query.on_rows = request.on_rows
        prediction = yield from self._entries.active(query.deployment).score(query)
        dialect: Dialect = request.wire  # type: ignore[assignment]
        if len(prediction.outputs[0].values) > _MANY_ROWS or (prediction.kept and is_large(query.rows)):
            return (yield from run(dialect.encode, request, query, prediction))
        return dialect.encode(request, query, prediction)

    def _refuse_other_version(self, request: Request) -> None:
        assert request.deployment is not None
        own = self._entries.version(request.deployment)
        if request.params["version"] != own:
            raise NotFound(f"This deployment has version {own}")

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
    return request.wire.encode_error(request, error)

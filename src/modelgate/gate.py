"""A gate: deployments, the layers around them, and the dialects in which they are asked."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from .deployment import Deployment, HTTPLayer, ScoringLayer
from .dialects import DIALECTS, Dialect
from .errors import (
    AnswerableError,
    ConfigurationError,
    DeploymentInactive,
    Forbidden,
    InvalidInput,
    NotFound,
    PredictionError,
    ServingError,
)
from .flow import Flow, Handler, Workers, checked_layers, drive, stack
from .http import PLAIN, Request, Response, http_stack
from .keys import KeyStore
from .keys.store import ACCEPTED as ACCEPTED_KEYS
from .layers import Admission, AuthFailures, BodyLimit, KeyAuth, RateLimit, RequestId, TrustedProxies
from .layers.rate_limit import DEFAULT_RATE
from .models import FolderStore, ModelCache, ModelStore, load_model
from .mount import asgi, wsgi
from .routes import Routes
from .schema import Schema
from .scoring import Model, Prediction, Predictor, Query, Round, Validate, held
from .scoring.query import check_prediction
from .scoring.score import predict

__all__ = ["Gate"]

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("modelgate")


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A deployment, put together."""

    deployment: Deployment
    score: Handler[Query, Prediction]
    answer: Handler[Request, Response]


class Gate:
    """Serves deployments from inside an app.

    `asgi` and `wsgi` are apps to mount; `handle` answers in an ordinary route; `score` needs no
    server. A gate is itself a handler of requests. Gates in one process share nothing.

    Args:
        deployments: what is served; `handler` adds functions later.
        keys: who may ask: ``{key: deployments}``, ``"env:VARIABLE"``, a key store, or ``"open"``
            for anyone. Without it a gate refuses to start.
        limits: how often one caller may ask, ``"60/minute; 10000/day"``, or layers that limit, such
            as `RateLimit` and `Concurrency`; by default the limits of the ML Clever Prediction API.
        auth_failures: how often one address may fail to authenticate; None for any number.
        trusted_proxies: the networks of the proxies whose ``Forwarded`` or ``X-Forwarded-For`` is
            believed, see `TrustedProxies`; none by default. An empty list says that there are none.
        dialects: the wire formats spoken, by name; by default all of them. The first one also
            answers where no other is spoken.
        layers: the HTTP layers, in place of the standard ones (`Admission`, `BodyLimit`,
            `AuthFailures`, `KeyAuth`, `RateLimit`), which *keys*, *limits* and *auth_failures* then
            no longer make.
        scoring: the scoring layers around a prediction, in place of the standard one (`Round`).
            Rows are validated and models cached in any case.
        store: where ``"store:name"`` models are: a `ModelStore`, or a folder.
        cache_size: how many models to keep in memory of those that are loaded from files.
        threads: how many predictions may run at once under ASGI, of all deployments together; by
            default four more than there are cores, and 32 at most.

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
        dialects: Sequence[str] | None = None,
        layers: Sequence[HTTPLayer] | None = None,
        scoring: Sequence[ScoringLayer] | None = None,
        store: ModelStore | str | Path | None = None,
        cache_size: int = 16,
        threads: int | None = None,
    ) -> None:
        with _naming("cache_size"):
            self.cache: ModelCache[Predictor] = ModelCache(self._load, cache_size)
        with _naming("store"):
            self._store = FolderStore(store) if isinstance(store, str | Path) else store
        self._scoring = scoring
        self._workers = Workers(threads)
        self._entries: dict[str, _Entry] = {}
        self._dialects = _dialects(dialects)
        self._first = next(iter(self._dialects.values()))
        self._routes = Routes(
            (route, dialect) for dialect in self._dialects.values() for route in dialect.routes
        )
        if layers is None:
            failures = _auth_failures(auth_failures, trusted_proxies) if keys != "open" else []
            layers = _standard_layers(keys, limits, failures)
        else:
            layers = _given_layers(layers, keys, limits)
        proxies: list[HTTPLayer] = [] if trusted_proxies is None else [TrustedProxies(trusted_proxies)]
        self._guarded = http_stack(layers, self._answer)
        self._handler = stack([*proxies, RequestId()], self._guard)
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
        if deployment.stored is not None and self._store is None:
            raise ConfigurationError(f"model={deployment.model!r}: needs Gate(store=…)")
        if deployment.stored is not None and isinstance(self._store, FolderStore):
            self._store.check(deployment.stored, sha256=deployment.sha256)
        elif deployment.stored is not None and deployment.sha256 is not None:
            raise ConfigurationError("sha256: pins a file, and this store is no folder")
        if deployment.path is None and deployment.stored is None:
            model = Model(held(self._predictor(deployment, deployment.model)))
        else:
            model = Model(partial(self.cache.get, deployment.name))
        scoring = deployment.scoring if deployment.scoring is not None else self._scoring
        inner = [Round(deployment.decimals)] if scoring is None else [check_prediction, *scoring]
        validate = Validate(deployment.schema or model.schema, max_rows=deployment.max_rows)
        self._entries[deployment.name] = _Entry(
            deployment,
            stack([validate, model, *inner], predict),
            http_stack(deployment.layers, self._score),
        )

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
        return drive(self._entry(name).score(Query(rows, deployment=name)))

    def warm(self) -> None:
        """Load every model now, as far as the cache holds them, and not when it is first asked for.

        Raises:
            NotFound, DeploymentUnavailable: a model cannot be loaded; the cause says why.
        """
        for name, entry in self._entries.items():
            if entry.deployment.path is not None or entry.deployment.stored is not None:
                drive(self.cache.get(name))

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
            response = yield from self._guarded(request)
            if not isinstance(response, Response):
                raise TypeError(f"a layer returned {response!r} instead of a Response")
            return response
        except AnswerableError as error:
            return _refusal(request, error)
        except Exception as error:
            logger.error("request %s failed", request.id, exc_info=error)
            return request.wire.encode_error(request, ServingError())

    def _route(self, request: Request) -> None:
        # An unknown path is answered too, in the dialect that comes first.
        request.wire = self._first
        request.wire, request.params = self._routes.find(request.method, request.path)
        request.deployment = request.params.get("deployment")

    def _answer(self, request: Request) -> Flow[Response]:
        try:
            query = request.query = yield from cast(Dialect, request.wire).decode(request)
            query.deployment = request.deployment = self._named(request, query.deployment)
            return (yield from self._entry(query.deployment).answer(request))
        except AnswerableError as error:
            return _refusal(request, error)

    def _score(self, request: Request) -> Flow[Response]:
        query = request.query
        assert query is not None and query.deployment is not None
        query.on_rows = request.on_rows
        prediction = yield from self._entry(query.deployment).score(query)
        return cast(Dialect, request.wire).encode(query, prediction)

    def _named(self, request: Request, in_body: str | None) -> str:
        """The deployment asked: by path or body, or because the key, or the gate, has only one."""
        principal, asked = request.principal, request.deployment or in_body
        if in_body is not None and in_body != asked:
            raise InvalidInput(f"The path is that of deployment {asked!r}: the body names another")
        if asked is not None:
            if principal is not None and not principal.may_use(asked):
                raise Forbidden
            return asked
        own = principal.deployments if principal is not None else None
        names = list(own if own is not None else self._entries)
        if len(names) == 1:
            return names[0]
        raise InvalidInput(f"Several deployments can be meant: name one as deployment: {', '.join(names)}")

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise NotFound("The model of this deployment could not be found")
        if entry.deployment.state != "active":
            raise DeploymentInactive
        return entry

    def _load(self, name: str) -> Predictor:
        deployment = self._entries[name].deployment
        if deployment.stored is not None:
            assert self._store is not None
            pin = {"sha256": deployment.sha256} if deployment.sha256 is not None else {}
            return self._predictor(deployment, self._store.load(deployment.stored, **pin))
        assert deployment.path is not None
        return self._predictor(deployment, load_model(deployment.path, sha256=deployment.sha256))

    def _predictor(self, deployment: Deployment, model: Any) -> Predictor:
        workers = self._workers if deployment.offload else None
        return Predictor(model, deployment.schema, target=deployment.target, workers=workers)


def _refusal(request: Request, error: AnswerableError) -> Response:
    if isinstance(error, PredictionError):
        logger.error(
            "request %s: deployment %s failed to predict",
            request.id,
            request.deployment,
            exc_info=error.__cause__,
        )
    return request.wire.encode_error(request, error)


def _standard_layers(
    keys: KeyStore | Mapping[str, str | Sequence[str]] | str | None,
    limits: str | HTTPLayer | Sequence[HTTPLayer] | None,
    failures: Sequence[HTTPLayer],
) -> list[HTTPLayer]:
    if keys is None:
        raise ConfigurationError(f"keys: a gate without keys would serve anyone: accepts {ACCEPTED_KEYS}")
    guards: list[HTTPLayer] = [Admission(), BodyLimit(), *failures]
    if keys != "open":
        guards.append(KeyAuth(keys))
    with _naming("limits"):
        return [*guards, *_limits(DEFAULT_RATE if limits is None else limits)]


def _limits(limits: str | HTTPLayer | Sequence[HTTPLayer]) -> Sequence[HTTPLayer]:
    if isinstance(limits, str):
        return [RateLimit(limits)]
    return checked_layers([limits] if callable(limits) else limits)


def _auth_failures(rate: str | None, proxies: Sequence[str] | None) -> list[HTTPLayer]:
    with _naming("auth_failures"):
        # Nothing having been said of proxies, what one has forwarded comes from an unknown address.
        return [] if rate is None else [AuthFailures(rate, spare_forwarded=proxies is None)]


@contextlib.contextmanager
def _naming(option: str) -> Iterator[None]:
    """A refusal names the option the user wrote, and not the one it became."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from None


def _given_layers(layers: Sequence[HTTPLayer], keys: object, limits: object) -> Sequence[HTTPLayer]:
    if limits is not None or keys not in (None, "open"):
        raise ConfigurationError(
            "layers: given whole, they hold KeyAuth and RateLimit: leave keys and limits out"
        )
    if keys is None and not any(isinstance(layer, KeyAuth) for layer in layers):
        raise ConfigurationError('layers: there is no KeyAuth among them: add one, or say keys="open"')
    return layers


def _dialects(names: Sequence[str] | None) -> dict[str, Dialect]:
    chosen = list(DIALECTS) if names is None else list(names)
    unknown = [name for name in chosen if name not in DIALECTS]
    if unknown or not chosen:
        raise ConfigurationError(f"dialects={names!r}: accepts {', '.join(DIALECTS)}")
    return {name: DIALECTS[name]() for name in chosen}

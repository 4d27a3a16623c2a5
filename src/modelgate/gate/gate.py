"""The gate: deployments, the layers around them, and the dialects that callers use."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..deployments import Deployment, Deployments, HTTPLayer, ScoringLayer
from ..deployments.reconciler import Registry
from ..dialects import Dialect
from ..dialects.resolve import resolve_dialects
from ..endpoints.limits import GateLimits
from ..endpoints.metrics import MetricsEndpoint
from ..errors import ConfigurationError
from ..explanations import Explain
from ..flow import Flow, WorkerPool, drive, stack
from ..forecasting import ForecastOptions
from ..http import PLAIN_JSON, Request, Response
from ..inference import Prediction
from ..keys import KeyStore
from ..layers import BodyLimit, Idempotency, KeyAuth, Metrics, RateLimit, TrustedProxies
from ..layers.polling import PollingLayer
from ..models import ModelStore
from ..monitoring.prediction_hook import PredictionCallback, PredictionHooks
from ..mount import asgi, frameworks, wsgi
from ..openapi import OpenAPI
from ..openapi.create_document import create_document
from ..quick_path import create_quick_path
from ..schema import Schema
from ..scoring import Query
from ..scoring.layers.context import add_context
from ..scoring.layers.curve import AddCurve
from ..scoring.layers.intervals import to_levels
from ..spelling import suggest_options
from .dispatcher import RequestDispatcher
from .options import (
    check_deployments,
    create_layers,
    create_metric_values,
    create_outer_layers,
    find_deadline,
    find_key_header,
)
from .poller import create_poll_callbacks, create_polling_layer
from .router import add_endpoint, create_router
from .score_and_encode import score_and_encode

__all__ = ["Gate"]

F = TypeVar("F", bound=Callable[..., Any])


@suggest_options
class Gate:
    """Prediction gate that serves deployments from inside an app.

    Mount `asgi` or `wsgi` in an app, call `handle` in a route of the app, or call `score` without a server. A
    gate can also be called as a request handler. Several gates in one process share no state.

    Args:
        deployments: Deployments to serve. `handler` can add functions later.
        keys: API keys: ``{key: deployments}``, ``"env:VARIABLE"``, the URL of a database such as
            ``"sqlite:///keys.db"``, a key store, or ``"open"`` to serve anyone. Required.
        key_header: The only header field in which keys are accepted, ``"x-api-key"`` or
            ``"authorization"``; None for the places that each dialect defines. See `KeyAuth`.
        limits: Rate limits per caller, such as ``"60/minute; 10000/day"``, or layers such as `RateLimit`. The
            default is that of the ML Clever Prediction API, 1,000,000 requests a minute and 10,000,000 a day.
        idempotency: True to send the same response to a repeated ``Idempotency-Key``, or an `Idempotency`.
        auth_failure_limit: Rate limit of failed authentication per address; None for no limit.
        trusted_proxies: Networks of proxies whose ``Forwarded`` or ``X-Forwarded-For`` header is trusted; see
            `TrustedProxies`. An empty list declares that there are no proxies.
        cors: Origins of the web pages that may call the gate, or ``"*"``; see `Cors`.
        https_only: True to reject requests over plain HTTP, except health checks; see `HttpsOnly`.
        deadline: Maximum duration of a request in seconds (see `Deadline`); None for no deadline. While a
            model call exceeds the deadline, new requests to its deployment get 503.
        body_limit: Largest body in bytes, or a `BodyLimit`; by default the limit of each dialect.
        metrics: True to serve ``GET /metrics`` to keys that may read every deployment (``"*"`` or
            ``"*:read"``), ``"open"`` to serve it to anyone, False to collect no metrics.
        dialects: Wire formats, by name or as a `Dialect`; by default all. Errors for unknown paths use the
            first.
        layers: HTTP layers that replace the standard ones (`Deadline`, `Admission`, `BodyLimit`,
            `AuthFailureLimit`, `KeyAuth`, `RateLimit`). *deadline* and *auth_failure_limit* have no effect.
            *limits*, *key_header*, *body_limit*, *idempotency*, and *keys* except ``"open"`` must not be set.
        scoring_layers: Scoring layers that replace `Round`. The layers that validate and predict always run.
        store: Store of ``"store:name"`` models: a `ModelStore`, or the path of a folder.
        public_keys: Ed25519 public keys, as PEM files or in base64. Packages loaded from files or a
            folder must be signed with one of them. A *store* object has its own *public_keys*.
        cache_size: Maximum number of loaded models in memory.
        cache_bytes: Maximum total size of the files of these models; None for no limit.
        load_timeout: Seconds from the start of a model load after which waiting requests get 503. `warm` and
            `score` wait until the model is loaded.
        poll_interval: Seconds between checks for changed model files, which are then loaded; None for never.
        deployment_registry: Registry of deployments that several processes share: a `SqlRegistry`, or its
            URL. The gate reads it every *poll_interval* seconds; every 10 seconds by default.
        threads: Maximum number of concurrent model calls under ASGI. Default: cores + 4, at most 32.
            Deployments take turns, each with at most half of the threads if there are several.
        console: Whether ``GET /deployments/{deployment}/console`` serves a page for trying out a deployment.
        on_prediction: Function or list of functions to call with the `PredictionRecord` of each prediction.
        metrics_dir: Directory in which the processes of one machine share their metrics, such as
            ``"/dev/shm/gate"``; None for metrics of this process only. Each gate needs its own.
        array_dir: Directory in which the processes of one user share large model arrays; None to share none.
        tracing: Whether to record spans with OpenTelemetry; see `Tracing`.

    Attributes:
        deployments: The deployments by name, a `Deployments`.
        layers: The HTTP layers around all deployments.
        limits: The rate limits. Their method `reset` discards the counts of a caller.
        metrics: The metrics, a `MetricsEndpoint`; None if none are collected.
        asgi, wsgi: Apps to mount.

    Raises:
        ConfigurationError: An option cannot be used, or *keys* is missing.
    """

    def __init__(
        self,
        deployments: Iterable[Deployment] = (),
        *,
        keys: KeyStore | Mapping[str, str | Sequence[str]] | str | None = None,
        key_header: str | None = None,
        limits: str | HTTPLayer | Sequence[HTTPLayer] | None = None,
        idempotency: bool | Idempotency = False,
        auth_failure_limit: str | None = "60/minute",
        trusted_proxies: Sequence[str] | None = None,
        cors: Sequence[str] | Literal["*"] | None = None,
        https_only: bool = False,
        deadline: float | None = 30.0,
        body_limit: int | BodyLimit | None = None,
        metrics: bool | Literal["open"] = True,
        dialects: Sequence[str | Dialect] | None = None,
        layers: Sequence[HTTPLayer] | None = None,
        scoring_layers: Sequence[ScoringLayer] | None = None,
        store: ModelStore | str | Path | None = None,
        public_keys: Sequence[str | Path] | None = None,
        cache_size: int = 16,
        cache_bytes: int | None = None,
        load_timeout: float = 10.0,
        poll_interval: float | None = None,
        deployment_registry: Registry | str | None = None,
        threads: int | None = None,
        console: bool = True,
        on_prediction: PredictionCallback | Sequence[PredictionCallback] | None = None,
        metrics_dir: str | Path | None = None,
        array_dir: str | Path | None = None,
        tracing: bool = False,
    ) -> None:
        values = create_metric_values(metrics, metrics_dir)
        policies = limits, idempotency, auth_failure_limit, deadline, trusted_proxies, key_header, body_limit
        layers = create_layers(layers, keys, *policies, https_only=https_only)
        workers = WorkerPool(threads, hang_timeout=find_deadline(layers))
        key_header = find_key_header(layers)
        self._dialects = resolve_dialects(dialects, key_header)
        self._default_dialect = next(iter(self._dialects.values()))
        kinds = {"keyed": KeyAuth, "limited": RateLimit, "idempotent": Idempotency}
        flags = {name: any(isinstance(layer, kind) for layer in layers) for name, kind in kinds.items()}
        self._openapi = openapi = OpenAPI(self._dialects.values(), key_header=key_header, **flags)
        self._hooks = hooks = PredictionHooks(on_prediction, values)
        self._router = create_router(self._dialects.values(), openapi, hooks, layers, console=console)
        self.deployments = Deployments(
            partial(score_and_encode, hook=self._hooks) if self._hooks else score_and_encode,
            self._add_endpoint,
            workers,
            store=store,
            public_keys=public_keys,
            cache_size=cache_size,
            cache_bytes=cache_bytes,
            load_timeout=load_timeout,
            scoring_layers=scoring_layers,
            values=values,
            array_dir=array_dir,
        )
        self._catalog = self.deployments.catalog
        proxies: list[HTTPLayer] = [] if trusted_proxies is None else [TrustedProxies(trusted_proxies)]
        self.layers = (*proxies, *layers)
        self.limits = GateLimits(self.layers, self.deployments)
        self._router.add(self.limits.route(), PLAIN_JSON)
        self._poll_callbacks = create_poll_callbacks(self.deployments, poll_interval, deployment_registry)
        # This layer refers to the gate weakly. The dispatcher keeps the gate alive, through its deployments.
        self._poll = create_polling_layer(self._poll_once, poll_interval, deployment_registry)
        first: list[HTTPLayer] = [*([] if self._poll is None else [self._poll]), *proxies]
        requests = Metrics(self._catalog, values) if metrics else None
        self.metrics: MetricsEndpoint | None = None
        if requests is not None:
            bodies = [layer.large_bodies for layer in layers if isinstance(layer, BodyLimit)]
            sources = bodies, workers.hang_timeout, self._hooks.families
            self.metrics = MetricsEndpoint(values, requests, self.deployments, *sources)
            if metrics_dir is not None:
                first.append(PollingLayer(self.metrics.publish, 1))
            self._router.add(self.metrics.route(open_to_all=metrics == "open"), PLAIN_JSON)
            self._router.add(traffic := self.metrics.traffic_route(), PLAIN_JSON)
            openapi.add(traffic)
        outermost = create_outer_layers(
            self._catalog, requests, tracing=tracing, timing_for_everyone=keys == "open", cors=cors
        )
        dispatcher = RequestDispatcher(self._router, self.deployments, layers, self._default_dialect)
        layered = stack(outermost, dispatcher.dispatch)
        parts = self._router, self._catalog, layered
        self._quick_path = None if self._hooks else create_quick_path([*outermost, *layers], *parts)
        self._handler = stack(first, self._quick_path or layered)
        self.asgi, self.wsgi = asgi.app(self._handler, self._hooks.flush), wsgi.app(self._handler)
        for deployment in check_deployments(deployments):
            self.deployments.add(deployment)

    def __repr__(self) -> str:
        states = self.deployments.states()
        shown = (name if state == "active" else f"{name} ({state})" for name, state in states.items())
        return f"<Gate: {', '.join(shown) or 'no deployments'}>"

    def handler(self, name: str, *, schema: Schema, **options: Any) -> Callable[[F], F]:
        """Serve the decorated function, sync or async, as a deployment.

        The function receives a `Table` and returns an array, a list, values by output name, or a
        `Prediction`, with a value for each row. It remains an ordinary function.

        Args:
            name: Deployment name.
            schema: Schema of the input.
            options: Further options of `Deployment`.
        """

        def serve(function: F) -> F:
            self.deployments.add(Deployment(name, function, schema=schema, **options))
            return function

        return serve

    def _poll_once(self) -> None:
        for poll in self._poll_callbacks:
            poll()

    def _add_endpoint(self, deployment: Deployment) -> None:
        if deployment.endpoint is not None:
            add_endpoint(self._router, self._dialects.get("simple"), deployment.endpoint, deployment.name)
            if self._quick_path is not None:
                self._quick_path.forget_routes()

    def score(
        self,
        name: str,
        rows: Any,
        *,
        explain: int | Explain | None = None,
        forecast: ForecastOptions | None = None,
        intervals: Sequence[float] = (),
        context: bool = False,
        timeout: float | None = None,
    ) -> Prediction:
        """Return the prediction of a deployment for *rows*, without a server, an event loop or a key.

        Args:
            name: Deployment name.
            rows: Rows in any form that `modelgate.Schema.read` accepts.
            explain: Number of contributions to return for each row, or an `Explain`; see `Output.explanations`.
            forecast: Options of forecasts; None for their defaults, or for a model that does not forecast.
            timeout: Seconds to wait for a model that is being loaded; None for no limit.
            intervals: Levels of the prediction intervals to add, in percent; see `ModelPackage.calibrate`.
            context: Whether to return where the values lie in the training data; see `Prediction.context`.

        Raises:
            NotFound, DeploymentInactive: There is no such deployment, or it is paused.
            DeploymentUnavailable: The deployment is draining, or its model cannot be loaded; see the cause.
            MissingColumns, InvalidValues, InvalidInput, MalformedBody: The rows do not match the schema.
            InvalidInput: The model cannot provide the *intervals* or the *context*.
            ExplanationsUnavailable: The deployment does not explain its predictions.
            PredictionError: The model failed.
        """
        layer = add_context if context else None
        query = Query(rows, deployment=name, adjusted=True, forecast=forecast, layer=layer)
        query.explain, query.intervals = Explain.from_option(explain), to_levels(intervals)
        return self._score(name, query, timeout)

    def curve(
        self,
        name: str,
        column: str,
        row: Any = None,
        *,
        grid: Sequence[Any] | None = None,
        points: int | None = None,
        average: bool = False,
        timeout: float | None = None,
    ) -> Prediction:
        """Return predictions for *row* with *column* set to each value of a grid; see `Prediction.curve`.

        Args:
            name: Deployment name.
            column: Name of the column that varies.
            row: One row in any form that `score` accepts; None to return only the *average*.
            grid: 1 to 200 values of the column. None for its levels, or for evenly spaced numbers from the
                10th to the 90th percentile of the training data if the column has no levels.
            points: Number of values in the default grid of a numeric column; by default 50.
            average: Whether to add the mean predictions for the sample of training rows in the package.
            timeout: See `score`.

        Raises:
            InvalidInput: The row, the column or the grid is not valid, or there is no sample. See `score`.
        """
        layer = AddCurve(column, grid, points, average=average)
        query = Query([] if row is None else row, deployment=name, layer=layer)
        return self._score(name, query, timeout)

    def _score(self, name: str, query: Query, timeout: float | None) -> Prediction:
        if self._poll is not None:
            drive(self._poll.begin())
        query.load_timeout = math.inf if timeout is None else timeout
        return self._catalog.score_blocking(name, query)

    def openapi(self, name: str | None = None) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of a deployment, or of all deployments if *name* is None.

        The path ``openapi.json`` serves the same document. To publish it, make its ``servers`` absolute.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: See `score`.
            Forbidden: The deployment does not show its schema.
        """
        return create_document(self._openapi, self.deployments, name)

    def close(self) -> None:
        """Stop polling, and close the *on_prediction* hooks. The gate can still serve requests."""
        if self._poll is not None:
            self._poll.close()
        self._hooks.close()

    def mount(self, app: Any, prefix: str) -> None:
        """Mount the gate in an app of Flask, FastAPI, Starlette, Quart, Litestar, BlackSheep or Bottle.

        The middleware and hooks of the app do not apply to requests to the gate, except in Starlette and
        FastAPI. In FastAPI, ``/openapi.json`` and ``/docs`` include the gate's paths.

        Args:
            app: App of a framework.
            prefix: Path below which the gate is mounted, such as ``/ml``.

        Raises:
            ConfigurationError: *app* belongs to no known framework, or *prefix* is not a path.
        """
        frameworks.mount(app, prefix, self, openapi=self.openapi)

    def init_app(self, app: Any, prefix: str) -> None:
        """Add routes for the gate to a Flask app or blueprint; see `modelgate.mount.flask.init_app`."""
        from ..mount import flask

        flask.init_app(app, prefix, self)

    @cached_property
    def caller(self) -> Callable[..., Awaitable[Any]]:
        """FastAPI dependency that applies the gate's keys and limits to a route of the app.

        ``Depends(gate.caller)`` is the `Principal` of the key, or None in a gate without keys. Any key of the
        gate is accepted: check ``principal.can_access("churn")`` yourself. *idempotency* does not apply.
        """
        from ..mount import fastapi

        return fastapi.create_dependency(self.layers)

    @frameworks.typed_handle
    def handle(
        self,
        request: Any,
        deployment: str | None = None,
        *,
        dialect: str | None = None,
        response: Any = None,
    ) -> Any:
        """Answer a request in one of the app's own routes.

        - Sync views of Flask, Django, Pyramid or Bottle: ``return gate.handle(request, "churn")``
        - Async views of FastAPI, Starlette, Django, Quart, Litestar, BlackSheep or Sanic:
          ``return await gate.handle(request, "churn")``
        - Responders of Falcon: ``gate.handle(req, "churn", response=resp)``, under ASGI with ``await``

        Args:
            request: Request object of the framework.
            deployment: Name of the deployment; None to take the name from the request or its key.
            dialect: Wire format of the request and the response; by default the gate's first.
            response: Response object that Falcon passes to the responder; None in other frameworks.

        Raises:
            ConfigurationError: The gate does not have the *dialect*.
            TypeError: *request* belongs to no known framework.
        """
        if dialect is not None and dialect not in self._dialects:
            raise ConfigurationError(f"dialect must be one of {', '.join(self._dialects)} (got {dialect!r})")
        wire = self._default_dialect if dialect is None else self._dialects[dialect]
        handler = partial(self._handle, deployment=deployment, dialect=wire)
        return frameworks.handle(request, handler, response)

    def _handle(self, request: Request, *, deployment: str | None, dialect: Dialect) -> Flow[Response]:
        request.wire, request.context.deployment = dialect, deployment
        return self._handler(request)

    def __call__(self, request: Request) -> Flow[Response]:
        """Return the response to *request*. Errors become responses, too."""
        return self._handler(request)

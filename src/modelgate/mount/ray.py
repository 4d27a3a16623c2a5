"""Adapter for Ray Serve, which serves a gate in the replicas of a Serve deployment."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from ray import serve

from ..errors import ConfigurationError
from ..flow import adrive
from ..importing import create_gate
from .asgi import Receive, Scope, Send

__all__ = ["create_application"]

_MODEL_ID_HEADERS = (b"serve_multiplexed_model_id", b"serve-multiplexed-model-id")


def create_application(
    gate: str | Callable[[], Any],
    *,
    models: Mapping[str, str] | None = None,
    models_per_replica: int | None = None,
    **options: Any,
) -> serve.Application:
    """Return a Ray Serve application, each replica of which serves a gate.

    - A replica takes requests once all of its models are loaded. If a model cannot be loaded, Serve reports
      the deployment as unhealthy, and an update stops while the old replicas continue to serve.
    - Serve replaces a replica that is no longer ready (see `Gate`: ``/v2/health/ready``).
    - When a replica is stopped, it first answers its requests (``graceful_shutdown_timeout_s``), then flushes
      the *on_prediction* hooks and closes the gate.
    - State in the memory of a replica, such as rate limits without Redis, is not shared with other replicas.

    Args:
        gate: Gate to import in each replica, such as ``"app:gate"``, or a function that creates the gate. A
            gate itself cannot be sent to other machines.
        models: Models by deployment name that replace those of the gate, such as ``{"churn":
            "store:churn@7"}``. If only *models* changes, `serve.run` loads the new models in the running
            replicas, one replica after the other.
        models_per_replica: Number of models per replica for model multiplexing, which should be the
            *cache_size* of the gate; None for no multiplexing. With multiplexing, requests name a deployment
            in the header field ``serve_multiplexed_model_id``, and Serve sends them to replicas that have its
            model in memory.
        options: Options of `ray.serve.deployment`, such as *num_replicas*, *autoscaling_config*,
            *max_ongoing_requests* and *ray_actor_options*.

    Raises:
        ConfigurationError: *gate* or *models_per_replica* is not valid.
    """
    if not isinstance(gate, str) and not (callable(gate) and not hasattr(gate, "deployments")):
        raise ConfigurationError(
            "gate must be module:attribute, such as app:gate, or a function that returns a gate"
            f" (got {type(gate).__name__})"
        )
    if models_per_replica is not None and (type(models_per_replica) is not int or models_per_replica < 1):
        raise ConfigurationError(
            f"models_per_replica must be a whole number from 1, or None (got {models_per_replica!r})"
        )
    options.setdefault("name", "modelgate")
    if models is not None:
        options["user_config"] = dict(models)

    def create_app() -> _GateApp:
        return _GateApp(gate, models_per_replica)

    replica = serve.deployment(**options)(serve.ingress(create_app)(_Replica))
    return replica.bind()


class _GateApp:
    """ASGI app of one replica.

    Args:
        source: Gate to import, or function that creates it.
        models_per_replica: See `create_application`.
    """

    def __init__(self, source: str | Callable[[], Any], models_per_replica: int | None) -> None:
        self.gate = create_gate(source)
        self.gate.deployments.warm()
        self._report_loaded: Callable[[str], Awaitable[str]] | None = None
        if models_per_replica is not None:
            limit = serve.multiplexed(max_num_models_per_replica=models_per_replica)
            self._report_loaded = limit(_return_model_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        model_id = _find_model_id(scope) if self._report_loaded is not None else None
        if model_id is not None and model_id in self.gate.deployments:
            send = partial(self._send, send, model_id)
        await self.gate.asgi(scope, receive, send)

    async def _send(self, send: Send, model_id: str, message: MutableMapping[str, Any]) -> None:
        # Only after success: a request without a valid key must not change where Serve sends requests.
        if message["type"] == "http.response.start" and message["status"] == 200:
            assert self._report_loaded is not None
            await self._report_loaded(model_id)
        await send(message)


async def _return_model_id(model_id: str) -> str:
    # The model itself is in the cache of the gate.
    return model_id


def _find_model_id(scope: Scope) -> str | None:
    headers = scope.get("headers", ()) if scope["type"] == "http" else ()
    return next((value.decode("latin-1") for name, value in headers if name in _MODEL_ID_HEADERS), None)


class _Replica:
    """Replica of the Serve deployment. `serve.ingress` adds the attribute *app*."""

    app: _GateApp

    async def reconfigure(self, models: Mapping[str, str]) -> None:
        """Serve *models*. Ray Serve calls this method at the start, and when only the models change."""
        for name, model in models.items():
            await asyncio.to_thread(self.app.gate.deployments.swap, name, model)

    async def check_health(self) -> None:
        """Raise an error if a deployment cannot score. Ray Serve then replaces the replica."""
        if not await adrive(self.app.gate.deployments.catalog.ready()):
            raise RuntimeError(f"not ready: {self.app.gate!r}")

    def __del__(self) -> None:
        if hasattr(self, "_asgi_app"):
            self.app.gate.close()

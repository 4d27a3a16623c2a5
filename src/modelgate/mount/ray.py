"""Adapter for Ray Serve. It serves a gate in the replicas of a Serve deployment."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve

from ..errors import ConfigurationError
from ..flow import adrive
from ..importing import create_gate
from .asgi import Receive, Scope, Send

__all__ = ["create_application"]


def create_application(
    gate: str | Callable[[], Any],
    *,
    models: Mapping[str, str] | None = None,
    multiplexed: bool = False,
    **options: Any,
) -> serve.Application:
    """Return a Ray Serve application, each replica of which serves a gate.

    - A replica takes requests once it has read the deployment registry and loaded all of its models. If a model
      cannot be loaded, Serve reports the deployment as unhealthy, and an update stops while the old replicas
      continue to serve.
    - Serve replaces a replica whose gate is no longer ready, as ``/v2/health/ready`` reports (see `Gate`).
    - When a replica is stopped, it first answers its requests (``graceful_shutdown_timeout_s``), then flushes
      the *on_prediction* hooks and closes the gate.
    - State in the memory of a replica, such as rate limits without Redis, is not shared with other replicas.

    Args:
        gate: Gate to import in each replica, such as ``"app:gate"``, or a function that creates the gate. A
            gate itself cannot be sent to other machines.
        models: Models to serve instead of those of the gate, by deployment, such as
            ``{"churn": "store:churn@7"}``. This is Serve's *user_config*. If you change only this option in
            the config file of ``serve deploy``, the running replicas load the models without a restart. A
            new replica loads the gate's own models first, so they must still be in the store.
        multiplexed: True for a gate with more models than a replica can cache. Models are then loaded by the
            first request that needs them, a model that cannot be loaded does not make a replica unhealthy, and
            each replica reports the deployments whose models it has cached. Serve sends a request with the
            header field ``serve-multiplexed-model-id``, which names a deployment, to such a replica.
        options: Options of `ray.serve.deployment`, such as *num_replicas*, *autoscaling_config*,
            *max_ongoing_requests* and *ray_actor_options*.

    Raises:
        ConfigurationError: *gate* is not valid.
    """
    if not isinstance(gate, str) and not (callable(gate) and not hasattr(gate, "deployments")):
        raise ConfigurationError(
            "gate must be module:attribute, such as app:gate, or a function that returns a gate"
            f" (got {type(gate).__name__})"
        )
    options.setdefault("name", "modelgate")
    if models is not None:
        options["user_config"] = dict(models)

    def create_app() -> _GateApp:
        return _GateApp(gate, multiplexed=multiplexed)

    replica = serve.deployment(**options)(serve.ingress(create_app)(_Replica))
    return replica.bind()


class _GateApp:
    """ASGI app of one replica.

    Args:
        source: Gate to import, or function that creates it.
        multiplexed: See `create_application`.
    """

    def __init__(self, source: str | Callable[[], Any], *, multiplexed: bool) -> None:
        self.gate = create_gate(source)
        self.multiplexed = multiplexed
        # Read the registry first. Otherwise, models that it replaces could be loaded, here or by a request.
        self.gate._poll_once()
        deployments = self.gate.deployments
        if multiplexed:
            self._always_loaded = [name for name in deployments if not deployments[name].is_loaded]
            limit = deployments.cache.cache_info().maxsize + len(self._always_loaded)
            self._report = serve.multiplexed(max_num_models_per_replica=limit)(_return_model_id)
            self._reported: set[str] = set()
        else:
            deployments.warm()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.gate.asgi(scope, receive, send)
        if self.multiplexed:
            await self._report_loaded()

    async def _report_loaded(self) -> None:
        """Report the deployments whose models are in memory to Serve, if they have changed."""
        loaded = [*self._always_loaded, *self.gate.deployments.cached()]
        if self._reported != set(loaded):
            self._reported = set(loaded)
            # In this order, Serve's LRU cache of the same size evicts the models that the gate evicted.
            for name in loaded:
                await self._report(name)


async def _return_model_id(model_id: str) -> str:
    # The model itself is in the cache of the gate.
    return model_id


class _Replica:
    """Replica of the Serve deployment. `serve.ingress` adds the attribute *app*."""

    app: _GateApp

    async def reconfigure(self, models: Mapping[str, str]) -> None:
        """Replace models. Ray Serve calls this method at the start, and when the *user_config* changes."""
        for name, model in models.items():
            await asyncio.to_thread(self.app.gate.deployments.swap, name, model)

    async def check_health(self) -> None:
        """Raise an error if a deployment cannot score. Serve then replaces the replica.

        A multiplexed replica is not checked. The check would load all models, and a single model that cannot
        be loaded would make every replica fail.
        """
        if not self.app.multiplexed and not await adrive(self.app.gate.deployments.catalog.ready()):
            raise RuntimeError(f"not ready: {self.app.gate!r}")

    def __del__(self) -> None:
        if hasattr(self, "_asgi_app"):
            self.app.gate.close()

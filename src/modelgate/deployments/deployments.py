"""The deployments of a gate, and methods to change them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import (
    ConfigurationError,
    DeploymentLoading,
    DeploymentUnavailable,
    NotFound,
    error_context,
)
from ..flow import Flow, Handler, WorkerPool, drive, validate_layers
from ..flow.model_thread import in_model_thread
from ..http import Request, Response
from ..inference import Prediction, Predictor
from ..models import FolderStore, ModelCache, ModelStore
from ..prometheus import MetricValues
from ..scoring import Description, ModelMetadata, Query
from ..scoring.layers.shadow import ShadowReport
from ..validation import require_positive_seconds
from .builder import DeploymentBuilder
from .catalog import DeploymentCatalog
from .deployment import Deployment, ScoringLayer
from .lifecycle import DeploymentController
from .loader import Loader
from .reconciler import Registry, RegistryReconciler
from .rollout import Rollout, Shadow
from .store_watcher import StoreWatcher

__all__ = ["Deployments"]


class Deployments(Mapping[str, Deployment]):
    """The deployments of a gate by name, and methods that change them while they serve.

    A change first loads and tests the models it needs. It then takes effect in one step, so that each request
    sees either the old or the new state. The methods block: call them from a thread, not from a coroutine.

    Example:
        gate.deployments["churn"].version
        gate.deployments.swap("churn", "store:churn@7")

    Args:
        answer: Function that answers a request. Its arguments are a handler that scores queries, and the
            request.
        on_add: Function called with each deployment that is added.
        workers: Threads in which models are called.
        store: See `Gate`.
        public_keys: See `Gate`.
        cache_size: See `Gate`.
        cache_bytes: See `Gate`.
        load_timeout: See `Gate`.
        scoring_layers: Scoring layers of the gate; None for the standard ones.
        values: Storage of the metrics.
        array_dir: See `Gate`.

    Attributes:
        cache: Cache of the loaded models.
        catalog: Live deployments by name.
        loader: Loader of the models.

    Raises:
        ConfigurationError: An option is invalid.
    """

    def __init__(
        self,
        answer: Callable[[Handler[Query, Prediction], Request], Flow[Response]],
        on_add: Callable[[Deployment], None],
        workers: WorkerPool,
        *,
        store: ModelStore | str | Path | None,
        public_keys: Sequence[str | Path] | None,
        cache_size: int,
        cache_bytes: int | None,
        load_timeout: float,
        scoring_layers: Sequence[ScoringLayer] | None,
        values: MetricValues,
        array_dir: str | Path | None = None,
    ) -> None:
        self.catalog = DeploymentCatalog()
        with error_context("store"):
            opened = FolderStore(store, public_keys=public_keys) if isinstance(store, str | Path) else store
        self.loader = Loader(opened, workers, public_keys, values, array_dir)
        require_positive_seconds("load_timeout", load_timeout)
        with error_context("cache_size, cache_bytes"):
            self.cache: ModelCache[Predictor] = ModelCache(
                self.loader.load,
                cache_size,
                maxbytes=cache_bytes,
                sizeof=lambda predictor: predictor.size,
                load_timeout=load_timeout,
                values=values,
            )
        metadata: ModelCache[ModelMetadata | None] = ModelCache(self.loader.describe, 1000, load_timeout=2)
        layers = None if scoring_layers is None else validate_layers(scoring_layers)
        builder = DeploymentBuilder(self.loader, self.cache, metadata, layers, answer)
        self._controller = DeploymentController(self.catalog, builder, self.loader, self.cache)
        self._on_add = on_add

    def __getitem__(self, name: str) -> Deployment:
        live = self.catalog.get(name)
        if live is None:
            raise KeyError(name)
        return live.deployment

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.catalog))

    def __len__(self) -> int:
        return len(self.catalog)

    def add(self, deployment: Deployment) -> None:
        """Serve another deployment. Add deployments at start-up, before the first request.

        Raises:
            ConfigurationError: The deployment's name is taken, or its model cannot be used.
        """
        if not isinstance(deployment, Deployment):
            raise ConfigurationError(
                f"deployments must be Deployment(name, model) objects (got {deployment!r})"
            )
        if deployment.name in self.catalog:
            raise ConfigurationError(f"deployments must have different names (got {deployment.name!r} twice)")
        self._controller.add(deployment)
        self._on_add(deployment)

    def describe(self, name: str) -> Description:
        """Return the version, schema and targets of a deployment.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: See `Gate.score`.
            Forbidden: The deployment does not show its schema.
        """
        try:
            return in_model_thread(drive, self.catalog.describe(name))
        except DeploymentLoading:
            # The model must be loaded, because the description comes from it.
            self.predictor(name)
            return in_model_thread(drive, self.catalog.describe(name))

    def predictor(self, name: str) -> Predictor:
        """Return the predictor of a deployment, for example to read its plan. The model is loaded if needed.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: See `Gate.score`.
        """
        self.catalog.require(name)
        return drive(self.catalog.get_active(name).model.predictor(math.inf))

    def warm(self, timeout: float | None = None) -> None:
        """Load the models of all deployments now, rather than on the first request. Shadows are not loaded.

        If the cache is too small for all models, the models loaded first are evicted again.

        Args:
            timeout: Seconds to wait for all models together; None for no limit.

        Raises:
            NotFound, DeploymentUnavailable: A model cannot be loaded or fails its test; see the cause.
            DeploymentLoading: A model is still being loaded after *timeout* seconds.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        for live in list(self.catalog.values()):
            for revision in live.revisions:
                drive(revision.model.predictor(max(deadline - time.monotonic(), 0)))

    def cached(self) -> list[str]:
        """Return the names of the deployments with a model in the cache, the least recently used first."""
        models = reversed(self.cache.names())
        return list(dict.fromkeys(map(self.loader.deployment_name, models)))[::-1]

    def swap(
        self,
        name: str,
        model: Any = None,
        *,
        version: str | None = None,
        sha256: str | None = None,
        rollout: Rollout | None = None,
        shadow: Shadow | None = None,
        keep: bool = True,
    ) -> None:
        """Replace the model of a deployment.

        A rollout or shadow of the deployment ends unless you pass it again. The other options do not change.

        The new model is loaded and tested with a row (see *example* of `Deployment`). It then replaces the
        current model in one step, so that no request fails because of the swap. If loading or the test
        fails, the current model continues to serve.

        Args:
            name: Deployment name.
            model: See `Deployment`; None to change only *rollout* and *shadow*.
            version: Version of the new model; for the default see `Deployment`.
            sha256: SHA-256 digest that pins the file of the new model.
            rollout: See `Deployment`. Its models are not loaded again if they are serving already.
            shadow: See `Deployment`.
            keep: Whether to keep the replaced model in memory for `rollback`, outside the cache.

        Raises:
            NotFound: There is no such deployment or model.
            ConfigurationError: The model cannot be loaded or fails its test.
            StoreError: The store cannot be reached.
        """
        live = self.catalog.require(name)
        changed = replace(live.deployment, rollout=rollout, shadow=shadow)
        known = live.all_revisions
        if model is not None:
            changed = replace(changed, model=model, version=version, sha256=sha256)
            # Load this model even if its name has not changed: the name may refer to another model now.
            known = known[1:]
        self._controller.replace(changed, known, keep=keep)

    def reload(self, name: str) -> None:
        """Load the models of a deployment again, from their file or store, and swap them in.

        Raises:
            NotFound: There is no such deployment or model.
            DeploymentUnavailable: A model cannot be loaded; see the cause.
        """
        live = self.catalog.require(name)
        not_loadable = [revision for revision in live.all_revisions if revision.handle is None]
        if len(not_loadable) < len(live.all_revisions):
            try:
                self._controller.replace(live.deployment, not_loadable)
            except NotFound:
                raise
            except Exception as error:
                raise DeploymentUnavailable from error

    def rollback(self, name: str) -> None:
        """Restore the models that a deployment served before the last swap.

        A second call undoes the first one.

        Models that were in memory at the time of the swap are restored at once. Other models are loaded
        first.

        Raises:
            NotFound: There is no such deployment, or it was never swapped.
            DeploymentUnavailable: A model is not in memory and cannot be loaded.
            ConfigurationError: A model is not in memory, and its file or store now has a different model.
        """
        self._controller.roll_back(name)

    def pause(self, name: str) -> None:
        """Reject every request to a deployment as inactive. Raises `NotFound` if it does not exist."""
        self._controller.set_state(name, "paused")

    def resume(self, name: str) -> None:
        """Accept requests to a deployment again. Raises `NotFound` if it does not exist."""
        self._controller.set_state(name, "active")

    def drain(self, name: str, timeout: float | None = None) -> bool:
        """Reject new requests to a deployment with 503, and wait for the requests in flight.

        Args:
            name: Deployment name.
            timeout: Seconds to wait; None for no limit.

        Returns:
            True if no request is in flight any more.

        Raises:
            NotFound: There is no such deployment.
        """
        return self._controller.set_state(name, "draining").in_flight.wait(timeout)

    def states(self) -> dict[str, str]:
        """Return the state of each deployment: active, paused, draining or failed.

        A deployment has failed if it is active and its model could not be loaded or failed its test.
        """
        return {name: live.current_state for name, live in list(self.catalog.items())}

    def shadow_report(self, name: str) -> ShadowReport:
        """Return a report of how often the shadow has agreed with the deployment's own model.

        Raises:
            NotFound: There is no such deployment, or it has no shadow.
        """
        shadow = self.catalog.require(name).shadow
        if shadow is None:
            raise NotFound(f"Deployment {name} has no shadow: set one with swap(…, shadow=…)")
        return shadow.report()

    def watch_stores(self) -> Callable[[], None]:
        """Return a function that checks all files and stores once, and swaps in the models that have changed."""
        self.loader.watching = True
        return StoreWatcher(self.catalog, self.loader, self._controller.replace).poll_once

    def follow(self, registry: Registry) -> Callable[[], None]:
        """Return a function that reads *registry* once, and applies its records to the deployments."""
        return RegistryReconciler(registry, self.catalog, self._controller).poll_once

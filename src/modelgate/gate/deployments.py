"""The deployments of a gate: added, swapped, paused."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..counts import require_seconds
from ..errors import ConfigurationError, DeploymentLoading, DeploymentUnavailable, NotFound
from ..flow import Flow, Handler, Workers, checked_layers, drive
from ..http import Request, Response
from ..models import FolderStore, ModelCache, ModelStore
from ..models.model_thread import in_model_thread
from ..schema import Schema
from ..scoring import Agreement, Description, Known, Prediction, Predictor, Query, Rollout, Shadow
from .assembly import Assembly
from .deployment import Deployment, ScoringLayer
from .entries import Entries
from .loader import Loader
from .options import naming
from .serving import Serving

__all__ = ["Deployments"]

F = TypeVar("F", bound=Callable[..., Any])


class Deployments:
    """The deployments of a gate, and what may be done with them while they serve.

    Whatever takes time is done before anything changes, and the change is one step: a request sees
    what was, or what is. All of it blocks: call it from a script or a thread, not from a coroutine.
    """

    def __init__(
        self,
        store: ModelStore | str | Path | None,
        public_keys: Sequence[str | Path] | None,
        cache_size: int,
        cache_bytes: int | None,
        load_timeout: float,
        workers: Workers,
        scoring: Sequence[ScoringLayer] | None,
    ) -> None:
        self._entries = Entries()
        with naming("store"):
            kept = FolderStore(store, public_keys=public_keys) if isinstance(store, str | Path) else store
        self._loader = Loader(kept, workers, public_keys)
        require_seconds("load_timeout", load_timeout)
        with naming("cache_size, cache_bytes"):
            self.cache: ModelCache[Predictor] = ModelCache(
                self._loader.load,
                cache_size,
                maxbytes=cache_bytes,
                sizeof=lambda predictor: predictor.size,
                load_timeout=load_timeout,
            )
        self._described: ModelCache[Known | None] = ModelCache(self._loader.describe, 1000, load_timeout=2)
        layers = None if scoring is None else checked_layers(scoring)
        assembly = Assembly(self._loader, self.cache, self._described, layers, self._score)
        self._serving = Serving(self._entries, assembly, self._loader, self.cache)

    def _score(self, score: Handler[Query, Prediction], request: Request) -> Flow[Response]:
        raise NotImplementedError

    def add(self, deployment: Deployment) -> None:
        """Serve one more deployment. For start-up, before the first request.

        Raises:
            ConfigurationError: its name is taken, or its model cannot work.
        """
        if not isinstance(deployment, Deployment):
            raise ConfigurationError(f"deployments: {deployment!r}: accepts Deployment(name, model)")
        if deployment.name in self._entries:
            raise ConfigurationError(f"deployments: two are called {deployment.name!r}")
        self._serving.add(deployment)

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

    @property
    def deployments(self) -> dict[str, Deployment]:
        """What is served, by name."""
        return {name: entry.deployment for name, entry in list(self._entries.items())}

    def describe(self, name: str) -> Description:
        """What is known of deployment *name*: its version, what it takes and what it predicts.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: as for `score`.
            Forbidden: its schema is not to be seen.
        """
        try:
            return in_model_thread(drive, self._entries.describe(name))
        except DeploymentLoading:
            # Nothing but the model can tell.
            self.predictor(name)
            return in_model_thread(drive, self._entries.describe(name))

    def predictor(self, name: str) -> Predictor:
        """What predicts for deployment *name*, loaded where it is not, however long that takes: its plan, its schema.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: as for `score`.
        """
        return drive(self._entries.active(name).model.predictor(math.inf))

    def warm(self, timeout: float | None = None) -> None:
        """Load every model now, as far as the cache holds them, and not when it is first asked for.

        But those of shadows, which nobody waits for.

        Args:
            timeout: Seconds to wait for all of them; None to wait until they are loaded.

        Raises:
            NotFound, DeploymentUnavailable: a model cannot be loaded, or cannot answer; the cause says why.
            DeploymentLoading: a model is still being loaded after *timeout* seconds.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        for entry in list(self._entries.values()):
            for release in entry.releases:
                drive(release.model.predictor(max(until - time.monotonic(), 0)))

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
        """Serve another *model* as the deployment *name*; all else that was said of it stays.

        A rollout and a shadow end by it, unless they are given here.

        It is loaded, answers the example it was packed with or another row, and takes the place of
        the old one in one step. No request fails for it, and each is answered by one of the two
        alone. Where any of that fails the old one goes on.

        Args:
            name: of the deployment.
            model: as for `Deployment`; None for the one it has, and only *rollout* and *shadow*
                change.
            version: of it, where it does not tell that itself.
            sha256: the digest that pins its file.
            rollout: as for `Deployment`. A model that is loaded already goes on.
            shadow: as for `Deployment`.
            keep: whether the old one, where it is in memory, stays there for `rollback`, beside the cache.

        Raises:
            NotFound: there is no such deployment or model.
            ConfigurationError: the model cannot be loaded, or cannot answer.
            StoreError: the store cannot be asked.
        """
        entry = self._entries.named(name)
        changed = replace(entry.deployment, rollout=rollout, shadow=shadow)
        known = entry.every
        if model is not None:
            changed = replace(changed, model=model, version=version, sha256=sha256)
            # Its own is loaded anew where it is asked for again: its name may mean another by now.
            known = known[1:]
        self._serving.install(changed, known, keep=keep)

    def reload(self, name: str) -> None:
        """Load the model of deployment *name* anew, from where it is kept, and `swap` it.

        Raises:
            NotFound: there is no such deployment or model.
            DeploymentUnavailable: the model cannot be loaded; the cause says why.
        """
        entry = self._entries.named(name)
        held = [release for release in entry.every if release.supply is None]
        if len(held) < len(entry.every):
            try:
                self._serving.install(entry.deployment, held)
            except NotFound:
                raise
            except Exception as error:
                raise DeploymentUnavailable from error

    def rollback(self, name: str) -> None:
        """Serve what deployment *name* served before it was swapped last; again, to come back from there.

        At once, where it was in memory when it was swapped; otherwise it is loaded first.

        Raises:
            NotFound: there is no such deployment, or it was never swapped.
            DeploymentUnavailable: the model is not in memory and cannot be loaded.
            ConfigurationError: nor is it what is kept in its place by now.
        """
        self._serving.roll_back(name)

    def pause(self, name: str) -> None:
        """Refuse every request for deployment *name*, as one that is switched off. Raises `NotFound`."""
        self._serving.set_state(name, "paused")

    def resume(self, name: str) -> None:
        """Take requests for deployment *name* again. Raises `NotFound`."""
        self._serving.set_state(name, "active")

    def drain(self, name: str, timeout: float | None = None) -> bool:
        """Answer what deployment *name* has taken, and refuse what is new: 503, to be tried elsewhere.

        Args:
            name: of the deployment.
            timeout: for how many seconds to wait for the last answer; None for any number.

        Returns:
            Whether all are answered.

        Raises:
            NotFound: there is no such deployment.
        """
        return self._serving.set_state(name, "draining").in_flight.wait(timeout)

    def states(self) -> dict[str, str]:
        """By deployment: active, paused, draining; or failed, where its model could not be loaded or cannot answer."""
        return {
            name: "failed" if entry.state == "active" and entry.model.failed else entry.state
            for name, entry in list(self._entries.items())
        }

    def agreement(self, name: str) -> Agreement:
        """How far the shadow of deployment *name* agrees with it, since it was given.

        Raises:
            NotFound: there is no such deployment, or it has no shadow.
        """
        shadow = self._entries.named(name).shadow
        if shadow is None:
            raise NotFound(f"Deployment {name} has no shadow")
        return shadow.agreement()

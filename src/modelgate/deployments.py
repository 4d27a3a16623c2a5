"""The deployments of a gate: added, swapped, paused."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .assembly import Assembly
from .deployment import Deployment, ScoringLayer
from .entries import Entries, Entry, Release, State
from .errors import ConfigurationError, DeploymentUnavailable, NotFound, PredictionError, RequestError
from .flow import Flow, Handler, Workers, checked_layers, drive
from .forks import renew_in_child
from .http import Request, Response
from .loader import Loader
from .models import FolderStore, ModelCache, ModelStore
from .models.store import LATEST, is_older
from .options import naming
from .schema import Schema
from .scoring import Agreement, Known, Prediction, Predictor, Query, Rollout, Shadow

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
        cache_size: int,
        cache_bytes: int | None,
        threads: int | None,
        scoring: Sequence[ScoringLayer] | None,
    ) -> None:
        self._entries = Entries()
        self._previous: dict[str, Entry] = {}
        with naming("store"):
            kept = FolderStore(store) if isinstance(store, str | Path) else store
        self._loader = Loader(kept, Workers(threads))
        with naming("cache_size, cache_bytes"):
            self.cache: ModelCache[Predictor] = ModelCache(
                self._loader.load, cache_size, maxbytes=cache_bytes, sizeof=lambda predictor: predictor.size
            )
        self._described: ModelCache[Known | None] = ModelCache(self._loader.describe, 1000, patience=2)
        layers = None if scoring is None else checked_layers(scoring)
        self._assembly = Assembly(self._loader, self.cache, self._described, layers, self._score)
        self._renew()
        renew_in_child(self, Deployments._renew)

    def _renew(self) -> None:
        # Held for what changes an entry, and not for what takes time before.
        self._changing = threading.Lock()

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
        self._entries[deployment.name] = self._assembly.entry(deployment)

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

    def warm(self) -> None:
        """Load every model now, as far as the cache holds them, and not when it is first asked for.

        Raises:
            NotFound, DeploymentUnavailable: a model cannot be loaded; the cause says why.
        """
        for entry in list(self._entries.values()):
            for release in entry.every:
                drive(release.model.predictor())

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

        It is loaded, answers the example it was packed with, predicts once, and takes the place of
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
            keep: whether the old one stays in memory, as far as the cache holds it, for `rollback`.

        Raises:
            NotFound: there is no such deployment or model.
            ConfigurationError: the model cannot be loaded, or does not predict.
            StoreError: the store cannot be asked.
        """
        entry = self._entries.named(name)
        changed = replace(entry.deployment, rollout=rollout, shadow=shadow)
        known = entry.every
        if model is not None:
            changed = replace(changed, model=model, version=version, sha256=sha256)
            # Its own is loaded anew where it is asked for again: its name may mean another by now.
            known = known[1:]
        self._install(changed, known, keep=keep)

    def reload(self, name: str) -> None:
        """Load the model of deployment *name* anew, from where it is kept, and `swap` it.

        Raises:
            NotFound: there is no such deployment or model.
            DeploymentUnavailable: the model cannot be loaded; the cause says why.
        """
        entry = self._entries.named(name)
        held = [release for release in entry.every if release.key is None]
        if len(held) < len(entry.every):
            try:
                self._install(entry.deployment, held)
            except NotFound:
                raise
            except Exception as error:
                raise DeploymentUnavailable from error

    def rollback(self, name: str) -> None:
        """Serve what deployment *name* served before it was swapped last; again, to come back from there.

        At once, where that is still in memory; otherwise it is loaded first.

        Raises:
            NotFound: there is no such deployment, or it was never swapped.
            DeploymentUnavailable: the model is no longer in memory and cannot be loaded.
        """
        self._entries.named(name)
        previous = self._previous.get(name)
        if previous is None:
            raise NotFound(f"There is nothing before what deployment {name} serves")
        loaded = [drive(release.model.predictor()) for release in previous.every]
        self._commit(previous, loaded, keep=True)

    def pause(self, name: str) -> None:
        """Refuse every request for deployment *name*, as one that is switched off. Raises `NotFound`."""
        self._set_state(name, "paused")

    def resume(self, name: str) -> None:
        """Take requests for deployment *name* again. Raises `NotFound`."""
        self._set_state(name, "active")

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
        return self._set_state(name, "draining").in_flight.wait(timeout)

    def states(self) -> dict[str, str]:
        """By deployment: active, paused, draining; or failed, where its model could not be loaded."""
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

    def _set_state(self, name: str, state: State) -> Entry:
        with self._changing:
            entry = self._entries[name] = replace(self._entries.named(name), state=state)
        return entry

    def _install(
        self,
        deployment: Deployment,
        known: Sequence[Release] = (),
        *,
        keep: bool = True,
        instead_of: Entry | None = None,
    ) -> None:
        """Load and try what *deployment* asks for, but the releases *known*; then have it serve.

        Args:
            deployment: what is to serve.
            known: releases to take where they are of its models.
            keep: whether what serves now is kept for `rollback`.
            instead_of: what alone to take the place of, where only what is kept has changed since it
                was loaded: nothing happens if something else serves by now.
        """
        entry = self._assembly.entry(deployment, known)
        keys = {release.key for release in known}
        loaded = [self._tried(release, release.key in keys) for release in entry.every]
        if instead_of is not None:
            for release, predictor, old in zip(entry.every, loaded, instead_of.every, strict=True):
                _refuse_older(release, predictor.version, drive(old.model.version()))
        self._commit(entry, loaded, keep=keep, instead_of=instead_of)

    def _tried(self, release: Release, known: bool) -> Predictor:
        if release.key is None or known:
            predictor = drive(release.model.predictor())
        else:
            # Not by the cache: what serves must not be dropped for what may prove no good.
            predictor = self._loader.load(release.key)
        try:
            drive(predictor.warm())
        except (RequestError, PredictionError) as error:
            told = release.deployment.model
            raise ConfigurationError(
                f"model={told!r}: does not predict: {error.__cause__ or error}"
            ) from error
        return predictor

    def _commit(
        self, entry: Entry, loaded: Sequence[Predictor], *, keep: bool, instead_of: Entry | None = None
    ) -> None:
        name = entry.deployment.name
        with self._changing:
            now = self._entries.named(name)
            if instead_of is not None and instead_of.releases is not now.releases:
                return
            for release, predictor in zip(entry.every, loaded, strict=True):
                if release.key is not None:
                    self.cache.put(release.key, predictor, after=now.releases[0].key)
            self._entries[name] = replace(entry, state=now.state, in_flight=now.in_flight)
            before = self._previous.pop(name, None)
            if keep:
                self._previous[name] = now
            self.cache.drop(*_keys(before, now) - _keys(entry, self._previous.get(name)))


def _refuse_older(release: Release, version: str, served: str) -> None:
    """Whoever can write where models are kept must not bring back an old one by taking the new one away."""
    named = (release.deployment.stored or "").partition("@")[2]
    if named in ("", LATEST) and is_older(version, served):
        raise ConfigurationError(
            f"model={release.deployment.model!r}: is version {version} by now, which is older than {served}:"
            " it is taken where it is named by its version or an alias, or swapped in"
        )


def _keys(*entries: Entry | None) -> set[str]:
    """The names in the cache of what *entries* serve."""
    releases = [release for entry in entries if entry is not None for release in entry.every]
    return {release.key for release in releases if release.key is not None}

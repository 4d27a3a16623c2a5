"""What serves is changed while it serves."""

import math
import threading
from collections.abc import Sequence
from dataclasses import replace

from ..errors import ConfigurationError, NotFound
from ..flow import drive
from ..flow.forks import renew_in_child
from ..models import ModelCache
from ..models.versions import LATEST, is_older
from ..scoring import Predictor
from .assembly import Assembly, is_same_model
from .deployment import Deployment
from .entries import Entries, Entry, Release, State
from .loader import Loader

__all__ = ["Serving"]


class Serving:
    """Changes what serves. Whatever takes time is done before, and the change is one step.

    Args:
        entries: what serves.
        assembly: puts deployments together.
        loader: loads their models.
        cache: keeps them.
    """

    def __init__(
        self, entries: Entries, assembly: Assembly, loader: Loader, cache: ModelCache[Predictor]
    ) -> None:
        self._entries = entries
        self._assembly = assembly
        self._loader = loader
        self._cache = cache
        self._previous: dict[str, Entry] = {}
        self._renew()
        renew_in_child(self, Serving._renew)

    def _renew(self) -> None:
        # Held for the step alone.
        self._changing = threading.Lock()

    def add(self, deployment: Deployment) -> None:
        """Serve one more. Raises `ConfigurationError` where its model cannot work."""
        self._entries[deployment.name] = self._assembly.entry(deployment)

    def remove(self, name: str) -> None:
        """Serve *name* no longer, if it is served."""
        with self._changing:
            self._previous.pop(name, None)
            self._cache.rename(name, None)
            entry = self._entries.pop(name, None)
            for supply in entry.supplies if entry is not None else ():
                supply.retire()

    def set_state(self, name: str, state: State) -> Entry:
        """Have *name* be in another state. Raises `NotFound`."""
        with self._changing:
            entry = self._entries[name] = replace(self._entries.named(name), state=state)
        return entry

    def become(self, name: str, deployment: Deployment | None, state: State, *, load: bool) -> None:
        """Have *name* be served as *deployment* says, or not at all. The state holds at once.

        Args:
            name: of the deployment.
            deployment: what is to serve.
            state: of it.
            load: whether what serves now goes on until other models are loaded and tried.

        Raises:
            NotFound, ConfigurationError, StoreError: see `install`.
        """
        if deployment is None:
            self.remove(name)
            return
        entry = self._entries.get(name)
        if entry is None:
            self.add(replace(deployment, state="paused"))
        self.set_state(name, state)
        if entry is None or _is_same(entry.deployment, deployment):
            return
        if load:
            self.install(deployment, entry.every)
        else:
            self._commit(self._assembly.entry(deployment, entry.every), (), keep=True)

    def prove(self, name: str) -> None:
        """Load the models that answer for *name*.

        Raises:
            NotFound, DeploymentUnavailable: a model cannot be loaded, or cannot answer.
        """
        for release in self._entries.named(name).releases:
            self._loaded(release, known=True)

    def install(
        self,
        deployment: Deployment,
        known: Sequence[Release] = (),
        *,
        keep: bool = True,
        instead_of: Entry | None = None,
    ) -> None:
        """Load what *deployment* asks for, but the releases *known*; then have it serve.

        Args:
            deployment: what is to serve.
            known: releases to take where they are of its models.
            keep: whether what serves now is kept for `roll_back`.
            instead_of: what alone to take the place of, where only what is kept has changed since it
                was loaded: nothing happens if something else serves by now.

        Raises:
            NotFound: there is no such deployment, or no such model.
            ConfigurationError: a model cannot be loaded, cannot answer, or is older than the one
                whose place it would take by itself.
            StoreError: the store cannot be asked.
        """
        entry = self._assembly.entry(deployment, known)
        supplies = {release.supply for release in known}
        loaded = [self._loaded(release, release.supply in supplies) for release in entry.every]
        if instead_of is not None:
            for release, predictor, old in zip(entry.every, loaded, instead_of.every, strict=True):
                _refuse_older(release, predictor.version, drive(old.model.version()))
        self._commit(entry, loaded, keep=keep, instead_of=instead_of)

    def roll_back(self, name: str) -> None:
        """Have serve what did before the last change of models.

        Raises:
            NotFound: there is no such deployment, or nothing before.
            DeploymentUnavailable: a model was not in memory when it was replaced, and cannot be loaded.
            ConfigurationError: another is kept in its place by now.
        """
        now, previous = self._entries.named(name), self._previous.get(name)
        if previous is None:
            raise NotFound(f"There is nothing before what deployment {name} serves")
        try:
            loaded = [_as_before(release) for release in previous.every]
        except ConfigurationError:
            self._previous.pop(name, None)
            raise
        # What is kept now is what was gone back from: whoever watches waits for another.
        for old in previous.supplies:
            for new in now.supplies:
                if is_same_model(old.deployment.model, new.deployment.model):
                    old.mark = new.mark
        self._commit(previous, loaded, keep=True)

    def _loaded(self, release: Release, known: bool) -> Predictor:
        if release.supply is None or known:
            return drive(release.model.predictor(math.inf))
        # Not by the cache: what serves must not be dropped for what may prove no good.
        return self._loader.load(release.supply.name)

    def _commit(
        self, entry: Entry, loaded: Sequence[Predictor], *, keep: bool, instead_of: Entry | None = None
    ) -> None:
        name = entry.deployment.name
        with self._changing:
            now = self._entries.named(name)
            if instead_of is not None and instead_of.releases is not now.releases:
                return
            # First, as the cache may have no place for both.
            for supply in set(now.supplies).difference(entry.supplies):
                supply.retire()
            for release, predictor in zip(entry.every, loaded, strict=bool(loaded)):
                if release.supply is not None:
                    release.supply.serve(predictor)
            own = entry.releases[0].supply
            self._cache.rename(name, own.name if own is not None else name)
            self._entries[name] = replace(entry, state=now.state, in_flight=now.in_flight)
            self._previous.pop(name, None)
            if keep:
                self._previous[name] = now


def _refuse_older(release: Release, version: str, served: str) -> None:
    """Whoever can write where models are kept must not bring back an old one by taking the new one away."""
    named = (release.deployment.stored or "").partition("@")[2]
    if named in ("", LATEST) and is_older(version, served):
        raise ConfigurationError(
            f"model={release.deployment.model!r}: is version {version} by now, which is older than {served}:"
            " it is taken where it is named by its version or an alias, or swapped in"
        )


def _is_same(one: Deployment, other: Deployment) -> bool:
    """Whether they have the same models, and the same shares of them."""
    told = [(it.rollout.percents, it.rollout.by) if it.rollout is not None else None for it in (one, other)]
    return is_same_model(one.model, other.model) and told[0] == told[1]


def _as_before(release: Release) -> Predictor:
    """The model of a *release* that has served. Raises `ConfigurationError` where it is another by now."""
    supply = release.supply
    before = (supply.version, supply.mark) if supply is not None else (None, None)
    predictor = drive(release.model.predictor(math.inf))
    if supply is not None and before[0] is not None and before != (supply.version, supply.mark):
        raise ConfigurationError(
            f"model={release.deployment.model!r}: is version {predictor.version} by now, and version {before[0]},"
            " which served before, is no longer in memory"
        )
    return predictor

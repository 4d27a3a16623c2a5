"""A gate follows what a registry says of its deployments."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from .deployment import Deployment
from .entries import Entries, State

__all__ = ["Following", "Registry", "Wanted"]

logger = logging.getLogger("modelgate")


class Wanted(Protocol):
    """What a registry keeps of a deployment; equal where nothing was changed."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> State: ...
    def deployment(self, own: Deployment | None) -> Deployment: ...


class Registry(Protocol):
    """What many gates are to serve: `modelgate.registry.SqlRegistry`."""

    def list(self) -> Sequence[Wanted]:
        """All that is kept. It may block, and raise `StoreError`."""


class Serve(Protocol):
    """See `Serving.become`."""

    def __call__(self, name: str, deployment: Deployment | None, state: State, *, load: bool) -> None: ...


class Following:
    """Brings deployments to what a registry says of them, each time it looks.

    What cannot be done is told in the log once and tried again; what served until then goes on, also
    while the registry cannot be asked. What was changed in the process by other means stays until the
    registry says something else.

    Args:
        registry: what is followed.
        entries: the deployments.
        serve: changes them.
    """

    def __init__(self, registry: Registry, entries: Entries, serve: Serve) -> None:
        self._registry = registry
        self._entries = entries
        self._serve = serve
        self._own: dict[str, Deployment] = {}
        self._applied: dict[str, Wanted] = {}
        self._failing: dict[str, Wanted | None] = {}
        self._unknown = False
        self._looked = False

    def look(self) -> None:
        """Look once."""
        # At first nothing serves that would have to go on: models are loaded as they are asked for.
        load, self._looked = self._looked, True
        try:
            wanted = {each.name: each for each in self._registry.list()}
        except Exception as error:
            if not self._unknown:
                logger.warning("the registry cannot be asked: what it said last holds", exc_info=error)
            self._unknown = True
            return
        self._unknown = False
        self._follow(wanted, load=load)

    def _follow(self, wanted: Mapping[str, Wanted], *, load: bool) -> None:
        for name in {**self._applied, **wanted}:
            now = wanted.get(name)
            if now == self._applied.get(name):
                continue
            try:
                self._change(name, now, load=load)
            except Exception as error:
                if self._failing.get(name, self) != now:
                    logger.warning("deployment %s does not become what the registry says: %s", name, error)
                self._failing[name] = now
            else:
                self._failing.pop(name, None)

    def _change(self, name: str, now: Wanted | None, *, load: bool) -> None:
        if name not in self._applied and name in self._entries:
            self._own[name] = self._entries[name].deployment
        own = self._own.get(name)
        if now is None:
            self._serve(name, own, own.state if own is not None else "active", load=load)
            del self._applied[name]
            return
        self._serve(name, now.deployment(own), now.state, load=load)
        self._applied[name] = now

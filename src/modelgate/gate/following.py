"""A gate follows what a registry says of its deployments."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, get_args

from ..flow import contained
from .deployment import Deployment
from .entries import Entries, Entry, State

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
    """What many gates are to serve: `modelgate.gate.registry.SqlRegistry`."""

    def list(self) -> Sequence[Wanted]:
        """All that is kept. It may block, and raise `StoreError`."""


class Serving(Protocol):
    """See `modelgate.gate.serving.Serving`."""

    def become(self, name: str, deployment: Deployment | None, state: State, *, load: bool) -> None: ...
    def prove(self, name: str) -> None: ...
    def set_state(self, name: str, state: State) -> Entry: ...


class Following:
    """Brings deployments to what a registry says of them, each time it looks.

    What cannot be done is told in the log once and tried again; what served until then goes on, also
    while the registry cannot be asked. What was changed in the process by other means stays until the
    registry says something else.

    Args:
        registry: what is followed.
        entries: the deployments.
        serving: changes them.
    """

    def __init__(self, registry: Registry, entries: Entries, serving: Serving) -> None:
        self._registry = registry
        self._entries = entries
        self._serving = serving
        self._own: dict[str, Deployment] = {}
        self._applied: dict[str, Wanted] = {}
        self._failing: dict[str, Wanted | None] = {}
        self._unknown = False
        self._looked = False

    def look(self) -> None:
        """Look once."""
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
        if not load:
            # At first nothing serves that would have to go on: what is wanted does, and is tried then.
            for name in self._own.keys() & self._applied.keys():
                self._prove(name)

    def _follow(self, wanted: Mapping[str, Wanted], *, load: bool) -> None:
        for name in {**self._applied, **self._failing, **wanted}:
            now = wanted.get(name)
            if now == self._applied.get(name) and name not in self._failing:
                continue
            try:
                contained(self._change, name, now, load=load)
            except Exception as error:
                self._fail(name, now, error)
            else:
                self._failing.pop(name, None)

    def _change(self, name: str, now: Wanted | None, *, load: bool) -> None:
        if name not in self._applied and name in self._entries:
            self._own[name] = self._entries[name].deployment
        own = self._own.get(name)
        if now is None:
            self._serving.become(name, own, own.state if own is not None else "active", load=load)
            self._applied.pop(name, None)
            return
        # Only a state that is known may serve.
        state = now.state if now.state in get_args(State) else "paused"
        if name in self._entries:
            # Also where the rest of the row is rejected: a pause must reach every gate.
            self._serving.set_state(name, state)
        self._serving.become(name, now.deployment(own), state, load=load)
        self._applied[name] = now

    def _prove(self, name: str) -> None:
        """Have what the app says serve instead of what cannot."""
        own, now = self._own[name], self._applied[name]
        if self._entries[name].deployment is own:
            return
        try:
            contained(self._serving.prove, name)
        except Exception as error:
            self._serving.become(name, own, self._entries[name].state, load=False)
            del self._applied[name]
            self._fail(name, now, error)

    def _fail(self, name: str, now: Wanted | None, error: Exception) -> None:
        if self._failing.get(name, self) != now:
            cause = error.__cause__ or error
            logger.warning("deployment %s does not become what the registry says: %s", name, cause)
        self._failing[name] = now

"""The deployments of a gate, put together."""

import threading
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..errors import DeploymentInactive, DeploymentUnavailable, Forbidden, NotFound
from ..flow import Flow, Handler
from ..flow.forks import renew_in_child
from ..http import Request, Response
from ..scoring import Description, Model, Prediction, Query
from ..scoring.shadow import Shadowing
from .deployment import Deployment
from .supply import Supply

__all__ = ["Entries", "Entry", "InFlight", "Release", "State"]

State: TypeAlias = Literal["active", "paused", "draining"]

_RETRY_DRAINED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """One model of a deployment, put together; it never becomes another.

    Args:
        deployment: what was said of it, with this model as its own.
        model: where the model comes from.
        score: the scoring layers around it.
        supply: gives the model; None for one that is in memory for good.
        answers: whether anybody is answered by it, and not for a shadow: that one's calls are counted apart.
    """

    deployment: Deployment
    model: Model
    score: Handler[Query, Prediction]
    supply: Supply | None
    answers: bool = True


class InFlight:
    """The requests of a deployment that are not answered yet.

    Attributes:
        begin: from now on what it is given is in flight.
    """

    def __init__(self) -> None:
        self._renew()
        renew_in_child(self, InFlight._renew)

    def _renew(self) -> None:
        """There are none: at the beginning, and in a forked child."""
        self._asking: set[object] = set()
        self.begin = self._asking.add
        self._ended = threading.Condition()
        self._awaited = False

    def end(self, asking: object) -> None:
        """What began is in flight no more."""
        self._asking.discard(asking)
        if self._awaited and not self._asking:
            with self._ended:
                self._ended.notify_all()

    def wait(self, timeout: float | None) -> bool:
        """Wait until none is in flight: whether that came to be within *timeout* seconds."""
        self._awaited = True
        with self._ended:
            return self._ended.wait_for(lambda: not self._asking, timeout)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A deployment, put together. What changes is another entry, which takes its place in one step.

    Args:
        deployment: what was said of it.
        releases: the models that answer; the first one is its own.
        score: the scoring layers around the prediction.
        answer: the HTTP layers around scoring.
        state: whether it takes requests.
        in_flight: those it has taken, whatever entry it was then.
        shadow: what its shadow makes of them.
        shadowed: the model of that, which answers nobody.
    """

    deployment: Deployment
    releases: tuple[Release, ...]
    score: Handler[Query, Prediction]
    answer: Handler[Request, Response]
    state: State = "active"
    in_flight: InFlight = field(default_factory=InFlight)
    shadow: Shadowing | None = None
    shadowed: Release | None = None

    @property
    def model(self) -> Model:
        """Where its own model comes from."""
        return self.releases[0].model

    @property
    def every(self) -> tuple[Release, ...]:
        """All its models, that of its shadow too."""
        return self.releases if self.shadowed is None else (*self.releases, self.shadowed)

    @property
    def supplies(self) -> list[Supply]:
        """What gives those that are not in memory for good."""
        return [release.supply for release in self.every if release.supply is not None]

    def describe(self) -> Flow[Description]:
        """See `Catalog.describe`."""
        told = self.deployment
        schema = told.schema or (yield from self.model.schema(Query(b"")))
        if not schema.policy.reveal:
            raise Forbidden("This deployment does not show what it takes")
        targets = yield from self.model.targets()
        return Description(
            told.name,
            (yield from self.version()),
            told.model_id or told.name,
            schema,
            targets,
            function=callable(told.model) and not hasattr(told.model, "predict"),
            endpoint=told.endpoint,
        )

    def version(self) -> Flow[str]:
        """See `Catalog.version`."""
        told = self.deployment.version
        return told if told is not None else (yield from self.model.version())

    def versions(self) -> Flow[list[str]]:
        """The versions that answer, its own first."""
        told = [(yield from self.version())]
        for release in self.releases[1:]:
            told = [*told, (yield from release.model.version())]
        return told


class Entries(dict[str, Entry]):
    """The deployments of a gate, by name: its `Catalog`."""

    def named(self, name: str) -> Entry:
        """Raises `NotFound` where there is none of that name."""
        entry = self.get(name)
        if entry is None:
            raise NotFound("The model of this deployment could not be found")
        return entry

    def active(self, name: str) -> Entry:
        """The entry that takes requests for *name*.

        Raises:
            NotFound: there is none of that name.
            DeploymentInactive: it is paused.
            DeploymentUnavailable: it is being drained.
        """
        entry = self.named(name)
        if entry.state == "paused":
            raise DeploymentInactive
        if entry.state == "draining":
            raise DeploymentUnavailable(_RETRY_DRAINED, "This deployment takes no new requests just now")
        return entry

    def enter(self, name: str, asking: object) -> Entry:
        """As `active`; what asks is in flight from now on, until `InFlight.end`."""
        in_flight = (self.get(name) or self.named(name)).in_flight
        # In this order: who drains sees what asks, or what asks sees the state.
        in_flight.begin(asking)
        entry = self.get(name)
        if entry is None or entry.state != "active":
            in_flight.end(asking)
            return self.active(name)
        return entry

    def describe(self, name: str) -> Flow[Description]:
        """See `Catalog.describe`."""
        return self.active(name).describe()

    def score(self, name: str, query: Query) -> Flow[Prediction]:
        """See `Catalog.score`."""
        return self.active(name).score(query)

    def version(self, name: str) -> Flow[str]:
        """See `Catalog.version`."""
        return self.active(name).version()

    def ready(self, name: str | None = None) -> Flow[bool]:
        """See `Catalog.ready`."""
        entries = [entry for entry in list(self.values()) if entry.state == "active"]
        for entry in entries if name is None else [self.active(name)]:
            try:
                yield from entry.model.ready()
            except (NotFound, DeploymentUnavailable):
                return False
        return True

"""The deployments of a gate, put together."""

from dataclasses import dataclass

from .deployment import Deployment
from .errors import DeploymentInactive, DeploymentUnavailable, Forbidden, NotFound
from .flow import Flow, Handler
from .http import Request, Response
from .scoring import Description, Model, Prediction, Query

__all__ = ["Entries", "Entry"]


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A deployment, put together.

    Args:
        deployment: what was said of it.
        model: where its model comes from.
        score: its scoring layers, around the prediction.
        answer: its HTTP layers, around scoring.
    """

    deployment: Deployment
    model: Model
    score: Handler[Query, Prediction]
    answer: Handler[Request, Response]

    def describe(self) -> Flow[Description]:
        """See `Catalog.describe`."""
        told = self.deployment
        schema = told.schema or (yield from self.model.schema(Query(b"")))
        if not schema.policy.reveal:
            raise Forbidden("This deployment does not show what it takes")
        targets = yield from self.model.targets()
        return Description(
            told.name,
            told.version,
            told.model_id or told.name,
            schema,
            targets,
            function=callable(told.model) and not hasattr(told.model, "predict"),
            endpoint=told.endpoint,
        )


class Entries(dict[str, Entry]):
    """The deployments of a gate, by name: its `Catalog`."""

    def active(self, name: str) -> Entry:
        """Raises `NotFound` where there is none of that name, `DeploymentInactive` where it is paused."""
        entry = self.get(name)
        if entry is None:
            raise NotFound("The model of this deployment could not be found")
        if entry.deployment.state != "active":
            raise DeploymentInactive
        return entry

    def describe(self, name: str) -> Flow[Description]:
        """See `Catalog.describe`."""
        return self.active(name).describe()

    def score(self, name: str, query: Query) -> Flow[Prediction]:
        """See `Catalog.score`."""
        return self.active(name).score(query)

    def version(self, name: str) -> str:
        """See `Catalog.version`."""
        return self.active(name).deployment.version

    def ready(self, name: str | None = None) -> Flow[bool]:
        """See `Catalog.ready`."""
        entries = [entry for entry in self.values() if entry.deployment.state == "active"]
        for entry in entries if name is None else [self.active(name)]:
            try:
                yield from entry.model.ready()
            except (NotFound, DeploymentUnavailable):
                return False
        return True

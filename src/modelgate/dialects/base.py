"""What a dialect is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..flow import Flow
from ..http import Request, Response, Wire
from ..scoring import Description, Prediction, Query

__all__ = ["Catalog", "Dialect", "Route"]


class Catalog(Protocol):
    """The deployments of a gate. A model is loaded where nothing is known of it yet."""

    def __len__(self) -> int:
        """How many deployments there are."""

    def describe(self, name: str) -> Flow[Description]:
        """What is known of a deployment.

        Raises:
            Forbidden: its schema is not for callers to see (`Policy.reveal`).
            NotFound, DeploymentInactive, DeploymentUnavailable: as for a request to score.
        """

    def score(self, name: str, query: Query) -> Flow[Prediction]:
        """What a deployment predicts, behind its HTTP layers.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: there is nothing that could.
            InvalidInput, PredictionError: it cannot score these rows.
        """

    def version(self, name: str) -> Flow[str]:
        """The version of a deployment's model.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: as for a request to score.
        """

    def ready(self, name: str | None = None) -> Flow[bool]:
        """Whether a deployment can score; with None, whether all do that are active."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path a dialect answers on.

    Args:
        method: upper case.
        path: below the mount point; ``{name}`` stands for one segment and goes to
            `Request.params`; ``{deployment}`` also says which deployment is asked, and
            ``{version}`` which version of it.
        answer: what answers where nothing is scored.
        open: whether anyone is answered, with no key, no limit and no other layer: for health.
    """

    method: str
    path: str
    answer: Callable[[Request, Catalog], Flow[Response]] | None = None
    open: bool = False


class Dialect(Wire, Protocol):
    """One service's wire format: where requests become queries, and predictions or errors answers.

    Pure functions of what they are given, but for `credentials` and `decode`, which may read the
    body. `decode` says in the `Query` what the service does where a deployment does not say
    otherwise: how many rows it takes at once, and to how many decimals it rounds.

    It may have a ``sample``, see `modelgate.dialects.Sample`, and a ``document``, see
    `modelgate.dialects.Document`: the gate then tells callers how requests and answers look.
    """

    name: str
    routes: Sequence[Route]

    def decode(self, request: Request) -> Flow[Query]:
        """What the request asks. The rows stay as they came.

        Raises:
            RequestError: the envelope around them cannot be read.
        """

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """The answer to a request that was scored."""

"""What a dialect is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..flow import Flow
from ..http import Request, Response, Wire
from ..scoring import Prediction, Query

__all__ = ["Dialect", "Route"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path a dialect answers on.

    Args:
        method: upper case.
        path: below the mount point; ``{name}`` stands for one segment and goes to
            `Request.params`; ``{deployment}`` also says which deployment is asked.
    """

    method: str
    path: str


class Dialect(Wire, Protocol):
    """One service's wire format: where requests become queries, and predictions or errors answers.

    Pure functions of what they are given, but for `credentials` and `decode`, which may read the
    body.
    """

    name: str
    routes: Sequence[Route]

    def decode(self, request: Request) -> Flow[Query]:
        """What the request asks. The rows stay as they came.

        Raises:
            RequestError: the envelope around them cannot be read.
        """

    def encode(self, query: Query, prediction: Prediction) -> Response:
        """The answer to a request that was scored."""

"""Engines, which score chunks of rows: the base class, and the engine that uses a server."""

from abc import ABC, abstractmethod

from ..client.rows import Rows
from ..client.score_rows import ScoredRows, check_header, score_rows
from ..client.session import Session
from ..flow import adrive

__all__ = ["Engine", "HTTPEngine"]


class Engine(ABC):
    """Base class for engines, which score several chunks of rows concurrently.

    Args:
        in_flight: Maximum number of chunks to score concurrently.
        initial_in_flight: Maximum until the first chunk is scored. The default, 1, is for engines that could
            report an error that affects all chunks more than once.
    """

    def __init__(self, in_flight: int, initial_in_flight: int = 1) -> None:
        self.in_flight = in_flight
        self.initial_in_flight = initial_in_flight

    @abstractmethod
    async def score(self, rows: Rows, *, is_first: bool) -> ScoredRows:
        """Score *rows* and return the results in the same order.

        Args:
            rows: Rows to score.
            is_first: Whether no rows have been scored before; see `modelgate.client.score_rows.score_rows`.
        """

    @abstractmethod
    async def check_header(self, header: bytes) -> None:
        """Check the header line *header* of a file that has no rows.

        Raises:
            ModelgateError: Every row below this header would be rejected, for example because a column is
                missing.
        """


class HTTPEngine(Engine):
    """Engine that sends the rows to a server.

    Args:
        session: Client session of the deployment.
        in_flight: Maximum number of concurrent requests.
    """

    def __init__(self, session: Session, in_flight: int) -> None:
        super().__init__(in_flight)
        self._session = session

    async def score(self, rows: Rows, *, is_first: bool) -> ScoredRows:
        return await adrive(score_rows(self._session, rows, is_first=is_first))

    async def check_header(self, header: bytes) -> None:
        await adrive(check_header(self._session, header))

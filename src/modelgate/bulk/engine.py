"""Engines of a scoring run, which score chunks of rows."""

from abc import ABC, abstractmethod

from ..client.rows import Rows
from ..client.score_rows import ScoredRows, check_header, score_rows
from ..client.session import Session
from ..flow import adrive

__all__ = ["Engine", "HTTPEngine"]


class Engine(ABC):
    """Scores chunks of rows, several of them at once.

    Args:
        in_flight: Maximum number of chunks to score at once.
    """

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight

    @abstractmethod
    async def score(self, rows: Rows, *, is_first: bool) -> ScoredRows:
        """Score *rows*; see `modelgate.client.score_rows.score_rows`."""

    @abstractmethod
    async def check_header(self, header: bytes) -> None:
        """Raise the error of a header that no rows can have."""


class HTTPEngine(Engine):
    """Scores rows by requests to a server.

    Args:
        session: Session with the deployment.
        in_flight: Maximum number of concurrent requests.
    """

    def __init__(self, session: Session, in_flight: int) -> None:
        super().__init__(in_flight)
        self._session = session

    async def score(self, rows: Rows, *, is_first: bool) -> ScoredRows:
        return await adrive(score_rows(self._session, rows, is_first=is_first))

    async def check_header(self, header: bytes) -> None:
        await adrive(check_header(self._session, header))

"""Answer store in SQLite or PostgreSQL."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..backends.circuit_breaker import CircuitBreaker, StorageUnavailable
from ..backends.sql import Database, sa
from ..errors import ConfigurationError, StoreError
from ..flow import Flow, run

__all__ = ["SqlAnswerStore"]

T = TypeVar("T")

_metadata = sa.MetaData()
_answers = sa.Table(
    "modelgate_answers",
    _metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
)


class SqlAnswerStore:
    """Answer store in an SQL database, shared by all processes.

    Each process uses its own clock to decide whether a record has expired.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url, _metadata, option="storage")
        self.breaker = CircuitBreaker(f"idempotency: {self._database.backend}")

    def reserve(self, key: str, reservation: bytes, ttl: float) -> Flow[bytes | None]:
        """See `AnswerStore.reserve`."""

        def reserve(connection: sa.Connection) -> Any:
            now = time.time()
            connection.execute(sa.delete(_answers).where(_answers.c.expires_at <= now))
            record: Any = connection.scalar(_select(key))
            if record is None:
                # If another process has inserted a record meanwhile, Database.commit tries again.
                values = {"key": key, "record": reservation, "expires_at": now + ttl}
                connection.execute(sa.insert(_answers).values(values))
            return record

        record: bytes | None = yield from self._commit(reserve)
        return record

    def replace(self, key: str, reservation: bytes, answer: bytes, ttl: float) -> Flow[None]:
        """See `AnswerStore.replace`."""

        def replace(connection: sa.Connection) -> None:
            record: Any = connection.scalar(_select(key))
            values = {"key": key, "record": answer, "expires_at": time.time() + ttl}
            if record is None:
                connection.execute(sa.insert(_answers).values(values))
            elif record == reservation:
                connection.execute(sa.update(_answers).where(_answers.c.key == key).values(values))

        yield from self._commit(replace)

    def release(self, key: str, reservation: bytes) -> Flow[None]:
        """See `AnswerStore.release`."""
        own = sa.and_(_answers.c.key == key, _answers.c.record == reservation)
        yield from self._commit(lambda connection: connection.execute(sa.delete(_answers).where(own)))

    def _commit(self, write: Callable[[sa.Connection], T]) -> Flow[T]:
        started_at = self.breaker.clock()
        try:
            result = yield from run(self._database.commit, write)
        except ConfigurationError as error:
            # The database can become read-only while the gate runs, for example in a failover.
            self.breaker.record_failure(error)
            raise StorageUnavailable from error
        except StoreError as error:
            self.breaker.record_failure(error.__cause__ or error)
            raise StorageUnavailable from error
        self.breaker.record_success(started_at)
        return result


def _select(key: str) -> sa.Select[Any]:
    return sa.select(_answers.c.record).where(_answers.c.key == key)

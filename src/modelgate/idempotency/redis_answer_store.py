"""Answer store in Redis."""

from ..flow import Flow
from ..limiting.lua_scripts import Script
from ..limiting.redis_script_runner import redis_store

__all__ = ["RedisAnswerStore"]

_RESERVE = Script.of("""
-- ARGV: reservation; time to live in milliseconds.
local record = redis.call('GET', KEYS[1])
if not record then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return record
""")

_REPLACE = Script.of("""
-- ARGV: reservation; answer; time to live in milliseconds.
local record = redis.call('GET', KEYS[1])
if not record or record == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
""")

_RELEASE = Script.of("""
-- ARGV: reservation.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
""")


class RedisAnswerStore:
    """Answer store in Redis, shared by all processes.

    Args:
        uri: URI of the Redis server; see `RedisScriptRunner`.
    """

    def __init__(self, uri: str) -> None:
        self._runner = redis_store(uri)
        self.breaker = self._runner.breaker

    def reserve(self, key: str, reservation: bytes, ttl: float) -> Flow[bytes | None]:
        """See `AnswerStore.reserve`."""
        record: bytes | None = yield from self._runner.run(_RESERVE, _name(key), reservation, _ms(ttl))
        return record

    def replace(self, key: str, reservation: bytes, answer: bytes, ttl: float) -> Flow[None]:
        """See `AnswerStore.replace`."""
        yield from self._runner.run(_REPLACE, _name(key), reservation, answer, _ms(ttl))

    def release(self, key: str, reservation: bytes) -> Flow[None]:
        """See `AnswerStore.release`."""
        yield from self._runner.run(_RELEASE, _name(key), reservation)


def _name(key: str) -> str:
    return f"modelgate:idempotency:{key}"


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))

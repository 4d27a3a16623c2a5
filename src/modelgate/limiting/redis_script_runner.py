"""Run Lua scripts on a Redis server from threads and event loops."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from ..backends.circuit_breaker import CircuitBreaker
from ..backends.redis_client import address, client, require_redis
from ..backends.redis_uri import connection_options
from ..errors import StoreError
from ..flow import Flow, Wait
from .lua_scripts import RESET, Script
from .windows import STRATEGIES

if TYPE_CHECKING:
    import redis.asyncio

__all__ = ["RedisScriptRunner", "close_with_loop", "redis_store"]

_SERVER_STATE = re.compile(r"(?:^|-)(?:READONLY|LOADING|OOM)\b")
"""Error codes for a server that cannot run the scripts now. Redis 6 puts them into the error message."""

_GLOB, _ESCAPED = re.compile(r"[][*?^\\]"), r"\\\g<0>"
"""Characters with a meaning in patterns of Redis, and their replacement."""


class RedisScriptRunner:
    """Runner for Lua scripts on one Redis server.

    Connections are opened on first use and are not shared with forked processes. Threads share a connection
    pool. Each event loop has one connection. While this connection waits for a reply, other scripts are
    queued, and then sent together in the next round trip.

    Args:
        uri: ``redis://``, ``rediss://`` or ``unix://``, with the query options that `redis_uri` reads.

    Attributes:
        breaker: Circuit breaker of the server.

    Raises:
        ConfigurationError: The extra ``redis`` is not installed, or the URI is invalid.
    """

    def __init__(self, uri: str) -> None:
        # The first connection would import these while requests wait for it.
        import email.parser  # noqa: F401
        import encodings.idna  # noqa: F401

        require_redis("storage")
        import redis.exceptions

        self._no_script = redis.exceptions.NoScriptError
        options = connection_options(uri)
        self._client = client(uri, options)
        self._connect = partial(client, uri, options, aio=True)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopConnection] = WeakKeyDictionary()
        self.breaker = CircuitBreaker(f"Redis at {address(options)}")

    def run(self, script: Script, key: str, *args: Any) -> Flow[Any]:
        """Run *script* on *key* and return its reply.

        Raises:
            StorageUnavailable: The server does not answer. The circuit breaker records the outage.
        """
        wait = Wait(sync=partial(self._run, script, key, args), aio=partial(self._arun, script, key, args))
        return (yield from self.breaker.call(wait, _is_outage))

    def reset_counts(self, identity: str, name: str | None = None) -> int:
        """Delete the counts of *identity*, and return the number of counts deleted. This call blocks.

        Args:
            identity: Identity of a caller.
            name: Key prefix of the limit, which contains three colons; None for all limits.

        Raises:
            StoreError: The server does not answer.
        """
        limit = "*" if name is None else _GLOB.sub(_ESCAPED, name)
        pattern = f"modelgate:{limit}:*:{_GLOB.sub(_ESCAPED, identity)}"
        try:
            count = 0
            for key in self._client.scan_iter(pattern, count=1000):
                # Name and rate have no further colons, but the identity may have some.
                *_, rate, counted = key.decode().split(":", 6)
                if counted == identity:
                    steps = STRATEGIES[rate.partition(" ")[0]].steps
                    count += self._client.eval(RESET.text, 1, key, steps)
            return count
        except Exception as error:
            if _is_outage(error):
                raise StoreError from error
            raise

    def _run(self, script: Script, key: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._client.evalsha(script.sha, 1, key, *args)
        except self._no_script:
            self.breaker.record_data_loss()
            return self._client.eval(script.text, 1, key, *args)

    async def _arun(self, script: Script, key: str, args: tuple[Any, ...]) -> Any:
        loop = asyncio.get_running_loop()
        connection = self._loops.get(loop)
        if connection is None:
            connection = _LoopConnection(self._connect(), self._no_script, self.breaker)
            self._loops[loop] = connection
        return await connection.run(script, key, args)


_Call: TypeAlias = "tuple[Script, str, tuple[Any, ...], asyncio.Future[Any]]"


class _LoopConnection:
    """Connection of one event loop. It sends concurrent calls as one pipeline."""

    def __init__(
        self, client: "redis.asyncio.Redis", no_script: type[Exception], breaker: CircuitBreaker
    ) -> None:
        self._client = client
        self._breaker = breaker
        self._no_script = no_script
        self._queue: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None
        self._closing = close_with_loop(client.aclose)

    def run(self, script: Script, key: str, args: tuple[Any, ...]) -> "asyncio.Future[Any]":
        """Queue a call, and return a future for its reply."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((script, key, args, future))
        if self._sending is None:
            # In a separate task, because the first request may be cancelled.
            self._sending = asyncio.create_task(self._send())
        return future

    async def _send(self) -> None:
        try:
            await anext(self._closing, None)
            while self._queue:
                calls, self._queue = self._queue, []
                try:
                    replies = await self._execute(calls)
                except Exception as error:
                    # Fail the calls queued meanwhile too, so that they do not wait for another timeout.
                    calls, self._queue = calls + self._queue, []
                    replies = [error] * len(calls)
                for (*_, future), reply in zip(calls, replies, strict=True):
                    _set_reply(future, reply)
        finally:
            self._sending = None

    async def _execute(self, calls: list[_Call]) -> list[Any]:
        """Run the scripts in one round trip, and return their replies or errors.

        Scripts that the server does not know are sent in a second round trip.
        """
        async with self._client.pipeline(transaction=False) as pipe:
            for script, key, args, _ in calls:
                pipe.evalsha(script.sha, 1, key, *args)
            replies = await pipe.execute(raise_on_error=False)
            unknown = [index for index, reply in enumerate(replies) if isinstance(reply, self._no_script)]
            if unknown:
                self._breaker.record_data_loss()
            for script, key, args, _ in map(calls.__getitem__, unknown):
                pipe.eval(script.text, 1, key, *args)
            for index, reply in zip(unknown, await pipe.execute(raise_on_error=False), strict=True):
                replies[index] = reply
        return replies


def _is_outage(error: Exception) -> bool:
    """Return True if *error* comes from the server or the connection. Any other error is a bug."""
    from redis import exceptions

    if isinstance(error, exceptions.ResponseError):
        if isinstance(error, (exceptions.OutOfMemoryError, exceptions.ReadOnlyError)):
            return True
        return _SERVER_STATE.search(str(error)) is not None
    return isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError))


def _set_reply(future: "asyncio.Future[Any]", reply: Any) -> None:
    if future.done():  # The request was cancelled.
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


async def close_with_loop(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Call *close* when the event loop shuts down its asynchronous generators.

    The caller must start the generator with ``await anext(…)``. The loop only shuts down generators that
    have been started.
    """
    try:
        while True:
            yield
    finally:
        await close()


@cache
def redis_store(uri: str) -> RedisScriptRunner:
    """Return the runner for *uri*. There is one runner per URI and process, so that an outage is logged once."""
    return RedisScriptRunner(uri)

"""A Redis server: scripts run on it from threads and from event loops."""

import asyncio
import re
from collections.abc import AsyncGenerator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from ..flow import Flow, Wait
from .breaker import Breaker
from .redis_client import address, client, require_redis
from .redis_uri import connection_options
from .scripts import Script

if TYPE_CHECKING:
    import redis.asyncio

__all__ = ["RedisStore", "Unavailable", "redis_store"]

_STATE = re.compile(r"(?:^|-)(?:READONLY|LOADING|OOM)\b")
"""What is no fault of a request; Redis 6 tells it within the message of the script that met it."""


class Unavailable(Exception):
    """Redis could not be asked; the cause says why."""


class RedisStore:
    """Runs scripts on one Redis server.

    Connections are made when they are first needed, by each process for itself: none survives a
    fork. Threads have connections of their own. An event loop has one, and what is asked while it
    waits for an answer goes out together, in the next round trip.

    Args:
        uri: ``redis://``, ``rediss://`` or ``unix://``; its query may set what `redis_uri` reads.

    Attributes:
        breaker: whether the server answers.

    Raises:
        ConfigurationError: the extra is not installed, or the URI cannot be read.
    """

    def __init__(self, uri: str) -> None:
        # What the first connection would import, while requests wait for it.
        import email.parser  # noqa: F401
        import encodings.idna  # noqa: F401

        require_redis("storage")
        import redis.exceptions

        self._no_script = redis.exceptions.NoScriptError
        options = connection_options(uri)
        self._client = client(uri, options)
        self._connect = partial(client, uri, options, aio=True)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()
        self.breaker = Breaker(f"Redis at {address(options)}")

    def run(self, script: Script, key: str, *args: Any) -> Flow[Any]:
        """What *script* returns for *key*.

        Raises:
            Unavailable: it could not be run; `breaker` knows.
        """
        since = self.breaker.clock()
        try:
            reply = yield Wait(
                sync=partial(self._run, script, key, args), aio=partial(self._arun, script, key, args)
            )
        except Exception as error:
            if not _is_outage(error):
                raise
            self.breaker.failed(error)
            raise Unavailable from error
        self.breaker.succeeded(since)
        return reply

    def _run(self, script: Script, key: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._client.evalsha(script.sha, 1, key, *args)
        except self._no_script:
            self.breaker.forgot()
            return self._client.eval(script.text, 1, key, *args)

    async def _arun(self, script: Script, key: str, args: tuple[Any, ...]) -> Any:
        loop = asyncio.get_running_loop()
        line = self._loops.get(loop)
        if line is None:
            line = self._loops[loop] = _Line(self._connect(), self._no_script, self.breaker)
        return await line.ask(script, key, args)


_Asked: TypeAlias = "tuple[Script, str, tuple[Any, ...], asyncio.Future[Any]]"


class _Line:
    """One event loop's connection."""

    def __init__(self, client: "redis.asyncio.Redis", no_script: type[Exception], breaker: Breaker) -> None:
        self._client = client
        self._breaker = breaker
        self._no_script = no_script
        self._asked: list[_Asked] = []
        self._sending: asyncio.Task[None] | None = None
        self._closing = _closing(client)

    def ask(self, script: Script, key: str, args: tuple[Any, ...]) -> "asyncio.Future[Any]":
        """What *script* will return."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((script, key, args, answer))
        if self._sending is None:
            # A task of its own: the request that happens to be first may be cancelled.
            self._sending = asyncio.create_task(self._send())
        return answer

    async def _send(self) -> None:
        try:
            await anext(self._closing, None)
            while self._asked:
                asked, self._asked = self._asked, []
                try:
                    replies = await self._replies(asked)
                except Exception as error:
                    # What came meanwhile shall not wait for the same silence once more.
                    asked, self._asked = asked + self._asked, []
                    replies = [error] * len(asked)
                for (*_, answer), reply in zip(asked, replies, strict=True):
                    _settle(answer, reply)
        finally:
            self._sending = None

    async def _replies(self, asked: list[_Asked]) -> list[Any]:
        """What the scripts return, or the errors in their place, in one round trip."""
        async with self._client.pipeline(transaction=False) as pipe:
            for script, key, args, _ in asked:
                pipe.evalsha(script.sha, 1, key, *args)
            replies = await pipe.execute(raise_on_error=False)
            unknown = [at for at, reply in enumerate(replies) if isinstance(reply, self._no_script)]
            if unknown:
                self._breaker.forgot()
            for script, key, args, _ in map(asked.__getitem__, unknown):
                pipe.eval(script.text, 1, key, *args)
            for at, reply in zip(unknown, await pipe.execute(raise_on_error=False), strict=True):
                replies[at] = reply
        return replies


def _is_outage(error: Exception) -> bool:
    """Whether *error* is of the server or the way there; any other is a bug."""
    from redis import exceptions as known

    if isinstance(error, known.ResponseError):
        state = isinstance(error, (known.OutOfMemoryError, known.ReadOnlyError))
        return state or _STATE.search(str(error)) is not None
    return isinstance(error, (known.ConnectionError, known.TimeoutError, OSError))


def _settle(answer: "asyncio.Future[Any]", reply: Any) -> None:
    if answer.done():  # its request was cancelled
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)


async def _closing(client: "redis.asyncio.Redis") -> AsyncGenerator[None, None]:
    """Closes *client* at the end of the event loop, which ends its asynchronous generators."""
    try:
        while True:
            yield
    finally:
        await client.aclose()


@cache
def redis_store(uri: str) -> RedisStore:
    """The store at *uri*: one in a process, so that an outage is found, tried and told once."""
    return RedisStore(uri)

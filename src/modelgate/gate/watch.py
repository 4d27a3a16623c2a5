"""What changes where models are kept is noticed, off the way of requests."""

import contextlib
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from ..errors import ConfigurationError, NotFound
from ..flow import Flow, Handler, contained, wait_for
from ..flow.forks import renew_in_child
from ..http import Request, Response
from .deployment import Deployment
from .entries import Entries, Entry, Release
from .loader import Loader

__all__ = ["Poll", "Watch"]

logger = logging.getLogger("modelgate")

_JITTER = 0.25
"""By how much of the interval a look may come early, so that many processes do not look at once."""


_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 600.0
"""For how many seconds an install that failed is not tried again, at first and at most."""


class Install(Protocol):
    """See `Serving.install`."""

    def __call__(self, deployment: Deployment, known: Sequence[Release], *, instead_of: Entry) -> None: ...


class Poll:
    """An HTTP layer that has a thread *look* at something every *interval* seconds, and at once.

    The thread starts with the first request, in a forked child too, and ends with the object that
    *look* is a method of. A look that raises is logged; the next one comes all the same.

    Args:
        look: a bound method; its object is not kept alive by this.
        interval: how long one look holds, at most.
        patience: how many seconds the first requests wait for the first look.

    Raises:
        ConfigurationError: *interval* is not a number above 0 that a thread can wait for.
    """

    def __init__(self, look: Callable[[], None], interval: float, *, patience: float = 0) -> None:
        if (
            isinstance(interval, bool)
            or not isinstance(interval, int | float)
            or not 0 < interval <= threading.TIMEOUT_MAX
        ):
            raise ConfigurationError(
                f"watch={interval!r}: accepts seconds above 0, and no more than a wait may take"
            )
        self._look = weakref.WeakMethod(look)
        self._interval = interval
        self._patience = patience
        self._closed = False
        self._renew()
        renew_in_child(self, Poll._renew)

    def _renew(self) -> None:
        """Nothing is looked at: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._first: Future[None] = Future()
        self._started: float | None = None
        self._thread: threading.Thread | None = None
        self._begun = self._closed
        self._stop = threading.Event()
        weakref.finalize(self, self._stop.set)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        return call_next(request) if self._begun else self._beginning(request, call_next)

    def _beginning(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        yield from self.begin()
        return (yield from call_next(request))

    def begin(self) -> Flow[None]:
        """Start, if that is still to be done, and wait for the first look as long as it may take."""
        if self._begun:
            return
        with self._lock:
            if self._started is None:
                self._started = time.monotonic()
                told = (self._look, self._interval, self._first, self._stop)
                self._thread = threading.Thread(target=_poll, args=told, name="modelgate watch", daemon=True)
                self._thread.start()
        left = self._patience - (time.monotonic() - self._started)
        if left > 0:
            with contextlib.suppress(TimeoutError):
                yield from wait_for(self._first, left)
        self._begun = True

    def close(self, timeout: float = 5.0) -> None:
        """Look no more, and wait for a look that is under way, for *timeout* seconds at most."""
        self._closed = self._begun = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)


def _poll(
    look: "weakref.WeakMethod[Callable[[], None]]",
    interval: float,
    first: "Future[None]",
    stop: threading.Event,
) -> None:
    while True:
        call = look()
        if call is None:
            return
        try:
            contained(call)
        except Exception as error:
            logger.error("what is served cannot be looked after", exc_info=error)
        # What it belongs to may end while nothing is done.
        del call
        if not first.done():
            first.set_result(None)
        if stop.wait(interval * random.uniform(1 - _JITTER, 1)):  # noqa: S311
            return


class _Failure(NamedTuple):
    state: Hashable
    message: str
    pause: float
    until: float


class Watch:
    """Swap in what has changed in the store.

    A model that cannot be loaded is logged, once for each distinct failure, and tried again: at once when
    the stored model changes again, and else after a second, two, four, and so on up to ten minutes. The
    model that serves continues to serve.

    Args:
        entries: the deployments.
        loader: tells what has changed.
        install: swaps.
    """

    def __init__(self, entries: Entries, loader: Loader, install: Install) -> None:
        self._entries = entries
        self._loader = loader
        self._install = install
        self._failed: dict[str, _Failure] = {}
        self._unreachable: dict[str, str] = {}

    def look(self) -> None:
        """Look once at everything that is loaded."""
        for names in (self._failed, self._unreachable):
            for name in names.keys() - self._entries.keys():
                del names[name]
        for name, entry in list(self._entries.items()):
            try:
                contained(self._look_at, name, entry)
            except Exception as error:
                # A store that cannot be reached is asked again at each look.
                if self._unreachable.get(name) != repr(error):
                    self._unreachable[name] = repr(error)
                    logger.warning("deployment %s goes on as it is", name, exc_info=error)
            else:
                self._unreachable.pop(name, None)

    def _look_at(self, name: str, entry: Entry) -> None:
        marks = {supply: self._loader.changed(supply) for supply in entry.supplies}
        changed = {supply: mark for supply, mark in marks.items() if mark is not None}
        state = tuple(changed.values())
        failure = self._failed.get(name)
        if failure is not None and failure.state != state:
            failure = None
        if not changed or (failure is not None and time.monotonic() < failure.until):
            return
        try:
            known = [release for release in entry.every if release.supply not in changed]
            self._install(entry.deployment, known, instead_of=entry)
        except (ConfigurationError, NotFound) as error:
            if failure is None or failure.message != str(error):
                logger.warning("deployment %s goes on as it is: %s", name, error)
            pause = _FIRST_PAUSE if failure is None else min(2 * failure.pause, _LONGEST_PAUSE)
            self._failed[name] = _Failure(state, str(error), pause, time.monotonic() + pause)
        else:
            self._failed.pop(name, None)
            logger.info("deployment %s was swapped: what is kept had changed", name)

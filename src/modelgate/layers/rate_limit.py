"""A bound on what one caller asks for."""

import logging
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal, TypeAlias

from msgspec.structs import replace

from ..counts import require_count
from ..errors import AnswerableError, BatchTooLarge, ConfigurationError, RateLimitExceeded
from ..flow import Flow, Handler
from ..flow.forks import renew_in_child
from ..http import Request, Response, answered, refusal
from ..limiting import MemoryLimiter, Rate, Verdict, limiter
from .functions import refuse_async
from .identity import By, identity
from .rate_headers import rate_headers, tell

__all__ = ["DEFAULT_RATE", "RateLimit"]

DEFAULT_RATE = "1000000/minute; 10000000/day"
"""The ML Clever Prediction API, "Rate Limiting"."""

Cost: TypeAlias = Literal["request", "rows"] | Callable[[Request], int]

logger = logging.getLogger("modelgate")


class RateLimit:
    """Refuse a caller who exceeds *rate*, with 429 and the time to wait.

    All windows are tested together and then charged together: what is refused costs nothing. What
    costs more than a window ever has room for is a 413 that says so. What was charged or refused is
    told how the tightest window stands: ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and
    ``X-RateLimit-Reset`` (whole seconds since the epoch).

    Args:
        rate: one window or more, ``"60/minute; 10000/day"``; `DEFAULT_RATE` by default.
        by: whose requests are counted together: ``"caller"`` (of one key; where no key was asked
            for, of one address), ``"key"``, ``"owner"`` (of all keys of one owner), ``"address"``,
            ``"deployment"``, ``"header:NAME"``, or a function of the request. Whom it gives no name
            share one bucket.
        cost: what is counted: ``"request"``; ``"rows"``, once they have been checked and before a
            model sees them; or a function that gives the cost of a request, a whole number from 0.
        strategy: ``"fixed"``, ``"sliding"`` or ``"moving"`` windows.
        storage: where the counts are: ``"memory://"``, of this process, or ``"redis://…"``, of all.
        exempt: a function of the request: whether it passes uncounted.
        charge_when: a function of the response: whether its request counts. Until it is there,
            every request does. An app that raises is taken for a 500.
        shadow: count, and let everything pass; `refused` tells what would not have.
        fail: what holds while Redis does not answer: ``"local"``, this process's share of the rate;
            or ``"closed"``, that everything is refused with 503.
        processes: among how many processes the rate is divided then; by default as many workers as
            the server was visibly told to run.
        scope: tells this limit from others in the same Redis that have the same rate, *by* and
            *cost*, and would otherwise be counted with it. Needed in Redis where *by* or *cost* is
            a function.
        key_limits: whether the windows of a key's own (`Principal.limits`) take the place of *rate*,
            where requests are counted by caller or key.
        ietf_headers: whether answers also carry ``RateLimit-Policy`` and ``RateLimit``, of all
            windows (draft-ietf-httpapi-ratelimit-headers-11).
        clock: gives the time in seconds since the epoch; by default this machine's, and for counts
            in Redis that server's.

    Attributes:
        rate: as it was given.
        refused: how many requests were over the limit, in this process.
        shared: whether all processes count together.

    Raises:
        ConfigurationError: an option cannot be read; it names the option and what it accepts.
    """

    def __init__(
        self,
        rate: str = DEFAULT_RATE,
        *,
        by: By = "caller",
        cost: Cost = "request",
        strategy: Literal["fixed", "sliding", "moving"] = "fixed",
        storage: str = "memory://",
        exempt: Callable[[Request], bool] | None = None,
        charge_when: Callable[[Response], bool] | None = None,
        shadow: bool = False,
        fail: Literal["local", "closed"] = "local",
        processes: int | None = None,
        scope: str = "",
        key_limits: bool = True,
        ietf_headers: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if cost not in ("request", "rows") and not callable(cost):
            raise ConfigurationError(f"cost={cost!r}: accepts request, rows, or a function of the request")
        if fail not in ("local", "closed"):
            raise ConfigurationError(f"fail={fail!r}: accepts local or closed")
        for name, function in (("exempt", exempt), ("charge_when", charge_when)):
            if function is not None and not callable(function):
                raise ConfigurationError(f"{name}={function!r}: accepts a function")
        refuse_async(cost=cost, exempt=exempt, charge_when=charge_when)
        if processes is not None:
            require_count("processes", processes)
        self.rate = rate
        self._rate = Rate.parse(rate, strategy)
        self._identity = identity(by)
        self._cost_of = cost if callable(cost) else None
        self._answer = self._by_rows if cost == "rows" else self._by_request
        self._exempt = exempt
        self._charge_when = charge_when
        self._shadow = shadow
        self._key_limits = key_limits and cost == "request" and by in ("caller", "key")
        self._rate_of_key = lru_cache(maxsize=1024)(partial(_rate_of_key, strategy))
        units = {"request": "requests", "rows": "rows"}
        self._unit = (units[cost] if isinstance(cost, str) else "units") if ietf_headers else None
        name = _name(scope, by, cost, self._rate, storage)
        closed = fail == "closed" and not shadow
        self._limiter = limiter(
            self._rate, storage, name=name, clock=clock, processes=processes, closed=closed
        )
        self.refused = 0
        self.shared = not isinstance(self._limiter, MemoryLimiter)
        self._renew()
        renew_in_child(self, RateLimit._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    @property
    def outages(self) -> int:
        """How often the storage has stopped answering."""
        return self._limiter.outages

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if self._exempt is not None and self._exempt(request):
            return call_next(request)
        return self._answer(request, call_next)

    def _by_request(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        cost = 1 if self._cost_of is None else _whole(self._cost_of(request))
        who = self._identity(request)
        verdict = self._limiter.hit(self._rate_of(request), who, cost)
        if not isinstance(verdict, Verdict):
            verdict = yield from verdict
        if not verdict.passes:
            self._refuse(verdict)
        try:
            response = yield from call_next(request)
        except AnswerableError as error:
            response = refusal(request, error)
        except Exception:
            yield from self._settle(Response(500), who, verdict)
            raise
        if self._charge_when is not None:
            verdict = yield from self._settle(response, who, verdict)
        if not self._shadow:
            tell(response, verdict, self._unit)
        return response

    def _by_rows(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        charges: list[tuple[str, Verdict]] = []

        def check(rows: int) -> Flow[None]:
            who = self._identity(request)
            verdict = self._limiter.hit(self._rate_of(request), who, rows)
            if not isinstance(verdict, Verdict):
                verdict = yield from verdict
            if not verdict.passes:
                self._refuse(verdict)
            charges.append((who, verdict))

        request.on_rows = (*request.on_rows, check)
        try:
            response = yield from answered(request, call_next)
        except Exception:
            for who, charged in charges:
                yield from self._settle(Response(500), who, charged)
            raise
        if not charges and request.method in ("POST", "PUT", "PATCH") and response.status < 400:
            # A limit that never hears of rows would let everything pass.
            raise RuntimeError('cost="rows": nothing validates the rows of this request: use exempt=…')
        for who, charged in charges:
            verdict = yield from self._settle(response, who, charged)
            if not self._shadow:
                tell(response, verdict, self._unit)
        return response

    def _rate_of(self, request: Request) -> Rate:
        principal = request.principal
        if principal is None or principal.limits is None or not self._key_limits:
            return self._rate
        return self._rate_of_key(principal.limits) or self._rate

    def _refuse(self, verdict: Verdict) -> None:
        with self._lock:
            self.refused += 1
        if self._shadow:
            return
        if verdict.cost > verdict.rate.capacity:
            raise BatchTooLarge(
                verdict.cost, verdict.rate.capacity, "rows" if self._cost_of is None else "units"
            )
        window = verdict.rate.windows[verdict.heeded]
        raise RateLimitExceeded(str(window), verdict.retry_after, dict(rate_headers(verdict, self._unit)))

    def _settle(self, response: Response, who: str, verdict: Verdict) -> Flow[Verdict]:
        """Take back the charge of a request that does not count, its response being what it is."""
        if self._charge_when is None or not verdict.passes or self._charge_when(response):
            return verdict
        back = self._limiter.give_back(verdict.rate, who, verdict.cost, verdict.now)
        if back is not None:
            yield from back
        return replace(verdict, cost=0)


def _whole(cost: object) -> int:
    if type(cost) is not int or cost < 0:
        raise ValueError(f"cost gave {cost!r}: it must give a whole number from 0")
    return cost


def _rate_of_key(strategy: str, limits: str) -> Rate | None:
    """The rate a key's row says, None where it cannot be read."""
    try:
        return Rate.parse(limits, strategy)
    except ConfigurationError as error:
        logger.error("a key's own limits cannot be read, and the gate's hold: %s", error)
        return None


def _name(scope: str, by: By, cost: Cost, rate: Rate, storage: str) -> str:
    """What tells a limit from the others in its storage.

    Raises:
        ConfigurationError: *scope* is no text, or is missing where nothing else tells functions apart.
    """
    if not isinstance(scope, str):
        raise ConfigurationError(f"scope={scope!r}: accepts text")
    if not scope and storage != "memory://" and (callable(by) or callable(cost)):
        raise ConfigurationError(
            "scope='': accepts a name, which a limit in Redis whose by= or cost= is a function needs:"
            " the limits of one name are counted together"
        )
    words = (scope, *(word if isinstance(word, str) else "function" for word in (by, cost)), rate.text)
    return ":".join(word.replace(":", "-") for word in words)

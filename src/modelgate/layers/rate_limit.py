"""Rate limit per caller."""

import logging
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal, TypeAlias

from msgspec.structs import replace

from ..context import RequestContext
from ..errors import AnswerableError, BatchTooLarge, ConfigurationError, Overloaded, RateLimitExceeded
from ..flow import Flow, Handler
from ..flow.fork_safety import reset_after_fork
from ..http import Request, Response, call_encoding_errors, encode_error
from ..keys import Principal
from ..limiting import MemoryLimiter, Rate, RateLimitDecision, check_rate, create_limiter
from ..spelling import suggest_options
from ..validation import require_positive_int
from ._caller_identity import IDENTITIES, LimitKey, caller_key, stored_identities
from ._options import require_sync
from ._rate_limit_headers import add_rate_limit_headers, rate_limit_headers

__all__ = ["DEFAULT_RATE", "RateLimit"]

DEFAULT_RATE = "1000000/minute; 10000000/day"
"""Rate in the documentation of the ML Clever Prediction API, section "Rate Limiting"."""

Cost: TypeAlias = Literal["request", "rows"] | Callable[[Request], int]

logger = logging.getLogger("modelgate")


@suggest_options
class RateLimit:
    """Reject requests of callers who exceed *rate*, with 429 and ``Retry-After``.

    All windows are tested together and then charged together, so that rejected requests cost nothing. A
    request that is rejected with `Overloaded` costs nothing either. A request that costs more than the amount
    of a window can never pass, and gets 413.

    Responses have the headers ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and ``X-RateLimit-Reset``
    (whole seconds since the epoch). They describe the window with the least remaining room, or after a
    rejection the one with the longest wait.

    Args:
        rate: One or more windows, such as ``"60/minute; 10000/day"``.
        by: How callers are identified: ``"caller"`` (by key, or by address if no key is required),
            ``"key"``, ``"owner"`` (all keys of one owner), ``"address"``, ``"deployment"``,
            ``"header:NAME"``, or a function of the request. Requests for which it returns None
            share one bucket.
        cost: Cost of a request: ``"request"`` for 1; ``"rows"`` for the number of rows, charged
            after they are validated and before they are scored; or a function of the request that
            returns an integer of 0 or more.
        strategy: Kind of the windows: ``"fixed"`` for windows that start with their first charge;
            ``"sliding"`` for windows that end at the current time, with an estimated usage; or ``"moving"``
            for windows that end at the current time, with a counted usage. In a moving window, charges are
            counted per quarter of its length, and each charge counts for up to 5/4 of its length.
        storage: URI of the storage for the counts: ``"memory://"``, for this process; ``"redis://…"``, for
            all processes; or any URI of the `limits` package, such as ``"memcached://…"``. Storages of that
            package charge several windows one after the other, not in one step, and their reset times are
            estimates.
        exempt: Function of the request. If it returns True, the request is not counted.
        charge_when: Function of the response. If it returns False, the charge for the request is refunded.
            For an error raised by the app, the function gets a response with the status 500. The function is
            not called if the server cancels the request because its caller disconnected: such a request is
            charged if the model or the app was called. In the `limits` package, only Redis and Valkey with
            fixed windows can refund a charge.
        dry_run: Count requests, but reject none. `rejected` counts those that would have been rejected.
        on_storage_error: Behaviour while the storage does not answer: ``"local"`` applies this
            process's share of the rate, ``"deny"`` rejects everything with 503.
        processes: Number of processes that share the rate while the storage does not answer. By default
            the number of workers in the options of the server or in the environment.
        lease: Share of the rate, such as 0.01, that a process charges in Redis with one call, and then spends
            without calling Redis; None to call Redis for each request. The rate is never exceeded, but a
            process may reject a caller while other processes have unused shares of the caller's rate.
        name: Name of the limit in its storage. Limits with the same name, rate, *by* and *cost*
            share their counts. Required in a shared storage if *by* or *cost* is a function.
        key_limits: Whether the limits of a key (`Principal.limits`) replace *rate*. This applies only if
            requests are counted by caller or key.
        ietf_headers: Whether to send also ``RateLimit-Policy`` and ``RateLimit``, which describe all windows
            (draft-ietf-httpapi-ratelimit-headers-11).
        clock: Function that returns the time in seconds since the epoch. By default the clock of this
            machine, or the server's clock for counts in Redis. Must be None for a storage of the `limits`
            package.

    Attributes:
        rate: Rate as text.
        rejected: Number of requests over the limit in this process.
        shared: Whether the counts are shared by all processes.

    Raises:
        ConfigurationError: An option is invalid. The message names it and the accepted values.
    """

    def __init__(
        self,
        rate: str = DEFAULT_RATE,
        *,
        by: LimitKey = "caller",
        cost: Cost = "request",
        strategy: Literal["fixed", "sliding", "moving"] = "fixed",
        storage: str = "memory://",
        exempt: Callable[[Request], bool] | None = None,
        charge_when: Callable[[Response], bool] | None = None,
        dry_run: bool = False,
        on_storage_error: Literal["local", "deny"] = "local",
        processes: int | None = None,
        lease: float | None = None,
        name: str = "",
        key_limits: bool = True,
        ietf_headers: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if cost not in ("request", "rows") and not callable(cost):
            raise ConfigurationError(
                f'cost must be "request", "rows", or a function of the request (got {cost!r})'
            )
        if on_storage_error not in ("local", "deny"):
            raise ConfigurationError(f"on_storage_error must be local or deny (got {on_storage_error!r})")
        for option, function in (("exempt", exempt), ("charge_when", charge_when)):
            if function is not None and not callable(function):
                raise ConfigurationError(f"{option} must be a function (got {function!r})")
        require_sync(cost=cost, exempt=exempt, charge_when=charge_when)
        if processes is not None:
            require_positive_int("processes", processes)
        self.rate = rate
        self._rate = Rate.parse(rate, strategy)
        self._identity = caller_key(by)
        self._cost_of = cost if callable(cost) else None
        self._apply = self._charge_rows if cost == "rows" else self._charge_request
        self._exempt = exempt
        self._charge_when = charge_when
        self._dry_run = dry_run
        self._key_limits = key_limits and cost == "request" and by in ("caller", "key")
        self._parse_key_limits = lru_cache(maxsize=1024)(partial(_parse_key_limits, strategy, storage))
        units = {"request": "requests", "rows": "rows"}
        self._unit = (units[cost] if isinstance(cost, str) else "units") if ietf_headers else None
        name = _storage_name(name, by, cost, self._rate, storage)
        closed = on_storage_error == "deny" and not dry_run
        self._limiter = create_limiter(
            self._rate,
            storage,
            name=name,
            clock=clock,
            processes=processes,
            closed=closed,
            refunds=charge_when is not None,
            lease=lease,
        )
        self.rejected = 0
        self.shared = not isinstance(self._limiter, MemoryLimiter)
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    @property
    def outage_count(self) -> int:
        """Number of outages of the storage."""
        return self._limiter.outage_count

    def reset(self, identity: str) -> int:
        """Discard the counts of a caller, so that the whole limit is available again. This call blocks.

        Args:
            identity: Identity that the option *by* selects: the id of a key, an owner, an address or another
                identity. For a key that replaced another one, use `KeyRecord.counted_as`.

        Returns:
            The number of discarded counts, one for each rate; 0 if the caller had no counts.

        Raises:
            ConfigurationError: The storage is neither ``memory://`` nor Redis.
            StoreError: Redis does not answer.
        """
        return sum(map(self._limiter.reset, stored_identities(identity)))

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if self._exempt is not None and self._exempt(request):
            return call_next(request)
        return self._apply(request, call_next)

    def _charge_request(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        cost = 1
        if self._cost_of is not None:
            cost = self._cost_of(request)
            if type(cost) is not int or cost < 0:
                raise ValueError(f"cost must return an integer of 0 or more (got {cost!r})")
        identity, settled = self._identity(request), request.context.settled
        if settled is None:
            decision = self._limiter.hit(self._rate_for(request), identity, cost)
            if not isinstance(decision, RateLimitDecision):
                decision = yield from decision
        else:
            decision = settled.decision
        if not decision.allowed:
            self._reject(decision)
        try:
            response = yield from call_next(request)
        except AnswerableError as error:
            response = encode_error(request, error)
        except BaseException as error:
            yield from self._refund_failed(request, error, [(identity, decision)])
            raise
        if self._charge_when is not None or response.status == Overloaded.status:
            decision = yield from self._refund_uncounted(request, response, identity, decision)
        if not self._dry_run:
            add_rate_limit_headers(response, decision, self._unit)
        return response

    def is_plain(self) -> bool:
        """Return whether every request costs 1, is counted in memory, and is never exempt or refunded."""
        functions = (self._cost_of, self._exempt, self._charge_when)
        return (
            self._apply == self._charge_request
            and all(function is None for function in functions)
            and not self._dry_run
            and self._identity in IDENTITIES.values()
            and isinstance(self._limiter, MemoryLimiter)
        )

    def charge(self, request: Request) -> RateLimitDecision:
        """Charge *request* a cost of 1 if there is room for it. Call this only if `is_plain` is True."""
        return self._limiter.hit(self._rate_for(request), self._identity(request))  # type: ignore[return-value]

    def headers(self, decision: RateLimitDecision) -> list[tuple[str, str]]:
        """Return the header fields that describe *decision*."""
        return rate_limit_headers(decision, self._unit)

    @property
    def has_ietf_headers(self) -> bool:
        """Whether `headers` returns ``RateLimit-Policy`` and ``RateLimit``, too."""
        return self._unit is not None

    def _charge_rows(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        charges: list[tuple[str, RateLimitDecision]] = []

        def charge(rows: int) -> Flow[None]:
            rate, identity = self._rate_for(request), self._identity(request)
            decision = self._limiter.hit(rate, identity, rows)
            if not isinstance(decision, RateLimitDecision):
                decision = yield from decision
            if not decision.allowed:
                self._reject(decision)
            charges.append((identity, decision))

        context: RequestContext = request.context
        context.on_rows = (*context.on_rows, charge)
        try:
            response = yield from call_encoding_errors(request, call_next)
        except BaseException as error:
            yield from self._refund_failed(request, error, charges)
            raise
        if not charges and request.method in ("POST", "PUT", "PATCH") and response.status < 400:
            # Without this error, a request whose rows are never counted would pass every limit.
            raise RuntimeError(
                'cost="rows": no layer counted the rows of this request: add WithScoring(Validate(…)) inside'
                " this layer, or exclude the request with exempt=…"
            )
        for identity, decision in charges:
            final = yield from self._refund_uncounted(request, response, identity, decision)
            if not self._dry_run:
                add_rate_limit_headers(response, final, self._unit)
        return response

    def _rate_for(self, request: Request) -> Rate:
        principal: Principal | None = request.context.principal
        if principal is None or principal.limits is None or not self._key_limits:
            return self._rate
        return self._parse_key_limits(principal.limits) or self._rate

    def _reject(self, decision: RateLimitDecision) -> None:
        """Count a rejection, and raise the error for the caller unless this is a dry run."""
        with self._lock:
            self.rejected += 1
        if self._dry_run:
            return
        rate = decision.rate
        if decision.cost > rate.capacity:
            raise BatchTooLarge(decision.cost, rate.capacity, "rows" if self._cost_of is None else "units")
        headers = dict(self.headers(decision))
        raise RateLimitExceeded(str(rate.windows[decision.binding_window]), decision.retry_after, headers)

    def _refund_uncounted(
        self, request: Request, response: Response, identity: str, decision: RateLimitDecision
    ) -> Flow[RateLimitDecision]:
        """Refund the charge if the request does not count, and return the resulting decision.

        A request does not count if it was rejected with `Overloaded`, or if `charge_when` returns False.
        """
        is_rejected = response.status == Overloaded.status and request.error_code == Overloaded.code
        is_counted = not is_rejected and (self._charge_when is None or self._charge_when(response))
        return decision if is_counted else (yield from self._refund(identity, decision))

    def _refund_failed(
        self, request: Request, error: BaseException, charges: list[tuple[str, RateLimitDecision]]
    ) -> Flow[None]:
        """Refund the charges of a request that *error* has ended, unless the request counts.

        An error of the app counts like its response 500. A cancelled request counts if the model or the app was
        called. A generator that is being closed cannot wait for a refund.
        """
        context: RequestContext = request.context
        for identity, decision in charges:
            if isinstance(error, Exception):
                yield from self._refund_uncounted(request, Response(500), identity, decision)
            elif not isinstance(error, GeneratorExit) and not context.work_began:
                yield from self._refund(identity, decision)

    def _refund(self, identity: str, decision: RateLimitDecision) -> Flow[RateLimitDecision]:
        """Refund a charge if the storage can, and return the resulting decision."""
        if not decision.allowed or not self._limiter.can_refund:
            return decision
        refund = self._limiter.refund(decision.rate, identity, decision.cost, decision.now)
        if refund is not None:
            yield from refund
        return replace(decision, cost=0)


def _parse_key_limits(strategy: str, storage: str, limits: str) -> Rate | None:
    """Return the rate in a key record, or None if it is invalid or the storage does not support it."""
    try:
        rate = Rate.parse(limits, strategy)
        check_rate(rate, storage)
        return rate
    except ConfigurationError as error:
        logger.error(
            "rate limit: the limits of a key cannot be used, so the rate of the gate applies: %s", error
        )
        return None


def _storage_name(name: str, by: LimitKey, cost: Cost, rate: Rate, storage: str) -> str:
    """Return the name that identifies a limit in its storage.

    Raises:
        ConfigurationError: The name is not a string, or it is missing although *by* or *cost* is a function
            and the storage is shared.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"name must be a string (got {name!r})")
    if not name and storage != "memory://" and (callable(by) or callable(cost)):
        raise ConfigurationError(
            "name must be set if by= or cost= is a function and the storage is shared (got ''):"
            " choose a unique name, because limits with the same name share their counts"
        )
    parts = (name, *(part if isinstance(part, str) else "function" for part in (by, cost)), rate.text)
    return ":".join(part.replace(":", "-") for part in parts)

"""What an answer tells of a rate limit."""

import math

from ..http import Response
from ..limiting import Rate, Verdict

__all__ = ["rate_headers", "tell"]


def rate_headers(verdict: Verdict, unit: str | None = None) -> list[tuple[str, str]]:
    """The fields that say how the windows stand.

    ``X-RateLimit-*`` speaks of the window to heed alone.

    Args:
        verdict: on the request.
        unit: of the quota; None to leave out ``RateLimit-Policy`` and ``RateLimit``
            (draft-ietf-httpapi-ratelimit-headers-11), which speak of all windows.
    """
    at = verdict.heeded
    remaining, reset = verdict.standing(at)
    fields = [
        ("x-ratelimit-limit", str(verdict.rate.windows[at].amount)),
        ("x-ratelimit-remaining", str(remaining)),
        ("x-ratelimit-reset", str(math.ceil(reset))),
    ]
    if unit is not None:
        fields.append(("ratelimit-policy", _policies(verdict.rate, unit)))
        fields.append(("ratelimit", _standings(verdict)))
    return fields


def tell(response: Response, verdict: Verdict, unit: str | None = None) -> None:
    """Add the fields to *response*. Where a limit further in has spoken, the tighter is to be heeded."""
    ours = rate_headers(verdict, unit)
    inner = response.header("x-ratelimit-remaining")
    if inner is None:
        response.headers.extend(ours)
        return
    tighter = not inner.isdigit() or int(inner) > int(ours[1][1])
    for name, value in ours:
        if name.startswith("ratelimit"):
            theirs = response.header(name)
            response.set(name, f"{theirs}, {value}" if theirs else value)
        elif tighter:
            response.set(name, value)


def _policies(rate: Rate, unit: str) -> str:
    # Requests are the unit where none is named.
    named = "" if unit == "requests" else f';qu="{unit}"'
    return ", ".join(f'"{window}";q={window.amount};w={window.span}{named}' for window in rate.windows)


def _standings(verdict: Verdict) -> str:
    told = [(window, *verdict.standing(at)) for at, window in enumerate(verdict.rate.windows)]
    return ", ".join(
        f'"{window}";r={remaining};t={max(0, math.ceil(reset - verdict.now))}'
        for window, remaining, reset in told
    )

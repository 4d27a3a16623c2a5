"""Response headers that describe a rate limit."""

import math

from ..http import Response
from ..limiting import Rate, RateLimitDecision

__all__ = ["add_rate_limit_headers", "rate_limit_headers"]


def rate_limit_headers(decision: RateLimitDecision, unit: str | None = None) -> list[tuple[str, str]]:
    """Return the headers that describe the state of the windows.

    The ``X-RateLimit-*`` headers describe the most restrictive window (`RateLimitDecision.binding_window`).
    ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-11) describe all windows.

    Args:
        decision: Decision on the request.
        unit: Unit of the quota; None to omit ``RateLimit-Policy`` and ``RateLimit``.
    """
    limit, remaining, reset = decision.binding_quota
    headers = [
        ("x-ratelimit-limit", f"{limit}"),
        ("x-ratelimit-remaining", f"{remaining}"),
        ("x-ratelimit-reset", f"{reset}"),
    ]
    if unit is not None:
        headers.append(("ratelimit-policy", _format_policies(decision.rate, unit)))
        headers.append(("ratelimit", _format_quotas(decision)))
    return headers


def add_rate_limit_headers(response: Response, decision: RateLimitDecision, unit: str | None = None) -> None:
    """Add the headers that describe *decision* to *response*.

    If an inner limit has already set them, ``X-RateLimit-*`` describe the stricter limit, and
    ``RateLimit-Policy`` and ``RateLimit`` list both limits.
    """
    headers = rate_limit_headers(decision, unit)
    inner_remaining = response.header("x-ratelimit-remaining")
    if inner_remaining is None:
        response.headers.extend(headers)
        return
    stricter = not inner_remaining.isdigit() or int(inner_remaining) > int(headers[1][1])
    for name, value in headers:
        if name.startswith("ratelimit"):
            inner = response.header(name)
            response.set(name, f"{inner}, {value}" if inner else value)
        elif stricter:
            response.set(name, value)


def _format_policies(rate: Rate, unit: str) -> str:
    # The default unit of the draft is requests.
    quota_unit = "" if unit == "requests" else f';qu="{unit}"'
    return ", ".join(f'"{window}";q={window.amount};w={window.span}{quota_unit}' for window in rate.windows)


def _format_quotas(decision: RateLimitDecision) -> str:
    quotas = [(window, *decision.quota(index)) for index, window in enumerate(decision.rate.windows)]
    return ", ".join(
        f'"{window}";r={remaining};t={max(0, math.ceil(reset - decision.now))}'
        for window, remaining, reset in quotas
    )

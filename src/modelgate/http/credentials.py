"""API keys in header fields."""

import base64
import re
from collections.abc import Collection
from typing import Protocol

from ..errors import ConflictingCredentials

__all__ = ["Headers", "credentials_from_headers", "describe_missing_key", "parse_authorization"]

# Places in which other services read a key.
_OTHER_FIELDS = ("x-api-key", "api-key", "apikey", "x-api-token", "x-auth-token", "x-access-token")
_QUERY_OPTION = re.compile(
    r"(?:^|&)(?:(?:x-)?api[-_]?key|key|(?:access[-_]?|api[-_]?)?token)=", re.IGNORECASE
)


class Headers(Protocol):
    """Header fields of a request."""

    def get(self, name: str, /) -> str | None:
        """Return the value of the field *name* (lower case), or None. Repeated fields are joined by commas."""


def credentials_from_headers(headers: Headers, schemes: Collection[str] = ("bearer",)) -> str | None:
    """Return the API key in ``Authorization`` or ``x-api-key``, or None if there is none.

    Args:
        headers: Header fields of the request.
        schemes: Accepted schemes of ``Authorization``, lower case.

    Raises:
        ConflictingCredentials: Both fields have a key, and the keys differ.
    """
    key, token = headers.get("x-api-key"), parse_authorization(headers, schemes)
    if key is not None and token is not None and key != token:
        raise ConflictingCredentials
    return key if token is None else token


def parse_authorization(headers: Headers, schemes: Collection[str]) -> str | None:
    """Return the API key in ``Authorization``, or None if it is missing or its scheme is not accepted.

    Args:
        headers: Header fields of the request.
        schemes: Accepted schemes, lower case. With ``basic`` the password is the key.
    """
    authorization = headers.get("authorization")
    if authorization is None:
        return None
    # RFC 9110, section 11.1: the scheme is case-insensitive.
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() not in schemes:
        return None
    return _decode_password(token) if scheme.lower() == "basic" else token.strip()


def _decode_password(token: str) -> str:
    """Return the password of ``Basic`` credentials (RFC 7617, section 2), or an empty one if unreadable."""
    try:
        return base64.b64decode(token.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def describe_missing_key(headers: Headers, query_string: str) -> str:
    """Return the message for a request without an API key. It says where to send the key.

    If the request seems to have a key in another place, the message names that place.

    Args:
        headers: Header fields of the request. The message contains none of their values.
        query_string: Query string of the request.
    """
    remedy = "send it in the header field Authorization: Bearer <key>"
    if headers.get("authorization") is not None:
        remedy = f"the field Authorization lacks the scheme Bearer: {remedy}"
    elif field := next((name for name in _OTHER_FIELDS if headers.get(name) is not None), None):
        remedy = f"it is not read from the field {field}: {remedy}"
    elif _QUERY_OPTION.search(query_string):
        remedy = f"it is not read from the query string, which servers log: {remedy}"
    return f"Missing API key: {remedy}"

"""Read API keys from header fields."""

import base64
import re
from collections.abc import Collection
from typing import Protocol

from ..codecs.key_checksum import has_valid_checksum
from ..errors import ConflictingCredentials

__all__ = [
    "KEY_HEADERS",
    "Headers",
    "credentials_from_headers",
    "describe_missing_key",
    "is_json_web_token",
    "key_from_header",
    "parse_authorization",
    "select_key",
]

KEY_HEADERS = ("authorization", "x-api-key")
"""Accepted values of the option *key_header*: the only header field from which API keys are read."""

_SCHEMES = ("bearer", "token", "basic")
_RECOMMENDED = {"authorization": "Authorization: Bearer <key>", "x-api-key": "x-api-key"}
# Places in which other services read a key.
_OTHER_FIELDS = ("x-api-key", "api-key", "apikey", "x-api-token", "x-auth-token", "x-access-token")
_QUERY_OPTION = re.compile(
    r"(?:^|&)(?:(?:x-)?api[-_]?key|key|(?:access[-_]?|api[-_]?)?token)=", re.IGNORECASE
)

# JWS or JWE in compact form (RFC 7515, RFC 7516): base64url of a JSON object, and at least two more parts.
_JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]*(\.[\w-]*){2,4}", re.ASCII)


class Headers(Protocol):
    """Protocol of the header fields of a request."""

    def get(self, name: str, /) -> str | None:
        """Return the value of the field *name* (lower case), or None. Repeated fields are joined by commas."""


def credentials_from_headers(headers: Headers, schemes: Collection[str] = ("bearer",)) -> str | None:
    """Return the API key in ``Authorization`` or ``x-api-key``, or None if there is none.

    Args:
        headers: Header fields of the request.
        schemes: Accepted schemes of ``Authorization``, lower case.

    Raises:
        ConflictingCredentials: Both fields have a key, and the keys differ; see `select_key`.
    """
    key, token = headers.get("x-api-key"), parse_authorization(headers, schemes)
    if key is None or token is None or key == token:
        return key if token is None else token
    return select_key(key, token)


def select_key(*credentials: str) -> str:
    """Return the only API key among several *credentials*.

    The other credentials may be for a platform or a proxy.

    The key is the credential that ends in the checksum of a generated key. Keys that were not generated can
    have any form. So if no credential ends in a checksum, the key is the credential that is not a JSON Web
    Token.

    Raises:
        ConflictingCredentials: *credentials* contain several different keys, or only JSON Web Tokens.
    """
    keys = [key for key in credentials if has_valid_checksum(key)]
    keys = keys or [key for key in credentials if not is_json_web_token(key)]
    if len(set(keys)) != 1:
        raise ConflictingCredentials
    return keys[0]


def is_json_web_token(text: str) -> bool:
    """Return True if *text* has the form of a JSON Web Token.

    Platforms send such tokens in ``Authorization``.
    """
    return _JSON_WEB_TOKEN.fullmatch(text) is not None


def key_from_header(headers: Headers, name: str) -> str | None:
    """Return the API key in the field *name*, one of `KEY_HEADERS`, or None if there is none."""
    return headers.get(name) if name == "x-api-key" else parse_authorization(headers, _SCHEMES)


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
    """Return the password of ``Basic`` credentials (RFC 7617, section 2), or ``""`` if they are unreadable."""
    try:
        return base64.b64decode(token.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def describe_missing_key(headers: Headers, query_string: str, key_header: str = "authorization") -> str:
    """Return the message for a request without an API key. The message describes where to send the key.

    If the request seems to have a key in another place, the message names that place.

    Args:
        headers: Header fields of the request. The message contains none of their values.
        query_string: Query string of the request.
        key_header: Header field to recommend, one of `KEY_HEADERS`.
    """
    remedy = f"send the key in the header field {_RECOMMENDED[key_header]}"
    if key_header == "authorization" and headers.get("authorization") is not None:
        remedy = f"the field Authorization lacks the scheme Bearer: {remedy}"
    elif field := next((name for name in _OTHER_FIELDS if name != key_header and headers.get(name)), None):
        remedy = f"it is not read from the field {field}: {remedy}"
    elif _QUERY_OPTION.search(query_string):
        remedy = f"it is not read from the query string, which servers log: {remedy}"
    return f"Missing API key: {remedy}"

"""Webhook that sends alarms to a URL."""

import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ..errors import ConfigurationError

__all__ = ["Webhook"]

_TIMEOUT = 10.0


class Webhook:
    """Callable that sends alarms to a URL, as a ``POST`` request with the JSON object ``{"alarms": […]}``.

    Args:
        url: Address, ``https://…`` or ``http://…``.

    Raises:
        ConfigurationError: *url* has another scheme.
    """

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigurationError(
                "on_alarm must be a function, or a URL that begins with https:// or http://"
            )
        self._url = url

    def __call__(self, alarms: Sequence[msgspec.Struct]) -> None:
        body = msgspec.json.encode({"alarms": alarms})
        request = urllib.request.Request(  # noqa: S310  the scheme is checked
            self._url, body, {"content-type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
            pass

"""What the options of a gate mean."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from ..dialects import DIALECTS, Dialect
from ..errors import ConfigurationError
from ..flow import checked_layers
from ..keys import KeyStore
from ..keys.store import ACCEPTED as ACCEPTED_KEYS
from ..layers import Admission, AuthFailures, BodyLimit, Deadline, KeyAuth, RateLimit
from ..layers.rate_limit import DEFAULT_RATE
from .deployment import HTTPLayer
from .following import Registry

__all__ = [
    "auth_failures",
    "deadline_of",
    "given_layers",
    "naming",
    "registry_of",
    "spoken",
    "standard_layers",
]


def standard_layers(
    keys: KeyStore | Mapping[str, str | Sequence[str]] | str | None,
    limits: str | HTTPLayer | Sequence[HTTPLayer] | None,
    failures: Sequence[HTTPLayer],
    deadline: float | None,
) -> list[HTTPLayer]:
    """The layers of a gate that is given none.

    Args:
        keys: as for `Gate`.
        limits: as for `Gate`.
        failures: what bounds failed authentication.
        deadline: as for `Gate`.

    Raises:
        ConfigurationError: there are no keys, or an option cannot be read.
    """
    if keys is None:
        raise ConfigurationError(f"keys: a gate without keys would serve anyone: accepts {ACCEPTED_KEYS}")
    with naming("deadline"):
        guards: list[HTTPLayer] = [] if deadline is None else [Deadline(deadline)]
    guards += [Admission(), BodyLimit(), *failures]
    if keys != "open":
        guards.append(KeyAuth(keys))
    with naming("limits"):
        return [*guards, *_limits(DEFAULT_RATE if limits is None else limits)]


def deadline_of(layers: Sequence[HTTPLayer]) -> float | None:
    """How many seconds *layers* leave a request; None where they do not bound it."""
    return min((layer.seconds for layer in layers if isinstance(layer, Deadline)), default=None)


def _limits(limits: str | HTTPLayer | Sequence[HTTPLayer]) -> Sequence[HTTPLayer]:
    if isinstance(limits, str):
        return [RateLimit(limits)]
    return checked_layers([limits] if callable(limits) else limits)


def auth_failures(rate: str | None, proxies: Sequence[str] | None) -> list[HTTPLayer]:
    """The layer that bounds failed authentication, where there is to be one."""
    with naming("auth_failures"):
        # Nothing having been said of proxies, what one has forwarded comes from an unknown address.
        return [] if rate is None else [AuthFailures(rate, spare_forwarded=proxies is None)]


def registry_of(given: Registry | str) -> Registry:
    """The registry that is meant.

    Raises:
        ConfigurationError: it is neither one nor the URL of one.
    """
    if isinstance(given, str):
        from .registry import SqlRegistry

        return SqlRegistry(given)
    if not hasattr(given, "list"):
        raise ConfigurationError(f"registry={given!r}: accepts a SqlRegistry, or the URL of its database")
    return given


@contextlib.contextmanager
def naming(option: str) -> Iterator[None]:
    """A refusal names the option the user wrote, and not the one it became."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from None


def given_layers(layers: Sequence[HTTPLayer], keys: object, limits: object) -> Sequence[HTTPLayer]:
    """*layers*, given whole.

    Raises:
        ConfigurationError: *keys* or *limits* are given too, or nothing asks for a key.
    """
    layers = checked_layers(layers)
    if limits is not None or keys not in (None, "open"):
        raise ConfigurationError(
            "layers: given whole, they hold KeyAuth and RateLimit: leave keys and limits out"
        )
    if keys is None and not any(isinstance(layer, KeyAuth) for layer in layers):
        raise ConfigurationError('layers: there is no KeyAuth among them: add one, or say keys="open"')
    return layers


def spoken(given: Sequence[str | Dialect] | None) -> dict[str, Dialect]:
    """The dialects spoken, by name.

    Raises:
        ConfigurationError: one is unknown, or given twice, or there are none.
    """
    chosen = list(DIALECTS) if given is None else [given] if isinstance(given, str) else list(given)
    dialects: dict[str, Dialect] = {}
    for dialect in chosen:
        if isinstance(dialect, str) and dialect in DIALECTS:
            dialect = DIALECTS[dialect]()
        if isinstance(dialect, str | type) or not hasattr(dialect, "decode") or dialect.name in dialects:
            raise ConfigurationError(
                f"dialects={given!r}: accepts a Dialect, or {', '.join(DIALECTS)}; each once"
            )
        dialects[dialect.name] = dialect
    if not dialects:
        raise ConfigurationError(f"dialects={given!r}: accepts at least one")
    return dialects

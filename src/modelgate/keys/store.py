"""Key stores. A store keeps the digests of its keys, never the keys."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..errors import ConfigurationError
from ..flow import Flow
from .digest import LONGEST, SHORTEST, digest_of, same
from .generate import PREFIX, is_intact
from .principal import Principal, parse_scopes

__all__ = ["KeyStore", "MemoryKeyStore", "key_store"]

ACCEPTED = (
    '{key: deployments}, "env:VARIABLE", the URL of a database, a key store,'
    ' or "open" for a gate that anyone may use'
)

_DATABASE = re.compile(r"(sqlite|postgres(ql)?)(\+\w+)?:")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)


class KeyStore(Protocol):
    """Where keys are looked up."""

    def find(self, key: str) -> Flow[Principal | None]:
        """Whose *key* it is, None where nobody's. Any text at all may be asked for.

        It is a generator, as every `Flow`: with ``yield from run(…)`` for what blocks, ``yield from ()``
        where it never waits.

        Raises:
            KeyInactive: the key is known, and revoked, expired or not valid yet.
            StoreError: the store cannot be asked.
        """


class MemoryKeyStore:
    """Keys given when the program starts.

    Args:
        keys: for each key the deployment it opens, several, or ``"*"`` for every one; with an action
            where it is for that alone, ``"churn:predict"``. A key may be given as ``sha256:`` and its
            hexadecimal digest, so that the configuration holds none.

    Raises:
        ConfigurationError: there are none, or one of them is too short, too long, or opens nothing.
    """

    def __init__(self, keys: Mapping[str, str | Sequence[str]]) -> None:
        if not isinstance(keys, Mapping) or not keys:
            raise ConfigurationError("keys: accepts {key: deployments} with at least one key")
        self._principals = dict(_entry(key, deployments) for key, deployments in keys.items())
        if len(self._principals) < len(keys):
            raise ConfigurationError("keys: a key is there twice: accepts it plainly or by its digest, once")

    @classmethod
    def from_environ(cls, variable: str = "MODELGATE_KEYS") -> "MemoryKeyStore":
        """The keys in an environment variable: ``key=churn,price another=*``, parted by white space.

        Raises:
            ConfigurationError: the variable is not set, or an entry has another form.
        """
        entries = os.environ.get(variable, "").split()
        if not entries:
            raise ConfigurationError(
                f"keys: the environment variable {variable} is not set: set key=deployment"
            )
        keys = {}
        for at, entry in enumerate(entries):
            key, equals, deployments = entry.rpartition("=")
            if not equals:
                raise ConfigurationError(f"keys: entry {at} of {variable} has no '=': write key=deployment")
            if key in keys:
                raise ConfigurationError(
                    f"keys: entry {at} of {variable} has a key that stands there already"
                )
            keys[key] = deployments.split(",")
        return cls(keys)

    def __repr__(self) -> str:
        return f"MemoryKeyStore({len(self._principals)} keys)"

    def find(self, key: str) -> Flow[Principal | None]:
        """See `KeyStore.find`."""
        yield from ()
        digest = digest_of(key)
        if digest is None:
            return None
        kept, principal = self._principals.get(digest, (b"", None))
        return principal if same(kept, digest) else None


def _entry(key: str, deployments: str | Sequence[str]) -> tuple[bytes, tuple[bytes, Principal]]:
    if not isinstance(key, str):
        raise ConfigurationError(f"keys: a key is of type {type(key).__name__}: accepts text")
    told = _DIGEST.fullmatch(key)
    if told is None and key.lower().startswith("sha256:"):
        raise ConfigurationError("keys: a digest is misspelled: accepts sha256: and 64 hexadecimal digits")
    if told is None and not SHORTEST <= len(key) <= LONGEST:
        raise ConfigurationError(
            f"keys: a key has {len(key)} characters: accepts {SHORTEST} to {LONGEST}, as"
            " modelgate.keys.generate() makes them"
        )
    digest = bytes.fromhex(told[1]) if told else digest_of(key)
    if digest is None:
        raise ConfigurationError("keys: a key has characters that are not ASCII")
    if told is None and key.startswith(f"{PREFIX}_") and not is_intact(key):
        raise ConfigurationError(
            f"keys: a key that begins with {PREFIX}_ has a wrong checksum: copy all of it"
        )
    return digest, (digest, Principal.of(digest.hex()[:12], parse_scopes(deployments)))


def key_store(keys: KeyStore | Mapping[str, str | Sequence[str]] | str) -> KeyStore:
    """The store that *keys* means.

    Args:
        keys: a store, a mapping for `MemoryKeyStore`, ``env:VARIABLE``, or the URL of a database for
            `SqlKeyStore`.

    Raises:
        ConfigurationError: it is none of them.
    """
    if isinstance(keys, Mapping):
        return MemoryKeyStore(keys)
    if isinstance(keys, str):
        scheme, _, variable = keys.partition(":")
        if _DATABASE.match(keys):
            from .sql import SqlKeyStore

            return SqlKeyStore(keys)
        if scheme != "env" or not variable:
            raise ConfigurationError(f"keys: accepts {ACCEPTED}")
        return MemoryKeyStore.from_environ(variable)
    if isinstance(keys, type) or not callable(getattr(keys, "find", None)):
        raise ConfigurationError(f"keys: accepts {ACCEPTED}")
    return keys

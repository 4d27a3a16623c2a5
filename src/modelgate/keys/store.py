"""Key stores."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from ..errors import ConfigurationError
from ..flow import Flow
from .digest import constant_time_equal, hash_key
from .own_form import digest_own_key
from .principal import Principal, parse_scopes

__all__ = ["KeyStore", "MemoryKeyStore", "key_store"]

ACCEPTED = (
    '{key: deployments}, "env:VARIABLE", the URL of a database, a key store,'
    ' or "open" for a gate that anyone may use'
)

_DATABASE = re.compile(r"(sqlite|postgres(ql)?)(\+\w+)?:")


class KeyStore(Protocol):
    """Protocol of key stores, which contain digests of API keys, never the keys themselves."""

    def find(self, key: str) -> Flow[Principal | None]:
        """Return the principal of *key*, or None if the key is unknown. *key* may be any text.

        Implement this method as a generator; see `Flow`. Make blocking calls with ``yield from run(…)``. If
        there are no blocking calls, write ``yield from ()``.

        Raises:
            KeyInactive: The key is known, but revoked, expired or not valid yet.
            StoreError: The store is unavailable.
        """


class MemoryKeyStore:
    """Key store for keys that are configured when the program starts.

    Args:
        keys: Mapping of each key to the deployments it permits: one, several, or ``"*"`` for all. A
            deployment may be limited to one action, as in ``"churn:predict"``. To avoid secrets in the
            configuration, replace a key by ``sha256:`` and its digest in hexadecimal.

    Raises:
        ConfigurationError: There are no keys, or a key is too short or too long, or has no valid
            scopes.
    """

    def __init__(self, keys: Mapping[str, str | Sequence[str]]) -> None:
        if not isinstance(keys, Mapping):
            raise ConfigurationError(f"keys must be {{key: deployments}} (got {type(keys).__name__})")
        if not keys:
            raise ConfigurationError("keys must contain at least one key (got none): use {key: deployments}")
        self._principals = dict(_parse_entry(key, deployments) for key, deployments in keys.items())
        if len(self._principals) < len(keys):
            raise ConfigurationError(
                "keys must be unique (got the same key as text and as a digest): remove one of the two"
            )

    @classmethod
    def from_environ(cls, variable: str = "MODELGATE_KEYS") -> "MemoryKeyStore":
        """Read the keys from an environment variable with a value such as ``key1=churn,price key2=*``.

        Spaces separate the entries. Each entry is a key and its deployments.

        Raises:
            ConfigurationError: The variable is not set, or an entry is malformed.
        """
        entries = os.environ.get(variable, "").split()
        if not entries:
            raise ConfigurationError(
                f"keys: the environment variable {variable} is not set: set it to key=deployment"
            )
        keys = {}
        for number, entry in enumerate(entries, 1):
            key, equals, deployments = entry.rpartition("=")
            if not equals:
                raise ConfigurationError(
                    f"keys: entry {number} of {variable} must be key=deployment (got no '=')"
                )
            if key in keys:
                raise ConfigurationError(
                    f"keys: the keys in {variable} must be unique (got the key of entry {number} twice):"
                    " remove one of the two entries"
                )
            keys[key] = deployments.split(",")
        return cls(keys)

    def __repr__(self) -> str:
        return f"MemoryKeyStore({len(self._principals)} keys)"

    @property
    def deployments(self) -> frozenset[str]:
        """Names of the deployments that the keys permit, without ``"*"``."""
        principals = [principal for _, principal in self._principals.values()]
        names = {scope.partition(":")[0] for principal in principals for scope in principal.scopes or ()}
        return frozenset(names.union(*(principal.deployments or () for principal in principals)) - {"*"})

    def find(self, key: str) -> Flow[Principal | None]:
        """See `KeyStore.find`."""
        yield from ()
        return self.get(key)

    def get(self, key: str) -> Principal | None:
        """Return the principal of *key*, or None if the key is unknown. *key* may be any text."""
        digest = hash_key(key)
        if digest is None:
            return None
        stored, principal = self._principals.get(digest, (b"", None))
        return principal if constant_time_equal(stored, digest) else None


def _parse_entry(key: str, deployments: str | Sequence[str]) -> tuple[bytes, tuple[bytes, Principal]]:
    """Return the digest of a configured key, and the value that `MemoryKeyStore` stores under this digest."""
    digest = digest_own_key(key, "keys: a key")
    return digest, (digest, Principal.from_scopes(_key_id(digest), parse_scopes(deployments)))


@lru_cache(maxsize=4096)
def _key_id(digest: bytes) -> str:
    """Return the id of a configured key. It is the same in every process and after a restart.

    Ids appear in logs and in Redis. They are slow to compute, so that they do not help to guess a key that a
    person chose: a guess takes 4 ms, instead of 0.5 µs if the id were a part of the digest.
    """
    return hashlib.pbkdf2_hmac("sha256", digest, b"modelgate key id", 20_000, dklen=6).hex()


def key_store(keys: KeyStore | Mapping[str, str | Sequence[str]] | str) -> KeyStore:
    """Return the key store for the option *keys*.

    Args:
        keys: Key store, mapping for `MemoryKeyStore`, ``env:VARIABLE``, or URL of a database for
            `SqlKeyStore`.

    Raises:
        ConfigurationError: *keys* has another form.
    """
    if isinstance(keys, Mapping):
        return MemoryKeyStore(keys)
    if isinstance(keys, str):
        scheme, _, variable = keys.partition(":")
        if _DATABASE.match(keys):
            from .sql_store import SqlKeyStore

            return SqlKeyStore(keys)
        if scheme == "env" and variable:
            return MemoryKeyStore.from_environ(variable)
        # Do not show the text: it may be a key, or contain a password.
        raise ConfigurationError(f"keys must be {ACCEPTED} (got another string)")
    if isinstance(keys, type) or not callable(getattr(keys, "find", None)):
        raise ConfigurationError(f"keys must be {ACCEPTED} (got {type(keys).__name__})")
    return keys

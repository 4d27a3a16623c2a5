"""Key stores. A store keeps the SHA-256 digests of its keys, never the keys.

A generated key has more entropy than can be guessed, so a fast digest is enough and a slow password
hash would only cost every request a tenth of a second. Looking a digest up also leaks nothing by
its timing: who can choose a key cannot choose its digest. That holds for long random keys alone,
hence the shortest length accepted.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import ConfigurationError
from ..flow import Flow

__all__ = ["KeyStore", "MemoryKeyStore", "Principal", "key_store"]

SHORTEST, LONGEST = 16, 256
"""How many characters a key has."""

ACCEPTED = '{key: deployments}, "env:VARIABLE", a key store, or "open" for a gate that anyone may use'

_NAME = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose key it is.

    Args:
        id: names the key in logs and limits; it does not give the key away.
        deployments: those the key opens; None for every one.
        owner: who has the key.
        limits: rate windows of this key alone, in place of the gate's.
        counted_as: what limits count by, where that is not *id*: a key that replaces another goes on
            with its counts.
    """

    id: str
    deployments: tuple[str, ...] | None
    owner: str | None = None
    limits: str | None = None
    counted_as: str | None = None

    def may_use(self, deployment: str) -> bool:
        """Whether the key opens *deployment*."""
        return self.deployments is None or deployment in self.deployments


class KeyStore(Protocol):
    """Where keys are looked up."""

    def find(self, key: str) -> Flow[Principal | None]:
        """Whose *key* it is, None where nobody's. Any text at all may be asked for."""


class MemoryKeyStore:
    """Keys given when the program starts.

    Args:
        keys: for each key the deployment it opens, several, or ``"*"`` for every one. A key may be
            given as ``sha256:`` and its hexadecimal digest, so that the configuration holds none.

    Raises:
        ConfigurationError: there are none, or one of them is too short, too long, or opens nothing.
    """

    def __init__(self, keys: Mapping[str, str | Sequence[str]]) -> None:
        if not keys:
            raise ConfigurationError("keys: accepts at least one key")
        self._principals = dict(_entry(key, deployments) for key, deployments in keys.items())

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
        if not key or len(key) > LONGEST:
            return None
        return self._principals.get(_digest(key))


def _entry(key: str, deployments: str | Sequence[str]) -> tuple[bytes, Principal]:
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
    names = (deployments,) if isinstance(deployments, str) else tuple(deployments)
    wrong = [name for name in names if not isinstance(name, str) or not _NAME.fullmatch(name)]
    if wrong or not names:
        raise ConfigurationError(
            f'keys: a key opens {wrong or "nothing"}: accepts names of deployments, or "*"'
        )
    digest = bytes.fromhex(told[1]) if told else _digest(key)
    return digest, Principal(digest.hex()[:12], None if "*" in names else names)


def _digest(key: str) -> bytes:
    # "replace": JSON can spell a lone surrogate, which UTF-8 cannot.
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def key_store(keys: KeyStore | Mapping[str, str | Sequence[str]] | str) -> KeyStore:
    """The store that *keys* means.

    Args:
        keys: a store, a mapping for `MemoryKeyStore`, or ``env:VARIABLE``.

    Raises:
        ConfigurationError: it is none of them.
    """
    if isinstance(keys, Mapping):
        return MemoryKeyStore(keys)
    if isinstance(keys, str):
        scheme, _, variable = keys.partition(":")
        if scheme != "env" or not variable:
            raise ConfigurationError(f"keys: accepts {ACCEPTED}")
        return MemoryKeyStore.from_environ(variable)
    if not hasattr(keys, "find"):
        raise ConfigurationError(f"keys: accepts {ACCEPTED}")
    return keys

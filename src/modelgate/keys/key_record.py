"""Records of API keys, and whether they are active at a given time."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from ..errors import KeyInactive
from .principal import Principal

__all__ = ["KeyRecord", "NewKey", "State", "inactive_key_error"]

State: TypeAlias = Literal["active", "pending", "expired", "replaced", "revoked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """Record of an API key in the store, without its digest. All times have a time zone.

    Args:
        id: Id of the key.
        prefix: First characters of the key, which may be shown to identify it.
        owner: Owner of the key.
        scopes: Permitted deployments and actions, as returned by `parse_scopes`.
        limits: Rate limits of this key, which replace the gate's limits.
        counted_as: Id under which rate limits count this key, the same for a key and its replacement.
        created: Time of creation.
        not_before: Start of validity.
        expires: End of validity.
        revoked: Time of revocation.
        replaced_by: Id of the key that replaces this key. This key stays valid until *expires*.
        last_used: Time of the last accepted request, accurate to a minute.
    """

    id: str
    prefix: str
    owner: str
    scopes: tuple[str, ...]
    limits: str | None
    counted_as: str
    created: datetime
    not_before: datetime | None = None
    expires: datetime | None = None
    revoked: datetime | None = None
    replaced_by: str | None = None
    last_used: datetime | None = None

    def state(self, now: datetime) -> State:
        """Return the state of the key at the time *now*."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and now >= self.expires:
            return "expired" if self.replaced_by is None else "replaced"
        return "pending" if self.not_before is not None and now < self.not_before else "active"

    def principal(self) -> Principal:
        """Return the owner and permissions of the key."""
        return Principal.from_scopes(
            self.id, self.scopes, owner=self.owner, limits=self.limits, limit_bucket=self.counted_as
        )


@dataclass(frozen=True, slots=True)
class NewKey:
    """A newly created key.

    Args:
        key: The key itself, which is not stored: show it to the owner once.
        record: Record of the key in the store.
    """

    key: str = field(repr=False)
    record: KeyRecord


def inactive_key_error(record: KeyRecord, now: datetime) -> KeyInactive | None:
    """Return the error for a caller who uses the key, or None if the key is active at the time *now*."""
    state = record.state(now)
    if state == "active":
        return None
    message = {
        "revoked": "This API key was revoked. Ask its issuer for a new one",
        "expired": f"This API key expired at {_format(record.expires)}. Ask its issuer for a new one",
        "replaced": f"This API key was replaced and expired at {_format(record.expires)}. Use the new key",
        "pending": f"This API key is not valid before {_format(record.not_before)}",
    }[state]
    return KeyInactive(record.id, state, message)


def _format(time: datetime | None) -> str:
    return time.isoformat(" ", "seconds") if time is not None else "-"

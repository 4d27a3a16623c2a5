"""What a store keeps of a key, and what follows from it at a moment."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from ..errors import KeyInactive
from .principal import Principal

__all__ = ["KeyRecord", "NewKey", "State", "refusal"]

State: TypeAlias = Literal["active", "pending", "expired", "replaced", "revoked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What a store keeps of a key, but for its digest. Moments have a time zone.

    Args:
        id: names the key.
        prefix: the part of the key by which people may know it.
        owner: who has it.
        scopes: what it opens, as `parse_scopes` gives it.
        limits: rate windows of this key alone, in place of the gate's.
        counted_as: what limits count by.
        created: when it was made.
        not_before: when it begins to be valid.
        expires: when it ends.
        revoked: when it was revoked.
        replaced_by: the id of the key that replaces it; it is valid beside that one until it expires.
        last_used: when it was last accepted, a minute more or less.
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
        """How it stands at the moment *now*."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and now >= self.expires:
            return "expired" if self.replaced_by is None else "replaced"
        return "pending" if self.not_before is not None and now < self.not_before else "active"

    def principal(self) -> Principal:
        """Whose key it is."""
        return Principal.of(
            self.id, self.scopes, owner=self.owner, limits=self.limits, counted_as=self.counted_as
        )


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that has just been made.

    Args:
        key: the key itself. It is kept nowhere: show it once.
        record: what the store keeps of it.
    """

    key: str = field(repr=False)
    record: KeyRecord


def refusal(record: KeyRecord, now: datetime) -> KeyInactive | None:
    """Why the key is refused at the moment *now*; None where it is not."""
    state = record.state(now)
    if state == "active":
        return None
    message = {
        "revoked": "This API key was revoked: ask whom you had it from for another",
        "expired": f"This API key expired at {_told(record.expires)}: ask whom you had it from for another",
        "replaced": f"This API key was replaced, and ended at {_told(record.expires)}: use its successor",
        "pending": f"This API key is not valid before {_told(record.not_before)}",
    }[state]
    return KeyInactive(record.id, state, message)


def _told(moment: datetime | None) -> str:
    return moment.isoformat(" ", "seconds") if moment is not None else "-"

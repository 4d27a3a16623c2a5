"""The keys in a database: one table, SQLite or PostgreSQL. What is here blocks."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

from ..database import Database, Moment, sa
from ..errors import ConfigurationError, KeyInactive, NotFound
from ..limiting.windows import parse_windows
from .database import KEYS, METADATA
from .digest import digest_of, pepper_of, same
from .generate import PREFIX, generate, shown
from .principal import parse_scopes
from .record import KeyRecord, NewKey, refusal

__all__ = ["KeyTable"]

_SHOWN = [KEYS.c[field.name] for field in fields(KeyRecord)]


class KeyTable(Database):
    """The keys in a database. Makes its table where there is none.

    Args:
        url: ``sqlite:///keys.db``, or ``postgresql://…`` for many machines.
        pepper: a secret kept outside the database: digests are then HMAC-SHA-256 with it; by default
            what the environment variable ``MODELGATE_KEYS_PEPPER`` says.
        prefix: of the keys made here.
        clock: gives the time in seconds since the epoch.

    Raises:
        ConfigurationError: an option cannot work, or a package is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        pepper: str | None = None,
        prefix: str = PREFIX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        generate(prefix)
        self._pepper = pepper_of(pepper)
        self._prefix = prefix
        self._clock = clock
        super().__init__(url, METADATA, option="keys")

    def create(
        self,
        *,
        owner: str,
        scopes: str | Iterable[str],
        limits: str | None = None,
        not_before: datetime | None = None,
        expires: datetime | None = None,
    ) -> NewKey:
        """Make a key.

        Args:
            owner: who gets it.
            scopes: what it opens: ``"churn"``, ``"churn:predict"``, ``"*"``, ``"*:read"``, or several.
            limits: rate windows of this key alone, in place of the gate's.
            not_before: when it begins to be valid.
            expires: when it ends.

        Raises:
            ConfigurationError: an option cannot work.
            StoreError: the database cannot be asked.
        """
        if not isinstance(owner, str) or not owner.strip() or not owner.isprintable():
            raise ConfigurationError("owner: accepts the name of who gets the key, in printable text")
        if limits is not None:
            parse_windows(limits, option="limits")
            limits = " ".join(limits.split())
        begins, ends = _in_order(_in_utc("not_before", not_before), _in_utc("expires", expires))
        name = f"k_{secrets.token_hex(8)}"
        record = KeyRecord(
            id=name,
            prefix="",
            owner=owner,
            scopes=parse_scopes(scopes, option="scopes"),
            limits=limits,
            counted_as=name,
            created=self._now(),
            not_before=begins,
            expires=ends,
        )
        with self._transaction() as connection:
            return self._insert(connection, record)

    def list(self, owner: str | None = None) -> Sequence[KeyRecord]:
        """The keys of *owner*, or all of them, the oldest first.

        Raises:
            StoreError: the database cannot be asked.
        """
        chosen = sa.select(*_SHOWN).order_by(KEYS.c.created, KEYS.c.id)
        if owner is not None:
            chosen = chosen.where(KEYS.c.owner == owner)
        with self._transaction() as connection:
            return [_record(row) for row in connection.execute(chosen).mappings()]

    def show(self, key_id: str) -> KeyRecord:
        """What is kept of the key with the id *key_id*.

        Raises:
            NotFound: there is none.
            StoreError: the database cannot be asked.
        """
        with self._transaction() as connection:
            row = connection.execute(sa.select(*_SHOWN).where(KEYS.c.id == key_id)).mappings().first()
        if row is None:
            # Not shown: it may be a key, given where an id is meant.
            raise NotFound("There is no key with this id: modelgate keys list shows the ids")
        return _record(row)

    def rotate(
        self, key_id: str, *, grace: timedelta = timedelta(days=1), expires: datetime | None = None
    ) -> NewKey:
        """Make a key that replaces *key_id*. Both are valid for the time of *grace*.

        The new one has the same owner, scopes and limits, and goes on with the counts.

        Args:
            key_id: the id of the key to replace.
            grace: how long that one stays valid.
            expires: when the new one ends; by default when the old one would have.

        Raises:
            NotFound, KeyInactive: there is no such key, or it is not active, or replaced already.
            ConfigurationError, StoreError: see `create`.
        """
        now = self._now()
        over, expires = _after("grace", now, grace), _in_utc("expires", expires)
        old = self.show(key_id)
        refused = refusal(old, now)
        if refused is not None:
            raise refused
        new = replace(
            old,
            id=f"k_{secrets.token_hex(8)}",
            created=now,
            not_before=None,
            expires=expires or old.expires,
            last_used=None,
        )
        ends = min(filter(None, (old.expires, over)))
        free = (KEYS.c.id == key_id) & KEYS.c.replaced_by.is_(None) & KEYS.c.revoked.is_(None)
        with self._transaction() as connection:
            # First what others may be doing at the same time: only one of two rotations finds it free.
            done = connection.execute(sa.update(KEYS).where(free).values(replaced_by=new.id, expires=ends))
            if not done.rowcount:
                raise KeyInactive(
                    key_id, "replaced", f"The key {key_id} has a successor already: rotate that"
                )
            return self._insert(connection, new)

    def revoke(self, key_id: str) -> KeyRecord:
        """End the key *key_id* for good, and now. A key that replaces it stays valid.

        Raises:
            NotFound, StoreError: see `show`.
        """
        first = sa.func.coalesce(KEYS.c.revoked, sa.literal(self._now(), Moment))
        with self._transaction() as connection:
            connection.execute(sa.update(KEYS).where(KEYS.c.id == key_id).values(revoked=first))
        return self.show(key_id)

    def expire(self, key_id: str, at: datetime | None = None) -> KeyRecord:
        """Have the key *key_id* end at a moment; by default now.

        One that has expired is valid again where *at* is to come; one that was revoked is not.

        Raises:
            NotFound, StoreError: see `show`.
            KeyInactive: it was replaced, and would end later than it does.
            ConfigurationError: *at* has no time zone.
        """
        ends = _in_utc("at", at) or self._now()
        free = (KEYS.c.id == key_id) & (KEYS.c.replaced_by.is_(None) | (KEYS.c.expires >= ends))
        with self._transaction() as connection:
            done = connection.execute(sa.update(KEYS).where(free).values(expires=ends))
        record = self.show(key_id)
        if not done.rowcount:
            raise KeyInactive(key_id, "replaced", f"The key {key_id} was replaced: it ends no later for that")
        return record

    def fetch(self, digest: bytes) -> KeyRecord | None:
        """What is kept of the key with this *digest*, None where there is none.

        Raises:
            StoreError: the database cannot be asked.
        """
        chosen = sa.select(KEYS.c.digest, *_SHOWN).where(KEYS.c.digest == digest)
        with self._transaction() as connection:
            row = connection.execute(chosen).mappings().first()
        return _record(row) if row is not None and same(row["digest"], digest) else None

    def note_use(self, uses: Mapping[str, datetime], *, at_most_every: timedelta) -> None:
        """Keep when keys were last used, by their ids, unless what is kept is young enough.

        Raises:
            StoreError: the database cannot be asked.
        """
        with self._transaction() as connection:
            for key_id, when in uses.items():
                old = KEYS.c.last_used.is_(None) | (KEYS.c.last_used <= when - at_most_every)
                connection.execute(sa.update(KEYS).where(KEYS.c.id == key_id, old).values(last_used=when))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _insert(self, connection: sa.Connection, record: KeyRecord) -> NewKey:
        key = generate(self._prefix)
        record = replace(record, prefix=shown(key))
        row = {column.name: getattr(record, column.name) for column in _SHOWN}
        row.update(digest=digest_of(key, self._pepper), scopes=" ".join(record.scopes))
        connection.execute(sa.insert(KEYS).values(row))
        return NewKey(key, record)


def _record(row: sa.RowMapping) -> KeyRecord:
    told = {column.name: row[column.name] for column in _SHOWN}
    return KeyRecord(**{**told, "scopes": tuple(told["scopes"].split())})


def _in_utc(option: str, moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ConfigurationError(f"{option}={moment!r}: accepts a datetime with a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(f"{option}={moment}: accepts the years 1 to 9999 of UTC") from None


def _in_order(begins: datetime | None, ends: datetime | None) -> tuple[datetime | None, datetime | None]:
    if begins is not None and ends is not None and begins >= ends:
        raise ConfigurationError(f"not_before={begins}: accepts what is before expires={ends}")
    return begins, ends


def _after(option: str, now: datetime, span: timedelta) -> datetime:
    if not isinstance(span, timedelta) or span < timedelta():
        raise ConfigurationError(f"{option}={span!r}: accepts a timedelta from 0")
    try:
        return now + span
    except OverflowError:
        raise ConfigurationError(f"{option}={span}: accepts what ends before the year 10000") from None

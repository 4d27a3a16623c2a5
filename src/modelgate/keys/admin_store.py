"""Administer API keys in SQLite or PostgreSQL. All calls block."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..backends.sql import Database, UTCDateTime, sa
from ..codecs.key_checksum import has_valid_checksum
from ..errors import ConfigurationError, KeyInactive, NotFound, error_context
from ..limiting.windows import parse_windows
from .digest import constant_time_equal, load_pepper
from .generate import PREFIX, display_prefix, generate
from .key_record import KeyRecord, NewKey, inactive_key_error
from .own_form import digest_own_key
from .principal import parse_scopes
from .sql_schema import KEYS, METADATA

__all__ = ["KeyAdmin"]

_NO_PREFIX = ""
"""Prefix of keys that were not generated and so have no checksum."""

_RECORD_COLUMNS = [KEYS.c[field.name] for field in fields(KeyRecord)]


class KeyAdmin:
    """Administration of the API keys in a database. The table is created if it is missing.

    Args:
        url: ``sqlite:///keys.db``, or ``postgresql://…`` for several machines.
        pepper: Secret stored outside the database; by default the value of the environment variable
            ``MODELGATE_KEYS_PEPPER``. With a pepper, digests are HMAC-SHA-256, otherwise SHA-256.
        prefix: Prefix of new keys.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: An option is invalid, or a package is missing.
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
        self._pepper = load_pepper(pepper)
        self._prefix = prefix
        self._clock = clock
        self._db = Database(url, METADATA, option="keys")

    @property
    def backend(self) -> str:
        """Database system: ``"sqlite"`` or ``"postgresql"``."""
        return self._db.backend

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backend})"

    def close(self) -> None:
        """Close the connections. They are reopened on demand."""
        self._db.close()

    def create(
        self,
        *,
        owner: str,
        scopes: str | Iterable[str],
        limits: str | None = None,
        not_before: datetime | None = None,
        expires: datetime | None = None,
        key: str | None = None,
    ) -> NewKey:
        """Create a key, or add an existing key that callers already use.

        Args:
            owner: Owner of the key.
            scopes: One scope or several: ``"churn"``, ``"churn:predict"``, ``"*"`` or ``"*:read"``.
            limits: Rate limits of this key, which replace the gate's limits.
            not_before: Start of validity.
            expires: End of validity.
            key: Existing key of 16 to 256 ASCII characters. If the store has no pepper, it may also be
                ``sha256:`` and the key's digest in hexadecimal. None for a new key.

        Raises:
            ConfigurationError: An option is invalid, or the store already contains the key.
            StoreError: The database is unavailable.
        """
        record = self._create_record(owner, scopes, limits, not_before, expires)
        if key is not None:
            self._check_own_key(key)
        with self._db.transaction() as connection:
            return self._insert(connection, record, key)

    def import_keys(self, keys: Iterable[tuple[str, Mapping[str, Any]]]) -> Sequence[KeyRecord]:
        """Add existing keys that callers already use. Either all keys are added, or none.

        Args:
            keys: Pairs of a key (or its digest) and a mapping with the other arguments of `create`:
                ``("the-key-of-an-older-service", {"owner": "sales", "scopes": "churn"})``.

        Returns:
            The records of the keys, in the same order.

        Raises:
            ConfigurationError: A key cannot be added. The message contains its position, counted from 1.
            StoreError: The database is unavailable.
        """
        records: list[tuple[KeyRecord, str]] = []
        numbers: dict[bytes, int] = {}
        for number, (key, options) in enumerate(keys, start=1):
            with error_context(f"key {number}"):
                if numbers.setdefault(self._check_own_key(key), number) != number:
                    raise ConfigurationError("key must be listed once (got it twice)")
                records.append((self._create_record(**options), key))
        with self._db.transaction() as connection:
            return [self._insert(connection, record, key).record for record, key in records]

    def _create_record(
        self,
        owner: str,
        scopes: str | Iterable[str],
        limits: str | None = None,
        not_before: datetime | None = None,
        expires: datetime | None = None,
    ) -> KeyRecord:
        if not isinstance(owner, str) or not owner.strip() or not owner.isprintable():
            raise ConfigurationError(f"owner must be the owner's name in printable text (got {owner!r})")
        if limits is not None:
            parse_windows(limits, option="limits")
            limits = " ".join(limits.split())
        starts_at, ends_at = _to_utc("not_before", not_before), _to_utc("expires", expires)
        if starts_at is not None and ends_at is not None and starts_at >= ends_at:
            raise ConfigurationError(f"not_before must be before expires={ends_at} (got {starts_at})")
        name = f"k_{secrets.token_hex(8)}"
        return KeyRecord(
            id=name,
            prefix="",
            owner=owner,
            scopes=parse_scopes(scopes, option="scopes"),
            limits=limits,
            counted_as=name,
            created=self._now(),
            not_before=starts_at,
            expires=ends_at,
        )

    def list(self, owner: str | None = None) -> Sequence[KeyRecord]:
        """Return the keys of *owner*, or all keys, oldest first.

        Raises:
            StoreError: The database is unavailable.
        """
        query = sa.select(*_RECORD_COLUMNS).order_by(KEYS.c.created, KEYS.c.id)
        if owner is not None:
            query = query.where(KEYS.c.owner == owner)
        with self._db.transaction() as connection:
            return [_to_record(row) for row in connection.execute(query).mappings()]

    def show(self, key_id: str) -> KeyRecord:
        """Return the record of the key with the id *key_id*.

        Raises:
            NotFound: There is no such key.
            StoreError: The database is unavailable.
        """
        query = sa.select(*_RECORD_COLUMNS).where(KEYS.c.id == key_id)
        with self._db.transaction() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            # The message does not quote the id: it may be a key, passed by mistake.
            raise NotFound("There is no key with this id: to see the ids, run modelgate keys list")
        return _to_record(row)

    def rotate(
        self, key_id: str, *, grace: timedelta = timedelta(days=1), expires: datetime | None = None
    ) -> NewKey:
        """Create a key that replaces the key *key_id*. Both keys are valid during *grace*.

        The new key has the owner, scopes and limits of the old key. Rate limits count both keys together.

        Args:
            key_id: Id of the key to replace.
            grace: Time for which the old key stays valid.
            expires: End of validity of the new key; by default the end of validity that the old key had.

        Raises:
            NotFound: There is no such key.
            KeyInactive: The key is not active, or it was already replaced.
            ConfigurationError: An option is invalid.
            StoreError: The database is unavailable.
        """
        now = self._now()
        grace_end, expires = _add("grace", grace, now), _to_utc("expires", expires)
        old = self.show(key_id)
        error = inactive_key_error(old, now)
        if error is not None:
            raise error
        new = replace(
            old,
            id=f"k_{secrets.token_hex(8)}",
            created=now,
            not_before=None,
            expires=expires or old.expires,
            last_used=None,
        )
        ends_at = min(filter(None, (old.expires, grace_end)))
        replaceable = (KEYS.c.id == key_id) & KEYS.c.replaced_by.is_(None) & KEYS.c.revoked.is_(None)
        update = sa.update(KEYS).where(replaceable).values(replaced_by=new.id, expires=ends_at)
        with self._db.transaction() as connection:
            # Update before inserting: of two concurrent rotations only one matches a row.
            if not connection.execute(update).rowcount:
                raise KeyInactive(
                    key_id, "replaced", f"The key {key_id} was already replaced: rotate its replacement"
                )
            return self._insert(connection, new)

    def revoke(self, key_id: str) -> KeyRecord:
        """Revoke the key *key_id* immediately and permanently. A key that replaces it stays valid.

        Raises:
            NotFound: There is no such key.
            StoreError: The database is unavailable.
        """
        # A second revocation does not change the time of the first.
        revoked_at = sa.func.coalesce(KEYS.c.revoked, sa.literal(self._now(), UTCDateTime))
        with self._db.transaction() as connection:
            connection.execute(sa.update(KEYS).where(KEYS.c.id == key_id).values(revoked=revoked_at))
        return self.show(key_id)

    def expire(self, key_id: str, at: datetime | None = None) -> KeyRecord:
        """Set the end of validity of the key *key_id*.

        An expired key becomes valid again if *at* is in the future; a revoked key does not.

        Args:
            key_id: Id of the key.
            at: New end of validity; by default now.

        Raises:
            NotFound: There is no such key.
            StoreError: The database is unavailable.
            KeyInactive: The key was replaced, and *at* is later than the current end of validity.
            ConfigurationError: *at* has no time zone.
        """
        ends_at = _to_utc("at", at) or self._now()
        changeable = (KEYS.c.id == key_id) & (KEYS.c.replaced_by.is_(None) | (KEYS.c.expires >= ends_at))
        with self._db.transaction() as connection:
            result = connection.execute(sa.update(KEYS).where(changeable).values(expires=ends_at))
        record = self.show(key_id)
        if not result.rowcount:
            raise KeyInactive(
                key_id, "replaced", f"The key {key_id} was replaced: its validity cannot be extended"
            )
        return record

    def fetch(self, digest: bytes) -> KeyRecord | None:
        """Return the record of the key with the digest *digest*, or None if there is none.

        Raises:
            StoreError: The database is unavailable.
        """
        query = sa.select(KEYS.c.digest, *_RECORD_COLUMNS).where(KEYS.c.digest == digest)
        with self._db.transaction() as connection:
            row = connection.execute(query).mappings().first()
        return _to_record(row) if row is not None and constant_time_equal(row["digest"], digest) else None

    def fetch_key_without_checksum(self) -> KeyRecord | None:
        """Return the record of any key that has no checksum, or None if all keys have one.

        Raises:
            StoreError: The database is unavailable.
        """
        query = sa.select(*_RECORD_COLUMNS).where(KEYS.c.prefix == _NO_PREFIX).limit(1)
        with self._db.transaction() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _to_record(row)

    def note_use(self, uses: Mapping[str, datetime], *, at_most_every: timedelta) -> None:
        """Store the times at which keys were last used.

        Args:
            uses: Time of the last use, by key id.
            at_most_every: Minimum interval between two writes for the same key. Uses in between are not
                stored.

        Raises:
            StoreError: The database is unavailable.
        """
        with self._db.transaction() as connection:
            for key_id, used_at in uses.items():
                outdated = KEYS.c.last_used.is_(None) | (KEYS.c.last_used <= used_at - at_most_every)
                update = sa.update(KEYS).where(KEYS.c.id == key_id, outdated)
                connection.execute(update.values(last_used=used_at))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _check_own_key(self, key: str) -> bytes:
        """Return the digest of an existing key. Raises `ConfigurationError` if the key cannot be added."""
        digest = digest_own_key(key, "key", self._pepper)
        stored = self.fetch(digest)
        if stored is not None:
            raise ConfigurationError(f"key must not be in the store yet (got the key with id {stored.id})")
        if not key.isprintable() or key.strip() != key:
            raise ConfigurationError(
                "key must be printable, without white space around it (got other characters)"
            )
        return digest

    def _insert(self, connection: sa.Connection, record: KeyRecord, own_key: str | None = None) -> NewKey:
        key = generate(self._prefix) if own_key is None else own_key
        # No part of a key without a checksum is shown, because any part may be secret.
        record = replace(record, prefix=display_prefix(key) if has_valid_checksum(key) else _NO_PREFIX)
        row = {column.name: getattr(record, column.name) for column in _RECORD_COLUMNS}
        row.update(digest=digest_own_key(key, "key", self._pepper), scopes=" ".join(record.scopes))
        connection.execute(sa.insert(KEYS).values(row))
        return NewKey(key, record)


def _to_record(row: sa.RowMapping) -> KeyRecord:
    values = {column.name: row[column.name] for column in _RECORD_COLUMNS}
    return KeyRecord(**{**values, "scopes": tuple(values["scopes"].split())})


def _to_utc(option: str, value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ConfigurationError(f"{option} must be a datetime with a time zone (got {value!r})")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(
            f"{option} must be within the years 1 to 9999 in UTC (got {value})"
        ) from None


def _add(option: str, duration: timedelta, now: datetime) -> datetime:
    if not isinstance(duration, timedelta) or duration < timedelta():
        raise ConfigurationError(f"{option} must be a timedelta of 0 or more (got {duration!r})")
    try:
        return now + duration
    except OverflowError:
        raise ConfigurationError(f"{option} must end before the year 10000 (got {duration})") from None

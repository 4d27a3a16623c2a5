"""Behaviour of all key stores, and of `SqlKeyStore`."""

import asyncio
import contextlib
import hashlib
import logging
import multiprocessing
import os
import sqlite3
import threading
import time
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from modelgate.backends.sql import Database
from modelgate.errors import ConfigurationError, KeyInactive, NotFound, StoreError
from modelgate.flow import adrive, drive
from modelgate.keys import MemoryKeyStore, SqlKeyStore, generate, has_valid_checksum, key_store
from modelgate.testing import FakeClock
from support.databases import DATABASES, make_database
from support.waiting import SOON

PEPPER = "a-pepper-of-sixteen-or-more"
HOUR = timedelta(hours=1)


@pytest.fixture(params=DATABASES)
def url(request):
    return make_database(request.param, request)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make(url, clock):
    """Return a function that opens stores on the same database. They are closed afterwards."""
    with contextlib.ExitStack() as stores:

        def opened(**options):
            store = SqlKeyStore(url, **{"clock": clock, **options})
            stores.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(make):
    return make()


@pytest.fixture
def now(clock):
    return datetime.fromtimestamp(clock(), UTC)


def find(store, key):
    return drive(store.find(key))


def find_error(store, key):
    """Return the state of a rejected key and the message for the caller."""
    with pytest.raises(KeyInactive) as info:
        find(store, key)
    return info.value.state, info.value.message


def wait_for_writes(store):
    """Wait until the store has finished its calls."""
    wait(store._under_way, 30)


class TestEveryStore:
    """Contract of `find`."""

    @pytest.fixture(params=["memory", "digests", "environment", *DATABASES])
    def store_and_key(self, request, monkeypatch):
        """A store of each kind, and a key for churn only."""
        key = generate()
        if request.param in DATABASES:
            store = key_store(make_database(request.param, request))
            request.addfinalizer(store.close)
            key = store.create(owner="us", scopes="churn").key
        elif request.param == "environment":
            monkeypatch.setenv("MODELGATE_KEYS", f"{key}=churn {generate()}=price")
            store = key_store("env:MODELGATE_KEYS")
        else:
            entry = key if request.param == "memory" else f"sha256:{_sha256(key)}"
            store = MemoryKeyStore({entry: "churn", generate(): "price"})
        return store, key

    def test_store_finds_key(self, store_and_key):
        """The principal has the scope of the key."""
        store, key = store_and_key

        assert ("churn",) == find(store, key).deployments
        assert find(store, key) == find(store, key) == asyncio.run(adrive(store.find(key)))
        assert key not in repr(find(store, key))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda key: "",
            lambda key: " ",
            lambda key: key[:-1],
            lambda key: key + "0",
            lambda key: key + key,
            lambda key: key + "\0",
            lambda key: key.swapcase(),
            lambda key: f" {key}",
            lambda key: key.replace("_", "-"),
            lambda key: "k" * 60_000,
            lambda key: "\u00e9" * 30,
            lambda key: "\ud800" * 30,
            lambda key: key.replace("g", "\uff47"),
            lambda key: "' OR 1=1 --",
            lambda key: generate(),
            lambda key: generate("acme"),
            lambda key: _sha256(key),
        ],
    )
    def test_store_finds_nothing_for_other_text(self, store_and_key, spoil):
        store, key = store_and_key

        assert find(store, spoil(key)) is None
        assert find(store, key) is not None


def _sha256(key):
    return hashlib.sha256(key.encode()).hexdigest()


def test_row_contains_no_key(store, url):
    """The database contains the display prefix and the SHA-256 digest."""
    new = store.create(owner="billing", scopes=["churn:predict", "*:read"], limits="5/minute")
    with contextlib.closing(sa.create_engine(store._db.url).connect()) as connection:
        rows = [tuple(row) for row in connection.execute(sa.text("SELECT * FROM modelgate_keys"))]
        connection.close()
        connection.engine.dispose()
    values = [bytes(item) if isinstance(item, memoryview) else item for item in rows[0]]

    assert 1 == len(rows)
    assert bytes.fromhex(_sha256(new.key)) in values
    assert new.key[:12] == new.record.prefix
    assert not any(new.key[12:20] in str(item) for item in values)
    assert new.key not in f"{new!r} {new.record!r} {store!r} {vars(store)!r}"


def test_principal_has_values_of_row(store):
    new = store.create(owner="billing", scopes=["churn:predict", "*:read"], limits="5/minute")
    principal = find(store, new.key)

    assert (new.record.id, "billing", "5/minute") == (principal.id, principal.owner, principal.limits)
    assert new.record.id == principal.limit_bucket
    assert principal.can_access("churn")
    assert not principal.can_access("price")
    assert principal.can_access("price", "read")


def test_list_and_show_return_created_keys(store, clock, now):
    """Oldest first, of one owner or of all."""
    first = store.create(owner="billing", scopes="churn", not_before=now - HOUR, expires=now + HOUR).record
    clock.advance(1)
    second = store.create(owner="sales", scopes="*").record

    assert [first, second] == list(store.list())
    assert [second] == list(store.list(owner="sales"))
    assert first == store.show(first.id)
    assert (now, now - HOUR, now + HOUR) == (first.created, first.not_before, first.expires)


@pytest.mark.parametrize("act", ["show", "rotate", "revoke", "expire"])
def test_unknown_id_is_not_found(store, act):
    """The message does not quote the id, which may be a key."""
    key = generate()
    with pytest.raises(NotFound, match="no key with this id") as info:
        getattr(store, act)(key)

    assert key not in str(info.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("owner", ""),
        ("owner", None),
        ("owner", "a\x1b[2J"),
        ("owner", "a\0"),
        ("owner", "\ud800"),
        ("scopes", []),
        ("scopes", "churn:write"),
        ("limits", "often"),
        ("limits", "0/minute"),
        ("expires", datetime(2030, 1, 1)),
        ("not_before", datetime(2030, 1, 1)),
        ("scopes", 5),
        ("scopes", None),
        ("limits", 5),
        ("expires", "2027"),
        ("not_before", 5),
        ("expires", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-HOUR))),
        ("expires", datetime(1, 1, 1, tzinfo=timezone(HOUR))),
    ],
)
def test_create_rejects_invalid_options(store, option, value):
    """The table is unchanged."""
    with pytest.raises(ConfigurationError, match=f"^{option}"):
        store.create(**{"owner": "us", "scopes": "churn", option: value})

    assert [] == list(store.list())


def test_create_rejects_empty_validity(store, now):
    with pytest.raises(ConfigurationError, match="not_before"):
        store.create(owner="us", scopes="*", not_before=now, expires=now)

    assert [] == list(store.list())


@pytest.mark.parametrize(("moment", "beyond"), [(datetime.max, 1e20), (datetime.min, -1e20)])
def test_first_and_last_time_are_stored(store, moment, beyond):
    """Later times in the database are read as the last time."""
    expires = moment.replace(tzinfo=UTC)
    for _ in range(2):
        made = store.create(owner="us", scopes="*", expires=expires)
    with store._db.transaction() as connection:
        connection.execute(
            sa.text("UPDATE modelgate_keys SET expires = :at WHERE id = :id"),
            {"at": beyond, "id": made.record.id},
        )

    assert [expires] * 2 == [record.expires for record in store.list()]


def test_unreadable_row_rejects_only_its_key(store, caplog, monkeypatch):
    """With 503, and the reason in the log."""
    broken, intact = (store.create(owner="us", scopes="*").key for _ in range(2))
    fetch, digests = store.fetch, []

    def fail_once(digest):
        digests.append(digest)
        if len(digests) == 1:
            raise ValueError
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", fail_once)
    with caplog.at_level(logging.ERROR, "modelgate"), pytest.raises(StoreError):
        find(store, broken)

    assert find(store, intact) is not None
    assert ["key store: unreadable key record"] == [record.message for record in caplog.records]


def test_closed_store_raises_store_error(make):
    """Also for keys it had cached."""
    store = make()
    key = store.create(owner="us", scopes="*").key
    find(store, key)
    store.close()
    for candidate in (key, generate()):
        with pytest.raises(StoreError, match="closed"):
            find(store, candidate)


class TestStates:
    def test_key_is_pending_until_not_before(self, store, clock, now):
        key = store.create(owner="us", scopes="*", not_before=now + HOUR).key
        state, message = find_error(store, key)
        clock.advance(3599)

        assert ("pending", "pending") == (state, find_error(store, key)[0])
        assert "2023-11-14 23:13:20+00:00" in message
        clock.advance(1)
        assert find(store, key) is not None

    def test_key_expires_on_time(self, store, clock, now):
        """Although its look-up is still cached."""
        key = store.create(owner="us", scopes="*", expires=now + timedelta(seconds=1.5)).key

        assert find(store, key) is not None
        clock.advance(1.4)
        assert find(store, key) is not None
        clock.advance(0.1)
        assert "expired" == find_error(store, key)[0]

    def test_revocation_takes_effect_after_cache_ttl(self, store, clock):
        new = store.create(owner="us", scopes="*")
        find(store, new.key)
        revoked = store.revoke(new.record.id).revoked
        clock.advance(1.9)

        assert find(store, new.key) is not None
        clock.advance(0.1)
        assert "revoked" == find_error(store, new.key)[0]
        assert revoked == store.revoke(new.record.id).revoked

    def test_expire_sets_end(self, store, clock, now):
        """Now, or at a given time."""
        new = store.create(owner="us", scopes="*")

        assert now + HOUR == store.expire(new.record.id, now + HOUR).expires
        assert find(store, new.key) is not None
        store.expire(new.record.id)
        clock.advance(2)
        assert "expired" == find_error(store, new.key)[0]

    def test_expire_does_not_revive_replaced_or_revoked_keys(self, store, now):
        """A replaced key can end earlier but not later, and an expired key can be renewed."""
        old, revoked, expired = (store.create(owner="us", scopes="*") for _ in range(3))
        store.rotate(old.record.id, grace=HOUR)
        store.revoke(revoked.record.id)
        store.expire(expired.record.id, now - HOUR)
        with pytest.raises(KeyInactive, match="was replaced"):
            store.expire(old.record.id, now + 2 * HOUR)
        for new in (revoked, expired):
            store.expire(new.record.id, now + HOUR)

        assert now + HOUR == store.show(old.record.id).expires
        assert now == store.expire(old.record.id).expires
        assert "revoked" == find_error(store, revoked.key)[0]
        assert find(store, expired.key) is not None

    def test_clock_set_back_does_not_extend_cache(self, store, clock):
        new = store.create(owner="us", scopes="*")
        find(store, new.key)
        store.revoke(new.record.id)
        clock.advance(-3600)

        assert "revoked" == find_error(store, new.key)[0]


class TestRotation:
    def test_both_keys_are_valid_during_grace(self, store, clock):
        """They share their counts, over several rotations."""
        old = store.create(owner="us", scopes=["churn:predict"], limits="5/minute")
        new = store.rotate(old.record.id, grace=HOUR)
        newest = store.rotate(new.record.id, grace=HOUR)

        principals = [find(store, created.key) for created in (old, new, newest)]
        assert 3 == len({principal.id for principal in principals})
        assert {(("churn",), "us", "5/minute", old.record.id)} == {
            (principal.deployments, principal.owner, principal.limits, principal.limit_bucket)
            for principal in principals
        }
        clock.advance(3600)
        assert "replaced" == find_error(store, old.key)[0]
        assert find(store, newest.key) is not None

    def test_old_key_names_its_replacement(self, store, now):
        """It never ends later than before."""
        old = store.create(owner="us", scopes="*", expires=now + HOUR)
        new = store.rotate(old.record.id)

        assert (new.record.id, now + HOUR) == (
            store.show(old.record.id).replaced_by,
            store.show(old.record.id).expires,
        )
        assert (None, now + HOUR) == (new.record.replaced_by, new.record.expires)
        later = store.rotate(new.record.id, grace=timedelta(), expires=now + 2 * HOUR)
        assert (now, now + 2 * HOUR) == (store.show(new.record.id).expires, later.record.expires)

    @pytest.mark.parametrize("end", ["revoke", "expire"])
    def test_inactive_key_is_not_rotated(self, store, end):
        record = store.create(owner="us", scopes="*").record
        getattr(store, end)(record.id)
        with pytest.raises(KeyInactive):
            store.rotate(record.id)

        assert 1 == len(store.list())

    def test_revocation_does_not_affect_other_key(self, store, clock):
        old = store.create(owner="us", scopes="*")
        new = store.rotate(old.record.id)
        store.revoke(old.record.id)

        assert "revoked" == find_error(store, old.key)[0]
        assert find(store, new.key) is not None

    def test_one_of_concurrent_rotations_succeeds(self, make):
        old = make().create(owner="us", scopes="*").record
        outcomes, stores, barrier = [], [make() for _ in range(4)], threading.Barrier(4)

        def rotate(store):
            barrier.wait()
            try:
                outcomes.append(store.rotate(old.id).record.id)
            except KeyInactive as error:
                outcomes.append(error.state)

        threads = [threading.Thread(target=rotate, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        made = {outcome for outcome in outcomes if outcome != "replaced"}

        assert ["replaced"] * 3 == [outcome for outcome in outcomes if outcome == "replaced"]
        assert made == {record.id for record in stores[0].list()} - {old.id}

    @pytest.mark.parametrize("grace", [-HOUR, timedelta.max, 5, None])
    def test_invalid_grace_is_rejected(self, store, grace):
        record = store.create(owner="us", scopes="*").record
        with pytest.raises(ConfigurationError, match="grace"):
            store.rotate(record.id, grace=grace)


class CountingFetch:
    """Counts the queries of a store."""

    def __init__(self, store, monkeypatch):
        self.count, self._fetch = 0, store.fetch
        self.go = threading.Event()
        self.go.set()
        monkeypatch.setattr(store, "fetch", self)

    def __call__(self, digest):
        self.count += 1
        assert self.go.wait(SOON)
        return self._fetch(digest)


OWN = "the-key-of-an-older-service"
DIGEST = f"sha256:{hashlib.sha256(OWN.encode()).hexdigest()}"


@pytest.mark.parametrize(
    "given", [OWN, DIGEST, DIGEST.upper().replace("SHA", "sha")], ids=["key", "digest", "upper"]
)
def test_existing_key_is_taken_over(store, given):
    """Nothing of it is shown, because the secret part of another form is not known."""
    assert find(store, OWN) is None
    new = store.create(owner="us", scopes="churn:predict", limits="9/minute", key=given)
    store._cache.clear()
    principal = find(store, OWN)

    assert (new.record.id, "us", "9/minute") == (principal.id, principal.owner, principal.limits)
    assert ("", given) == (store.show(new.record.id).prefix, new.key)
    assert OWN not in repr(new)
    store.revoke(new.record.id)
    store._cache.clear()
    with pytest.raises(KeyInactive):
        find(store, OWN)


def test_taken_over_key_is_found_within_the_lifetime_of_the_cache(store, clock):
    assert find(store, OWN) is None
    store.create(owner="us", scopes="*", key=OWN)
    clock.advance(2)

    assert find(store, OWN) is not None


def test_taken_over_key_can_be_rotated(store):
    old = store.create(owner="us", scopes="churn", key=OWN)
    new = store.rotate(old.record.id)

    assert has_valid_checksum(new.key)
    assert find(store, OWN).limit_bucket == find(store, new.key).limit_bucket


def test_generated_key_of_another_store_is_taken_over(store):
    key = generate("acme")
    record = store.create(owner="us", scopes="*", key=key).record

    assert key.startswith(record.prefix)
    assert 4 == len(record.prefix.removeprefix("acme_"))
    assert find(store, key) is not None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("short", r"key must have 16 to 256 characters \(got 5 characters\)"),
        ("\u00e9" * 16, "key must be ASCII"),
        (generate()[:-1] + "-", "must end in a valid checksum"),
        ("sha256:" + "0" * 63, "64 hexadecimal digits"),
        (f"{OWN}\n", "key must be printable, without white space around it"),
        (7, "key must be a string"),
        (OWN, "key must not be in the store yet (got the key with id k_"),
        (DIGEST, "key must not be in the store yet (got the key with id k_"),
    ],
    ids=["short", "accents", "mistyped", "digest", "line end", "number", "known", "known digest"],
)
def test_keys_that_cannot_be_taken_over(store, key, message):
    """The messages do not quote them."""
    store.create(owner="us", scopes="*", key=OWN)
    with pytest.raises(ConfigurationError, match=message.replace("(got the", r"\(got the")) as info:
        store.create(owner="us", scopes="*", key=key)

    assert str(key) not in str(info.value) or key == 7


def test_digest_cannot_be_taken_over_with_a_pepper(make):
    with pytest.raises(ConfigurationError, match="key must be the key itself"):
        make(pepper="a-pepper-of-some-length").create(owner="us", scopes="*", key=DIGEST)


@pytest.fixture
def counted_fetch(store, monkeypatch):
    return CountingFetch(store, monkeypatch)


class TestLookUps:
    def test_look_up_is_cached_for_two_seconds(self, store, clock, counted_fetch):
        """Unknown keys too."""
        known, unknown = store.create(owner="us", scopes="*").key, generate()
        for _ in range(5):
            assert find(store, known) is not None
            assert find(store, unknown) is None
        assert 2 == counted_fetch.count
        clock.advance(2)
        find(store, known)

        assert 3 == counted_fetch.count

    def test_zero_cache_ttl_disables_cache(self, make, monkeypatch):
        store = make(cache_ttl=0)
        counted_fetch = CountingFetch(store, monkeypatch)
        key = store.create(owner="us", scopes="*").key
        for _ in range(3):
            find(store, key)

        assert 3 == counted_fetch.count

    def test_invalid_checksum_is_not_looked_up(self, store, counted_fetch):
        for key in ("", "x" * 20, "k" * 300, generate()[:-1] + "-", generate() + "0", "\u00e9" * 20):
            assert find(store, key) is None

        assert 0 == counted_fetch.count

    def test_own_keys_are_looked_up_once_the_store_has_one(self, store, clock, counted_fetch):
        """A mistyped generated key never is."""
        own = "a-key-of-our-own-form"
        store.create(owner="us", scopes="churn", key=own)
        counted_fetch.count = 0
        for key in (own, "another-key-of-that-form"):
            find(store, key)

        assert 2 == counted_fetch.count
        assert find(store, generate()[:-1] + "-") is None
        assert 2 == counted_fetch.count

    def test_cache_size_is_limited(self, make):
        """Unknown keys do not fill the memory."""
        store = make(maxsize=10)
        for _ in range(30):
            find(store, generate())

        assert 10 == len(store._cache)

    def test_concurrent_requests_share_one_look_up(self, store, counted_fetch):
        """From threads and tasks. A cancelled request does not affect the others."""
        key = store.create(owner="us", scopes="*").key
        counted_fetch.go.clear()

        async def main():
            tasks = [asyncio.create_task(adrive(store.find(key))) for _ in range(50)]
            threads = [asyncio.create_task(asyncio.to_thread(find, store, key)) for _ in range(4)]
            while not counted_fetch.count:
                await asyncio.sleep(0)
            tasks.pop(0).cancel()
            await asyncio.sleep(0)
            counted_fetch.go.set()
            return await asyncio.wait_for(asyncio.gather(*tasks, *threads), SOON)

        answers = asyncio.run(main())

        assert 53 == len(answers)
        assert None not in answers
        assert 1 == counted_fetch.count

    @pytest.mark.parametrize(
        "options",
        [
            {"cache_ttl": -1},
            {"cache_ttl": "2"},
            {"maxsize": 0},
            {"maxsize": 1.5},
            {"pepper": "short"},
            {"pepper": b"x" * 16},
        ],
    )
    def test_invalid_option_is_rejected(self, make, options):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            make(**options)


class TestLastUse:
    def test_last_use_is_written_once_a_minute(self, store, clock, now, monkeypatch):
        """By another thread, and not for rejected keys."""
        written = []
        monkeypatch.setattr(
            store,
            "note_use",
            lambda uses, **k: (written.append(uses), SqlKeyStore.note_use(store, uses, **k)),
        )
        new = store.create(owner="us", scopes="*")
        ended = store.create(owner="us", scopes="*", expires=now - HOUR)
        with contextlib.suppress(KeyInactive):
            find(store, ended.key)
        for _ in range(59):
            find(store, new.key)
            wait_for_writes(store)
            clock.advance(1)

        assert [{new.record.id: now}] == written
        assert now == store.show(new.record.id).last_used
        assert store.show(ended.record.id).last_used is None
        clock.advance(1)
        find(store, new.key)
        wait_for_writes(store)
        assert now + timedelta(minutes=1) == store.show(new.record.id).last_used

    def test_last_use_is_written_once_a_minute_by_all_processes(self, make, clock, now):
        """A later time from another process is not overwritten."""
        one, other = make(), make(clock=FakeClock(clock() + 30))
        new = one.create(owner="us", scopes="*")
        find(other, "") or find(one, new.key)
        wait_for_writes(one)
        other.note_use({new.record.id: now + timedelta(seconds=30)}, at_most_every=timedelta(minutes=1))

        assert now == one.show(new.record.id).last_used

    def test_last_use_is_written_before_close(self, make, now, monkeypatch):
        """Also if the write had only just started."""
        store, other, begun = make(), make(), threading.Event()
        new = store.create(owner="us", scopes="*")

        def note_late(uses, **options):
            begun.set()
            while not store._closed:
                time.sleep(0.001)
            SqlKeyStore.note_use(store, uses, **options)

        monkeypatch.setattr(store, "note_use", note_late)
        find(store, new.key)
        assert begun.wait(SOON)
        store.close()

        assert now == other.show(new.record.id).last_used

    def test_failed_write_of_last_use_is_logged(self, store, monkeypatch, caplog):
        """Requests are not affected."""

        def fail(*args, **options):
            raise StoreError

        key = store.create(owner="us", scopes="*").key
        monkeypatch.setattr(store, "note_use", fail)
        with caplog.at_level(logging.WARNING, "modelgate"):
            assert find(store, key) is not None
            wait_for_writes(store)

        assert ["key store: cannot record when keys were last used"] == [
            record.message for record in caplog.records
        ]


def test_pepper_is_required_to_find_keys(make, monkeypatch):
    """It is an option or an environment variable."""
    peppered, plain = make(pepper=PEPPER), make()
    key = peppered.create(owner="us", scopes="*").key
    monkeypatch.setenv("MODELGATE_KEYS_PEPPER", PEPPER)

    assert find(peppered, key) is not None
    assert find(plain, key) is None
    assert find(make(), key) is not None
    assert PEPPER not in repr(peppered._db.url) + repr(peppered)


def test_app_needs_select_and_update_of_last_use(postgres):
    """If the table exists."""
    admin = SqlKeyStore(postgres.clear_tables())
    key = admin.create(owner="us", scopes="*").key
    with admin._db.transaction() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS app"))
        connection.execute(sa.text("CREATE ROLE app LOGIN PASSWORD 'app'"))
        connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        connection.execute(sa.text("GRANT SELECT, UPDATE (last_used) ON modelgate_keys TO app"))
    store = SqlKeyStore(f"postgresql://app:app@127.0.0.1:{postgres.port}/postgres")
    principal = find(store, key)
    wait_for_writes(store)

    assert admin.show(principal.id).last_used is not None
    with pytest.raises(StoreError):
        store.revoke(principal.id)
    with admin._db.transaction() as connection:
        connection.execute(sa.text("DROP OWNED BY app"))
    store.close()
    admin.close()


def test_stores_create_table_concurrently(make):
    stores, barrier, failures = [make() for _ in range(6)], threading.Barrier(6), []

    def ask(store):
        barrier.wait()
        try:
            store.list()
        except StoreError as error:
            failures.append(error.__cause__)

    threads = [threading.Thread(target=ask, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert [] == failures


def test_table_is_created_after_a_lock_and_a_concurrent_creation(tmp_path, monkeypatch):
    """Another process makes a new file a WAL database, and then creates the table, between two attempts."""
    messages, create = ["database is locked", "table modelgate_keys already exists"], Database._create_missing

    def fail_twice(database):
        if messages:
            raise sa.exc.OperationalError("CREATE TABLE", {}, sqlite3.OperationalError(messages.pop(0)))
        create(database)

    monkeypatch.setattr(Database, "_create_missing", fail_twice)
    with contextlib.closing(SqlKeyStore(f"sqlite:///{tmp_path}/keys.db")) as store:
        assert [] == store.list()
    assert [] == messages


@pytest.mark.skipif(not hasattr(os, "fork"), reason="requires os.fork")
@pytest.mark.skipif(os.name != "posix", reason="has no modes of files")
def test_new_sqlite_file_is_private(tmp_path):
    """An existing file keeps its mode."""
    made, other = tmp_path / "keys.db", tmp_path / "others.db"
    other.touch(0o644)
    other.chmod(0o644)
    for path in (made, other):
        with contextlib.closing(SqlKeyStore(f"sqlite:///{path}")) as store:
            store.create(owner="us", scopes="*")

    assert (0o600, 0o644) == (made.stat().st_mode & 0o777, other.stat().st_mode & 0o777)


def test_forked_child_uses_own_connections(store):
    """The store works in the parent and in the child."""
    new = store.create(owner="us", scopes="*")
    # Without a look-up, whose use a thread would write: a fork could inherit the locks of that thread.
    store.list()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(find(store, new.key)))
    child.start()
    child.join(SOON)

    assert 0 == child.exitcode
    assert find(store, new.key) == queue.get()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://gate:s3cret@127.0.0.1:1/keys",
        "postgres://gate:s3cret@127.0.0.1:1/keys",
        "postgresql+psycopg://gate:s3cret@127.0.0.1:1/keys?application_name=s3cret",
        "sqlite:////no/such/folder/s3cret.db",
    ],
)
def test_unavailable_database_is_store_error(url, caplog):
    """With Retry-After; neither the error nor the log contains the password."""
    store = key_store(url)
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError) as info:
        find(store, generate())
    store.close()

    assert (503, "1") == (info.value.status, info.value.headers["retry-after"])
    assert ["key store: look-up failed"] == [record.message for record in caplog.records]
    assert "s3cret" not in caplog.text + repr(store) + str(info.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_database_in_memory_is_rejected(url):
    """Each connection would have a database of its own."""
    with pytest.raises(ConfigurationError, match="sqlite:///path"):
        key_store(url)

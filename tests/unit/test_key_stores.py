"""What every store of keys does, and what the one in a database does beyond that."""

import asyncio
import contextlib
import hashlib
import logging
import multiprocessing
import os
import threading
import time
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from modelgate.errors import ConfigurationError, KeyInactive, NotFound, StoreError
from modelgate.flow import adrive, drive
from modelgate.keys import MemoryKeyStore, SqlKeyStore, generate, key_store
from modelgate.testing import Clock

PEPPER = "a-pepper-of-sixteen-or-more"
HOUR = timedelta(hours=1)


DATABASES = ["sqlite", "postgresql"]


def empty(database, request):
    """The URL of an empty database."""
    if database == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/keys.db"
    return request.getfixturevalue("postgres").emptied()


@pytest.fixture(params=DATABASES)
def url(request):
    return empty(request.param, request)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(url, clock):
    """Makes stores over the one database, and closes them."""
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


def found(store, key):
    return drive(store.find(key))


def refused(store, key):
    """In what state a key is refused, and what its holder is told."""
    with pytest.raises(KeyInactive) as info:
        found(store, key)
    return info.value.state, info.value.message


def settled(store):
    """Waits until the store has written what it had to."""
    wait(store._under_way, 30)


class TestEveryStore:
    """The contract of `find`."""

    @pytest.fixture(params=["memory", "digests", "environment", *DATABASES])
    def kept(self, request, monkeypatch):
        """A store of each kind, and a key that is for churn alone."""
        key = generate()
        if request.param in DATABASES:
            store = key_store(empty(request.param, request))
            request.addfinalizer(store.close)
            key = store.create(owner="us", scopes="churn").key
        elif request.param == "environment":
            monkeypatch.setenv("MODELGATE_KEYS", f"{key}=churn {generate()}=price")
            store = key_store("env:MODELGATE_KEYS")
        else:
            entry = key if request.param == "memory" else f"sha256:{_sha256(key)}"
            store = MemoryKeyStore({entry: "churn", generate(): "price"})
        return store, key

    def test_a_key_is_found(self, kept):
        """Its principal opens what the key is for."""
        store, key = kept

        assert ("churn",) == found(store, key).deployments
        assert found(store, key) == found(store, key) == asyncio.run(adrive(store.find(key)))
        assert key not in repr(found(store, key))

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
    def test_anything_else_is_nobodys_key(self, kept, spoil):
        """Any text at all may be asked for."""
        store, key = kept

        assert found(store, spoil(key)) is None
        assert found(store, key) is not None


def _sha256(key):
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_row_holds_no_key(store, url):
    """Nothing in the database spells the key, or more of it than is shown; its digest is SHA-256."""
    new = store.create(owner="billing", scopes=["churn:predict", "*:read"], limits="5/minute")
    with contextlib.closing(sa.create_engine(store._url).connect()) as connection:
        rows = [tuple(row) for row in connection.execute(sa.text("SELECT * FROM modelgate_keys"))]
        connection.close()
        connection.engine.dispose()
    told = [bytes(item) if isinstance(item, memoryview) else item for item in rows[0]]

    assert 1 == len(rows)
    assert bytes.fromhex(_sha256(new.key)) in told
    assert new.key[:12] == new.record.prefix
    assert not any(new.key[12:20] in str(item) for item in told)
    assert new.key not in f"{new!r} {new.record!r} {store!r} {vars(store)!r}"


def test_a_principal_has_what_the_row_says(store):
    """Owner, scopes, limits, and what limits count by."""
    new = store.create(owner="billing", scopes=["churn:predict", "*:read"], limits="5/minute")
    principal = found(store, new.key)

    assert (new.record.id, "billing", "5/minute") == (principal.id, principal.owner, principal.limits)
    assert new.record.id == principal.counted_as
    assert principal.may_use("churn")
    assert not principal.may_use("price")
    assert principal.may_use("price", "read")


def test_what_was_made_is_listed_and_shown(store, clock, now):
    """The oldest first, of one owner or of all."""
    first = store.create(owner="billing", scopes="churn", not_before=now - HOUR, expires=now + HOUR).record
    clock.advance(1)
    second = store.create(owner="sales", scopes="*").record

    assert [first, second] == list(store.list())
    assert [second] == list(store.list(owner="sales"))
    assert first == store.show(first.id)
    assert (now, now - HOUR, now + HOUR) == (first.created, first.not_before, first.expires)


@pytest.mark.parametrize("act", ["show", "rotate", "revoke", "expire"])
def test_a_key_that_is_not_there(store, act):
    """Is not found, whatever is to be done with it; and what may be a key is not shown."""
    key = generate()
    with pytest.raises(NotFound, match="no key with this id") as info:
        getattr(store, act)(key)

    assert key not in str(info.value)


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
def test_a_key_that_cannot_work_is_not_made(store, option, value):
    """The option is named, and the table is as it was."""
    with pytest.raises(ConfigurationError, match=f"^{option}"):
        store.create(**{"owner": "us", "scopes": "churn", option: value})

    assert [] == list(store.list())


def test_a_key_that_ends_before_it_begins_is_not_made(store, now):
    """Nor one that ends as it begins."""
    with pytest.raises(ConfigurationError, match="not_before"):
        store.create(owner="us", scopes="*", not_before=now, expires=now)

    assert [] == list(store.list())


@pytest.mark.parametrize(("moment", "beyond"), [(datetime.max, 1e20), (datetime.min, -1e20)])
def test_the_first_and_the_last_moment(store, moment, beyond):
    """Can be kept and read again, though seconds are not as fine; what lies beyond is read as they are."""
    expires = moment.replace(tzinfo=UTC)
    for _ in range(2):
        made = store.create(owner="us", scopes="*", expires=expires)
    with store._transaction() as connection:
        connection.execute(
            sa.text("UPDATE modelgate_keys SET expires = :at WHERE id = :id"),
            {"at": beyond, "id": made.record.id},
        )

    assert [expires] * 2 == [record.expires for record in store.list()]


def test_a_row_that_cannot_be_read(store, caplog, monkeypatch):
    """Refuses its own key, with 503 and a reason in the log, and no other."""
    broken, whole = (store.create(owner="us", scopes="*").key for _ in range(2))
    fetch, asked = store.fetch, []

    def failing(digest):
        asked.append(digest)
        if len(asked) == 1:
            raise ValueError
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", failing)
    with caplog.at_level(logging.ERROR, "modelgate"), pytest.raises(StoreError):
        found(store, broken)

    assert found(store, whole) is not None
    assert ["what is kept of a key cannot be read"] == [record.message for record in caplog.records]


def test_a_closed_store(make):
    """Finds no key, whether or not it knew it."""
    store = make()
    key = store.create(owner="us", scopes="*").key
    found(store, key)
    store.close()
    for each in (key, generate()):
        with pytest.raises(StoreError, match="closed"):
            found(store, each)


class TestStates:
    def test_before_it_begins(self, store, clock, now):
        """A key is refused until its time has come, and not a moment longer."""
        key = store.create(owner="us", scopes="*", not_before=now + HOUR).key
        state, message = refused(store, key)
        clock.advance(3599)

        assert ("pending", "pending") == (state, refused(store, key)[0])
        assert "2023-11-14 23:13:20+00:00" in message
        clock.advance(1)
        assert found(store, key) is not None

    def test_when_it_ends(self, store, clock, now):
        """A key is good until it expires, and not a moment longer, though its look-up is young."""
        key = store.create(owner="us", scopes="*", expires=now + timedelta(seconds=1.5)).key

        assert found(store, key) is not None
        clock.advance(1.4)
        assert found(store, key) is not None
        clock.advance(0.1)
        assert "expired" == refused(store, key)[0]

    def test_revoked(self, store, clock):
        """A revoked key ends within the time for which look-ups are told, without a restart."""
        new = store.create(owner="us", scopes="*")
        found(store, new.key)
        revoked = store.revoke(new.record.id).revoked
        clock.advance(1.9)

        assert found(store, new.key) is not None
        clock.advance(0.1)
        assert "revoked" == refused(store, new.key)[0]
        assert revoked == store.revoke(new.record.id).revoked

    def test_expired_by_hand(self, store, clock, now):
        """Now, or at a moment."""
        new = store.create(owner="us", scopes="*")

        assert now + HOUR == store.expire(new.record.id, now + HOUR).expires
        assert found(store, new.key) is not None
        store.expire(new.record.id)
        clock.advance(2)
        assert "expired" == refused(store, new.key)[0]

    def test_what_is_over_does_not_come_back(self, store, now):
        """A replaced key ends sooner by `expire`, not later; a revoked one stays so; an expired one is renewed."""
        old, revoked, expired = (store.create(owner="us", scopes="*") for _ in range(3))
        store.rotate(old.record.id, grace=HOUR)
        store.revoke(revoked.record.id)
        store.expire(expired.record.id, now - HOUR)
        with pytest.raises(KeyInactive, match="was replaced"):
            store.expire(old.record.id, now + 2 * HOUR)
        for each in (revoked, expired):
            store.expire(each.record.id, now + HOUR)

        assert now + HOUR == store.show(old.record.id).expires
        assert now == store.expire(old.record.id).expires
        assert "revoked" == refused(store, revoked.key)[0]
        assert found(store, expired.key) is not None

    def test_a_clock_set_back(self, store, clock):
        """Does not keep a look-up for longer."""
        new = store.create(owner="us", scopes="*")
        found(store, new.key)
        store.revoke(new.record.id)
        clock.advance(-3600)

        assert "revoked" == refused(store, new.key)[0]


class TestRotation:
    def test_both_are_good_for_the_time_of_grace(self, store, clock):
        """And the counts go on, over several rotations."""
        old = store.create(owner="us", scopes=["churn:predict"], limits="5/minute")
        new = store.rotate(old.record.id, grace=HOUR)
        newest = store.rotate(new.record.id, grace=HOUR)

        told = [found(store, each.key) for each in (old, new, newest)]
        assert 3 == len({principal.id for principal in told})
        assert {(("churn",), "us", "5/minute", old.record.id)} == {
            (each.deployments, each.owner, each.limits, each.counted_as) for each in told
        }
        clock.advance(3600)
        assert "replaced" == refused(store, old.key)[0]
        assert found(store, newest.key) is not None

    def test_what_is_kept(self, store, now):
        """The old key names the new one, and ends no later than it would have."""
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
    def test_what_has_ended_is_not_rotated(self, store, end):
        """It would come to life again."""
        record = store.create(owner="us", scopes="*").record
        getattr(store, end)(record.id)
        with pytest.raises(KeyInactive):
            store.rotate(record.id)

        assert 1 == len(store.list())

    def test_a_successor_revoked(self, store, clock):
        """Takes nothing from its predecessor, and the other way round."""
        old = store.create(owner="us", scopes="*")
        new = store.rotate(old.record.id)
        store.revoke(old.record.id)

        assert "revoked" == refused(store, old.key)[0]
        assert found(store, new.key) is not None

    def test_twice_at_once(self, make):
        """Of many rotations of one key, one succeeds."""
        record = make().create(owner="us", scopes="*").record
        outcomes, stores, barrier = [], [make() for _ in range(4)], threading.Barrier(4)

        def rotate(store):
            barrier.wait()
            try:
                outcomes.append(store.rotate(record.id).record.id)
            except KeyInactive as error:
                outcomes.append(error.state)

        threads = [threading.Thread(target=rotate, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = {outcome for outcome in outcomes if outcome != "replaced"}

        assert ["replaced"] * 3 == [outcome for outcome in outcomes if outcome == "replaced"]
        assert made == {each.id for each in stores[0].list()} - {record.id}

    @pytest.mark.parametrize("grace", [-HOUR, timedelta.max, 5, None])
    def test_what_is_no_grace(self, store, grace):
        """A time below zero, one beyond all years, and what is no time."""
        record = store.create(owner="us", scopes="*").record
        with pytest.raises(ConfigurationError, match="grace"):
            store.rotate(record.id, grace=grace)


class Counting:
    """Counts what a store asks its database."""

    def __init__(self, store, monkeypatch):
        self.asked, self._fetch = 0, store.fetch
        self.go = threading.Event()
        self.go.set()
        monkeypatch.setattr(store, "fetch", self)

    def __call__(self, digest):
        self.asked += 1
        assert self.go.wait(30)
        return self._fetch(digest)


@pytest.fixture
def counting(store, monkeypatch):
    return Counting(store, monkeypatch)


class TestLookUps:
    def test_an_answer_is_told_again(self, store, clock, counting):
        """For two seconds, whether the key is known or not."""
        known, unknown = store.create(owner="us", scopes="*").key, generate()
        for _ in range(5):
            assert found(store, known) is not None
            assert found(store, unknown) is None
        assert 2 == counting.asked
        clock.advance(2)
        found(store, known)

        assert 3 == counting.asked

    def test_without_staleness(self, make, monkeypatch):
        """Each request asks."""
        store = make(staleness=0)
        counting = Counting(store, monkeypatch)
        key = store.create(owner="us", scopes="*").key
        for _ in range(3):
            found(store, key)

        assert 3 == counting.asked

    def test_what_cannot_be_a_key_is_not_looked_up(self, store, counting):
        """A wrong checksum costs no look-up."""
        for key in ("", "x" * 20, "k" * 300, generate()[:-1] + "-", generate() + "0", "\u00e9" * 20):
            assert found(store, key) is None

        assert 0 == counting.asked

    def test_no_more_is_kept_than_allowed(self, make):
        """Keys nobody has do not fill the memory."""
        store = make(maxsize=10)
        for _ in range(30):
            found(store, generate())

        assert 10 == len(store._cache)

    def test_many_who_ask_at_once_wait_for_one_look_up(self, store, counting):
        """Threads and tasks alike; who gives up takes nothing from the others."""
        key = store.create(owner="us", scopes="*").key
        counting.go.clear()

        async def main():
            tasks = [asyncio.create_task(adrive(store.find(key))) for _ in range(50)]
            threads = [asyncio.create_task(asyncio.to_thread(found, store, key)) for _ in range(4)]
            while not counting.asked:
                await asyncio.sleep(0)
            tasks.pop(0).cancel()
            await asyncio.sleep(0)
            counting.go.set()
            return await asyncio.wait_for(asyncio.gather(*tasks, *threads), 60)

        answers = asyncio.run(main())

        assert 53 == len(answers)
        assert None not in answers
        assert 1 == counting.asked

    @pytest.mark.parametrize(
        "options",
        [
            {"staleness": -1},
            {"staleness": "2"},
            {"maxsize": 0},
            {"maxsize": 1.5},
            {"pepper": "short"},
            {"pepper": b"x" * 16},
        ],
    )
    def test_an_option_that_cannot_work(self, make, options):
        """Is named."""
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            make(**options)


class TestLastUse:
    def test_is_written_once_a_minute(self, store, clock, now, monkeypatch):
        """By a thread of its own; none for a key that was refused."""
        written = []
        monkeypatch.setattr(
            store,
            "note_use",
            lambda uses, **k: (written.append(uses), SqlKeyStore.note_use(store, uses, **k)),
        )
        new = store.create(owner="us", scopes="*")
        ended = store.create(owner="us", scopes="*", expires=now - HOUR)
        with contextlib.suppress(KeyInactive):
            found(store, ended.key)
        for _ in range(59):
            found(store, new.key)
            settled(store)
            clock.advance(1)

        assert [{new.record.id: now}] == written
        assert now == store.show(new.record.id).last_used
        assert store.show(ended.record.id).last_used is None
        clock.advance(1)
        found(store, new.key)
        settled(store)
        assert now + timedelta(minutes=1) == store.show(new.record.id).last_used

    def test_is_written_once_a_minute_by_all_processes_together(self, make, clock, now):
        """The younger note of another process is left."""
        one, other = make(), make(clock=Clock(clock() + 30))
        new = one.create(owner="us", scopes="*")
        found(other, "") or found(one, new.key)
        settled(one)
        other.note_use({new.record.id: now + timedelta(seconds=30)}, at_most_every=timedelta(minutes=1))

        assert now == one.show(new.record.id).last_used

    def test_is_written_before_the_store_is_closed(self, make, now, monkeypatch):
        """Also where that had only begun."""
        store, other, begun = make(), make(), threading.Event()
        new = store.create(owner="us", scopes="*")

        def note_late(uses, **options):
            begun.set()
            while not store._closed:
                time.sleep(0.001)
            SqlKeyStore.note_use(store, uses, **options)

        monkeypatch.setattr(store, "note_use", note_late)
        found(store, new.key)
        assert begun.wait(30)
        store.close()

        assert now == other.show(new.record.id).last_used

    def test_that_cannot_be_written(self, store, monkeypatch, caplog):
        """Is logged, and troubles nobody."""

        def fail(*args, **options):
            raise StoreError

        key = store.create(owner="us", scopes="*").key
        monkeypatch.setattr(store, "note_use", fail)
        with caplog.at_level(logging.WARNING, "modelgate"):
            assert found(store, key) is not None
            settled(store)

        assert ["when keys were used could not be written"] == [record.message for record in caplog.records]


def test_a_pepper(make, monkeypatch):
    """Without it the digests are of no use; it comes as an option or from the environment."""
    peppered, plain = make(pepper=PEPPER), make()
    key = peppered.create(owner="us", scopes="*").key
    monkeypatch.setenv("MODELGATE_KEYS_PEPPER", PEPPER)

    assert found(peppered, key) is not None
    assert found(plain, key) is None
    assert found(make(), key) is not None
    assert PEPPER not in repr(vars(peppered)["_url"]) + repr(peppered)


def test_an_app_with_few_rights(postgres):
    """Where the table is there, it is enough to read it, and to write when keys were used."""
    admin = SqlKeyStore(postgres.emptied())
    key = admin.create(owner="us", scopes="*").key
    with admin._transaction() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS app"))
        connection.execute(sa.text("CREATE ROLE app LOGIN PASSWORD 'app'"))
        connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        connection.execute(sa.text("GRANT SELECT, UPDATE (last_used) ON modelgate_keys TO app"))
    store = SqlKeyStore(f"postgresql://app:app@127.0.0.1:{postgres.port}/postgres")
    principal = found(store, key)
    settled(store)

    assert admin.show(principal.id).last_used is not None
    with pytest.raises(StoreError):
        store.revoke(principal.id)
    with admin._transaction() as connection:
        connection.execute(sa.text("DROP OWNED BY app"))
    store.close()
    admin.close()


def test_many_make_the_table_at_once(make):
    """Workers that start together do not trip over each other."""
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
        thread.join()

    assert [] == failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_asks_by_itself(store):
    """A store used before a fork answers in parent and child, and the child touches no connection of the parent."""
    new = store.create(owner="us", scopes="*")
    # No look-up: it would be noted by a thread, and a fork beside a thread that connects may inherit its locks.
    store.list()
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=lambda: told.put(found(store, new.key)))
    child.start()
    child.join(60)

    assert 0 == child.exitcode
    assert found(store, new.key) == told.get()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://gate:s3cret@127.0.0.1:1/keys",
        "postgres://gate:s3cret@127.0.0.1:1/keys",
        "postgresql+psycopg://gate:s3cret@127.0.0.1:1/keys?application_name=s3cret",
        "sqlite:////no/such/folder/s3cret.db",
    ],
)
def test_a_database_that_is_not_there(url, caplog):
    """The caller is told 503 and when to try again; neither the error nor the log shows a password."""
    store = key_store(url)
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError) as info:
        found(store, generate())
    store.close()

    assert (503, "1") == (info.value.status, info.value.headers["retry-after"])
    assert ["the key store cannot be asked"] == [record.message for record in caplog.records]
    assert "s3cret" not in caplog.text + repr(store) + str(info.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory(url):
    """Would be another one for each connection."""
    with pytest.raises(ConfigurationError, match="sqlite:///path"):
        key_store(url)

"""The command, as people and programs call it."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import click
import click.testing
import pytest

from modelgate.cli import times
from modelgate.cli.root import cli
from modelgate.flow import drive
from modelgate.keys import SqlKeyStore, is_intact

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/keys.db"


@pytest.fixture
def run(url):
    """Runs ``modelgate keys …``."""

    def run(*arguments, code=0, **options):
        done = click.testing.CliRunner(env={"MODELGATE_KEYS_URL": url}).invoke(
            cli, ["keys", *arguments], **options
        )

        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def created(run):
    return json.loads(run("create", "--owner", "billing team", "--scope", "churn", "--json").stdout)


def test_a_key_is_printed_once(run, url):
    """Alone on standard output, so that a variable can take it; what it is called goes beside it."""
    done = run(
        "create", "--owner", "us", "--scope", "churn:predict", "--scope", "*:read", "--limits", "5/minute"
    )
    key = done.stdout.removesuffix("\n")
    store = SqlKeyStore(url)
    principal = drive(store.find(key))
    store.close()

    assert is_intact(key)
    assert (("churn:predict", "*:read"), "5/minute") == (principal.scopes, principal.limits)
    assert f"{principal.id}: this key is shown once" in done.stderr
    for act in (["list"], ["list", "--json"], ["show", principal.id], ["revoke", principal.id, "--json"]):
        assert key[12:30] not in run(*act).output


def test_keys_are_listed(run, created):
    """For people a line each, for programs JSON."""
    run("create", "--owner", "sales", "--limits", "5/minute;\n9/day", "--scope", "*", "--expires", "90d")
    head, first, second = run("list").stdout.splitlines()
    listed = json.loads(run("list", "--json").stdout)

    assert head.split("\t") == ["id", "owner", "prefix", "scopes", "limits", "last used", "expires", "state"]
    assert first.split("\t") == [
        created["id"],
        "billing team",
        f"{created['prefix']}…",
        "churn",
        "-",
        "-",
        "-",
        "active",
    ]
    assert second.split("\t")[1:2] + second.split("\t")[-4:] == [
        "sales",
        "5/minute; 9/day",
        "-",
        "in 90 d",
        "active",
    ]
    assert created["id"] == listed[0]["id"]
    assert ["key"] == [name for name in created if name not in listed[0]]
    assert 1 == len(json.loads(run("list", "--json", "--owner", "billing team").stdout))


def test_keys_are_listed_in_a_terminal(run, created, monkeypatch):
    """In a table that shows the ids whole, for they are to be copied."""
    monkeypatch.setattr("modelgate.cli.tables.is_terminal", lambda: True)
    shown = run("list", color=True).stdout

    assert created["id"] in shown
    assert "\t" not in shown


def test_a_key_is_shown(run, created):
    """All that is kept of it."""
    lines = dict(line.split(maxsplit=1) for line in run("show", created["id"]).stdout.splitlines())

    assert lines["owner"] == "billing team"
    assert (lines["state"], lines["scopes"], lines["expires"]) == ("active", "churn", "-")
    assert created.keys() - {"key"} == lines.keys()


def test_a_key_is_rotated(run, created):
    """The new one is printed once; the old one goes on for the time of grace."""
    new = json.loads(run("rotate", created["id"], "--grace", "2h", "--json").stdout)
    old = json.loads(run("show", created["id"], "--json").stdout)
    left = datetime.fromisoformat(old["expires"]) - datetime.now(UTC)

    assert (old["state"], old["replaced_by"]) == ("active", new["id"])
    assert timedelta(hours=1.9) < left <= timedelta(hours=2)
    assert new["counted_as"] == created["id"]
    assert is_intact(run("rotate", new["id"]).stdout.strip())
    run("rotate", created["id"], code=3)


def test_a_key_is_ended(run, created):
    """Now, at a moment, or for good."""
    later = json.loads(run("expire", created["id"], "--at", "2099-01-31", "--json").stdout)
    now = json.loads(run("expire", created["id"], "--json").stdout)
    gone = run("revoke", created["id"]).stdout

    assert (later["state"], later["expires"]) == ("active", "2099-01-31T00:00:00Z")
    assert now["state"] == "expired"
    assert re.search(r"^state +revoked$", gone, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["show", "mg_live_no-id-but-a-key"], 3, "no key with this id"),
        (["create", "--owner", "us", "--scope", "a:b"], 2, "churn:predict"),
        (["create", "--owner", "us", "--scope", "a", "--limits", "often"], 2, "limits='often'"),
        (["create", "--owner", "us", "--scope", "a", "--expires", "soon"], 2, "as 90d, or a date"),
        (
            ["create", "--owner", "us", "--scope", "a", "--expires", "2020-01-01"],
            2,
            "2020-01-01': has passed",
        ),
        (["rotate", "k_1", "--expires", "2020-01-01"], 2, "has passed: accepts what is to come"),
        (["rotate", "k_1", "--grace", "long"], 2, "as 90d"),
        (["create", "--owner", "us"], 2, "--scope"),
        (["list", "--db", "mysql://me:s3cret@host/keys"], 2, "accepts sqlite:///"),
        (["list", "--db", "postgresql://me:s3cret@127.0.0.1:1/keys"], 4, "cannot be asked"),
        (["list", "--db", "sqlite:////no/such/folder/keys.db"], 4, "unable to open database file"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_what_cannot_be_done(run, arguments, code, told):
    """Is told in a line on standard error, and by the exit code; neither key nor password is shown."""
    done = run(*arguments, code=code)

    assert told in done.stderr
    assert "" == done.stdout
    assert not re.search("s3cret|no-id-but-a-key|Traceback", done.output)


def test_no_database_is_named(run):
    """Neither by the option nor by the environment."""

    assert "MODELGATE_KEYS_URL" in run("list", code=2, env={"MODELGATE_KEYS_URL": None}).stderr


@pytest.mark.parametrize(
    ("told", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(days=1)),
        ("2w", timedelta(14)),
    ],
)
def test_spans(told, span):
    """A number and a unit."""

    assert span == times.span(told)
    assert abs(times.moment(told) - span - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("told", ["", "h", "1", "1y", "-1d", "1.5h", "1 d", "9999999d", "\u0661d"])
def test_what_is_no_span(told):
    """Is refused with an example."""
    for read in (times.span, times.moment):
        with pytest.raises(click.BadParameter, match="90d"):
            read(told)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--owner", "us", "--scope", "*", "--expires", "9999-12-31T23:59:59-12:00"),
        ("create", "--owner", "us", "--scope", "*", "--expires", "999999w"),
        ("rotate", "{id}", "--grace", "999999w"),
        ("expire", "{id}", "--at", "0001-01-01T00:00:00+12:00"),
    ],
)
def test_a_time_beyond_all_years(run, created, arguments):
    """Is refused in a line; nothing is changed, and the keys can be listed."""
    before = run("list", "--json").stdout
    done = run(*(argument.format(**created) for argument in arguments), code=2)

    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert before == run("list", "--json").stdout


def test_moments():
    """Of UTC where no zone is told."""

    assert datetime(2027, 1, 31, tzinfo=UTC) == times.moment("2027-01-31")
    assert datetime(2027, 1, 31, 8, tzinfo=UTC) == times.moment("2027-01-31T09:00+01:00")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "5 s ago"), (-90, "2 min ago"), (7200, "in 2 h"), (-86_400 * 3, "3 d ago"), (0, "0 s ago")],
)
def test_ago(seconds, told):
    """In the largest unit that fits."""

    assert told == times.ago(NOW + timedelta(seconds=seconds), NOW)
    assert "-" == times.ago(None, NOW)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
def test_a_missing_rich(url):
    """Is told as a missing click is; only a terminal needs it."""
    shown, terminal = os.openpty()
    code = RUNNING.format(missing=["rich"], arguments=("keys", "list", "--db", url))
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(terminal)
    os.close(shown)

    assert (1, MISSING_CLI) == (done.returncode, done.stderr)
    assert 0 == started("keys", "list", "--db", url, missing=["rich"]).returncode


MISSING_CLI = 'The command modelgate needs click and rich: pip install "modelgate[cli]"\n'

RUNNING = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
sys.argv = ["modelgate", *{arguments!r}]
from modelgate.cli import main
try:
    main()
finally:
    print(sorted(name for name in sys.modules if "." not in name and sys.modules[name]))
"""


def started(*arguments, missing=()):
    """What the command does in an interpreter of its own, some packages missing."""
    code = RUNNING.format(missing=missing, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_help_imports_little():
    """Whatever it does not need to be quick: no database, no table, no model."""
    done = started("--help")

    assert done.returncode == 0
    assert "keys" in done.stdout
    # All of them: some 200, of which most are Python's own and click's.
    modules = re.findall(r"'(\w+)'", done.stdout)
    unused = {"sqlalchemy", "rich", "sklearn", "pandas", "polars", "flask", "numpy", "httpx", "uvicorn"}
    assert set() == unused & set(modules)
    assert len(modules) < 200


@pytest.mark.parametrize(
    ("missing", "code", "told"),
    [
        (["click"], 1, MISSING_CLI),
        (["sqlalchemy"], 2, 'Error: a database needs SQLAlchemy: pip install "modelgate[sql]"\n'),
        (["psycopg"], 2, 'Error: PostgreSQL needs psycopg: pip install "modelgate[postgresql]"\n'),
    ],
    ids=str,
)
def test_a_missing_extra(missing, code, told):
    """Is told in one line that says what to install."""
    done = started("keys", "list", "--db", "postgresql://127.0.0.1:1/keys", missing=missing)

    assert (code, told) == (done.returncode, done.stderr)

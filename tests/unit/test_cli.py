"""``modelgate keys``, and what all commands share."""

import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import click
import click.testing
import pytest

from modelgate.cli import durations
from modelgate.cli.root import cli
from modelgate.flow import drive
from modelgate.keys import SqlKeyStore, has_valid_checksum
from support.versions import CLICK
from support.waiting import SOON

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/keys.db"


@pytest.fixture
def run(url):
    """Run ``modelgate keys …``."""

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


def test_create_prints_the_key_once(run, url):
    """Standard output holds only the key, so that a variable can take it."""
    done = run(
        "create", "--owner", "us", "--scope", "churn:predict", "--scope", "*:read", "--limits", "5/minute"
    )
    key = done.stdout.removesuffix("\n")
    store = SqlKeyStore(url)
    principal = drive(store.find(key))
    store.close()

    assert has_valid_checksum(key)
    assert (("churn:predict", "*:read"), "5/minute") == (principal.scopes, principal.limits)
    assert f"{principal.id}: this key is shown only once" in done.stderr
    for act in (["list"], ["list", "--json"], ["show", principal.id], ["revoke", principal.id, "--json"]):
        assert key[12:30] not in run(*act).output


def test_create_takes_over_a_key_and_does_not_print_it(run, url, monkeypatch):
    monkeypatch.setenv("OLD_KEY", "the-key-of-an-older-service")
    done = run("create", "--owner", "us", "--scope", "churn", "--key-env", "OLD_KEY", "--json")
    store = SqlKeyStore(url)
    principal = drive(store.find("the-key-of-an-older-service"))
    store.close()

    assert json.loads(done.stdout)["id"] == principal.id
    assert "older-service" not in done.output + run("list").output
    assert "\t-\tchurn\t" in run("list").stdout


def test_import_takes_over_keys_and_digests(run, url):
    """From a spreadsheet, with a byte order mark."""
    digest = hashlib.sha256(b"another-key-of-theirs").hexdigest()
    file = (
        "\ufeffkey,owner,scopes,limits,expires\n"
        "the-key-of-an-older-service,us,churn price:predict,5/minute,\n"
        f"sha256:{digest},them,*,,2999-01-31\n"
    )
    done = run("import", "-", input=file.encode())
    store = SqlKeyStore(url)
    first, second = (
        drive(store.find(key)) for key in ("the-key-of-an-older-service", "another-key-of-theirs")
    )
    store.close()

    assert [first.id, second.id] == done.stdout.split()
    assert (("churn", "price:predict"), "5/minute", "us") == (first.scopes, first.limits, first.owner)
    assert (None, "them") == (second.deployments, second.owner)
    assert "older-service" not in done.output


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("short,us,churn", "key 2: key must have 16 to 256 characters"),
        ("the-first-key-of-two,us,churn", "key 2: key must be listed once"),
        ("the-second-key-of-two,us,churn:fly", "key 2: scopes: each scope"),
        ("the-second-key-of-two,us,", "key 2 must have a key, an owner and scopes"),
        ("the-second-key-of-two,us", "key 2 must have 3 cells"),
        ('"the-second-key-of-two,us,churn', "file must be CSV in UTF-8"),
    ],
)
def test_import_adds_all_keys_or_none(run, lines, message):
    done = run("import", "-", input=f"key,owner,scopes\nthe-first-key-of-two,us,churn\n{lines}\n", code=2)

    assert message in done.stderr
    assert "of-two" not in done.output
    assert [] == json.loads(run("list", "--json").stdout)


def test_import_needs_the_names_of_the_columns(run):
    """A file without them is not quoted, because its first line is a key."""
    done = run("import", "-", input="the-first-key-of-two,us,churn\n", code=2)

    assert "the first line of the file must be the names of the columns" in done.stderr
    assert "of-two" not in done.output


def test_list_prints_lines_or_json(run, created):
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


def test_list_in_a_terminal_does_not_wrap_ids(run, created, monkeypatch):
    """Ids are copied from the table."""
    monkeypatch.setattr("modelgate.cli.output_tables.is_terminal", lambda: True)
    shown = run("list", color=True).stdout

    assert created["id"] in shown
    assert "\t" not in shown


def test_show_prints_the_key_record(run, created):
    lines = dict(line.split(maxsplit=1) for line in run("show", created["id"]).stdout.splitlines())

    assert lines["owner"] == "billing team"
    assert (lines["state"], lines["scopes"], lines["expires"]) == ("active", "churn", "-")
    assert created.keys() - {"key"} == lines.keys()


def test_rotate_prints_a_new_key_and_keeps_the_old_one_for_the_grace_period(run, created):
    new = json.loads(run("rotate", created["id"], "--grace", "2h", "--json").stdout)
    old = json.loads(run("show", created["id"], "--json").stdout)
    remaining = datetime.fromisoformat(old["expires"]) - datetime.now(UTC)

    assert (old["state"], old["replaced_by"]) == ("active", new["id"])
    assert timedelta(hours=1.9) < remaining <= timedelta(hours=2)
    assert new["counted_as"] == created["id"]
    assert has_valid_checksum(run("rotate", new["id"]).stdout.strip())
    run("rotate", created["id"], code=3)


def test_expire_and_revoke_end_a_key(run, created):
    later = json.loads(run("expire", created["id"], "--at", "2099-01-31", "--json").stdout)
    now = json.loads(run("expire", created["id"], "--json").stdout)
    gone = run("revoke", created["id"]).stdout

    assert (later["state"], later["expires"]) == ("active", "2099-01-31T00:00:00Z")
    assert now["state"] == "expired"
    assert re.search(r"^state +revoked$", gone, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "mg_live_no-id-but-a-key"], 3, "no key with this id"),
        (["create", "--owner", "us", "--scope", "a:b"], 2, "churn:predict"),
        (
            ["create", "--owner", "us", "--scope", "a", "--limits", "often"],
            2,
            "limits must be one or more windows",
        ),
        (
            ["create", "--owner", "us", "--scope", "a", "--expires", "soon"],
            2,
            "a duration such as 90d, or a date",
        ),
        (
            ["create", "--owner", "us", "--scope", "a", "--expires", "2020-01-01"],
            2,
            "must be in the future, such as 90d (got '2020-01-01')",
        ),
        (["rotate", "k_1", "--expires", "2020-01-01"], 2, "must be in the future"),
        (["rotate", "k_1", "--grace", "long"], 2, "such as 90d (got 'long')"),
        (["create", "--owner", "us"], 2, "--scope"),
        (["list", "--db", "mysql://me:s3cret@host/keys"], 2, "must be sqlite:///"),
        (["list", "--db", "postgresql://me:s3cret@127.0.0.1:1/keys"], 4, "database unavailable: "),
        (["list", "--db", "sqlite:////no/such/folder/keys.db"], 4, "unable to open database file"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_keys_errors_are_one_line_without_secrets(run, arguments, code, message):
    done = run(*arguments, code=code)

    assert message in done.stderr
    assert "" == done.stdout
    assert not re.search("s3cret|no-id-but-a-key|Traceback", done.output)


def test_keys_without_a_database(run):
    """click 8.1 does not name the environment variable of a missing option."""
    named = "MODELGATE_KEYS_URL" if CLICK >= (8, 2) else "--db"

    assert named in run("list", code=2, env={"MODELGATE_KEYS_URL": None}).stderr


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(days=1)),
        ("2w", timedelta(14)),
    ],
)
def test_durations_are_parsed(text, duration):
    assert duration == durations.parse_duration(text)
    assert abs(durations.parse_time(text) - duration - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["", "h", "1", "1y", "-1d", "1.5h", "1 d", "9999999d", "\u0661d"])
def test_invalid_durations_are_rejected_with_an_example(text):
    for parse in (durations.parse_duration, durations.parse_time):
        with pytest.raises(click.BadParameter, match="90d"):
            parse(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--owner", "us", "--scope", "*", "--expires", "9999-12-31T23:59:59-12:00"),
        ("create", "--owner", "us", "--scope", "*", "--expires", "999999w"),
        ("rotate", "{id}", "--grace", "999999w"),
        ("expire", "{id}", "--at", "0001-01-01T00:00:00+12:00"),
    ],
)
def test_times_out_of_range_are_rejected(run, created, arguments):
    """Nothing is changed, and the keys can still be listed."""
    before = run("list", "--json").stdout
    done = run(*(argument.format(**created) for argument in arguments), code=2)

    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert before == run("list", "--json").stdout


def test_times_default_to_utc():
    assert datetime(2027, 1, 31, tzinfo=UTC) == durations.parse_time("2027-01-31")
    assert datetime(2027, 1, 31, 8, tzinfo=UTC) == durations.parse_time("2027-01-31T09:00+01:00")


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-5, "5 s ago"), (-90, "2 min ago"), (7200, "in 2 h"), (-86_400 * 3, "3 d ago"), (0, "0 s ago")],
)
def test_ages_use_the_largest_unit_that_fits(seconds, age):
    assert age == durations.format_age(NOW + timedelta(seconds=seconds), NOW)
    assert "-" == durations.format_age(None, NOW)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
@pytest.mark.slow
def test_missing_rich_is_reported_in_a_terminal(url):
    """Other output does not need rich."""
    shown, terminal = os.openpty()
    code = RUNNING.format(missing=["rich"], arguments=("keys", "list", "--db", url))
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=SOON
    )
    os.close(terminal)
    os.close(shown)

    assert (1, MISSING_CLI) == (done.returncode, done.stderr)
    assert 0 == run_in_new_process("keys", "list", "--db", url, missing=["rich"]).returncode


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


def run_in_new_process(*arguments, missing=()):
    """Run the command in a new interpreter without the packages *missing*."""
    code = RUNNING.format(missing=missing, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SOON)


def test_help_imports_few_modules():
    """Importing databases, tables or models would slow it down."""
    done = run_in_new_process("--help")

    assert done.returncode == 0
    assert "keys" in done.stdout
    # About 200 in all, mostly of the standard library and click.
    modules = re.findall(r"'(\w+)'", done.stdout)
    unused = {"sqlalchemy", "rich", "sklearn", "pandas", "polars", "flask", "numpy", "httpx", "uvicorn"}
    assert set() == unused & set(modules)
    assert len(modules) < 200


@pytest.mark.parametrize(
    ("missing", "code", "message"),
    [
        (["click"], 1, MISSING_CLI),
        pytest.param(
            ["sqlalchemy"],
            2,
            'Error: a database needs SQLAlchemy: pip install "modelgate[sql]"\n',
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["psycopg"],
            2,
            'Error: PostgreSQL needs psycopg: pip install "modelgate[postgresql]"\n',
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_missing_extras_are_reported_with_the_install_command(missing, code, message):
    done = run_in_new_process("keys", "list", "--db", "postgresql://127.0.0.1:1/keys", missing=missing)

    assert (code, message) == (done.returncode, done.stderr)

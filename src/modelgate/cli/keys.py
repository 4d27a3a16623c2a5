"""``modelgate keys``: create, import, list, show, rotate, revoke and expire API keys."""

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..errors import ConfigurationError
from .durations import format_age, parse_duration, parse_future_time, parse_time
from .help import examples
from .inspect import read_environment_variable
from .key_file import read_keys
from .output_tables import escape, print_json, print_table

if TYPE_CHECKING:
    from ..keys.admin_store import KeyAdmin
    from ..keys.key_record import KeyRecord, NewKey

__all__ = ["keys"]


def _open_store(ctx: click.Context, _: click.Parameter, url: str) -> "KeyAdmin":
    from ..keys.admin_store import KeyAdmin

    store = KeyAdmin(url)
    ctx.call_on_close(store.close)
    return store


_db = click.option(
    "--db",
    "store",
    metavar="URL",
    envvar="MODELGATE_KEYS_URL",
    required=True,
    show_envvar=True,
    callback=_open_store,
    help="URL of the database: sqlite:///keys.db or postgresql://…. Pass a URL with a password in the"
    " environment variable.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the key records as JSON.")
_key_id = click.argument("key_id", metavar="ID")


@click.group(
    epilog=examples(
        "keys create --owner sales --scope churn --db sqlite:///keys.db", "keys list --db sqlite:///keys.db"
    )
)
def keys() -> None:
    """Manage the API keys in a database.

    A key is printed once, on standard output, when it is created. The database stores only its digest.
    """


@keys.command(
    epilog=examples(
        "keys create --owner sales --scope churn --db sqlite:///keys.db",
        "keys create --owner ops --scope '*:read' --expires 90d --db sqlite:///keys.db",
    )
)
@click.option("--owner", required=True, help="Owner of the key.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="Scope of the key: churn, churn:predict, '*' or '*:read'. Repeatable.",
)
@click.option(
    "--limits",
    metavar="RATE",
    help='Rate limit of the key, such as "600/minute; 10000/day". [default: the gate\'s]',
)
@click.option(
    "--not-before",
    type=parse_time,
    metavar="TIME",
    help="Start of validity: 7d (from now) or 2027-01-31. [default: now]",
)
@click.option(
    "--expires",
    type=parse_future_time,
    metavar="TIME",
    help="End of validity: 90d (from now) or 2027-01-31. [default: never]",
)
@click.option(
    "--key-env",
    "key",
    metavar="VARIABLE",
    callback=read_environment_variable,
    help="Environment variable with an existing key, or with sha256: and its digest. [default: a new key]",
)
@_json_option
@_db
def create(
    store: "KeyAdmin", as_json: bool, scopes: tuple[str, ...], key: str | None, **options: Any
) -> None:
    """Create a key and print it. It cannot be shown again.

    With --key-env, add a key that callers already have, and print its record.
    """
    new = store.create(scopes=scopes, key=key, **options)
    if key is None:
        _show_new(new, as_json)
    else:
        _show(new.record, as_json)


@keys.command("import", epilog=examples("keys import keys.csv --db sqlite:///keys.db"))
@click.argument("file", type=click.File(encoding="utf-8-sig", lazy=False))
@_json_option
@_db
def import_(store: "KeyAdmin", file: TextIO, as_json: bool) -> None:
    """Add keys that callers already have. If one cannot be added, none is added.

    FILE is CSV with the columns key, owner and scopes, and optionally limits, not_before and expires. A key may
    be written as sha256: and its digest. Separate scopes with spaces, and write times like 2027-01-31. Use - for
    standard input.
    """
    try:
        records = store.import_keys(read_keys(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"file must be CSV in UTF-8: {error}") from None
    if as_json:
        print_json([_as_json(record) for record in records])
    else:
        click.echo("\n".join(record.id for record in records))


@keys.command("list", epilog=examples("keys list --owner sales --db sqlite:///keys.db"))
@click.option("--owner", help="List only the keys of this owner.")
@_json_option
@_db
def list_(store: "KeyAdmin", owner: str | None, as_json: bool) -> None:
    """List the keys, oldest first."""
    records = store.list(owner)
    if as_json:
        print_json([_as_json(record) for record in records])
    else:
        now = datetime.now(UTC)
        rows = (_row(record, now) for record in records)
        print_table(_COLUMNS, rows, no_wrap=("id", "prefix", "state"))


@keys.command(epilog=examples("keys show k_9f3a61 --db sqlite:///keys.db"))
@_key_id
@_json_option
@_db
def show(store: "KeyAdmin", key_id: str, as_json: bool) -> None:
    """Show a key record."""
    _show(store.show(key_id), as_json)


@keys.command(epilog=examples("keys rotate k_9f3a61 --grace 7d --db sqlite:///keys.db"))
@_key_id
@click.option(
    "--grace",
    type=parse_duration,
    metavar="DURATION",
    default="24h",
    show_default=True,
    help="How long the old key remains valid: 30m, 24h or 7d.",
)
@click.option(
    "--expires",
    type=parse_future_time,
    metavar="TIME",
    help="End of validity of the new key: 90d (from now) or 2027-01-31. [default: that of the old key]",
)
@_json_option
@_db
def rotate(store: "KeyAdmin", key_id: str, grace: timedelta, expires: datetime | None, as_json: bool) -> None:
    """Replace a key with a new one, and print the new key.

    During the grace period both keys are valid, and their requests count towards the same rate limits.
    """
    _show_new(store.rotate(key_id, grace=grace, expires=expires), as_json)


@keys.command(epilog=examples("keys revoke k_9f3a61 --db sqlite:///keys.db"))
@_key_id
@_json_option
@_db
def revoke(store: "KeyAdmin", key_id: str, as_json: bool) -> None:
    """Revoke a key immediately and permanently."""
    _show(store.revoke(key_id), as_json)


@keys.command(epilog=examples("keys expire k_9f3a61 --at 2027-01-31 --db sqlite:///keys.db"))
@_key_id
@click.option(
    "--at",
    "expires",
    type=parse_time,
    metavar="TIME",
    help="End of validity: 7d (from now) or 2027-01-31. [default: now]",
)
@_json_option
@_db
def expire(store: "KeyAdmin", key_id: str, expires: datetime | None, as_json: bool) -> None:
    """Set the time at which a key expires."""
    _show(store.expire(key_id, expires), as_json)


def _show_new(new: "NewKey", as_json: bool) -> None:
    if as_json:
        print_json({"key": new.key, **_as_json(new.record)})
        return
    # Print only the key on standard output, so that KEY=$(modelgate keys create …) works.
    click.echo(new.key)
    click.echo(
        f"{new.record.id}: this key is shown only once; the database stores its digest and the prefix"
        f" {new.record.prefix}…",
        err=True,
    )


def _show(record: "KeyRecord", as_json: bool) -> None:
    members = _as_json(record)
    if as_json:
        print_json(members)
        return
    for name, value in members.items():
        text = " ".join(value) if name == "scopes" else value
        click.echo(f"{name:12} {escape(str(text)) if text is not None else '-'}")


def _as_json(record: "KeyRecord") -> dict[str, Any]:
    import msgspec

    return {"state": record.state(datetime.now(UTC)), **msgspec.to_builtins(record)}


_COLUMNS = ("id", "owner", "prefix", "scopes", "limits", "last used", "expires", "state")


def _row(record: "KeyRecord", now: datetime) -> list[str]:
    return [
        record.id,
        record.owner,
        f"{record.prefix}…" if record.prefix else "-",
        " ".join(record.scopes),
        record.limits or "-",
        format_age(record.last_used, now),
        format_age(record.expires, now),
        record.state(now),
    ]

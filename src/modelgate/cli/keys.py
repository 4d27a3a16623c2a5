"""``modelgate keys``: make, list, show, rotate, revoke and expire API keys."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..keys.record import KeyRecord, NewKey
from .tables import print_json, print_table
from .times import ago, coming, moment, span

if TYPE_CHECKING:
    from ..keys.table import KeyTable

__all__ = ["keys"]


def _opened(ctx: click.Context, _: click.Parameter, url: str) -> "KeyTable":
    from ..keys.table import KeyTable

    table = KeyTable(url)
    ctx.call_on_close(table.close)
    return table


_db = click.option(
    "--db",
    "table",
    metavar="URL",
    envvar="MODELGATE_KEYS_URL",
    required=True,
    show_envvar=True,
    callback=_opened,
    help="sqlite:///keys.db or postgresql://…; one with a password better by the environment.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_key_id = click.argument("key_id", metavar="ID")


@click.group()
def keys() -> None:
    """API keys in a database.

    A key is printed once, on standard output, when it is made; the database keeps its digest alone.
    """


@keys.command()
@click.option("--owner", required=True, help="Who gets the key.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="What it opens: churn, churn:predict, '*', '*:read'. May be given several times.",
)
@click.option("--limits", metavar="RATE", help='Rate of this key, "600/minute; 10000/day", for the gate\'s.')
@click.option("--not-before", type=moment, help="When it begins: 7d (from now), 2027-01-31.")
@click.option("--expires", type=coming, help="When it ends: 90d (from now), 2027-01-31.")
@_as_json
@_db
def create(table: "KeyTable", as_json: bool, scopes: tuple[str, ...], **options: Any) -> None:
    """Make a key, and print it: it cannot be shown again."""
    _show_new(table.create(scopes=scopes, **options), as_json)


@keys.command("list")
@click.option("--owner", help="Only the keys of this owner.")
@_as_json
@_db
def list_(table: "KeyTable", owner: str | None, as_json: bool) -> None:
    """List the keys, the oldest first."""
    records = table.list(owner)
    if as_json:
        print_json([_members(record) for record in records])
    else:
        now = datetime.now(UTC)
        rows = (_row(record, now) for record in records)
        print_table(_COLUMNS, rows, whole=("id", "prefix", "state"))


@keys.command()
@_key_id
@_as_json
@_db
def show(table: "KeyTable", key_id: str, as_json: bool) -> None:
    """Show what is kept of a key."""
    _show(table.show(key_id), as_json)


@keys.command()
@_key_id
@click.option(
    "--grace", type=span, default="24h", show_default=True, help="How long the old key stays valid."
)
@click.option("--expires", type=coming, help="When the new key ends; by default when the old one would have.")
@_as_json
@_db
def rotate(table: "KeyTable", key_id: str, grace: timedelta, expires: datetime | None, as_json: bool) -> None:
    """Make a key that replaces another. For the time of grace both are valid; the counts of limits go on."""
    _show_new(table.rotate(key_id, grace=grace, expires=expires), as_json)


@keys.command()
@_key_id
@_as_json
@_db
def revoke(table: "KeyTable", key_id: str, as_json: bool) -> None:
    """End a key now, for good."""
    _show(table.revoke(key_id), as_json)


@keys.command()
@_key_id
@click.option("--at", type=moment, help="When it ends: 7d (from now), 2027-01-31. By default now.")
@_as_json
@_db
def expire(table: "KeyTable", key_id: str, at: datetime | None, as_json: bool) -> None:
    """Have a key end at a moment."""
    _show(table.expire(key_id, at), as_json)


def _show_new(new: NewKey, as_json: bool) -> None:
    if as_json:
        print_json({"key": new.key, **_members(new.record)})
        return
    # The key alone on standard output: KEY=$(modelgate keys create …) works.
    click.echo(new.key)
    click.echo(
        f"{new.record.id}: this key is shown once. Kept are its digest and {new.record.prefix}…", err=True
    )


def _show(record: KeyRecord, as_json: bool) -> None:
    members = _members(record)
    if as_json:
        print_json(members)
        return
    for name, value in members.items():
        told = " ".join(value) if name == "scopes" else value
        click.echo(f"{name:12} {told if told is not None else '-'}")


def _members(record: KeyRecord) -> dict[str, Any]:
    return {"state": record.state(datetime.now(UTC)), **msgspec.to_builtins(record)}


_COLUMNS = ("id", "owner", "prefix", "scopes", "limits", "last used", "expires", "state")


def _row(record: KeyRecord, now: datetime) -> list[str]:
    return [
        record.id,
        record.owner,
        f"{record.prefix}…",
        " ".join(record.scopes),
        record.limits or "-",
        ago(record.last_used, now),
        ago(record.expires, now),
        record.state(now),
    ]

"""``modelgate deployments``: list, set, pause, resume, drain and remove what many gates serve."""

from typing import TYPE_CHECKING

import click
import msgspec

from .tables import print_json, print_table

if TYPE_CHECKING:
    from ..gate.entries import State
    from ..gate.registry import Registered, SqlRegistry

__all__ = ["deployments"]


def _opened(ctx: click.Context, _: click.Parameter, url: str) -> "SqlRegistry":
    from ..gate.registry import SqlRegistry

    registry = SqlRegistry(url)
    ctx.call_on_close(registry.close)
    return registry


def _shares(ctx: click.Context, parameter: click.Parameter, told: tuple[str, ...]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for each in told:
        model, _, percent = each.rpartition("=")
        if model in shares:
            raise click.BadParameter(f"{model} is given twice", ctx, parameter)
        try:
            shares[model] = float(percent)
        except ValueError:
            raise click.BadParameter(f"{each}: accepts store:name@version=5", ctx, parameter) from None
    return shares


_db = click.option(
    "--db",
    "registry",
    metavar="URL",
    envvar="MODELGATE_REGISTRY_URL",
    required=True,
    show_envvar=True,
    callback=_opened,
    help="sqlite:///models.db or postgresql://…; one with a password better by the environment.",
)
_name = click.argument("name")


@click.group()
def deployments() -> None:
    """What the gates serve that have this database as their registry.

    Each of them looks every few seconds.
    """


@deployments.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_db
def list_(registry: "SqlRegistry", as_json: bool) -> None:
    """List what is registered."""
    registered = registry.list()
    if as_json:
        print_json(msgspec.to_builtins(registered))
    else:
        print_table(("name", "model", "state", "rollout"), map(_row, registered), whole=("name", "state"))


@deployments.command("set")
@_name
@click.argument("model", required=False)
@click.option(
    "--percent",
    "percents",
    metavar="MODEL=PERCENT",
    multiple=True,
    callback=_shares,
    help="Another model and its share, store:churn@8=5. May be given several times. Without any there is none.",
)
@click.option("--by", default="request", show_default=True, help="request, key, or column:name.")
@_db
def set_(registry: "SqlRegistry", name: str, model: str | None, percents: dict[str, float], by: str) -> None:
    """Have NAME served by MODEL, store:churn@7; without it only the rollout changes."""
    from ..scoring import Rollout

    registry.set(name, model, rollout=Rollout(percents, by) if percents else None)


@deployments.command()
@_name
@_db
def pause(registry: "SqlRegistry", name: str) -> None:
    """Refuse every request, as for what is switched off."""
    _set_state(registry, name, "paused")


@deployments.command()
@_name
@_db
def resume(registry: "SqlRegistry", name: str) -> None:
    """Take requests again."""
    _set_state(registry, name, "active")


@deployments.command()
@_name
@_db
def drain(registry: "SqlRegistry", name: str) -> None:
    """Answer what is in flight, and refuse the rest: to be tried again."""
    _set_state(registry, name, "draining")


@deployments.command()
@_name
@_db
def remove(registry: "SqlRegistry", name: str) -> None:
    """Forget NAME: what the apps say of it holds, if anything."""
    registry.remove(name)


def _set_state(registry: "SqlRegistry", name: str, state: "State") -> None:
    # An app's own deployments need not be registered, so that a name that nobody has cannot be told from them.
    if name not in {it.name for it in registry.list()}:
        click.echo(f"{name} was not registered: this is for the gates that have one of this name", err=True)
    registry.set_state(name, state)


def _row(it: "Registered") -> list[str]:
    shares = [f"{model} {percent:g} %" for model, percent in (it.percents or {}).items()]
    return [it.name, it.model or "-", it.state, f"{', '.join(shares)} by {it.by}" if shares else "-"]

"""``modelgate deployments``: manage the deployments in a registry that several gates can share."""

from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError
from .help import examples
from .output_tables import print_json, print_table

if TYPE_CHECKING:
    from ..deployments.catalog import State
    from ..deployments.sql_registry import DeploymentRecord, SqlRegistry

__all__ = ["deployments"]


def _open_registry(ctx: click.Context, _: click.Parameter, url: str) -> "SqlRegistry":
    from ..deployments.sql_registry import SqlRegistry

    registry = SqlRegistry(url)
    ctx.call_on_close(registry.close)
    return registry


def _parse_weights(
    ctx: click.Context, parameter: click.Parameter, options: tuple[str, ...]
) -> dict[str, float]:
    weights: dict[str, float] = {}
    for option in options:
        model, _, percent = option.rpartition("=")
        if model in weights:
            raise click.BadParameter(f"must name each model once (got {model} twice)", ctx, parameter)
        try:
            weights[model] = float(percent)
        except ValueError:
            raise click.BadParameter(
                f"must be MODEL=PERCENT, such as store:churn@8=5 (got {option!r})", ctx, parameter
            ) from None
    return weights


_db = click.option(
    "--db",
    "registry",
    metavar="URL",
    envvar="MODELGATE_REGISTRY_URL",
    required=True,
    show_envvar=True,
    callback=_open_registry,
    help="URL of the registry: sqlite:///models.db or postgresql://…. Pass a URL with a password in the"
    " environment variable.",
)
_name = click.argument("name")


@click.group(
    epilog=examples(
        "deployments list --db sqlite:///models.db",
        "deployments set churn store:churn@7 --db sqlite:///models.db",
    )
)
def deployments() -> None:
    """Manage the deployments in a registry.

    Gates that use this database as their registry apply changes within a few seconds.
    """


@deployments.command("list", epilog=examples("deployments list --db sqlite:///models.db"))
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@_db
def list_(registry: "SqlRegistry", as_json: bool) -> None:
    """List the registered deployments."""
    records = registry.list()
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(records))
    else:
        print_table(("name", "model", "state", "rollout"), map(_row, records), no_wrap=("name", "state"))


@deployments.command(
    "set",
    epilog=examples(
        "deployments set churn store:churn@7 --db sqlite:///models.db",
        "deployments set churn --weight store:churn@8=5 --sticky-by key --db sqlite:///models.db",
    ),
)
@_name
@click.argument("model", required=False)
@click.option(
    "--weight",
    "weights",
    metavar="MODEL=PERCENT",
    multiple=True,
    callback=_parse_weights,
    help="Send PERCENT of the requests to another model, such as store:churn@8=5. Repeatable. [default: none]",
)
@click.option(
    "--sticky-by",
    default="request",
    show_default=True,
    help="Choose the model per request, per key, or per value of a column: request, key or column:NAME.",
)
@_db
def set_(
    registry: "SqlRegistry", name: str, model: str | None, weights: dict[str, float], sticky_by: str
) -> None:
    """Set the model and the rollout of a deployment.

    MODEL is a stored model such as store:churn@7. Without MODEL, only the rollout changes.
    """
    from ..deployments import Rollout

    registry.set(name, model, rollout=Rollout(weights, sticky_by) if weights else None)


@deployments.command(epilog=examples("deployments pause churn --db sqlite:///models.db"))
@_name
@_db
def pause(registry: "SqlRegistry", name: str) -> None:
    """Reject all requests to a deployment until it is resumed."""
    _set_state(registry, name, "paused")


@deployments.command(epilog=examples("deployments resume churn --db sqlite:///models.db"))
@_name
@_db
def resume(registry: "SqlRegistry", name: str) -> None:
    """Accept requests to a deployment again."""
    _set_state(registry, name, "active")


@deployments.command(epilog=examples("deployments drain churn --db sqlite:///models.db"))
@_name
@_db
def drain(registry: "SqlRegistry", name: str) -> None:
    """Reject new requests to a deployment, and finish those in flight.

    Rejected callers are asked to retry later.
    """
    _set_state(registry, name, "draining")


@deployments.command(epilog=examples("deployments remove churn --db sqlite:///models.db"))
@_name
@_db
def remove(registry: "SqlRegistry", name: str) -> None:
    """Remove a deployment from the registry.

    If the app of a gate also defines the deployment, the gate returns to the definition in the app.
    """
    registry.remove(name)


def _set_state(registry: "SqlRegistry", name: str, state: "State") -> None:
    # Deployments that an app defines need not be registered, so an unknown name is not an error.
    if name not in {record.name for record in registry.list()}:
        click.echo(
            f"{name} was not registered: the state applies to gates whose app defines {name}", err=True
        )
    registry.set_state(name, state)


def _row(record: "DeploymentRecord") -> list[str]:
    try:
        record.check()
    except ConfigurationError as error:
        return [
            str(record.name),
            str(record.model or "-"),
            str(record.state),
            f"rejected by every gate: {error}",
        ]
    weights = [f"{model} {percent:g} %" for model, percent in (record.percents or {}).items()]
    rollout = f"{', '.join(weights)} by {record.by}" if weights else "-"
    return [record.name, record.model or "-", record.state, rollout]

"""``modelgate doctor``: what in the configuration of a gate will bite."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..errors import DeploymentUnavailable, ModelgateError
from ..limiting.workers import visible_workers
from .tables import print_json, print_table
from .targets import gate_at

if TYPE_CHECKING:
    from ..gate import Gate
    from ..keys.record import KeyRecord
    from .checks import Facts, Loaded

__all__ = ["doctor"]


@click.command()
@click.argument("target", metavar="MODULE:GATE")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="How many processes serve; by default as the environment says (WEB_CONCURRENCY).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(target: str, workers: int | None, as_json: bool) -> None:
    """Tell what in the configuration of a gate will bite. Its module is imported, and its models are loaded.

    Exit codes: 0 nothing is wrong; 1 something is; 2 there is no such gate, or it cannot be made.
    """
    from .checks import findings

    gate = gate_at(target)
    found = findings(facts_of(gate, workers or visible_workers(os.environ, ())))
    if as_json:
        print_json([asdict(finding) for finding in found])
    elif found:
        print_table(
            ("", "about", "what", "do"),
            [(finding.level, finding.about, finding.what, finding.do) for finding in found],
            whole=("", "about"),
        )
    else:
        click.echo("Nothing found")
    raise click.exceptions.Exit(int(any(finding.level == "wrong" for finding in found)))


def facts_of(gate: "Gate", workers: int) -> "Facts":
    """What the checks look at. Models are loaded for it, and the database of keys is asked."""
    from .checks import Facts

    deployments = gate.deployments
    inner = [layer for deployment in deployments.values() for layer in deployment.layers]
    active = [name for name, deployment in deployments.items() if deployment.state == "active"]
    return Facts(
        deployments,
        (*gate.layers, *inner),
        gate.cache.cache_info(),
        {name: _loaded(gate, name) for name in active},
        _records(gate),
        os.environ,
        workers,
    )


def _loaded(gate: "Gate", name: str) -> "Loaded | Exception":
    from .checks import Loaded

    # The log of a server has the whole of it; here the cause is told in one line.
    logging.disable()
    try:
        predictor = gate.predictor(name)
    except DeploymentUnavailable as error:
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    except ModelgateError as error:
        return error
    finally:
        logging.disable(logging.NOTSET)
    return Loaded(predictor.model, predictor.schema, predictor.plan)


def _records(gate: "Gate") -> "Sequence[KeyRecord] | Exception | None":
    from ..layers import KeyAuth

    stores = [layer.keys for layer in gate.layers if isinstance(layer, KeyAuth)]
    try:
        tables = [store.list() for store in stores if hasattr(store, "backend") and hasattr(store, "list")]
    except ModelgateError as error:
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    return [record for table in tables for record in table] if tables else None

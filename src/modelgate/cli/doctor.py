"""``modelgate doctor``: find problems in the configuration of a gate."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..errors import DeploymentUnavailable, ModelgateError
from .gate_import import import_gate
from .help import examples
from .output_tables import print_json, print_table

if TYPE_CHECKING:
    from ..gate import Gate
    from ..keys.key_record import KeyRecord
    from .checks import Facts, LoadedModel

__all__ = ["doctor"]


@click.command(epilog=examples("doctor app:gate", "doctor app:gate --workers 4 --json"))
@click.argument("target", metavar="MODULE:GATE")
@click.option(
    "--workers",
    metavar="NUMBER",
    type=click.IntRange(1),
    help="Number of server processes to assume. [default: WEB_CONCURRENCY, or 1]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(target: str, workers: int | None, as_json: bool) -> None:
    """Find problems in the configuration of a gate.

    Imports GATE from MODULE, loads its models, and reads the database of keys.

    Exit codes: 0 nothing is wrong; 1 something is wrong; 2 the gate cannot be found or created.
    """
    from ..limiting.worker_count import detect_worker_count
    from .checks import run_checks

    gate = import_gate(target)
    findings = run_checks(collect_facts(gate, workers or detect_worker_count(os.environ, ())))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    elif findings:
        print_table(
            ("", "about", "what", "do"),
            [(finding.level, finding.about, finding.what, finding.do) for finding in findings],
            no_wrap=("", "about"),
        )
    else:
        click.echo("No problems found")
    raise click.exceptions.Exit(int(any(finding.level == "wrong" for finding in findings)))


def collect_facts(gate: "Gate", workers: int) -> "Facts":
    """Collect the facts that the checks need: load the models and read the database of keys."""
    from .checks import Facts

    deployments = gate.deployments
    deployment_layers = [layer for deployment in deployments.values() for layer in deployment.layers]
    active = [name for name, deployment in deployments.items() if deployment.state == "active"]
    return Facts(
        deployments,
        (*gate.layers, *deployment_layers),
        gate.deployments.cache.cache_info(),
        {name: _load_model(gate, name) for name in active},
        _read_key_records(gate),
        os.environ,
        workers,
    )


def _load_model(gate: "Gate", name: str) -> "LoadedModel | Exception":
    from .checks import LoadedModel

    # A finding reports the cause in one line. The traceback in the log would repeat it.
    logging.disable()
    try:
        predictor = gate.deployments.predictor(name)
    except DeploymentUnavailable as error:
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    except ModelgateError as error:
        return error
    finally:
        logging.disable(logging.NOTSET)
    return LoadedModel(predictor.model, predictor.schema, predictor.plan)


def _read_key_records(gate: "Gate") -> "Sequence[KeyRecord] | Exception | None":
    from ..layers import KeyAuth

    stores = [layer.keys for layer in gate.layers if isinstance(layer, KeyAuth)]
    try:
        tables = [store.list() for store in stores if hasattr(store, "backend") and hasattr(store, "list")]
    except ModelgateError as error:
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    return [record for table in tables for record in table] if tables else None

"""``modelgate inspect``: what is in a model file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..errors import ConfigurationError
from .tables import print_json, print_table

if TYPE_CHECKING:
    from ..models.report import FileReport
    from ..schema import Column

__all__ = ["file_argument", "from_environment", "inspect", "key_option", "trusted_option"]

_COLUMNS = ("column", "type", "required", "null", "values")
_LEVELS = 5


def from_environment(_ctx: click.Context, _option: click.Parameter, variable: str | None) -> str | None:
    """The secret that an option names the environment variable of."""
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise click.BadParameter(f"the environment variable {variable} is not set")
    return os.environ[variable]


file_argument = click.argument("path", metavar="FILE", type=click.Path(exists=True, path_type=Path))
trusted_option = click.option(
    "--trusted", is_flag=True, help="Load it also if it is a pickle, which runs the code in it."
)
key_option = click.option(
    "--key-env",
    "key",
    metavar="VARIABLE",
    callback=from_environment,
    help="The environment variable that holds the key of signatures.",
)


@click.command()
@file_argument
@trusted_option
@key_option
@click.option(
    "--public-key",
    "public_keys",
    metavar="FILE",
    multiple=True,
    help="An Ed25519 public key, PEM or base64, that should have signed it; of several, one.",
)
@click.option(
    "--schema",
    "schema_path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Write its schema to a file to edit: churn.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    path: Path,
    trusted: bool,
    key: str | None,
    public_keys: tuple[str, ...],
    schema_path: Path | None,
    as_json: bool,
) -> None:
    """Show what is in a model file, what it asks for, and what loading it would run.

    Nothing in it is executed without --trusted.
    """
    from ..models.report import report_on

    report = report_on(path, key=key, trusted=trusted, public_keys=public_keys or None)
    if schema_path is not None and report.schema is not None:
        report.schema.save(schema_path)
    plan = _plan(report, trusted)
    if as_json:
        print_json(_members(report, plan))
    else:
        _show(path, report, plan)


def _plan(report: "FileReport", trusted: bool) -> str | None:
    """Whether an exact plan would answer, or why none would; None where there is no telling.

    To tell the model must predict: as it does in any case for the example of a package, and else where it is
    trusted. Whether it can answer shows too, and is a warning where it cannot.
    """
    package = report.package
    if package is None or not (trusted or report.manifest is not None):
        return None
    from ..models.onnx import OnnxModel
    from ..scoring import Predictor

    try:
        predictor = Predictor(package.model, report.schema, sample=package.sample)
        doubt = predictor.warm()
    except ConfigurationError as error:
        report.warnings.append(f"a gate would refuse it: {error}")
        return None
    if doubt is not None:
        report.warnings.append(f"not known whether it can answer: {doubt}")
    if isinstance(package.model, OnnxModel):
        return None
    plan = predictor.plan
    return f"none: {plan}" if isinstance(plan, str) else "exact"


def _show(path: Path, report: "FileReport", plan: str | None) -> None:
    for name, value in _facts(path, report, plan).items():
        click.echo(f"{name:10} {value}")
    if report.schema is not None:
        click.echo()
        print_table(_COLUMNS, [_row(column) for column in report.schema], whole=("column",))
        click.echo()
    for name in report.runs:
        click.echo(f"{'runs':10} {name}")
    for warning in report.warnings:
        click.echo(f"{'warning':10} {warning}")


def _facts(path: Path, report: "FileReport", plan: str | None) -> dict[str, str]:
    facts = {"file": f"{path.name}  {report.size / 1000:,.1f} kB  {report.format}", "sha256": report.sha256}
    if report.model is not None:
        facts["model"] = report.model
    if plan is not None:
        facts["plan"] = plan
    told = report.manifest
    if told is not None:
        facts["package"] = f"{told.name} {told.version}  {_signatures(report)}"
        facts["task"] = f"{told.task} of {told.target}"
        if told.classes != [None]:
            facts["classes"] = "; ".join(", ".join(map(str, labels or ())) for labels in told.classes)
        if told.threshold is not None:
            wanted = "the second class" if told.positive_class is None else told.positive_class
            facts["threshold"] = f"{told.threshold} for {wanted}"
        if told.difference is not None:
            facts["converted"] = str(told.difference)
        facts["made with"] = ", ".join(f"{name} {version}" for name, version in told.versions.items())
    return facts


def _signatures(report: "FileReport") -> str:
    told = ["signed"] if report.signed else []
    if report.signer is not None:
        told.append(f"signed by Ed25519 key {report.signer}")
    return ", ".join(told) or "not signed"


def _row(column: "Column") -> tuple[str, ...]:
    values = "-"
    if column.levels is not None:
        shown = " | ".join(map(str, column.levels[:_LEVELS]))
        values = shown if len(column.levels) <= _LEVELS else f"{shown} | … ({len(column.levels)})"
    elif column.seen is not None:
        values = f"{column.seen[0]:g} to {column.seen[1]:g} in training"
    yes = {True: "yes", False: "no"}
    return column.name, column.kind, yes[column.required], yes[column.nullable], values


def _members(report: "FileReport", plan: str | None) -> dict[str, Any]:
    from ..schema.files import plain

    told: dict[str, Any] = {
        name: getattr(report, name) for name in ("size", "sha256", "format", "signed", "signer", "model")
    }
    told["plan"] = plan
    told["package"] = msgspec.to_builtins(report.manifest) if report.manifest is not None else None
    schema = report.schema
    told["schema"] = plain(schema.columns, schema.policy) if schema is not None else None
    return {**told, "runs": report.runs, "warnings": report.warnings}

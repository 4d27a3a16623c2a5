"""``modelgate inspect``: show the contents of a model file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError
from .help import examples
from .output_tables import escape, print_json, print_table
from .progress import show_phases

if TYPE_CHECKING:
    from ..models.inspection import FileReport
    from ..schema import Column

__all__ = ["file_argument", "inspect", "load_pickle_option", "read_environment_variable"]

_COLUMNS = ("column", "type", "required", "null", "values")
_SHOWN_LEVELS = 5


def read_environment_variable(
    _ctx: click.Context, _option: click.Parameter, variable: str | None
) -> str | None:
    """Return the value of the environment variable *variable*, or None if *variable* is None."""
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise click.BadParameter(f"the environment variable {variable} is not set")
    return os.environ[variable]


file_argument = click.argument("path", metavar="FILE", type=click.Path(exists=True, path_type=Path))
load_pickle_option = click.option(
    "--load-pickle", is_flag=True, help="Load pickles too. This runs the code in them."
)


@click.command(epilog=examples("inspect churn.mgpkg", "inspect churn.skops --schema churn.toml"))
@file_argument
@load_pickle_option
@click.option(
    "--public-key",
    "public_keys",
    metavar="FILE",
    multiple=True,
    help="Require a signature that matches this Ed25519 public key (PEM or base64). If repeated, any of the"
    " keys may match.",
)
@click.option(
    "--schema",
    "schema_path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Write the schema to this file for editing, for example churn.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def inspect(
    path: Path,
    load_pickle: bool,
    public_keys: tuple[str, ...],
    schema_path: Path | None,
    as_json: bool,
) -> None:
    """Show the contents of a model file.

    The output includes the input columns of the model and the code that would run if the file were loaded.
    Nothing in the file is executed without --load-pickle.
    """
    from ..models.inspection import report_on

    begin_phase = click.get_current_context().with_resource(show_phases())
    begin_phase(f"Reading {escape(path.name)}")
    report = report_on(path, load_pickle=load_pickle, public_keys=public_keys or None)
    if schema_path is not None and report.schema is not None:
        report.schema.save(schema_path)
    begin_phase("Testing the model")
    plan = _describe_plan(report, load_pickle)
    if as_json:
        print_json(_as_json(report, plan))
    else:
        _show(path, report, plan)


def _describe_plan(report: "FileReport", may_predict: bool) -> str | None:
    """Return "exact" if the model has an exact plan, "none: <reason>" if not, or None if this is unknown.

    To find out, the model must be called. The model of a package may be called, because loading a package
    calls its model anyway. Any other model is called only with --load-pickle. If the model cannot make a
    prediction, a warning is added to *report*.
    """
    package = report.package
    if package is None or not (may_predict or report.manifest is not None):
        return None
    from ..inference import Predictor
    from ..models.onnx import OnnxModel

    try:
        predictor = Predictor(package.model, report.schema, sample=package.sample)
        doubt = predictor.warm()
    except ConfigurationError as error:
        report.warnings.append(f"a gate would reject the file: {error}")
        return None
    if doubt is not None:
        report.warnings.append(f"unknown whether the model can make predictions: {doubt}")
    if isinstance(package.model, OnnxModel):
        return None
    plan = predictor.plan
    return f"none: {plan}" if isinstance(plan, str) else "exact"


def _show(path: Path, report: "FileReport", plan: str | None) -> None:
    for name, value in _facts(path, report, plan).items():
        click.echo(f"{name:10} {escape(value)}")
    if report.schema is not None:
        click.echo()
        print_table(_COLUMNS, [_row(column) for column in report.schema], no_wrap=("column",))
        click.echo()
    for name in report.imports:
        click.echo(f"{'runs':10} {escape(name)}")
    for warning in report.warnings:
        click.echo(f"{'warning':10} {escape(warning)}")


def _facts(path: Path, report: "FileReport", plan: str | None) -> dict[str, str]:
    facts = {"file": f"{path.name}  {report.size / 1000:,.1f} kB  {report.format}", "sha256": report.sha256}
    if report.model is not None:
        facts["model"] = report.model
    if plan is not None:
        facts["plan"] = plan
    manifest = report.manifest
    if manifest is not None:
        signed = "not signed" if report.signer is None else f"signed by Ed25519 key {report.signer}"
        facts["package"] = f"{manifest.name} {manifest.version}  {signed}"
        facts["task"] = f"{manifest.task} of {manifest.target}"
        if manifest.classes != [None]:
            facts["classes"] = "; ".join(", ".join(map(str, labels or ())) for labels in manifest.classes)
        if manifest.threshold is not None:
            positive = "the second class" if manifest.positive_class is None else manifest.positive_class
            facts["threshold"] = f"{manifest.threshold} for {positive}"
        if manifest.difference is not None:
            facts["converted"] = str(manifest.difference)
        facts["made with"] = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    return facts


def _row(column: "Column") -> tuple[str, ...]:
    values = "-"
    if column.levels is not None:
        shown = " | ".join(map(str, column.levels[:_SHOWN_LEVELS]))
        values = shown if len(column.levels) <= _SHOWN_LEVELS else f"{shown} | … ({len(column.levels)})"
    elif column.observed_range is not None:
        values = f"{column.observed_range[0]:g} to {column.observed_range[1]:g} in training"
    yes = {True: "yes", False: "no"}
    return column.name, column.kind, yes[column.required], yes[column.nullable], values


def _as_json(report: "FileReport", plan: str | None) -> dict[str, Any]:
    import msgspec

    from ..schema.schema_file import schema_to_dict

    members: dict[str, Any] = {
        name: getattr(report, name) for name in ("size", "sha256", "format", "signer", "model")
    }
    members["plan"] = plan
    members["package"] = msgspec.to_builtins(report.manifest) if report.manifest is not None else None
    schema = report.schema
    members["schema"] = schema_to_dict(schema.columns, schema.options) if schema is not None else None
    return {**members, "runs": report.imports, "warnings": report.warnings}

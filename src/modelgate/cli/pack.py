"""``modelgate pack``: create a package from a fitted model and sample rows."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError, RequestError, error_context
from .help import examples
from .inspect import file_argument, load_pickle_option
from .output_tables import escape
from .progress import show_phases

if TYPE_CHECKING:
    from ..models import ModelPackage
    from ..schema import Schema, Table

__all__ = ["pack"]


@click.command(
    epilog=examples(
        "pack churn.skops --sample train.csv --target churned",
        "pack churn.joblib --load-pickle --sample train.csv --version 7 -o churn@7.mgpkg",
        "pack load.skops --sample train.csv --datetime when",
    )
)
@file_argument
@click.option(
    "--sample",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="CSV",
    help="CSV file with rows like those in training; at most 200 are stored in the package.",
)
@click.option("--name", help="Name of the model. [default: that of the package, else that of FILE]")
@click.option("--version", help="Version of the model. [default: that of the package, or 1]")
@click.option(
    "--target",
    help="Name of the predicted value. If --sample has a column of this name, it holds the true values.",
)
@click.option("--positive-class", help="Positive class of a binary classifier.")
@click.option(
    "--threshold",
    metavar="NUMBER",
    type=float,
    help="Minimum probability, from 0 to 1, for predicting the positive class.",
)
@click.option(
    "--schema", type=click.Path(exists=True, path_type=Path), help="Schema file of the input, .toml or .json."
)
@click.option(
    "--datetime",
    "datetimes",
    metavar="COLUMN",
    multiple=True,
    help="Sample column that the model was trained on as dates or times. Repeatable.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["skops", "native", "joblib", "onnx"]),
    default="skops",
    show_default=True,
    help="Format of the stored model. native is for XGBoost, LightGBM and CatBoost; joblib is a pickle;"
    " onnx is a conversion whose predictions may differ slightly.",
)
@click.option("--onnx", is_flag=True, help="Short for --format onnx.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Path of the package; must not be FILE. [default: FILE with the suffix .mgpkg]",
)
@click.option("--force", is_flag=True, help="Replace an existing output file.")
@load_pickle_option
@click.option(
    "--sign-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign the package with this Ed25519 private key (a PEM file).",
)
def pack(
    path: Path,
    sample: Path,
    name: str | None,
    schema: Path | None,
    datetimes: Sequence[str],
    output: Path | None,
    force: bool,
    load_pickle: bool,
    sign_key: Path | None,
    format_: Any,
    onnx: bool,
    positive_class: str | None,
    **options: Any,
) -> None:
    """Create a package from a fitted model.

    Prints the digest of the package, which a deployment can pin.

    If FILE is already a package, options that are not passed are taken from it.
    """
    from ..models import ModelPackage
    from ..models.package_files import PACKAGE, split_name
    from ..schema import CSV, Schema

    stem, _ = split_name(path)
    output = output or path.with_name(stem + PACKAGE)
    _check_output(output, path, force)
    begin_phase = click.get_current_context().with_resource(show_phases())
    begin_phase(f"Loading {escape(path.name)}")
    source = _load(path, load_pickle)
    model, manifest = source.model, source.manifest
    begin_phase(f"Reading {escape(sample.name)}")
    raw = sample.read_bytes()
    options = {
        option: getattr(manifest, option) if value is None else value for option, value in options.items()
    }
    input_schema = (
        Schema.load(schema)
        if schema is not None
        else source.schema or _schema_of(model, raw, sample, options["target"])
    )
    with error_context("--datetime"):
        input_schema = input_schema.with_columns(dict.fromkeys(datetimes, "datetime"))
    try:
        # Unlike a request, the sample may have a column with the values to predict, so extra columns are
        # ignored.
        table = input_schema.with_options(extra_columns="ignore").read(CSV(raw))
        truth = _read_truth(raw, options["target"], model)
    except (RequestError, ValueError) as error:
        raise ConfigurationError(f"--sample {sample}: {error}") from None
    begin_phase("Testing the model on the sample")
    package = ModelPackage.from_estimator(
        model,
        table.rows(),
        truth,
        name=name or (manifest.name if source.schema is not None else stem),
        schema=input_schema,
        positive_class=manifest.positive_class
        if positive_class is None
        else _labels(model).get(positive_class, positive_class),
        format="onnx" if onnx else format_,
        **options,
    )
    begin_phase(f"Writing {escape(output.name)}")
    digest = package.save(output, sign_key=sign_key)
    # Print only the digest on standard output, so that SHA256=$(modelgate pack …) works.
    click.echo(digest)
    _print_warnings(package, model, table)
    click.echo(f'Deployment("{package.manifest.name}", "{output}", sha256="{digest}")', err=True)


def _check_output(output: Path, path: Path, force: bool) -> None:
    if output.exists() and (output.samefile(path) or not force):
        force_hint = "" if output.samefile(path) else ", or pass --force"
        raise click.UsageError(f"{output} already exists: choose another --output{force_hint}")


def _load(path: Path, load_pickle: bool) -> "ModelPackage":
    from ..models import ModelPackage
    from ..models.archive import MANIFEST
    from ..models.package_files import split_name
    from ..models.pickle_file import PICKLE_SUFFIXES

    if split_name(path)[1] in PICKLE_SUFFIXES and not load_pickle:
        raise click.UsageError(
            f"{path.name} is a pickle: loading it runs the code in it. If you trust it, pass --load-pickle"
        )
    content = (path / MANIFEST if path.is_dir() else path).read_bytes()
    return ModelPackage.load(path, sha256=hashlib.sha256(content).hexdigest(), allow_pickle=load_pickle)


def _schema_of(model: Any, raw: bytes, sample: Path, target: str | Sequence[str]) -> "Schema":
    from ..schema import Schema
    from ..schema.training import columns_without_guesses

    try:
        columns = columns_without_guesses(raw)
    except (ValueError, csv.Error) as error:
        raise ConfigurationError(f"--sample {sample}: {error}") from None
    # If the model does not store its columns, they are all columns of the sample except the targets.
    targets = [target] if isinstance(target, str) else target
    return Schema.from_model(model, {name: cells for name, cells in columns.items() if name not in targets})


def _print_warnings(package: "ModelPackage", model: Any, sample: "Table") -> None:
    """Print warnings about *package*, which was made from *model*, on standard error."""
    from ..schema.unknown_levels import ALLOW_UNKNOWN_LEVELS, describe_rejected_levels

    if package.manifest.difference is not None:
        click.echo(f"ONNX and the estimator: {package.manifest.difference}", err=True)
    schema = package.schema
    assert schema is not None
    for column in schema:
        if column.kind in ("text", "any") and column.levels is None and _holds_dates(sample[column.name]):
            click.echo(
                f"{column.name} contains dates, which are packed as {column.kind}: pass --datetime {column.name}"
                " if the model was trained on dates",
                err=True,
            )
    rejected = describe_rejected_levels(model, schema)
    if rejected is not None:
        click.echo(f"{rejected}: {ALLOW_UNKNOWN_LEVELS}", err=True)


def _holds_dates(cells: Any) -> bool:
    from ..schema import Column

    column = Column("date", "datetime")
    present = [cell for cell in cells if cell is not None]
    return bool(present) and all(column.parse_datetime(cell) is not None for cell in present)


def _labels(model: Any) -> dict[str, Any]:
    from ..schema.introspection.infer_columns import outputs_of

    return {str(label): label for label in outputs_of(model)[0] or ()}


def _read_truth(raw: bytes, target: str | Sequence[str], model: Any) -> list[Any] | None:
    """Return the sample column *target* as labels or numbers, or None if there is no such column."""
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    if not rows or not isinstance(target, str) or target not in rows[0]:
        return None
    labels = _labels(model)
    return [labels.get(row[target], row[target]) if labels else float(row[target]) for row in rows]

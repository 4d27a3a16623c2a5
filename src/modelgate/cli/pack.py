"""``modelgate pack``: a package of a fitted model and a sample of its rows."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError, RequestError
from .inspect import file_argument, key_option, trusted_option

if TYPE_CHECKING:
    from ..models import ModelPackage

__all__ = ["pack"]


@click.command()
@file_argument
@click.option(
    "--sample",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="CSV",
    help="Rows as in training; up to 200 of them are kept.",
)
@click.option("--name", help="Of the model; by default that of the file, or of the package.")
@click.option("--version", help="Of the model; by default 1, or that of the package.")
@click.option(
    "--target",
    help="What is predicted; a column of the sample of that name is its truth.",
)
@click.option("--positive-class", help="Of two classes the one that is looked for.")
@click.option("--threshold", type=float, help="The probability from which on that is predicted.")
@click.option("--schema", type=click.Path(exists=True, path_type=Path), help="Of the input, .toml or .json.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["skops", "joblib", "onnx"]),
    default="skops",
    show_default=True,
    help="How the estimator is written; joblib is a pickle, onnx is made of it and may answer a little otherwise.",
)
@click.option("--onnx", "format_", flag_value="onnx", help="The same as --format onnx.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="By default FILE with the ending .mgpkg; never FILE itself.",
)
@click.option("--force", is_flag=True, help="Take the place of a file that is there already.")
@trusted_option
@key_option
@click.option(
    "--sign-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The PEM file of an Ed25519 private key to sign it with.",
)
def pack(
    path: Path,
    sample: Path,
    name: str | None,
    schema: Path | None,
    output: Path | None,
    force: bool,
    trusted: bool,
    key: str | None,
    sign_key: Path | None,
    format_: Any,
    positive_class: str | None,
    **options: Any,
) -> None:
    """Pack a fitted model with what is needed to serve it, and print the digest to pin it by.

    Where FILE is a package, what no option says is as in it.
    """
    from ..models import ModelPackage
    from ..models.package import PACKAGE
    from ..schema import CSV, Schema

    output = output or path.with_suffix(PACKAGE)
    _check_output(output, path, force)
    given = _load(path, trusted)
    model, told = given.model, given.manifest
    rules = Schema.load(schema) if schema is not None else given.schema or Schema.from_model(model)
    # What a package says goes on to be said.
    options = {option: getattr(told, option) if value is None else value for option, value in options.items()}
    raw = sample.read_bytes()
    try:
        # A caller may not send the truth, and here it stands beside the columns.
        table = rules.reading(extra="ignore").read(CSV(raw))
        truth = _truth(raw, options["target"], model)
    except (RequestError, ValueError) as error:
        raise ConfigurationError(f"--sample {sample}: {error}") from None
    package = ModelPackage.from_estimator(
        model,
        table.to_pandas() if hasattr(model, "feature_names_in_") else table.to_array(),
        truth,
        name=name or (told.name if given.schema is not None else path.stem),
        schema=rules,
        positive_class=told.positive_class
        if positive_class is None
        else _labels(model).get(positive_class, positive_class),
        format=format_,
        **options,
    )
    digest = package.save(output, key=key, sign_key=sign_key)
    # The digest alone on standard output: SHA256=$(modelgate pack …) works.
    click.echo(digest)
    if package.manifest.difference is not None:
        click.echo(f"ONNX and the estimator: {package.manifest.difference}", err=True)
    click.echo(f'Deployment("{package.manifest.name}", "{output}", sha256="{digest}")', err=True)


def _check_output(output: Path, path: Path, force: bool) -> None:
    if output.exists() and (output.samefile(path) or not force):
        option = "another --output" if output.samefile(path) else "another --output, or --force"
        raise click.UsageError(f"{output} is there already: takes {option}")


def _load(path: Path, trusted: bool) -> "ModelPackage":
    from ..models import ModelPackage
    from ..models.archive import MANIFEST

    if path.suffix == ".joblib" and not trusted:
        raise click.UsageError(
            f"{path.name} is a pickle: loading it runs the code in it. If you made it: --trusted"
        )
    content = (path / MANIFEST if path.is_dir() else path).read_bytes()
    return ModelPackage.load(path, sha256=hashlib.sha256(content).hexdigest(), allow_pickle=trusted)


def _labels(model: Any) -> dict[str, Any]:
    from ..schema.infer import outputs_of

    return {str(label): label for label in outputs_of(model)[0] or ()}


def _truth(raw: bytes, target: str | Sequence[str], model: Any) -> list[Any] | None:
    """The column *target* of the sample, as the model knows its values; None where there is none."""
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    if not rows or not isinstance(target, str) or target not in rows[0]:
        return None
    labels = _labels(model)
    return [labels.get(row[target], row[target]) if labels else float(row[target]) for row in rows]

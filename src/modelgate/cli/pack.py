"""``modelgate pack``: a package of a fitted model and a sample of its rows."""

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError, RequestError
from .inspect import file_argument, key_option, trusted_option

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
@click.option("--name", help="Of the model; by default that of the file.")
@click.option("--version", default="1", show_default=True, help="Of the model.")
@click.option(
    "--target",
    default="prediction",
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
    "--output", "-o", type=click.Path(path_type=Path), help="By default FILE with the ending .mgpkg."
)
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
    trusted: bool,
    key: str | None,
    sign_key: Path | None,
    format_: Any,
    positive_class: str | None,
    **options: Any,
) -> None:
    """Pack a fitted model with what is needed to serve it, and print the digest to pin it by."""
    from ..models import ModelPackage
    from ..schema import CSV, Schema

    model = _load(path, trusted)
    rules = Schema.load(schema) if schema is not None else Schema.from_model(model)
    raw = sample.read_bytes()
    try:
        table = rules.read(CSV(raw))
        truth = _truth(raw, options["target"], model)
    except (RequestError, ValueError) as error:
        raise ConfigurationError(f"--sample {sample}: {error}") from None
    package = ModelPackage.from_estimator(
        model,
        table.to_pandas() if hasattr(model, "feature_names_in_") else table.to_array(),
        truth,
        name=name or path.stem,
        schema=rules,
        positive_class=_label(model, positive_class),
        format=format_,
        **options,
    )
    output = output or path.with_suffix(".mgpkg")
    digest = package.save(output, key=key, sign_key=sign_key)
    # The digest alone on standard output: SHA256=$(modelgate pack …) works.
    click.echo(digest)
    if package.manifest.difference is not None:
        click.echo(f"ONNX and the estimator: {package.manifest.difference}", err=True)
    click.echo(f'Deployment("{package.manifest.name}", "{output}", sha256="{digest}")', err=True)


def _load(path: Path, trusted: bool) -> Any:
    from ..models import load_model

    if path.suffix == ".joblib" and not trusted:
        raise click.UsageError(
            f"{path.name} is a pickle: loading it runs the code in it. If you made it: --trusted"
        )
    return load_model(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _labels(model: Any) -> dict[str, Any]:
    from ..schema.infer import outputs_of

    return {str(label): label for label in outputs_of(model)[0] or ()}


def _label(model: Any, text: str | None) -> Any:
    return _labels(model).get(text, text) if text is not None else None


def _truth(raw: bytes, target: str, model: Any) -> list[Any] | None:
    """The column *target* of the sample, as the model knows its values; None where there is none."""
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    if not rows or target not in rows[0]:
        return None
    labels = _labels(model)
    return [labels.get(row[target], row[target]) if labels else float(row[target]) for row in rows]

"""Parse the target of ``modelgate score``: a server, or a gate that each process creates."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import click

if TYPE_CHECKING:
    from ..bulk.gate_source import GateSource

__all__ = ["parse_target"]


def parse_target(
    url: str | None,
    model: Path | None,
    gate: str | None,
    deployment: str | None,
    *,
    query: str,
    load_pickle: bool,
) -> "tuple[dict[str, str | None], GateSource | None]":
    """Return the target's options, and the description of its gate, which is None for a server.

    Args:
        url: URL of a deployment.
        model: Path of a model file.
        gate: Gate to import, such as ``app:gate``.
        deployment: Deployment of *gate*.
        query: Query string of the requests; see `modelgate.bulk.gate_source.format_query`.
        load_pickle: Whether *model* may be a pickle.

    Raises:
        click.UsageError: The options contradict each other.
    """
    if [url, model, gate].count(None) != 2:
        raise click.UsageError("pass exactly one of --url, --model and --gate")
    if deployment is not None and gate is None:
        raise click.UsageError("--deployment can only be passed with --gate")
    options: dict[str, str | None] = {
        "url": url,
        "gate": gate,
        "deployment": deployment,
        **dict(parse_qsl(query)),
    }
    if url is not None:
        return options, None
    from ..bulk.gate_source import GateSource

    if model is None:
        return options, GateSource(gate, deployment, query=query)
    from ..models.archive import MANIFEST
    from ..models.package_files import file_errors

    # Only the workers load the model, which takes seconds.
    with file_errors(model), (model / MANIFEST if model.is_dir() else model).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    source = GateSource(model=model.absolute(), sha256=sha256 if load_pickle else None, query=query)
    # The digest, because a resumed run must not mix the predictions of two models.
    return {"model": f"{model} (SHA-256 {sha256[:16]}…)", **options}, source

"""``modelgate serve``: serve model files on this machine."""

import contextlib
import json
import os
import shlex
import socket
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError, Forbidden
from .help import examples
from .inspect import load_pickle_option

if TYPE_CHECKING:
    from ..gate import Gate

__all__ = ["serve"]


@click.command(
    epilog=examples(
        "serve models/",
        "serve churn.mgpkg price.skops --port 9000 --keys env:MODELGATE_KEYS",
        "serve models/ --workers 4 --limits-storage redis://127.0.0.1/0",
    )
)
@click.argument(
    "paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="NUMBER",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--limits",
    metavar="RATE",
    default="600/minute",
    show_default=True,
    help='Rate limit per caller, such as "600/minute; 10000/day".',
)
@click.option(
    "--limits-storage",
    metavar="URI",
    default="memory://",
    show_default=True,
    help="Where the limits are counted: redis://… for all workers together.",
)
@click.option(
    "--workers",
    metavar="NUMBER",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes that serve. They share the memory of the models.",
)
@click.option(
    "--keys",
    metavar="KEYS",
    help="API keys: env:VARIABLE, sqlite:///keys.db, or open for no keys. [default: a new key for this run]",
)
@click.option(
    "--public-examples",
    metavar="NUMBER",
    type=click.IntRange(1),
    help="Number of sample rows of each package that callers may see, for instance in the console. [default: none]",
)
@click.option(
    "--expose",
    is_flag=True,
    help="Allow other machines to connect even with the printed key or without keys.",
)
@load_pickle_option
def serve(
    paths: tuple[Path, ...],
    host: str,
    port: int,
    keys: str | None,
    expose: bool,
    workers: int,
    **options: Any,
) -> None:
    """Serve model files on this machine.

    PATH is a model file or a folder of model files. Each model is served under its own name.

    For development and small use: no proxy, no TLS. For anything larger, mount a gate in your app.
    """
    from ..http.client_address import is_loopback

    if keys in (None, "open") and not expose and not is_loopback(host):
        access = "the key that it prints" if keys is None else "no key"
        raise click.UsageError(
            f"--host {host} lets other machines call the gate with {access}: create keys with 'modelgate keys"
            " create' and pass --keys sqlite:///keys.db, or allow this with --expose"
        )
    uvicorn = _import_uvicorn()
    from ..keys.generate import generate

    if workers > 1 and not hasattr(os, "fork"):
        raise click.UsageError("--workers must be 1 on this system, which cannot fork processes")
    key = generate() if keys is None else None
    with _metrics_dir(workers) as metrics_dir, _listen(host, port) as listener:
        accepted = keys if key is None else {key: "*"}
        gate = build_gate(paths, accepted, workers=workers, metrics_dir=metrics_dir, **options)
        for line in format_greeting(gate, _base_url(listener), key, is_open=keys == "open"):
            click.echo(line)
        # With httptools, uvicorn loses the body of a request that offers HTTP/2, as Java's HttpClient does.
        server = uvicorn.Server(uvicorn.Config(gate.asgi, http="h11", log_level="warning"))
        if workers > 1:
            from .workers import run_workers

            if options["limits_storage"] == "memory://":
                click.echo(
                    f"Limits are counted in each of {workers} workers, so callers may send up to {workers} times"
                    " as many requests: pass --limits-storage redis://… to count them together",
                    err=True,
                )
            run_workers(partial(server.run, sockets=[listener]), workers)
            return
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _metrics_dir(workers: int) -> contextlib.AbstractContextManager[str | None]:
    """Create a temporary directory in which several workers share their metrics. One worker needs none."""
    return tempfile.TemporaryDirectory(prefix="modelgate-") if workers > 1 else contextlib.nullcontext()


def _import_uvicorn() -> Any:
    try:
        import uvicorn
    except ImportError:
        raise ConfigurationError('serve needs uvicorn: pip install "modelgate[serve]"') from None
    return uvicorn


def build_gate(
    paths: Sequence[Path],
    keys: Any,
    *,
    limits: str,
    load_pickle: bool,
    public_examples: int | None = None,
    limits_storage: str = "memory://",
    workers: int = 1,
    metrics_dir: str | None = None,
) -> "Gate":
    """Load the models at *paths* and return a gate that serves them.

    Args:
        paths: Model files and folders of model files.
        keys: See `Gate`.
        limits: See `Gate`.
        load_pickle: Whether to load pickles, which runs the code in them.
        public_examples: Number of sample rows of each package that callers may see.
        limits_storage: See `RateLimit`.
        workers: Number of worker processes.
        metrics_dir: See `Gate`.

    Raises:
        ConfigurationError: There is no model, or a model cannot be loaded.
    """
    from ..deployments.deployment import Deployment
    from ..gate import Gate
    from ..layers import RateLimit
    from ..models import ModelPackage
    from ..models.inspection import report_on
    from ..monitoring import DriftMonitor

    deployments = []
    for name, file in find_models(paths).items():
        pin = report_on(file).sha256 if load_pickle else None
        package = ModelPackage.load(file, sha256=pin, allow_pickle=load_pickle)
        # Model files without a package have no sample rows.
        shown = public_examples if package.background else None
        deployments.append(Deployment(name, package, public_examples=shown))
    limit = RateLimit(limits, storage=limits_storage, processes=workers)
    return Gate(deployments, keys=keys, limits=limit, on_prediction=DriftMonitor(), metrics_dir=metrics_dir)


def find_models(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the model files at *paths*, by model name.

    Of each model in a folder, only the newest version is returned.

    Raises:
        ConfigurationError: There is no model, or two models have the same name.
    """
    models: dict[str, Path] = {}
    for name, file in (pair for path in paths for pair in _find_models_at(path)):
        if name in models:
            raise ConfigurationError(
                f"{file} and {models[name]} have the same name, {name}: rename one of them"
            )
        models[name] = file
    return models


def _find_models_at(path: Path) -> Iterator[tuple[str, Path]]:
    from ..models.booster_file import GENERIC_SUFFIXES
    from ..models.package_files import is_model_file, model_files, split_name
    from ..models.versions import resolve_version

    stem, suffix = split_name(path)
    if not path.is_dir() or suffix:
        yield stem.partition("@")[0], path
        return
    files = model_files(
        file for file in path.iterdir() if file.suffix not in GENERIC_SUFFIXES and is_model_file(file)
    )
    newest = {name: resolve_version(name, files) for name in sorted(stem.partition("@")[0] for stem in files)}
    if not any(newest.values()):
        raise ConfigurationError(f"{path} contains no model file, such as churn.mgpkg or churn.skops")
    yield from ((name, files[stem]) for name, stem in newest.items() if stem is not None)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python appends the address to the system's message.
        reason = str(error.strerror or error).partition(" (while attempting")[0]
        raise ConfigurationError(f"{host}, port {port}: {reason}: choose another --port") from None


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def format_greeting(gate: "Gate", base_url: str, key: str | None, *, is_open: bool = False) -> Iterator[str]:
    """Yield the lines to print at the start: the URL, the key, and how to call each deployment.

    Args:
        gate: The gate.
        base_url: URL at which the gate is served.
        key: Key generated for this run; None if no key was generated.
        is_open: Whether the gate requires no key.
    """
    yield f"Serving at {base_url} until Ctrl-C (for development and small use)"
    if key is not None:
        yield f"Key for this run only: {key}"
    header = [] if is_open else ["-H", f"Authorization: Bearer {key or '<key>'}"]
    for name in gate.deployments:
        body = json.dumps(_example_row(gate, name))
        url = f"{base_url}/deployments/{name}/predict"
        yield ""
        yield f"{name}: modelgate score rows.csv --url {base_url}/{name}"
        yield f"Console: {base_url}/deployments/{name}/console"
        yield shlex.join(["curl", url, *header, "-H", "Content-Type: application/json", "-d", body])


def _example_row(gate: "Gate", name: str) -> dict[str, Any]:
    """Return an example row for the deployment *name*; empty if its schema is hidden."""
    try:
        schema = gate.deployments.describe(name).schema
    except Forbidden:
        return {}
    return {column.name: column.example for column in schema if column.required}

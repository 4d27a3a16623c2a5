"""``modelgate serve``: a gate of some model files, on this machine."""

import contextlib
import ipaddress
import json
import shlex
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError, Forbidden
from ..keys.generate import generate
from .inspect import trusted_option

if TYPE_CHECKING:
    from ..gate import Gate

__all__ = ["serve"]


@click.command()
@click.argument(
    "paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any that is free."
)
@click.option(
    "--limits", metavar="RATE", default="600/minute", show_default=True, help="How often one caller may ask."
)
@click.option(
    "--keys",
    metavar="KEYS",
    help="env:VARIABLE, sqlite:///keys.db, open for anyone; by default one key made for this run.",
)
@click.option(
    "--expose",
    is_flag=True,
    help="Listen to other machines, even if all that keeps them out is printed here.",
)
@trusted_option
def serve(
    paths: tuple[Path, ...], host: str, port: int, keys: str | None, expose: bool, **options: Any
) -> None:
    """Serve model files, or folders of them, each under its name.

    For development and small use: one process, no proxy, no TLS. Otherwise put the gate into an app of yours.
    """
    if keys in (None, "open") and not expose and not is_loopback(host):
        raise click.UsageError(
            f"--host {host}: other machines could ask with the key printed here, or with none: make keys for them"
            " (--keys), or say --expose"
        )
    uvicorn = _uvicorn()
    key = generate() if keys is None else None
    gate = gate_of(paths, keys if key is None else {key: "*"}, **options)
    with _listening(host, port) as listening:
        for line in greeting(gate, _base(listening), key, is_open=keys == "open"):
            click.echo(line)
        server = uvicorn.Server(uvicorn.Config(gate.asgi, log_level="warning"))
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _uvicorn() -> Any:
    try:
        import uvicorn
    except ImportError:
        raise ConfigurationError('serve needs uvicorn: pip install "modelgate[serve]"') from None
    return uvicorn


def gate_of(paths: Sequence[Path], keys: Any, *, limits: str, trusted: bool) -> "Gate":
    """A gate of the models at *paths*, loaded.

    Args:
        paths: model files, and folders of them.
        keys: as for `Gate`.
        limits: as for `Gate`.
        trusted: whether to load pickles too.

    Raises:
        ConfigurationError: there are none, or one cannot be loaded.
    """
    from ..gate import Gate
    from ..gate.deployment import Deployment
    from ..models import ModelPackage
    from ..models.report import report_on

    deployments = []
    for name, file in models_in(paths).items():
        pin = report_on(file).sha256 if trusted else None
        deployments.append(Deployment(name, ModelPackage.load(file, sha256=pin, allow_pickle=trusted)))
    return Gate(deployments, keys=keys, limits=limits)


def models_in(paths: Sequence[Path]) -> dict[str, Path]:
    """The model files at *paths*, by the names of their models: of a folder the newest of each.

    Raises:
        ConfigurationError: there are none, or two of one name.
    """
    found: dict[str, Path] = {}
    for name, file in (pair for path in paths for pair in _named(path)):
        if name in found:
            raise ConfigurationError(f"{file}: {found[name]} is called {name} too")
        found[name] = file
    return found


def _named(path: Path) -> Iterator[tuple[str, Path]]:
    from ..models.package import SUFFIXES, is_model_file
    from ..models.versions import meant

    if not path.is_dir() or path.suffix in SUFFIXES:
        yield path.stem.partition("@")[0], path
        return
    files = {file.stem: file for file in path.iterdir() if file.suffix in SUFFIXES and is_model_file(file)}
    newest = {name: meant(name, files) for name in sorted(stem.partition("@")[0] for stem in files)}
    if not any(newest.values()):
        raise ConfigurationError(f"{path}: has no model file, ending in {', '.join(SUFFIXES)}")
    yield from ((name, files[stem]) for name, stem in newest.items() if stem is not None)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"{host}, port {port}: {error.strerror or error}: take another --port"
        ) from None


def _base(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def greeting(gate: "Gate", base: str, key: str | None, *, is_open: bool = False) -> Iterator[str]:
    """What is said of a gate at *base*: where it is, and how to ask each deployment.

    Args:
        gate: itself.
        base: its URL.
        key: the one made for this run; None where there are others, or none.
        is_open: whether there are none.
    """
    yield f"Serving at {base} until Ctrl-C: for development, and for small use"
    if key is not None:
        yield f"Key, for this run alone: {key}"
    header = [] if is_open else ["-H", f"Authorization: Bearer {key or '<key>'}"]
    for name in gate.deployments:
        row = json.dumps(_example(gate, name))
        told = ["curl", f"{base}/simple/{name}", *header, "-H", "Content-Type: application/json", "-d", row]
        yield ""
        yield f"{name}: modelgate score rows.csv --to {base}/{name}"
        yield f"Console: {base}/deployments/{name}/console"
        yield shlex.join(told)


def _example(gate: "Gate", name: str) -> dict[str, Any]:
    """A row for deployment *name*; nothing where its schema is not to be seen."""
    try:
        schema = gate.describe(name).schema
    except Forbidden:
        return {}
    return {column.name: column.example for column in schema if column.required}

"""``modelgate replay``: recorded requests, asked of a gate again."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from ..errors import ConfigurationError, ModelgateError
from .inspect import from_environment
from .recorded import Recorded, differences, recorded
from .tables import print_json
from .targets import gate_at

__all__ = ["replay"]

_IGNORED = ("request_id", "processing_time_ms")
"""What is another in each answer."""


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to", "target", metavar="TARGET", required=True, help="MODULE:GATE, or the URL of its mount point."
)
@click.option(
    "--key-env",
    "key",
    metavar="VARIABLE",
    callback=from_environment,
    help="The environment variable that holds the API key.",
)
@click.option("--tolerance", type=click.FloatRange(0), default=1e-9, show_default=True, help="Of numbers.")
@click.option(
    "--ignore", "ignored", multiple=True, metavar="NAME", help="A member of answers that may differ."
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the requests with what is answered now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(
    path: Path,
    target: str,
    key: str | None,
    tolerance: float,
    ignored: tuple[str, ...],
    record: Path | None,
    as_json: bool,
) -> None:
    """Ask a gate recorded requests again, and tell where its answers differ.

    Each line of FILE is JSON: path, method, headers, json or body; and status and answer as far as they are
    expected.

    Exit codes: 0 all is as it was; 1 something differs; 2 the file or the target cannot work; 4 the server cannot
    be reached.
    """
    requests = list(recorded(path.read_bytes().split(b"\n"), key))
    if not requests:
        raise ConfigurationError(f"{path} has no request: a line of JSON for each")
    found: list[Difference] = []
    answered: list[Recorded] = []
    with _client(target) as http:
        for line, request in requests:
            status, answer = _ask(http, request, key)
            told = _told(request, status, answer, tolerance, {*_IGNORED, *ignored})
            found += [Difference(line, request.method, request.path, text) for text in told]
            answered.append(msgspec.structs.replace(request, status=status, answer=answer))
    _report(found, len(requests), as_json)
    if record is not None:
        record.write_bytes(msgspec.json.Encoder().encode_lines(answered))
    raise click.exceptions.Exit(1 if found else 0)


class Difference(NamedTuple):
    """Something that is answered in another way than it was."""

    line: int
    method: str
    path: str
    what: str


def _client(target: str) -> Any:
    """A client of httpx whose paths are those below the mount point of *target*."""
    from ..client.clients import httpx_package

    httpx = httpx_package()
    if target.startswith(("http://", "https://")):
        return httpx.Client(base_url=target, timeout=60.0)
    gate = gate_at(target)
    for name in gate.deployments:
        # What cannot be loaded is answered so; what takes long to load is waited for.
        with contextlib.suppress(ModelgateError):
            gate.predictor(name)
    return httpx.Client(base_url="http://gate", transport=httpx.WSGITransport(gate.wsgi))


def _ask(http: Any, request: Recorded, key: str | None) -> tuple[int, Any]:
    """The status and the answer: a value of JSON, or the text of what is none."""
    import httpx

    content, headers = request.content()
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    try:
        response = http.request(request.method, request.path, content=content, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        host = http.base_url.netloc.decode()
        click.echo(
            f"Error: {host} cannot be asked ({error}): see that the address is right and the server runs",
            err=True,
        )
        raise click.exceptions.Exit(4) from None
    try:
        return response.status_code, msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return response.status_code, response.text


def _told(
    request: Recorded, status: int, answer: Any, tolerance: float, ignored: Collection[str]
) -> Iterator[str]:
    """How what is answered differs from what was."""
    if request.status is not None and status != request.status:
        yield f"status is {status}, and was {request.status}"
    if request.answer is not msgspec.UNSET:
        yield from differences(request.answer, answer, tolerance, ignored)


def _report(found: list[Difference], requests: int, as_json: bool) -> None:
    if as_json:
        told = [difference._asdict() for difference in found]
        print_json({"requests": requests, "differences": told})
        return
    for difference in found:
        click.echo(f"line {difference.line}  {difference.method} {difference.path}  {difference.what}")
    lines = len({difference.line for difference in found})
    click.echo(f"{requests} requests, {lines} answered in another way")

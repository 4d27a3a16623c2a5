"""``modelgate replay``: send recorded requests to a gate and compare the answers."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from ..errors import ConfigurationError, ModelgateError
from .gate_import import import_gate
from .help import examples
from .inspect import read_environment_variable
from .output_tables import escape, print_json
from .recording import RecordedRequest, find_differences, read_recording

__all__ = ["replay"]

_IGNORED = ("request_id", "processing_time_ms")
"""Members that differ in every answer."""


@click.command(
    epilog=examples(
        "replay recorded.jsonl --target app:gate",
        "replay recorded.jsonl --target http://localhost:8000/ml --key-env CHURN_KEY",
    )
)
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--target",
    "target",
    metavar="TARGET",
    required=True,
    help="Gate to send the requests to: MODULE:GATE, or the URL of its mount point.",
)
@click.option(
    "--key-env",
    "key",
    metavar="VARIABLE",
    callback=read_environment_variable,
    help="Environment variable that holds the API key.",
)
@click.option(
    "--tolerance",
    metavar="NUMBER",
    type=click.FloatRange(0),
    default=1e-9,
    show_default=True,
    help="Tolerance for numbers, relative and absolute; for integers, only absolute.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="NAME",
    help="Ignore this member of the answers. Repeatable. request_id and processing_time_ms are always ignored.",
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the requests and their current answers to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def replay(
    path: Path,
    target: str,
    key: str | None,
    tolerance: float,
    ignored: tuple[str, ...],
    record: Path | None,
    as_json: bool,
) -> None:
    """Compare a gate's answers with recorded ones.

    Sends the requests in FILE to the gate and reports each difference. Each line of FILE is a JSON object
    with path, method, headers, and json or body. The members status and answer are optional; if
    present, they are compared with the response of the gate.

    Exit codes: 0 no differences; 1 some answers differ; 2 the file or the target cannot be used; 4 the server
    cannot be reached.
    """
    requests = list(read_recording(path.read_bytes().split(b"\n"), key))
    if not requests:
        raise ConfigurationError(f"{path} has no request: it must contain one JSON object per line")
    differences: list[Difference] = []
    answered: list[RecordedRequest] = []
    with _open_client(target, key) as http:
        for line, request in requests:
            status, answer = _send(http, request, key)
            texts = _compare(request, status, answer, tolerance, {*_IGNORED, *ignored})
            differences += [Difference(line, request.method, request.path, text) for text in texts]
            answered.append(msgspec.structs.replace(request, status=status, answer=answer))
    _report(differences, len(requests), as_json)
    if record is not None:
        record.write_bytes(msgspec.json.Encoder().encode_lines(answered))
    raise click.exceptions.Exit(1 if differences else 0)


class Difference(NamedTuple):
    """Difference between the answer of the gate and the recorded answer to the same request."""

    line: int
    method: str
    path: str
    what: str


def _open_client(target: str, key: str | None) -> Any:
    """Return an httpx client whose paths are relative to the mount point of *target*."""
    from ..client.clients import httpx_package
    from ..client.session import warn_of_plain_http

    httpx = httpx_package()
    if target.startswith(("http://", "https://")):
        if key is not None:
            warn_of_plain_http(target)
        return httpx.Client(base_url=target, timeout=60.0)
    gate = import_gate(target)
    for name in gate.deployments:
        # Load slow models now, or requests would time out. Loading errors show up in the answers.
        with contextlib.suppress(ModelgateError):
            gate.deployments.predictor(name)
    return httpx.Client(base_url="http://gate", transport=httpx.WSGITransport(gate.wsgi))


def _send(http: Any, request: RecordedRequest, key: str | None) -> tuple[int, Any]:
    """Send *request*. Return the status and the answer, which is a JSON value or, if it is not JSON, text."""
    import httpx

    content, headers = request.content()
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    try:
        response = http.request(request.method, request.path, content=content, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        host = http.base_url.netloc.decode()
        click.echo(
            f"Error: {host} cannot be reached ({error}): check the address and that the server is running",
            err=True,
        )
        raise click.exceptions.Exit(4) from None
    try:
        return response.status_code, msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return response.status_code, response.text


def _compare(
    request: RecordedRequest, status: int, answer: Any, tolerance: float, ignored: Collection[str]
) -> Iterator[str]:
    if request.status is not None and status != request.status:
        yield f"status is {status}, was {request.status}"
    if request.answer is not msgspec.UNSET:
        yield from find_differences(request.answer, answer, tolerance, ignored)


def _report(differences: list[Difference], requests: int, as_json: bool) -> None:
    if as_json:
        members = [difference._asdict() for difference in differences]
        print_json({"requests": requests, "differences": members})
        return
    for difference in differences:
        line = f"line {difference.line}  {difference.method} {difference.path}  {difference.what}"
        click.echo(escape(line))
    lines = len({difference.line for difference in differences})
    click.echo(f"{requests} requests, {lines} with differences")

"""How many processes serve this app, as far as that can be seen from within one."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["visible_workers"]

_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "granian")
_OPTION = re.compile(r"(?:--workers(?:=|\s+)|(?<!\S)-w\s*)(\d+)")


def visible_workers(environ: Mapping[str, str], argv: Sequence[str]) -> int:
    """The number of workers a server was told by its options or by the environment; 1 if none was."""
    words = " ".join(argv) if argv and _is_server(argv[0]) else ""
    for said in (words, environ.get("GUNICORN_CMD_ARGS", "")):
        told = _OPTION.findall(said)
        if told:
            return max(1, int(told[-1]))
    concurrency = environ.get("WEB_CONCURRENCY", "")
    return max(1, int(concurrency)) if concurrency.isascii() and concurrency.isdigit() else 1


def _is_server(program: str) -> bool:
    # ``python -m gunicorn`` runs gunicorn/__main__.py.
    return any(part.partition(".")[0] in _SERVERS for part in Path(program).parts[-2:])

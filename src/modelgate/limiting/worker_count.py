"""Detect how many worker processes serve this app."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["detect_worker_count"]

_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "granian")
_OPTION = re.compile(r"(?:--workers(?:=|\s+)|(?<!\S)-w\s*)(\d+)")


def detect_worker_count(environ: Mapping[str, str], argv: Sequence[str]) -> int:
    """Return the number of workers that the command line or the environment sets, or 1 if neither does."""
    # This module exists only inside uWSGI, whose options are not in *argv*.
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return int(uwsgi.numproc)
    command_line = " ".join(argv) if argv and _is_server(argv[0]) else ""
    for options in (command_line, environ.get("GUNICORN_CMD_ARGS", "")):
        counts = _OPTION.findall(options)
        if counts:
            return max(1, int(counts[-1]))
    concurrency = environ.get("WEB_CONCURRENCY", "")
    return max(1, int(concurrency)) if concurrency.isascii() and concurrency.isdigit() else 1


def _is_server(program: str) -> bool:
    # ``python -m gunicorn`` runs gunicorn/__main__.py.
    return any(part.partition(".")[0] in _SERVERS for part in Path(program).parts[-2:])

"""Score chunks of rows in worker processes."""

import functools
from typing import Any

from ..client.rows import csv_rows
from ..client.score_rows import ScoredRows, check_header, score_rows
from ..flow import drive
from .gate_source import GateSource

__all__ = ["score_chunk"]


# Usually a process works for one run, but in a local Ray cluster or in tests, it may work for several runs.
_open_session = functools.lru_cache(maxsize=4)(GateSource.open_session)


def score_chunk(source: GateSource, header: bytes, lines: Any, *, is_first: bool) -> ScoredRows:
    """Score rows, or check a header, with the gate that *source* describes.

    The first call in a process creates the gate; later calls use it again.

    Args:
        source: Description of the gate and the deployment.
        header: Header line of the CSV.
        lines: Rows as CSV, each with its line end. If there are none, only the header is checked.
        is_first: Whether no rows have been scored before; see `modelgate.client.score_rows.score_rows`.
    """
    session = _open_session(source)
    if not len(lines):
        drive(check_header(session, header))
    return drive(score_rows(session, csv_rows(header, lines), is_first=is_first))

"""Scoring of chunks in a worker process, for the engines that distribute them."""

import functools
from typing import Any, NamedTuple

from ..client.rows import csv_rows
from ..client.score_rows import ScoredRows, check_header, score_rows
from ..errors import ModelgateError
from ..flow import drive
from .gate_source import GateSource

__all__ = ["RaisedError", "score_chunk"]


class RaisedError(NamedTuple):
    """Error of a worker. Unlike the error itself, it can always be pickled.

    Args:
        kind: Class of the error.
        args: Arguments of the error.
        attributes: Attributes of the error, which include its notes.
    """

    kind: type[ModelgateError]
    args: tuple[Any, ...]
    attributes: dict[str, Any]

    def restore(self) -> ModelgateError:
        """Return the error."""
        # Without a call of the constructor, whose parameters depend on the class.
        error = self.kind.__new__(self.kind)
        error.args = self.args
        vars(error).update(self.attributes)
        return error


# A process works for one run, but in a local Ray cluster, or in tests, a process may work for several.
_open_session = functools.lru_cache(maxsize=4)(GateSource.open_session)


def score_chunk(source: GateSource, header: bytes, lines: Any, *, is_first: bool) -> ScoredRows | RaisedError:
    """Score CSV lines with the gate of *source*, which the first call in a process creates.

    Args:
        source: Gate and deployment.
        header: Header line.
        lines: Records, each with its line end; without any, the header is checked.
        is_first: See `modelgate.client.score_rows.score_rows`.
    """
    try:
        session = _open_session(source)
        if not len(lines):
            drive(check_header(session, header))
        return drive(score_rows(session, csv_rows(header, lines), is_first=is_first))
    except ModelgateError as error:
        return RaisedError(type(error), error.args, vars(error))

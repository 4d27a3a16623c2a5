"""Format log records as JSON."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

__all__ = ["JSONFormatter"]

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class JSONFormatter(logging.Formatter):
    """Log formatter that formats each record as one line of JSON.

    A line has the members ``time``, ``level``, ``logger`` and ``message``, and all attributes in *extra*.
    Errors add ``exception`` with the traceback. An active span of OpenTelemetry adds ``trace_id`` and
    ``span_id``. In lines of the access log, separate members such as ``status`` replace ``message``.
    Attributes in *extra* do not replace other members. Values that JSON cannot express, such as NaN, are
    written as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
        }
        if record.name != "modelgate.access":
            line["message"] = record.getMessage()
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        trace = sys.modules.get("opentelemetry.trace")
        span = trace.get_current_span().get_span_context() if trace is not None else None
        if span is not None and span.is_valid:
            line["trace_id"], line["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        try:
            return _encode(line)
        except Exception:
            return _encode({name: _to_encodable(value) for name, value in line.items()})


def _encode(value: object) -> str:
    # Not msgspec, which rejects text with surrogates: a record must never be lost.
    return json.dumps(value, default=str, skipkeys=True, allow_nan=False)


def _to_encodable(value: object) -> object:
    """Return *value*, or a text that describes it if JSON cannot express it."""
    try:
        _encode(value)
    except Exception:
        try:
            return str(value)
        except Exception:
            return type(value).__name__
    return value

"""Prediction log, which a background thread writes."""

import atexit
import logging
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Literal

from ..errors import ConfigurationError
from ..flow.fork_safety import reset_after_fork
from ..prometheus import LocalValues, MetricFamily, MetricValues
from ..spelling import closest_match
from ..validation import require_positive_int, require_positive_seconds
from .log_files import LogFiles
from .log_rows import PredictionWriter
from .prediction_hook import PredictionHook, PredictionRecord

__all__ = ["PredictionLog"]

logger = logging.getLogger("modelgate")

_BATCH = 1000
"""Maximum number of records that are written together. Each may have many rows."""

_MAX_PAUSE = 30.0
"""Maximum number of seconds between attempts to write to a destination that fails."""

_MAX_IDLE = 60.0
"""Number of seconds after which a thread without records ends."""

_POLL_INTERVAL = 0.005

_WRITTEN, _LOST = "prediction_log_rows", "prediction_log_lost_rows"


class PredictionLog(PredictionHook):
    """Prediction log for `Gate(on_prediction=…)`, with one entry for each predicted row.

    Requests never wait for the log. Records are queued, and a background thread writes them. Failed writes
    are retried. If the destination is too slow, or fails for a long time, records are dropped, and their rows
    are counted by the metric ``modelgate_prediction_log_lost_rows_total``.

    Args:
        destination: Folder that contains only this log, URL of a database such as
            ``"postgresql://user:password@host/database"`` (extra ``sql``), or a `PredictionWriter`.
        format: Format of the files: ``"jsonl"`` for one JSON object per line, or ``"parquet"`` for a Parquet
            file per model and write (extra ``polars``).
        sample: Fraction of the requests to log.
        redact: Columns that are never logged.
        max_queued_rows: Maximum number of rows that wait to be written. A request with more rows is logged
            only if no other rows are waiting.
        flush_interval: Seconds between writes; None for 1, or 60 for Parquet.
        max_bytes: Size in bytes at which a new file of JSON lines begins.
        max_files: Number of files to keep; the oldest files are deleted. None to keep all files.
        name: Value of the label ``log`` in the metrics.

    Raises:
        ConfigurationError: An option is invalid, or a package is missing.
    """

    def __init__(
        self,
        destination: str | Path | PredictionWriter,
        *,
        format: Literal["jsonl", "parquet"] = "jsonl",  # noqa: A002  a word for users
        sample: float = 1.0,
        redact: Collection[str] = (),
        max_queued_rows: int = 50_000,
        flush_interval: float | None = None,
        max_bytes: int = 100 * 1024 * 1024,
        max_files: int | None = None,
        name: str = "predictions",
    ) -> None:
        if isinstance(sample, bool) or not isinstance(sample, int | float) or not 0 <= sample <= 1:
            raise ConfigurationError(f"sample must be a number from 0 to 1 (got {sample!r})")
        if not isinstance(redact, list | tuple | Set) or not all(isinstance(it, str) for it in redact):
            raise ConfigurationError(f"redact must be a list of column names (got {redact!r})")
        require_positive_int("max_queued_rows", max_queued_rows)
        if flush_interval is None:
            flush_interval = 60.0 if format == "parquet" else 1.0
        require_positive_seconds("flush_interval", flush_interval)
        self._writer = _create_writer(destination, format, max_bytes, max_files)
        # A writer that was passed in stays open.
        self._close_writer = None if self._writer is destination else getattr(self._writer, "close", None)
        self._sample = sample
        self._redact = frozenset(redact)
        self._max_rows = max_queued_rows
        self._interval = flush_interval
        self._name = name
        self._random: Callable[[], float] = random.random
        self._checked: set[str] = set()
        self._closed = False
        self._values: MetricValues = LocalValues()
        self._reset()
        reset_after_fork(self._reset)
        atexit.register(_close_at_exit, weakref.ref(self))

    def _reset(self) -> None:
        """Start with an empty queue and no thread, also in a forked child.

        The parent writes the records that were queued before the fork.
        """
        # Reentrant: a signal handler may make a prediction.
        self._lock = threading.RLock()
        self._queue: deque[PredictionRecord] = deque()
        self._rows = 0
        self._thread: threading.Thread | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._count_from_zero()

    def _count_from_zero(self) -> None:
        self._written = self._values.allocate(_WRITTEN, ("", "", self._name))
        self._lost = {
            reason: self._values.allocate(_LOST, ("", "", self._name, reason))
            for reason in ("queue_full", "invalid", "closed")
        }

    def attach(self, values: MetricValues) -> None:
        self._values = values
        self._count_from_zero()

    def __call__(self, record: PredictionRecord) -> None:
        if self._sample < 1 and self._random() >= self._sample:
            return
        rows = record.table.row_count
        with self._lock:
            if self._closed:
                self._lost["closed"][0] += rows
                return
            if self._rows + rows > self._max_rows and self._rows:
                self._lost["queue_full"][0] += rows
                return
            self._rows += rows
            self._queue.append(record)
            if self._thread is None:
                self._start_thread()
            elif 2 * self._rows > self._max_rows:
                self._wake.set()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="modelgate prediction log", daemon=True)
        thread.start()
        self._thread = thread

    def _run(self) -> None:
        """Write records until no new record has arrived for a while.

        The next record then starts another thread.
        """
        failures, idle = 0, 0.0
        while True:
            if failures:
                self._closing.wait(min(self._interval * 2**failures, _MAX_PAUSE))
            else:
                self._wake.wait(self._interval)
            self._wake.clear()
            with self._lock:
                # Records stay in the queue until they are written.
                records = list(islice(self._queue, _BATCH))
                idle = 0.0 if records else idle + self._interval
                if not records and (self._closed or idle >= _MAX_IDLE):
                    self._thread = None
                    return
            try:
                self._write(records)
            except BaseException as error:  # such as a panic of polars, which is no Exception
                failures += 1
                if failures == 1:
                    logger.error("prediction log %s: cannot write: %s", self._name, error, exc_info=error)
                if self._closed:
                    return
                continue
            if failures:
                logger.warning("prediction log %s: can write again", self._name)
            failures = 0
            with self._lock:
                if self._queue or self._closed:
                    self._wake.set()

    def _write(self, records: Sequence[PredictionRecord]) -> None:
        """Write *records*, the first items of the queue, and remove those that need no retry."""
        if not records:
            return
        self._warn_of_misspelled_columns(records)
        try:
            self._writer.write(records, self._redact)
        except (TypeError, ValueError) as error:
            # A value that cannot be written must not keep the others from being written.
            if len(records) > 1:
                for record in records:
                    self._write([record])
                return
            self._lost["invalid"][0] += len(records[0].table)
            logger.error("prediction log %s: cannot encode a record", self._name, exc_info=error)
        else:
            self._written[0] += sum(len(record.table) for record in records)
        with self._lock:
            for _ in records:
                self._rows -= len(self._queue.popleft().table)

    def _warn_of_misspelled_columns(self, records: Iterable[PredictionRecord]) -> None:
        for record in records if self._redact else ():
            if record.deployment in self._checked:
                continue
            self._checked.add(record.deployment)
            for name in self._redact.difference(record.table):
                match = closest_match(name, list(record.table))
                if match is not None:
                    logger.warning(
                        "prediction log %s: deployment %s has no column %s to redact: did you mean %s?",
                        self._name,
                        record.deployment,
                        name,
                        match,
                    )

    def flush(self, timeout: float = 5.0) -> bool:
        """Write the queued records now. Return False if this takes longer than *timeout* seconds."""
        until = time.monotonic() + timeout
        while self._queue and time.monotonic() < until:
            self._wake.set()
            time.sleep(_POLL_INTERVAL)
        return not self._queue

    def close(self, timeout: float = 5.0) -> None:
        """Write the queued records. Later records count as lost. This is also called when the process exits.

        Args:
            timeout: Seconds to wait for the destination. Rows that are not written by then count as lost.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._closing.set()
            self._wake.set()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        if self._close_writer is not None:
            self._close_writer()
        with self._lock:
            if self._rows:
                self._lost["closed"][0] += self._rows
                logger.error("prediction log %s: %d rows were not written", self._name, self._rows)

    def families(self) -> Iterator[MetricFamily]:
        totals = self._values.read()
        yield MetricFamily(
            "modelgate_prediction_log_rows_total",
            "counter",
            "Rows written to a prediction log.",
            ("log",),
            {labels[2:]: value for labels, [value] in totals[_WRITTEN].items() if labels[2] == self._name},
        )
        yield MetricFamily(
            "modelgate_prediction_log_lost_rows_total",
            "counter",
            "Rows that were not written to a prediction log.",
            ("log", "reason"),
            {labels[2:]: value for labels, [value] in totals[_LOST].items() if labels[2] == self._name},
        )


def _close_at_exit(reference: "weakref.ref[PredictionLog]") -> None:
    log = reference()
    if log is not None:
        log.close()


def _create_writer(
    destination: str | Path | PredictionWriter, file_format: str, max_bytes: int, max_files: int | None
) -> PredictionWriter:
    if file_format not in ("jsonl", "parquet"):
        raise ConfigurationError(f'format must be "jsonl" or "parquet" (got {file_format!r})')
    require_positive_int("max_bytes", max_bytes)
    if max_files is not None:
        require_positive_int("max_files", max_files)
    if isinstance(destination, str) and "://" in destination:
        from .log_table import LogTable

        return LogTable(destination)
    if isinstance(destination, str | Path) and destination != "":
        return LogFiles(Path(destination), file_format, max_bytes, max_files)
    if isinstance(destination, str | Path) or not hasattr(destination, "write"):
        raise ConfigurationError(
            f"destination must be a folder, the URL of a database, or a PredictionWriter (got {destination!r})"
        )
    return destination

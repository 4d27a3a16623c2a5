"""Share metric values between the processes of one machine, through files."""

import contextlib
import logging
import mmap
import os
import struct
import threading
import uuid
import weakref
from collections.abc import Container, Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from ..backends.shared_directory import open_shared_directory
from ..flow.fork_safety import reset_after_fork
from ..prometheus import Cells, Labels, Totals, create_cells

__all__ = ["SharedValues"]

logger = logging.getLogger("modelgate")

_SEGMENT = 64 * 1024
"""Bytes by which a file grows; a multiple of the page size of every platform."""

_USED = struct.Struct("=Q")
_HEADER = struct.Struct("=II")


class _Description(msgspec.Struct, array_like=True):
    name: str
    labels: Labels
    gauge: bool


class _Entry(NamedTuple):
    name: str
    labels: Labels
    gauge: bool
    values: list[float]


class _Ended(msgspec.Struct):
    """Sums of the counters of processes that have ended.

    Attributes:
        files: Files that were added up, but perhaps not yet deleted.
        values: Names, labels and values.
    """

    files: list[str] = []
    values: list[tuple[str, Labels, list[float]]] = []


class SharedValues:
    """Storage for metric values in a directory. Each process writes its own memory-mapped file.

    A value is in the file as soon as it is counted, so even a killed process loses no count. When a process
    has ended, its counters are preserved and its gauges are dropped.

    - A process locks its file while it runs, so a file without a lock belongs to a process that has ended.
      The next process that starts adds the counters in such a file to ``ended.json``, and deletes the file.
    - ``ended.json`` lists the files it includes, so that no file counts twice if its deletion is interrupted.
    - If the directory was deleted, each process reports only its own values.
    - Files that are damaged, or that other programs or users wrote, are left out and never deleted. A damaged
      ``ended.json`` is replaced.

    Args:
        directory: Directory for the files. It is created if it is missing, with a subdirectory for each
            modelgate version.

    Raises:
        ConfigurationError: The directory cannot be written, or the system has no file locks.
    """

    def __init__(self, directory: str | Path) -> None:
        # Another version of modelgate may store other values.
        version = metadata.version("modelgate")
        self._directory = open_shared_directory("metrics_dir", directory, subdirectory=version)
        # Imported here, because Windows has no fcntl.
        import fcntl

        self._flock = fcntl.flock
        self._shared, self._exclusive = fcntl.LOCK_SH, fcntl.LOCK_EX
        self._nonblocking = fcntl.LOCK_NB
        self._file: _ValueFile | None = None
        self._unreadable: set[str] = set()
        self._pid = 0
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without a file, also in forked children."""
        if self._pid == os.getpid():
            return
        if self._file is not None:
            # Otherwise, this child would hold the lock after the parent has ended.
            self._file.unlock()
        self._file = None
        self._pid = os.getpid()
        # Reentrant: a signal handler may count.
        self._lock = threading.RLock()
        self._cells: dict[tuple[str, Labels], Cells] = {}
        self._unstored: list[tuple[str, Labels, Cells]] = []

    def allocate(self, name: str, labels: Labels, size: int = 1, *, gauge: bool = False) -> Cells:
        if self._pid != os.getpid():
            # In a forked child, objects that allocate values may be reset before this one.
            self._reset()
        with self._lock:
            cells = self._cells.get((name, labels))
            if cells is None:
                cells = self._cells[name, labels] = self._append(name, labels, size, gauge)
            return cells

    def _append(self, name: str, labels: Labels, size: int, gauge: bool) -> Cells:
        try:
            if self._file is None:
                self._file = self._create_file()
            return self._file.append(_Description(name, labels, gauge), size)
        except OSError as error:
            # The disk may be full. Requests must not fail for this reason.
            if not self._unstored:
                logger.error(
                    "metrics_dir: cannot store values, so only process %d reports them: %s", self._pid, error
                )
            cells = create_cells(size)
            self._unstored.append((name, labels, cells))
            return cells

    def discard(self, deployments: Container[str]) -> None:
        """Do nothing, because the values may belong to other processes."""

    def read(self) -> Totals:
        totals: Totals = {}
        ended, entries = self._read_all()
        for name, labels, values in ended.values + [
            (name, labels, each) for name, labels, _, each in entries
        ]:
            metric = totals.setdefault(name, {})
            # Insert the labels again, so that those of the newest processes are last.
            metric[labels] = _add(metric.pop(labels, None), values)
        return totals

    def read_parts(self, name: str) -> list[tuple[Labels, list[float]]]:
        return [(entry.labels, entry.values) for entry in self._read_all()[1] if entry.name == name]

    def _read_all(self) -> tuple[_Ended, list[_Entry]]:
        """Return the values of ended processes, and the entries of running processes.

        If the directory was deleted, return only the entries of this process, whose mapped memory is still
        valid.
        """
        try:
            with self._locked(self._shared):
                ended = self._read_ended()
                entries = list(self._read_files(ended))
            unread = list(self._unstored)
        except OSError as error:
            self._warn(self._directory, error)
            ended, entries = _Ended(), []
            unread = [(*name, cells) for name, cells in list(self._cells.items())]
        return ended, entries + [_Entry(name, labels, False, list(cells)) for name, labels, cells in unread]

    def _read_files(self, ended: _Ended) -> Iterator[_Entry]:
        """Yield the entries of the files that *ended* does not include.

        Gauges of ended processes are skipped.
        """
        for path in self._files(ended):
            is_live = self._is_live(path)
            yield from (entry for entry in self._read(path) or () if is_live or not entry.gauge)

    def _files(self, ended: _Ended) -> list[Path]:
        """Return the files that *ended* does not include. The oldest file is first."""
        paths = [path for path in self._directory.glob("*.values") if path.name not in ended.files]
        return sorted(paths, key=lambda path: path.lstat().st_ctime_ns)

    def _read(self, path: Path) -> list[_Entry] | None:
        """Return the entries of *path*, or None if it cannot be read."""
        try:
            return list(_read_entries(path))
        except (OSError, TypeError, ValueError, msgspec.DecodeError, struct.error) as error:
            self._warn(path, error)
            return None

    def _warn(self, path: Path, error: Exception) -> None:
        """Log once that the file at *path* is ignored."""
        if path.name not in self._unreadable:
            self._unreadable.add(path.name)
            logger.error("metrics_dir: ignored %s, which cannot be read: %s", path, error)

    def _is_live(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                self._flock(file, self._shared | self._nonblocking)
        except OSError:
            return True
        return False

    @contextlib.contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        with (self._directory / "lock").open("rb") as file:
            self._flock(file, operation)
            yield

    def _create_file(self) -> "_ValueFile":
        with self._locked(self._exclusive):
            self._collect_ended()
            path = self._directory / f"{uuid.uuid4().hex}.values"
            # Readable by others, unless the umask forbids it: a server may change its user after the fork.
            file = path.open("x+b")
            self._flock(file, self._exclusive)
            return _ValueFile(file)

    def _collect_ended(self) -> None:
        """Move the counters of ended processes into ``ended.json``."""
        ended = self._read_ended()
        totals: dict[tuple[str, Labels], list[float]] = {
            (name, labels): values for name, labels, values in ended.values
        }
        dead = [path for path in self._directory.glob("*.values") if path.name in ended.files]
        for path in self._files(ended):
            # Check this first: a process may still count after its file was read, and then end.
            entries = None if self._is_live(path) else self._read(path)
            if entries is None:
                continue
            dead.append(path)
            for name, labels, gauge, values in entries:
                if not gauge:
                    totals[name, labels] = _add(totals.pop((name, labels), None), values)
        if not dead:
            return
        merged = _Ended([path.name for path in dead], [(*key, values) for key, values in totals.items()])
        temporary = self._directory / "ended.json.new"
        temporary.write_bytes(msgspec.json.encode(merged))
        temporary.replace(self._directory / "ended.json")
        for path in dead:
            path.unlink()

    def _read_ended(self) -> _Ended:
        path = self._directory / "ended.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Ended)
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, ValueError) as error:
            self._warn(path, error)
        return _Ended()


def _add(values: list[float] | None, more: list[float]) -> list[float]:
    # If a file is damaged, the numbers of values may differ. Then the newer file is used.
    if values is None or len(values) != len(more):
        return more
    return [value + other for value, other in zip(values, more, strict=True)]


class _ValueFile:
    """Memory-mapped file of metric values.

    It consists of segments. A segment contains the number of bytes used, and entries with a header, a
    description and values.

    Args:
        file: Empty file that is open and locked.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.unlock = weakref.finalize(self, file.close)
        self._segments = 0
        self._used = _SEGMENT
        self._segment = memoryview(b"")

    def append(self, description: _Description, size: int) -> Cells:
        """Add an entry for *size* values, and return the values."""
        encoded = msgspec.json.encode(description)
        encoded += b" " * (-len(encoded) % 8)
        start = self._used + _HEADER.size + len(encoded)
        if start + 8 * size > _SEGMENT:
            self._extend()
            start = self._used + _HEADER.size + len(encoded)
        _HEADER.pack_into(self._segment, self._used, len(encoded), size)
        self._segment[start - len(encoded) : start] = encoded
        end = start + 8 * size
        # Readers see the entry once it is complete.
        _USED.pack_into(self._segment, 0, end)
        self._used = end
        return self._segment[start:end].cast("d")

    def _extend(self) -> None:
        offset = self._segments * _SEGMENT
        # Without space on the disk, writing to a hole in the file would kill the process (SIGBUS).
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), offset, _SEGMENT)
        else:
            self._file.truncate(offset + _SEGMENT)
        self._segment = memoryview(mmap.mmap(self._file.fileno(), _SEGMENT, offset=offset))
        self._segments += 1
        self._used = _USED.size
        _USED.pack_into(self._segment, 0, self._used)


def _read_entries(path: Path) -> Iterator[_Entry]:
    content = path.read_bytes()
    for offset in range(0, len(content), _SEGMENT):
        position, end = offset + _USED.size, offset + _USED.unpack_from(content, offset)[0]
        while position < end:
            length, size = _HEADER.unpack_from(content, position)
            start = position + _HEADER.size + length
            text = content[start - length : start]
            description = msgspec.json.decode(text, type=_Description)
            position = start + 8 * size
            values: Cells = memoryview(content[start:position]).cast("d")
            yield _Entry(description.name, description.labels, description.gauge, list(values))

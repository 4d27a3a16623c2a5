"""Write predictions to a table of a SQLite or PostgreSQL database."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..backends.sql import sa
from ..errors import ConfigurationError, StoreError
from .checkpoint import Checkpoint
from .column_type import BIGINT, TEXT, ColumnType, infer_types
from .database import create_engine, report_errors
from .destination import Destination
from .location import hide_password
from .option_error import OptionError
from .output import errors_path
from .staged_records import StagedRecords, split_record

__all__ = ["DatabaseTable"]

_RUNS = sa.Table("modelgate_score_runs", sa.MetaData(), sa.Column("run", sa.Text))
"""Table in SQLite of the committed runs whose local files may still exist."""


class DatabaseTable(Destination):
    """Table of predictions in a database. Rejected rows are in a second table.

    All rows are committed in one transaction, so that other connections see all of them or none.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.
        table: Name of the table. It may begin with the name of a schema and a dot.
        appends: Whether to add the rows to those of an existing table.

    Raises:
        ConfigurationError: The URL or the name is not valid, or a package is missing.
    """

    def __init__(self, url: str, table: str, *, appends: bool) -> None:
        self._engine = create_engine(url, "output")
        self._is_sqlite = self._engine.name == "sqlite"
        self._schema, _, self._table = table.rpartition(".")
        if not self._table:
            raise OptionError("{table} must be the name of a table (got {name!r})", name=table)
        self._database = hide_password(url)
        self._appends = appends
        self.name, self.errors_name = table, f"{table}_errors"
        digest = hashlib.sha256(f"{self._database} {table}".encode())
        self._lock_key = int.from_bytes(digest.digest()[:8], signed=True)
        file = re.sub(r"[^\w.-]", "_", table)
        self.staging = Path(f"{file}.unfinished-{digest.hexdigest()[:12]}") / f"{file}.csv"

    def check_columns(self, header: bytes, done: Checkpoint) -> None:
        names = split_record(header.decode())
        folded = [name.lower() if self._is_sqlite else name for name in names]
        for index, name in enumerate(names):
            if folded[index] in folded[:index]:
                raise OptionError(
                    "The table {name} cannot have two columns {column}: choose other columns for {passthrough}",
                    name=self.name,
                    column=name,
                )
        with self._begin() as connection:
            self._load(connection, self._table, names, [], done, is_trial=True)

    def upload(
        self, done: Checkpoint, save: Callable[[], None], on_progress: Callable[[float], None]
    ) -> None:
        read = total = 0

        def count(rows: int) -> None:
            nonlocal read
            read += rows
            on_progress(read / total)

        predictions = StagedRecords(self.staging, count)
        rejected = StagedRecords(errors_path(self.staging), count)
        with self._begin() as connection:
            if done.transaction and self._is_committed(connection, done.transaction):
                return
            infers_types = self._infers_types(exists=self._exists(connection, self._table))
            total = done.rows * (2 if infers_types else 1) + done.refused
            self._load(connection, self._table, predictions.names, predictions, done)
            types = [BIGINT, TEXT, TEXT]
            self._load(connection, f"{self._table}_errors", rejected.names, rejected, done, types)
            done.transaction = self._identify(connection)
            save()
            connection.commit()

    def forget(self, done: Checkpoint) -> None:
        if self._is_sqlite:
            # A record that cannot be deleted does no harm.
            with contextlib.suppress(ConfigurationError, StoreError), self._begin() as connection:
                connection.execute(_RUNS.delete().where(_RUNS.c.run == done.transaction))
                if not connection.execute(_RUNS.select()).first():
                    _RUNS.drop(connection)
                connection.commit()

    @contextlib.contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        """Begin a transaction, which is rolled back unless the block commits it. Other runs wait for its end."""
        lock = "BEGIN IMMEDIATE" if self._is_sqlite else f"SELECT pg_advisory_xact_lock({self._lock_key})"
        failure = f"The table {self.name} cannot be written to {self._database}"
        with report_errors(self._engine, self._database, failure), self._engine.connect() as connection:
            connection.exec_driver_sql(lock)
            yield connection

    def _exists(self, connection: sa.Connection, name: str) -> bool:
        return sa.inspect(connection).has_table(name, self._schema or None)

    def _infers_types(self, *, exists: bool) -> bool:
        return self._is_sqlite or not exists

    def _load(
        self,
        connection: sa.Connection,
        name: str,
        names: Sequence[str],
        records: Iterable[Sequence[str]],
        done: Checkpoint,
        types: Sequence[ColumnType] | None = None,
        *,
        is_trial: bool = False,
    ) -> None:
        """Insert *records* into a table, which is created if it does not exist.

        Args:
            connection: Connection to the database.
            name: Name of the table, without its schema.
            names: Names of the columns; empty if there are no records.
            records: Cells of each row.
            done: Checkpoint of the run.
            types: Types of the columns of a new table; None to infer them from *records*.
            is_trial: Whether the transaction will be rolled back. Then the rows of the table are not deleted.
        """
        exists = self._exists(connection, name)
        if types is None and self._infers_types(exists=exists):
            types = infer_types(len(names), records)
        columns = [sa.Column(column, kind.sql) for column, kind in zip(names, types or (), strict=False)]
        table = sa.Table(name, sa.MetaData(), *columns, schema=self._schema or None)
        if exists and done.replace:
            connection.execute(table.delete().where(sa.false()) if is_trial else table.delete())
        elif exists and not self._appends:
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
                raise OptionError(
                    "{name} already has rows: choose another {table}, or pass {append} or {overwrite}",
                    name=name,
                )
        elif not exists and columns:
            table.create(connection)
        if not names:
            return
        path = ".".join(_quote(part) for part in (self._schema, name) if part)
        target = f"{path} ({', '.join(map(_quote, names))})"
        if self._is_sqlite:
            existing = sa.inspect(connection).get_columns(name, self._schema or None)
            _insert_into_sqlite(connection, target, names, records, types or (), existing)
            return
        with connection.connection.cursor().copy(f"COPY {target} FROM STDIN") as copy:
            for record in records:
                copy.write_row([cell or None for cell in record])

    def _identify(self, connection: sa.Connection) -> str:
        """Return an id with which a later run can find out whether the transaction was committed."""
        if not self._is_sqlite:
            return str(connection.execute(sa.text("SELECT pg_current_xact_id()")).scalar())
        run = uuid4().hex
        _RUNS.create(connection, checkfirst=True)
        connection.execute(_RUNS.insert().values(run=run))
        return run

    def _is_committed(self, connection: sa.Connection, transaction: str) -> bool:
        if self._is_sqlite:
            return sa.inspect(connection).has_table(_RUNS.name) and bool(
                connection.execute(_RUNS.select().where(_RUNS.c.run == transaction)).first()
            )
        query = sa.text("SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8))").bindparams(id=transaction)
        status = connection.execute(query).scalar()
        if status not in ("committed", "aborted"):
            raise ConfigurationError(
                f"{self._database} does not know whether the last run was committed: delete the folder"
                f" {self.staging.parent}, and repeat the run if the table {self.name} lacks the rows"
            )
        return bool(status == "committed")


def _insert_into_sqlite(
    connection: sa.Connection,
    target: str,
    names: Sequence[str],
    records: Iterable[Sequence[str]],
    types: Sequence[ColumnType],
    existing: Iterable[Any],
) -> None:
    """Insert *records* into *target*, a table with its columns in SQL. *existing* describes its columns.

    The cells of text columns stay texts. SQLite would convert a number to another text.
    """
    texts = {column["name"].lower() for column in existing if isinstance(column["type"], sa.String)}
    convert = [
        str if name.lower() in texts else kind.convert for name, kind in zip(names, types, strict=True)
    ]
    values = ([to(cell) if cell else None for to, cell in zip(convert, row, strict=True)] for row in records)
    statement = f"INSERT INTO {target} VALUES ({', '.join('?' * len(names))})"  # noqa: S608  names are quoted
    # Iterators suffice, whatever the types of the interface say.
    connection.connection.cursor().executemany(statement, values)  # type: ignore[arg-type]


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

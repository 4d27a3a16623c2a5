"""Score datasets of Ray Data."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..client.rows import Lines, Rows, csv_rows, records
from ..client.score_rows import RejectedRow, check_header, score_rows
from ..codecs.csv_records import format_records
from ..errors import ConfigurationError, MissingColumns
from ..flow import drive
from ..gate import Gate
from ..validation import require_positive_int
from .arrow_columns import ArrowColumns
from .arrow_csv import has_cells, to_csv
from .gate_source import GateSource, format_query
from .location import is_url

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

__all__ = ["BatchScorer", "score_dataset"]


def score_dataset(
    dataset: "Dataset",
    *,
    model: str | Path | None = None,
    gate: str | Callable[[], Gate] | None = None,
    deployment: str | None = None,
    passthrough: Sequence[str] | None = None,
    explain: int | None = None,
    intervals: Sequence[float] = (),
    batch_rows: int = 10_000,
    **options: Any,
) -> "Dataset":
    """Add columns with predictions to a Ray dataset (extra ``ray``).

    The predictions are the same as for requests in the `native` dialect, in columns named as in its CSV:
    ``prediction``, and for a classifier ``probability_yes`` and so on. The column ``error`` has the reason why a
    row was rejected, and is null for the other rows. A rejected row has nulls as predictions. API keys, limits
    and other HTTP layers do not apply, and *on_prediction* functions are not called::

        rows = ray.data.read_parquet("s3://bucket/customers")
        scored = score_dataset(rows, model="s3://bucket/churn.mgpkg", passthrough=["id"])
        scored.write_parquet("s3://bucket/scored")

    The dataset is lazy: rows are scored when it is consumed. Each Ray actor loads the model or creates the gate
    once.

    Args:
        dataset: Rows to score. Only columns of numbers, texts, booleans, dates and times are passed to the
            model.
        model: Path or URL of a model file that all nodes can read, such as ``s3://bucket/churn.mgpkg``. For a
            pickle, pass *gate*.
        gate: Gate that each actor imports, such as ``"app:gate"``, or a function that creates it.
        deployment: Name of the deployment of *gate*; may be None if the gate has only one.
        passthrough: Columns of *dataset* to keep; None for all of them.
        explain: Number of contributions (explanations) to add to each prediction; None adds none.
        intervals: Levels of the prediction intervals to add, in percent.
        batch_rows: Maximum number of rows that are scored together.
        options: Options of `ray.data.Dataset.map_batches`, such as *compute* and *num_cpus*.

    Returns:
        Dataset with the columns of *passthrough*, the prediction columns and ``error``.

    Raises:
        ConfigurationError: An option cannot be used. Errors of the gate or the model are raised when the
            dataset is consumed, as errors of Ray. Their messages contain the reason.
    """
    if (model is None) == (gate is None):
        raise ConfigurationError("pass exactly one of model and gate")
    if isinstance(gate, Gate):
        raise ConfigurationError(
            'gate must be an import path such as "app:gate", or a function that returns the gate (got a Gate)'
        )
    if deployment is not None and gate is None:
        raise ConfigurationError(f"deployment must be None if model is set (got {deployment!r})")
    if isinstance(passthrough, str):
        raise ConfigurationError(
            f"passthrough must be a list of columns, such as [{passthrough!r}] (got a text)"
        )
    require_positive_int("batch_rows", batch_rows)
    if model is not None and not is_url(model):
        model = Path(model).absolute()
    query = format_query(explain or None, ",".join(map(str, intervals)) or None)
    source = GateSource(gate, deployment, model, query=query)
    return dataset.map_batches(
        BatchScorer,
        fn_constructor_args=(source, passthrough),
        batch_size=batch_rows,
        batch_format="pyarrow",
        **options,
    )


class BatchScorer:
    """Callable that scores batches of a dataset. Each Ray actor creates one.

    Args:
        source: Description of the gate and the deployment.
        passthrough: Columns to keep; None for all of them.
    """

    def __init__(self, source: GateSource, passthrough: Sequence[str] | None) -> None:
        self._dialect = ArrowColumns()
        self._session = source.open_session(self._dialect)
        self._passthrough = passthrough
        # Columns of the predictions, as a table without rows; None before the first batch.
        self._empty: Any = None

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        import pyarrow

        if not batch.num_columns:
            return batch  # Ray also passes empty blocks without a schema.
        result = batch if self._passthrough is None else batch.select(_known(self._passthrough, batch))
        predictions, errors = self._score(batch)
        for name, column in zip(predictions.column_names, predictions.columns, strict=True):
            result = _append(result, name, column)
        return _append(result, "error", pyarrow.array(errors, pyarrow.string()))

    def _score(self, batch: "pyarrow.Table") -> tuple["pyarrow.Table", list[str | None]]:
        """Return a table of the predictions, and for each row the reason why it was rejected, or None."""
        import pyarrow

        unsent = {field.name: field.type for field in batch.schema if not has_cells(field.type)}
        rows = _to_rows(batch.drop_columns(list(unsent)))
        self._dialect.tables.clear()
        try:
            scored = drive(score_rows(self._session, rows, is_first=True))
            tables = [table for table in self._dialect.tables if len(table)]
            if not tables and self._empty is None:
                # Only the names are known, not the types.
                drive(check_header(self._session, rows.header))
                names = self._dialect.tables[-1].column_names
                self._empty = pyarrow.table({name: pyarrow.nulls(0) for name in names})
        except MissingColumns as error:
            for name in unsent.keys() & set(error.missing_columns):
                error.add_note(f"{name} was not passed to the model: {unsent[name]} cannot be written as CSV")
            raise
        errors = [str(row) if isinstance(row, RejectedRow) else None for row in scored.results]
        predictions = pyarrow.concat_tables(tables, promote_options="permissive") if tables else self._empty
        self._empty = predictions.slice(0, 0)
        if len(predictions) < len(batch):
            positions = count()
            indices = [next(positions) if error is None else None for error in errors]
            predictions = predictions.take(pyarrow.array(indices, pyarrow.int64()))
        return predictions, errors


def _to_rows(batch: "pyarrow.Table") -> Rows:
    """Return *batch* as CSV."""
    if not batch.num_columns:
        raise ConfigurationError("dataset must have columns of numbers, texts, booleans, dates or times")
    raw = b"".join(map(to_csv, batch.to_batches()))
    # Without quotes, each line is a row.
    is_plain = b'"' not in raw
    lines = Lines(raw, len(batch)) if is_plain else [row for _, row in records(raw.splitlines(keepends=True))]
    return csv_rows(format_records([batch.column_names]).encode(), lines)


def _known(names: Sequence[str], batch: "pyarrow.Table") -> list[str]:
    """Return *names*, or raise an error if *batch* lacks one of them."""
    for name in names:
        if name not in batch.column_names:
            raise ConfigurationError(
                f"passthrough must be columns of the dataset (got {name!r}): choose from {batch.column_names}"
            )
    return list(names)


def _append(table: "pyarrow.Table", name: str, column: Any) -> "pyarrow.Table":
    if name in table.column_names:
        raise ConfigurationError(
            f"passthrough must not contain {name}, the name of a column of the result: rename or drop it"
        )
    return table.append_column(name, column)

"""Score a file with a gate, without a server."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..gate import Gate
from ..validation import require_positive_int
from .checkpoint import Checkpoint
from .gate_source import GateSource, format_query
from .input import Input
from .location import hide_password, local_file
from .open_engine import EngineName, open_engine
from .output import Passthrough
from .run import score_chunks
from .run_output import open_run_output
from .source import check_query, open_rows

__all__ = ["ScoredFile", "score_file"]


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """Result of `score_file`.

    Args:
        output: File, URL or table of the predictions, one line per input row, in input order.
        errors: File, URL or table of the rejected rows, with the line number, the reason and the text of each
            row; None if all rows were scored.
        scored: Number of scored rows.
        rejected: Number of rejected rows. Their lines in *output* have empty cells, or nulls in a table.
        versions: Versions of the models that scored the rows.
    """

    output: Path | str
    errors: Path | str | None
    scored: int
    rejected: int
    versions: Sequence[str]


def score_file(
    path: str | Path,
    output: str | Path,
    gate: str | Callable[[], Gate],
    *,
    query: str | None = None,
    deployment: str | None = None,
    workers: int | None = None,
    engine: EngineName = "processes",
    passthrough: Sequence[str] = (),
    explain: int | None = None,
    intervals: Sequence[float] = (),
    batch_rows: int = 10_000,
    overwrite: bool = False,
    table: str | None = None,
    append: bool = False,
) -> ScoredFile:
    """Score the rows of a file with a deployment of a gate, without a server.

    The results are the same as for requests in the `native` dialect. API keys, limits and other HTTP layers
    do not apply, and *on_prediction* functions are not called. To resume a stopped run, call the function
    again with the same arguments.

    Args:
        path: Input file or its URL, such as ``s3://bucket/big.csv`` (extra ``fsspec``). The file may be CSV,
            CSV compressed with gzip, bzip2 or xz, or Parquet (extra ``parquet``). If *query* is set, URL of
            the database: ``sqlite:///path`` (extra ``sql``) or ``postgresql://…`` (extra ``postgresql``).
        output: CSV file or URL for the predictions. For a URL, the predictions are first written to a local
            folder in the working directory, and uploaded when the run is complete. If *output* is
            ``scored.csv``, rejected rows are written to ``scored.errors.csv``. For *table*, URL of a database.
        gate: Gate that each process imports, such as ``"app:gate"``, or a function that creates it. If a
            script passes a function, it must call `score_file` inside ``if __name__ == "__main__":``.
        query: SQL statement that returns the rows; None for the rows of a file.
        deployment: Name of the deployment; may be None if the gate has only one.
        workers: Number of processes; by default one per processor of this machine, or of the Ray cluster.
        engine: ``"processes"`` on this machine, or ``"ray"`` for the nodes of a Ray cluster (extra ``ray``).
        passthrough: Columns of the file to copy to the output, before the predictions. A *table* needs at
            least one, such as an id.
        explain: Number of contributions (explanations) to add to each prediction; None adds none.
        intervals: Levels of the prediction intervals to add, in percent.
        batch_rows: Maximum number of rows that are scored together.
        overwrite: Whether to start over and replace existing output.
        table: Table of the database *output* for the predictions, such as ``"scores"`` or ``"shop.scores"``.
            Rejected rows are written to a second table, ``scores_errors``. All rows appear when the run is
            complete. A table that does not exist is created.
        append: Whether to add the rows to those that *table* has.

    Raises:
        ConfigurationError: An option, the file or the gate cannot be used, or there are no rows.
        NotFound: There is no such deployment.
        MissingColumns, InvalidInput: All rows are invalid because of their columns.
        PredictionError, ServingError: The model failed, or a worker process ended.
    """
    if engine not in ("processes", "ray"):
        raise ConfigurationError(f'engine must be "processes" or "ray" (got {engine!r})')
    require_positive_int("batch_rows", batch_rows)
    require_positive_int("workers", 1 if workers is None else workers)
    levels = ",".join(map(str, intervals)) or None
    source = GateSource(gate, deployment, query=format_query(explain or None, levels))
    name = gate if isinstance(gate, str) else f"{gate.__module__}:{getattr(gate, '__qualname__', gate)}"
    fresh = Checkpoint(
        target={"gate": name, "deployment": deployment, "explain": str(explain or ""), "intervals": levels},
        chunk=batch_rows,
        keep=list(passthrough),
        table=table,
        append=append,
        replace=overwrite,
    )
    check_query(path, query)
    with ExitStack() as stack:
        results = stack.enter_context(open_run_output(path, output, fresh, source=local_file(path)))
        rows = Input(stack.enter_context(open_rows(path, query)), hide_password(path))
        scorer = stack.enter_context(open_engine(engine, source, workers))
        written = stack.enter_context(results.open(Passthrough(rows.header, passthrough)))
        asyncio.run(score_chunks(rows, scorer, written, batch_rows))
    done = results.done
    return ScoredFile(
        results.name,
        results.errors_name if done.refused else None,
        done.scored,
        done.refused,
        tuple(done.versions),
    )

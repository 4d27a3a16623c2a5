"""``modelgate score``: score a file with a deployment."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..bulk.csv_file import COMPRESSED_SUFFIXES
from ..bulk.location import local_file
from ..bulk.parquet_file import PARQUET_SUFFIXES
from ..errors import ModelgateError
from .help import examples
from .inspect import load_pickle_option, read_environment_variable
from .progress import show_progress

if TYPE_CHECKING:
    from ..bulk.open_engine import EngineName

__all__ = ["score"]


class _PathOrURL(click.Path):
    """Option type for a path, or for the URL of an fsspec file system. A URL stays text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in value else super().convert(value, param, ctx)


@click.command(
    epilog=examples(
        "score big.csv --url http://localhost:8000/ml/churn --key-env CHURN_KEY",
        "score big.csv.gz --url https://example.com/ml/churn --keep id -o scored.csv",
        "score big.csv --model churn.mgpkg --workers 8",
        "score sqlite:///shop.db --query 'SELECT * FROM customers ORDER BY id' --model churn.mgpkg",
        "score big.csv --model churn.mgpkg -o sqlite:///shop.db --table scores --keep id",
    )
)
@click.argument(
    "path",
    metavar="FILE",
    type=_PathOrURL(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--query",
    "statement",
    metavar="SQL",
    help="Score the rows of this query. FILE must then be the URL of the database, such as sqlite:///shop.db or"
    " postgresql://user@host/shop.",
)
@click.option(
    "--url",
    "url",
    metavar="URL",
    help="URL of the deployment: the mount point plus its name, such as http://host/ml/churn.",
)
@click.option(
    "--model",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="Model file to score with on this machine, without a server.",
)
@click.option(
    "--gate",
    metavar="MODULE:GATE",
    help="Gate to score with on this machine, without a server, such as app:gate.",
)
@click.option("--deployment", metavar="NAME", help="Deployment of --gate. [default: the only one]")
@click.option(
    "--workers",
    metavar="NUMBER",
    type=click.IntRange(1),
    help="Number of processes that score, with --model or --gate. [default: one per processor]",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Where --model or --gate scores: on this machine, or on a Ray cluster (RAY_ADDRESS).",
)
@load_pickle_option
@click.option(
    "--key-env",
    "key",
    metavar="VARIABLE",
    callback=read_environment_variable,
    help="Environment variable that holds the API key.",
)
@click.option(
    "--key-header",
    type=click.Choice(["authorization", "x-api-key"]),
    default="authorization",
    show_default=True,
    help="HTTP header field in which the API key is sent.",
)
@click.option(
    "--output",
    "-o",
    type=_PathOrURL(dir_okay=False, allow_dash=True, path_type=Path),
    help="CSV file or URL for the predictions, or - for standard output. [default: big.predictions.csv for big.csv or"
    " big.csv.gz, predictions.csv for --query, - for -]",
)
@click.option(
    "--table",
    metavar="NAME",
    help="Write the predictions to this database table. --output must then be the URL of the database, such as"
    " sqlite:///shop.db or postgresql://user@host/shop.",
)
@click.option("--append", is_flag=True, help="Add the rows to those that --table has.")
@click.option(
    "--keep",
    metavar="COLUMN",
    multiple=True,
    help="Copy this column of FILE to the output, before the predictions. Repeatable.",
)
@click.option(
    "--explain",
    metavar="NUMBER",
    type=click.IntRange(1),
    help="Add this number of contributions of input columns to each prediction.",
)
@click.option(
    "--intervals",
    metavar="LEVELS",
    help="Add prediction intervals of these levels in percent, such as 80,90.",
)
@click.option("--overwrite", is_flag=True, help="Start over, and replace existing output.")
@click.option(
    "--rows",
    "chunk",
    metavar="NUMBER",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Maximum number of rows that are scored together.",
)
@click.option(
    "--in-flight",
    metavar="NUMBER",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Maximum number of concurrent requests.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def score(
    path: Path | str,
    statement: str | None,
    key: str | None,
    key_header: str,
    in_flight: int,
    workers: int | None,
    engine: "EngineName",
    explain: int | None,
    intervals: str | None,
    output: Path | str | None,
    table: str | None,
    append: bool,
    keep: tuple[str, ...],
    overwrite: bool,
    chunk: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Score the rows of a file or of a database query.

    Pass one of --url, --model and --gate. FILE is a CSV file, which may be compressed with gzip, bzip2 or xz;
    a Parquet file, which needs the extra parquet; or - for CSV from standard input. URLs such as
    s3://bucket/big.csv need the extra fsspec. A query needs the extra sql for SQLite, or postgresql for
    PostgreSQL.

    The output has one line per row, in the same order. For a rejected row, the output has empty cells. A
    second file, such as big.predictions.errors.csv, or a second table has the line number and the reason. To
    resume a stopped run, run the same command again.

    Exit codes: 0 all rows scored; 1 some rows rejected; 2 the options, the file, the URL or the model
    cannot be used, or there are no rows; 3 the key was rejected or a limit was reached; 4 the server, the
    storage or a worker failed.
    """
    import asyncio
    from contextlib import ExitStack

    from ..bulk.checkpoint import Checkpoint
    from ..bulk.gate_source import format_query
    from ..bulk.open_engine import open_engine
    from ..bulk.run_output import open_run_output
    from ..bulk.source import check_query
    from .pipes import PIPE, StandardOutput, check_streams, stdin_descriptor
    from .score_job import Job
    from .score_target import parse_target

    check_query(path, statement)
    output = output or (_default_output(path) if statement is None else Path("predictions.csv"))
    query = format_query(explain, intervals)
    target, source = parse_target(query=query, **options)
    fresh = Checkpoint(
        target=target, chunk=chunk, keep=list(keep), table=table, append=append, replace=overwrite
    )
    check_streams(path, output)
    with ExitStack() as stack:
        if output == PIPE:
            job = Job(path, StandardOutput(fresh), statement)
        else:
            read = stdin_descriptor() if path == PIPE else local_file(path)
            job = Job(path, stack.enter_context(open_run_output(path, output, fresh, source=read)), statement)
        try:
            with show_progress(Path(job.name).name) as report_progress:
                if source is None:
                    session = job.open_session(options["url"], query, key, key_header)
                    run = job.run_with_server(report_progress, session, in_flight)
                else:
                    run = job.run(report_progress, stack.enter_context(open_engine(engine, source, workers)))
                asyncio.run(run)
        except BrokenPipeError:
            raise  # The reader of the pipe has exited. click handles this error.
        except (ModelgateError, OSError, KeyboardInterrupt) as error:
            job.stop(error, overwrite)
    job.report(as_json)


def _default_output(path: Path | str) -> Path:
    from .pipes import PIPE

    if path == PIPE:
        return PIPE
    name = Path(path.rpartition("/")[2]) if isinstance(path, str) else path
    uncompressed = name.with_suffix("") if name.suffix.lower() in COMPRESSED_SUFFIXES else name
    suffix = ".csv" if name.suffix.lower() in PARQUET_SUFFIXES else uncompressed.suffix
    return uncompressed.with_name(f"{uncompressed.stem}.predictions{suffix}")

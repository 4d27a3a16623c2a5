"""``modelgate score``: score a CSV file with a deployment."""

from pathlib import Path
from typing import Any

import click

from ..errors import ModelgateError
from .csv_file import COMPRESSED_SUFFIXES
from .help import examples
from .inspect import read_environment_variable
from .progress import show_progress

__all__ = ["score"]


@click.command(
    epilog=examples(
        "score big.csv --url http://localhost:8000/ml/churn --key-env CHURN_KEY",
        "score big.csv.gz --url https://example.com/ml/churn --keep id -o scored.csv",
    )
)
@click.argument(
    "path",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--url",
    "url",
    metavar="URL",
    required=True,
    help="URL of the deployment: the mount point plus its name, such as http://host/ml/churn.",
)
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
    help="Header field of the key.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="CSV file for the predictions, or - for standard output. [default: big.predictions.csv for big.csv or"
    " big.csv.gz, - for -]",
)
@click.option(
    "--keep",
    metavar="COLUMN",
    multiple=True,
    help="Copy this column of FILE to the output, before the predictions. Repeatable.",
)
@click.option("--overwrite", is_flag=True, help="Start over, and replace existing output files.")
@click.option(
    "--rows",
    "chunk",
    metavar="NUMBER",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Maximum number of rows per request.",
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
    path: Path,
    url: str,
    key: str | None,
    output: Path | None,
    keep: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score the rows of a CSV file.

    FILE may be compressed with gzip, bzip2 or xz. Use - for standard input.

    The output has one line per row, in the same order. For a rejected row, the output has empty cells, and a
    second file, such as big.predictions.errors.csv, has the line number and the reason. To resume a stopped
    run, run the same command again.

    Exit codes: 0 all rows scored; 1 some rows rejected; 2 the options, the file or the URL cannot be used, or
    there are no rows; 3 the key was rejected or a limit reached; 4 the server failed.
    """
    import asyncio
    import sys
    from contextlib import ExitStack

    from .checkpoint import Checkpoint
    from .pipes import PIPE, check_streams, stdin_descriptor
    from .score_job import Job
    from .score_output import check_paths, exclusive_lock, resume_output

    if output is None:
        uncompressed = path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path
        output = uncompressed.with_name(f"{uncompressed.stem}.predictions{uncompressed.suffix}")
        output = PIPE if path == PIPE else output
    fresh = Checkpoint(url=url, chunk=options["chunk"], keep=list(keep))
    check_streams(path, output)
    with ExitStack() as stack:
        if output == PIPE:
            done, file = fresh, sys.stdout.buffer
        else:
            check_paths(stdin_descriptor() if path == PIPE else path, output)
            file = stack.enter_context(exclusive_lock(output))
            done = fresh if overwrite else resume_output(fresh, output)
        job = Job(path, output, done, key, **options)
        try:
            with show_progress(Path(job.name).name) as report_progress:
                asyncio.run(job.run(file, report_progress))
        except BrokenPipeError:
            raise  # The reader of the pipe has exited. click handles this error.
        except (ModelgateError, OSError, KeyboardInterrupt) as error:
            job.stop(error, overwrite)
    job.report(as_json)

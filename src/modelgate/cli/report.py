"""``modelgate report``: write an HTML page about a deployment."""

import time
from collections import defaultdict
from pathlib import Path

import click

from ..errors import NotFound
from .help import examples

__all__ = ["report"]

_DAY = 86_400


@click.command(
    epilog=examples(
        "report churn --db sqlite:///monitor.db",
        "report churn --db postgresql://localhost/monitor -o churn.html",
    )
)
@click.argument("deployment", metavar="NAME")
@click.option(
    "--db",
    "database",
    envvar="MODELGATE_MONITOR_URL",
    show_envvar=True,
    required=True,
    metavar="URL",
    help="URL of the database of the DriftMonitor and the OutcomeLog. Pass a URL with a password in the"
    " environment variable.",
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Path of the page. [default: NAME.html]")
@click.option(
    "--min-rows",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    metavar="NUMBER",
    help="Minimum number of rows in a window.",
)
@click.option(
    "--sustained",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    metavar="NUMBER",
    help="Number of consecutive windows with drift that raise an alarm.",
)
def report(deployment: str, database: str, out: Path | None, min_rows: int, sustained: int) -> None:
    """Write an HTML page about a deployment.

    It shows traffic, drift, accuracy, and a comparison of versions. The data comes from the database of a
    DriftMonitor, an OutcomeLog, or both.
    """
    from ..backends.sql import require_existing
    from ..monitoring.drift_judge import judge
    from ..monitoring.drift_statistics import Thresholds
    from ..monitoring.drift_tables import SQLDriftStorage
    from ..monitoring.outcome_log import MIN_OUTCOMES, read_accuracy
    from ..monitoring.outcome_tables import OutcomeTables
    from ..monitoring.report import render_report

    require_existing(database, "db")
    tables, now = OutcomeTables(database), time.time()
    storage = SQLDriftStorage(database)
    models = storage.load(deployment)
    traffic = tables.traffic(deployment)
    if not models and not traffic:
        raise NotFound(f"The database has no predictions of the deployment {deployment!r}")
    if not traffic:
        days: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for model in models:
            for bucket in model.buckets:
                days[model.key.version][int(bucket.start // _DAY)] += bucket.counts.rows
        traffic = dict(days)
    judgements = [judge(model, Thresholds(min_rows=min_rows), sustained, now) for model in models]
    accuracy = read_accuracy(tables, deployment, MIN_OUTCOMES)
    storage.close()
    tables.close()
    path = Path(f"{deployment}.html") if out is None else out
    path.write_text(render_report(deployment, traffic, judgements, accuracy, now), "utf-8")
    click.echo(f"wrote {path}")

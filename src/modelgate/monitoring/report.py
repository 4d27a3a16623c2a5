"""Render a report on a deployment as one HTML page without scripts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from .drift_judge import Judgement
from .drift_statistics import ColumnDrift
from .outcome_log import AccuracyReport
from .outcome_statistics import ALPHA

__all__ = ["render_report"]

_PAGE = Template((Path(__file__).parent / "report.html").read_text("utf-8"))
_DAY = 86_400
_NO_FIGURE = "–"
_MEASURES = {"error_rate": "share of wrong labels", "absolute_error": "mean absolute error"}


def render_report(
    deployment: str,
    traffic: Mapping[str, Mapping[int, int]],
    judgements: Sequence[Judgement],
    accuracy: AccuracyReport,
    now: float,
) -> str:
    """Return the report as HTML.

    Args:
        deployment: Deployment name.
        traffic: Number of predicted rows by version and day since the epoch.
        judgements: Drift of each model version.
        accuracy: Accuracy of each version.
        now: Time in seconds since the epoch.
    """
    return _PAGE.substitute(
        deployment=escape(deployment),
        time=_format_time(now),
        traffic=_render_traffic(traffic),
        drift="".join(map(_render_drift, judgements)) or "<p>No predictions are monitored for drift.</p>",
        accuracy=_render_accuracy(accuracy),
        arms=_render_arms(accuracy),
    )


def _render_traffic(traffic: Mapping[str, Mapping[int, int]]) -> str:
    if not traffic:
        return "<p>No predictions are stored.</p>"
    rows = [(name, sum(days.values()), _day(min(days)), _day(max(days))) for name, days in traffic.items()]
    totals: dict[int, int] = defaultdict(int)
    for days in traffic.values():
        for day, count in days.items():
            totals[day] += count
    return _table(("Version", "Rows", "From", "To"), rows) + _bars(totals)


def _bars(totals: Mapping[int, int]) -> str:
    """Return a bar chart of the number of rows per day."""
    first, last, highest = min(totals), max(totals), max(totals.values())
    bars = "".join(
        f'<rect x="{10 * (day - first)}" y="{100 - height:.1f}" width="8" height="{height:.1f}">'
        f"<title>{_day(day)}: {count} rows</title></rect>"
        for day, count in sorted(totals.items())
        if (height := 100 * count / highest) >= 0
    )
    width = max(300, 10 * (last - first + 1))
    return f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none" role="img" aria-label="Rows per day">{bars}</svg>'


def _render_drift(judgement: Judgement) -> str:
    heading = f"<h3>Version {escape(judgement.key.version)}</h3>"
    judged = [each for each in judgement.assessments if _is_judged(each.drifts().values())]
    if not judged:
        return f"{heading}<p>No window has enough rows yet.</p>"
    last = judged[-1]
    rows = [
        (
            "prediction" if name is None else name,
            *map(_figure, (drift.psi, drift.psi_limit)),
            *map(_percent, (drift.missing, drift.missing_in_training, drift.unseen, drift.out_of_range)),
            ", ".join(drift.drifted).replace("_", " "),
        )
        for name, drift in last.drifts().items()
    ]
    headings = (
        "Column",
        "Stability index",
        "Limit",
        "Missing",
        "In training",
        "Unseen",
        "Out of range",
        "Drifted",
    )
    alarms = len(judgement.alarms)
    sentence = f"{last.rows} rows from {_format_time(last.start)} to {_format_time(last.end)}."
    lasting = f' <span class="drifted">Sustained: {alarms}.</span>' if alarms else ""
    humility = _table(("Humility rule", "Rows"), list(last.humility.items())) if last.humility else ""
    return f"{heading}<p>{sentence}{lasting}</p>{_table(headings, rows)}{humility}"


def _is_judged(drifts: Iterable[ColumnDrift]) -> bool:
    return any(drift.missing is not None for drift in drifts)


def _render_accuracy(accuracy: AccuracyReport) -> str:
    if not accuracy.versions:
        return "<p>No predictions are stored.</p>"
    headings = ("Version", "Predictions", "With outcome", "Measure", "Error", "Calibration error")
    table = _table(
        headings,
        [
            (
                each.version,
                each.predictions,
                each.outcomes,
                _MEASURES[each.measure],
                _figure(each.error),
                _figure(each.calibration_error),
            )
            for each in accuracy.versions
        ],
    )
    for each in accuracy.versions:
        if each.calibration:
            bins = [
                (_figure(item.probability), _figure(item.accuracy), item.rows) for item in each.calibration
            ]
            table += f"<h3>Calibration of version {escape(each.version)}</h3>"
            table += _table(("Mean probability", "Share of right predictions", "Rows"), bins)
    return table


def _render_arms(accuracy: AccuracyReport) -> str:
    if not accuracy.arms:
        return "<p>None.</p>"
    headings = ("Versions", "Outcomes", "Difference of errors", "From", "To", "Better")
    rows = [
        (
            " and ".join(each.versions),
            " and ".join(map(str, each.outcomes)),
            *map(_figure, (each.difference, each.low, each.high)),
            each.winner or "not known yet",
        )
        for each in accuracy.arms
    ]
    return (
        f"{_table(headings, rows)}<p>The error of the second version minus that of the first. You may look at"
        f" the intervals as often as you like: the probability that any of them is ever wrong is at most"
        f" {ALPHA:.0%}.</p>"
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(value: float | None) -> str:
    return _NO_FIGURE if value is None else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return _NO_FIGURE if value is None else f"{value:.1%}"


def _day(number: int) -> str:
    return f"{datetime.fromtimestamp(number * _DAY, UTC):%Y-%m-%d}"


def _format_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"

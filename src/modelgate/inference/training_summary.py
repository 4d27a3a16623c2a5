"""Summarize the training data of a model for callers."""

from collections.abc import Mapping
from typing import Any

from ..schema import Column
from .context import count_booleans
from .predictor import Predictor

__all__ = ["summarize_training"]


def summarize_training(predictor: Predictor) -> dict[str, Any]:
    """Return a summary of the training data of *predictor*, with only what callers may see.

    The result has these items:

    - ``rows``: number of training rows, 0 if it is unknown
    - ``columns``, ``targets``: aggregates by name. Numbers have ``minimum``, ``median``, ``maximum`` and
      ``histogram``, the counts in bins of equal width from the minimum to the maximum. Booleans and
      categories have ``levels``, a list of pairs of a level and its count. ``nulls`` is the number of missing
      values.
    - ``examples``: example rows that the deployment's owner has released

    Values of a text column that are not among its levels are left out, because they may be names or notes.
    """
    training = predictor.training
    rows = 0 if training is None else training.rows
    columns = {} if training is None else training.statistics
    targets = () if training is None else training.target_statistics
    summaries = {
        column.name: _summarize_column(column, columns.get(column.name), rows) for column in predictor.schema
    }
    names = [target.name for target in predictor.targets] if targets else []
    return {
        "rows": rows,
        "columns": {name: summary for name, summary in summaries.items() if summary},
        "targets": {name: _summarize(statistics) for name, statistics in zip(names, targets, strict=False)},
        "examples": list(predictor.public_examples),
    }


def _summarize_column(column: Column, statistics: Mapping[str, Any] | None, rows: int) -> dict[str, Any]:
    if statistics is None:
        # A scaler in the model may have stored the range of the training data.
        observed = column.observed_range
        return {} if observed is None else {"minimum": observed[0], "maximum": observed[1]}
    if column.kind == "boolean" and "mean" in statistics:
        return {"nulls": statistics["nulls"], "levels": count_booleans(statistics, rows)}
    summary = _summarize(statistics)
    if "levels" in summary:
        if column.levels is None:
            return {}
        summary["levels"] = [[level, count] for level, count in summary["levels"] if column.has_level(level)]
    return summary


def _summarize(statistics: Mapping[str, Any]) -> dict[str, Any]:
    summary = {name: statistics[name] for name in ("nulls", "levels", "histogram") if name in statistics}
    deciles = statistics.get("deciles")
    if deciles:
        summary |= {"minimum": deciles[0], "median": deciles[5], "maximum": deciles[-1]}
    return summary

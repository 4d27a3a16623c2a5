"""Create humility rules with bounds from the training data in a package."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..inference.decision import resolve_threshold
from ..models import ModelPackage
from ..models.training_sample import MAX_LEVELS, predict_to_lists
from ..schema import Schema
from ..validation import require_positive_int
from .rules import HumilityRule, LowObservationRegion, OutlyingInput, UncertainPrediction

__all__ = ["recommended_rules"]

_MAX_DISTANCE = 0.1
"""Largest distance between the threshold and a probability that is uncertain."""
_MAX_PROBABILITY = 0.5
"""Largest probability of the predicted class that is uncertain, if there are more than two classes."""


def recommended_rules(package: ModelPackage, uncertain: float, min_rows: int) -> list[HumilityRule]:
    """Return rules for *package*; see `HumilityRules.recommended`."""
    if not isinstance(package, ModelPackage) or package.schema is None or not package.background:
        raise ConfigurationError(
            "package must be a ModelPackage with training rows: create it with ModelPackage.from_estimator"
            f" (got {package!r:.80})"
        )
    if type(uncertain) not in (int, float) or not 0 <= uncertain <= 1:
        raise ConfigurationError(f"uncertain must be a number from 0 to 1 (got {uncertain!r})")
    require_positive_int("min_rows", min_rows)
    prediction_rules = _prediction_rules(package, package.schema, uncertain)
    return [*prediction_rules, *_input_rules(package.schema, package.statistics, min_rows)]


def _prediction_rules(package: ModelPackage, schema: Schema, uncertain: float) -> Iterator[HumilityRule]:
    classes = package.manifest.classes
    if len(classes) > 1:
        return
    labels = classes[0]
    if labels is None:
        bounds = _target_range(package.statistics.get("target", [{}])[0])
        if bounds is not None:
            yield UncertainPrediction(*bounds)
        return
    answers = predict_to_lists(package.model, schema, package.background)
    if "predict_proba" not in answers:
        return
    probabilities = np.array(answers["predict_proba"])
    if len(labels) == 2:
        threshold, positive = resolve_threshold(
            package.model, package.manifest.threshold, package.manifest.positive_class
        )
        threshold = 0.5 if threshold is None else threshold
        column = 1 if positive is None else labels.index(positive)
        width = _bound(np.abs(probabilities[:, column] - threshold), uncertain, _MAX_DISTANCE)
        yield UncertainPrediction(max(threshold - width, 0.0), min(threshold + width, 1.0))
    else:
        yield UncertainPrediction(0.0, _bound(probabilities.max(axis=1), uncertain, _MAX_PROBABILITY))


def _target_range(target: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the range of the training targets, or None if the statistics in *target* do not contain it."""
    if "deciles" in target:
        return target["deciles"][0], target["deciles"][-1]
    # If there are fewer than MAX_LEVELS different whole numbers, the statistics count all of them. Packages
    # of earlier versions count only the most frequent ones.
    values = [value for value, _ in target.get("levels", ())]
    return (float(min(values)), float(max(values))) if 0 < len(values) < MAX_LEVELS else None


def _bound(values: npt.NDArray[np.float64], share: float, largest: float) -> float:
    """Return a bound such that at most the fraction *share* of *values* are at or below it.

    The bound is from 0 to *largest*. It is 0 even if more than this fraction of *values* is 0.
    """
    ordered = np.sort(values)
    excluded = ordered[int(share * len(ordered)) :]
    if not len(excluded) or excluded[0] > largest:
        return largest
    return float(ordered[ordered < excluded[0]].max(initial=0.0))


def _input_rules(schema: Schema, statistics: Mapping[str, Any], min_rows: int) -> Iterator[HumilityRule]:
    for column in schema:
        summary = statistics["columns"][column.name]
        if column.kind in OutlyingInput.kinds and "deciles" in summary:
            yield OutlyingInput(column.name, summary["deciles"][0], summary["deciles"][-1])
        elif column.kind == "text" and 0 < len(summary["levels"]) < MAX_LEVELS:
            common = [level for level, count in summary["levels"] if count >= min_rows]
            rejects_others = column.levels is not None and schema.options.unknown_levels == "reject"
            if common and not (rejects_others and set(column.levels or ()) <= set(common)):
                yield LowObservationRegion(column.name, common)

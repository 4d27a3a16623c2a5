"""Humility rules of a deployment: load and save the rules, check them, and apply them to predictions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np

from ..codecs.config_file import config_errors, read_config, write_config
from ..errors import ConfigurationError, HumilityError
from ..inference import Output, Prediction, Target
from ..inference.prediction import TriggeredRule
from ..models import ModelPackage
from ..schema import Schema, Table
from .actions import OverridePrediction, ThrowError
from .recommended import recommended_rules
from .rule_file import parse_rules, plain_rules
from .rules import HumilityRule, InputRule, UncertainPrediction

__all__ = ["HumilityRules", "RowsByRule"]

RowsByRule: TypeAlias = Mapping[str, list[int]]
"""Indices of the rows that triggered a rule, by rule id. Rules that were not triggered are left out."""


class HumilityRules(Sequence[HumilityRule]):
    """Humility rules in the order in which they are applied.

    For each row, all triggered rules are reported. If several override the prediction, the first one
    determines it. If a row triggers a rule that throws an error, the entire request is rejected.

    Args:
        rules: The rules.

    Raises:
        ConfigurationError: *rules* contains something other than rules, or two rules with the same id.
    """

    def __init__(self, rules: Iterable[HumilityRule] = ()) -> None:
        self._rules = tuple(rules) if isinstance(rules, Iterable) else ()
        if not isinstance(rules, Iterable) or not all(isinstance(rule, HumilityRule) for rule in self._rules):
            raise ConfigurationError(
                "humility must be a list of rules, such as OutlyingInput('age', 18, 99), or"
                f" HumilityRules.load(path) (got {rules!r})"
            )
        ids = [rule.rule_id for rule in self._rules]
        for rule in self._rules:
            if ids.count(rule.rule_id) > 1:
                raise ConfigurationError(
                    f"humility rules must have different ids (got {rule.rule_id!r} twice): remove one of"
                    f" the rules named {rule.name!r}, or set its rule_id"
                )
        self._input_rules = [rule for rule in self._rules if isinstance(rule, InputRule)]
        self._output_rules = [rule for rule in self._rules if isinstance(rule, UncertainPrediction)]
        self._throwing = {rule.rule_id for rule in self._rules if isinstance(rule.action, ThrowError)}

    @classmethod
    def load(cls, path: str | Path) -> "HumilityRules":
        """Load rules from a ``.toml`` or ``.json`` file, written by `save` or by hand.

        Raises:
            ConfigurationError: The file cannot be read or contains an invalid entry.
        """
        content = read_config("humility", path)
        with config_errors("humility", path):
            return cls(parse_rules(content))

    def save(self, path: str | Path) -> None:
        """Write the rules to a ``.toml`` or ``.json`` file.

        Raises:
            ConfigurationError: *path* has a different ending, or cannot be written.
        """
        write_config("humility", path, plain_rules(self._rules))

    @classmethod
    def recommended(
        cls, package: ModelPackage, *, uncertain: float = 0.05, min_rows: int = 5
    ) -> "HumilityRules":
        """Return rules that only report, with bounds from the training data in *package*.

        * `OutlyingInput` for each column of numbers: values outside of the range of the training rows.
        * `LowObservationRegion` for each column of texts with fewer than 50 levels: levels that occur in
          fewer than *min_rows* training rows. A column gets no rule if all its levels are rare, or if its
          schema rejects all rare levels.
        * `UncertainPrediction` for a regression: predictions outside of the range of the training targets.
        * `UncertainPrediction` for a classifier with two classes: probabilities at most 0.1 from the
          threshold.
        * `UncertainPrediction` for a classifier with more classes: probabilities of at most 0.5.

        For a classifier, the bounds are narrower if more than the fraction *uncertain* of the packaged
        training rows would otherwise trigger the rule. The limits of 0.1 and 0.5 prevent the rule from
        reporting rows that the model is certain about.

        Args:
            package: Package made with `ModelPackage.from_estimator`, with training targets for a regression.
            uncertain: Largest fraction of the training rows that may trigger the rule of a classifier, from 0
                to 1.
            min_rows: Minimum number of training rows with a level. Rarer levels are reported.

        Raises:
            ConfigurationError: *package* has no training rows, or an option is invalid.
        """
        return cls(recommended_rules(package, uncertain, min_rows))

    @overload
    def __getitem__(self, index: int) -> HumilityRule: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[HumilityRule]: ...

    def __getitem__(self, index: int | slice) -> HumilityRule | Sequence[HumilityRule]:
        return self._rules[index]

    def __len__(self) -> int:
        return len(self._rules)

    def __repr__(self) -> str:
        return f"HumilityRules({list(self._rules)})"

    def check(self, schema: Schema, targets: Sequence[Target]) -> None:
        """Check the rules against a model; see `HumilityRule.check`."""
        for rule in self._rules:
            rule.check(schema, targets)

    def find_input_rows(self, table: Table) -> RowsByRule:
        """Return the rows whose values trigger rules. This needs no prediction."""
        return {rule.rule_id: rows for rule in self._input_rules if (rows := rule.find_rows(table))}

    def find_output_rows(self, prediction: Prediction) -> RowsByRule:
        """Return the rows whose predictions trigger rules.

        Raises:
            ValueError: See `UncertainPrediction.find_rows`.
        """
        return {rule.rule_id: rows for rule in self._output_rules if (rows := rule.find_rows(prediction))}

    def reject(self, triggered: RowsByRule) -> None:
        """Raise `HumilityError` if one of the *triggered* rules throws an error."""
        rows = {row for rule_id in self._throwing & triggered.keys() for row in triggered[rule_id]}
        if rows:
            raise HumilityError(sorted(rows))

    def apply(self, prediction: Prediction, triggered: RowsByRule) -> None:
        """Add the *triggered* rules to *prediction*, and apply their overrides, in place.

        Raises:
            ValueError: A function predicted several outputs, or a type other than that of the override.
        """
        reports: list[Sequence[TriggeredRule]] = [()] * len(prediction)
        overrides: list[tuple[list[int], Any]] = []
        for rule in self._rules if triggered else ():
            rows, report = triggered.get(rule.rule_id, []), rule.report
            # Rows with the same rules share a tuple, which saves most of the time for many rows.
            extended: dict[Sequence[TriggeredRule], Sequence[TriggeredRule]] = {(): (report,)}
            for row in rows:
                before = reports[row]
                reports[row] = extended.get(before) or extended.setdefault(before, (*before, report))
            if rows and isinstance(rule.action, OverridePrediction):
                overrides.append((rows, rule.action.value))
        prediction.humility = reports
        if overrides:
            if len(prediction.outputs) > 1:
                raise ValueError("an override needs a prediction with a single output")
            _override(prediction.outputs[0], overrides)


def _override(output: Output, overrides: Sequence[tuple[list[int], Any]]) -> None:
    """Replace values of *output*. Numbers stay numbers, and labels keep their type.

    Args:
        output: Output to change.
        overrides: Row indices, and the new value of these rows. If a row has several new values, the first
            one counts.
    """
    output.model_values = output.values
    kind = output.values.dtype.kind
    is_whole = all(type(value) is int for _, value in overrides)
    if kind == "U":
        # The text dtype is as wide as the longest predicted label, and would truncate a longer one.
        values = output.values.astype(object)
    elif kind in "fiu" and output.classes is None:
        values = output.values.astype(np.int64 if is_whole and kind != "f" else np.float64)
    else:
        values = output.values.copy()
    for rows, value in reversed(overrides):
        values[rows] = value
    output.values = values

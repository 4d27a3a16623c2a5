"""Read and write humility rules in TOML or JSON.

In TOML there is one ``[[rule]]`` table per rule::

    [[rule]]
    trigger = "outlying_input"
    feature = "age"
    lower = 18
    upper = 99
    action = "override"
    value = 5220
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError
from .actions import Action, NoOperation, OverridePrediction, ThrowError
from .rules import HumilityRule, LowObservationRegion, OutlyingInput, UncertainPrediction

__all__ = ["parse_rules", "plain_rules"]

_RULES: Mapping[str, type[HumilityRule]] = {
    rule.trigger: rule for rule in (UncertainPrediction, OutlyingInput, LowObservationRegion)
}
_TRIGGER_KEYS: Mapping[str, tuple[str, ...]] = {
    "uncertain_prediction": ("lower", "upper"),
    "outlying_input": ("feature", "lower", "upper", "missing"),
    "low_observation_region": ("feature", "values", "missing"),
}
_ACTIONS: Mapping[str, Callable[..., Action]] = {
    action.kind: action for action in (NoOperation, OverridePrediction, ThrowError)
}


def plain_rules(rules: Sequence[HumilityRule]) -> dict[str, Any]:
    """Convert *rules* to the content of a file. Default ids and names are left out."""
    return {"rule": [_plain_rule(rule) for rule in rules]}


def _plain_rule(rule: HumilityRule) -> dict[str, Any]:
    table = {"trigger": rule.trigger, **rule.options, "action": rule.action.kind}
    if isinstance(rule.action, OverridePrediction):
        table["value"] = rule.action.value
    default = _parse_rule("", table)
    if rule.name != default.name:
        table["name"] = rule.name
    if rule.rule_id != default.rule_id:
        table["id"] = rule.rule_id
    return table


def parse_rules(content: Mapping[str, Any]) -> list[HumilityRule]:
    """Convert the content of a file to rules. This is the inverse of `plain_rules`.

    Raises:
        ConfigurationError: A key is unknown or has an invalid value.
    """
    rules = content.get("rule", [])
    if content.keys() - {"rule"} or not isinstance(rules, list):
        raise ConfigurationError(
            "'rule' must be an array of TOML tables: write one [[rule]] section for each rule"
        )
    return [_parse_rule(f"number {number}", table) for number, table in enumerate(rules, 1)]


def _parse_rule(place: str, table: Any) -> HumilityRule:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"rule {place} must be a table (got {table!r})")
    place = table.get("name", place)
    trigger, kind = str(table.get("trigger")), str(table.get("action", NoOperation.kind))
    for key, value, accepted in (("trigger", trigger, _RULES), ("action", kind, _ACTIONS)):
        if value not in accepted:
            raise ConfigurationError(
                f"rule {place!r}: {key} must be one of {', '.join(accepted)} (got {value!r})"
            )
    keys = ("trigger", *_TRIGGER_KEYS[trigger], "action", "value", "name", "id")
    unknown = table.keys() - set(keys)
    if unknown:
        raise ConfigurationError(
            f"rule {place!r}: option must be one of {', '.join(keys)} (got {min(unknown)!r})"
        )
    if ("value" in table) != (kind == OverridePrediction.kind):
        raise ConfigurationError(
            f"rule {place!r}: value must be set for the action override, and left out for other actions"
        )
    if trigger != "uncertain_prediction" and "feature" not in table:
        raise ConfigurationError(f"rule {place!r}: feature must be the name of a column (got none)")
    options = {key: table[key] for key in _TRIGGER_KEYS[trigger] if key in table}
    options |= {"values": table.get("values", [])} if trigger == "low_observation_region" else {}
    action = _ACTIONS[kind](*([table["value"]] if "value" in table else []))
    return _RULES[trigger](**options, action=action, name=table.get("name", ""), rule_id=table.get("id", ""))

"""Columns read from what others have written down: a sample of data, an MLflow signature, a pandera schema.

All three are known by their attributes, and none of the packages is imported.
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError
from .coerce import as_json
from .columns import EXACT, Column, Kind

__all__ = ["columns_of_pandera", "columns_of_sample", "columns_of_signature"]

_ROWS_PER_LEVEL = 5
"""A text is taken for one of a few levels where each came this often. No source: a guess that errs to free text."""


# ---- a sample


def columns_of_sample(frame: Any, max_levels: int = 20) -> list[Column]:
    """The columns of *frame*, a pandas or polars DataFrame, as its values are.

    Args:
        frame: some rows as they will come.
        max_levels: a text with more different values than this is free text.

    Raises:
        ConfigurationError: *frame* is no DataFrame, *max_levels* no whole number from 0, or a column
            holds what a single value of JSON cannot say.
    """
    if type(max_levels) is not int or max_levels < 0:
        raise ConfigurationError(f"max_levels={max_levels!r}: accepts a whole number from 0")
    if hasattr(frame, "iter_columns"):
        return [_sampled(series.name, series, max_levels) for series in frame.iter_columns()]
    if hasattr(frame, "items") and hasattr(frame, "columns"):
        return [_sampled(name, series, max_levels) for name, series in frame.items()]
    raise ConfigurationError(f"sample: accepts a pandas or polars DataFrame, not a {type(frame).__name__}")


def _sampled(name: Any, series: Any, max_levels: int) -> Column:
    values = _values(series)
    present = [_as_level(name, value) for value in values if value is not None]
    nullable = len(present) < len(values)
    listed = _listed(series)
    if listed:
        listed = [_as_level(name, level) for level in listed]
    kind = _kind_of(listed or present) if listed or present else _kind_named(name, str(series.dtype))
    if not listed and all(isinstance(value, str) for value in values if value is not None):
        distinct = set(present)
        if 0 < len(distinct) <= max_levels and len(present) >= _ROWS_PER_LEVEL * len(distinct):
            listed = sorted(distinct)
    levels = tuple(listed) if listed else None
    if kind not in ("number", "integer"):
        typical = Counter(present).most_common(1)[0][0] if present and kind != "any" else None
        return Column(name, kind, levels, nullable=nullable, typical=typical)
    finite = [value for value in present if math.isfinite(value)]
    if not finite:
        return Column(name, kind, levels, nullable=nullable)
    # A typical level, and a typical whole number, must be one that came.
    free = kind == "number" and levels is None
    middle = float(statistics.median(finite)) if free else statistics.median_low(finite)
    seen = (float(min(finite)), float(max(finite)))
    return Column(name, kind, levels, nullable=nullable, typical=middle, seen=seen)


def _values(series: Any) -> list[Any]:
    """The values of *series* as Python has them, each null as None."""
    if hasattr(series, "isna"):
        nulls = series.isna().tolist()
        return [None if null else value for value, null in zip(series.tolist(), nulls, strict=True)]
    return [None if _is_nan(value) else value for value in series.to_list()]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _listed(series: Any) -> list[Any] | None:
    """The levels that the dtype of *series* lists; those that came, where it only says that there are some."""
    categories = getattr(series.dtype, "categories", None)
    if categories is not None and hasattr(categories, "tolist"):
        return list(categories.tolist())
    if categories is not None and type(series.dtype).__name__ == "Enum":
        return list(categories)
    if type(series.dtype).__name__ == "Categorical":
        return sorted({value for value in series.to_list() if value is not None})
    return None


def _as_level(name: Any, value: Any) -> Any:
    value = as_json(value)
    if isinstance(value, str | bool | int | float):
        return value
    raise _unreadable(name, f"values of the type {type(value).__name__}")


def _kind_of(values: Sequence[Any]) -> Kind:
    types = {type(value) for value in values}
    if any(type(value) is int and abs(value) > EXACT for value in values):
        # As a number it would become its neighbour.
        return "any"
    if types <= {int, float}:
        return "integer" if types == {int} else "number"
    if types == {bool}:
        return "boolean"
    return "text" if all(issubclass(kind, str) for kind in types) else "any"


_NAMED: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("float", "double", "decimal"), "number"),
    (("int", "uint", "long"), "integer"),
    (("bool",), "boolean"),
    (("str", "string", "utf8", "date", "time"), "text"),
    (("object", "category", "categorical", "enum", "null", "none"), "any"),
)


def _kind_named(name: Any, dtype: str) -> Kind:
    """The kind that a dtype's name tells, as numpy, pandas, polars, pandera and MLflow spell it."""
    lower = dtype.lower()
    if not lower.startswith("timedelta"):
        for starts, kind in _NAMED:
            if lower.startswith(starts):
                return kind
    raise _unreadable(name, f"the type {dtype}")


def _unreadable(name: Any, what: str) -> ConfigurationError:
    return ConfigurationError(f"column {name!r}: {what} cannot be read: give it by hand")


# ---- an MLflow signature


def columns_of_signature(signature: Any) -> list[Column]:
    """The columns of an MLflow signature.

    Args:
        signature: a ``ModelSignature``, its ``inputs``, or what ``to_dict()`` makes of either.

    Raises:
        ConfigurationError: it has no inputs, is one of tensors, or a column is of a type that is no
            single value.
    """
    specs = _specs(signature)
    if not specs:
        raise ConfigurationError("signature: has no inputs: give schema=Schema.of(…)")
    return [_specified(at, _spec(spec)) for at, spec in enumerate(specs)]


def _specs(signature: Any) -> list[Any]:
    if isinstance(signature, Mapping):
        signature = signature.get("inputs")
    for _ in range(2):
        # A ModelSignature keeps a Schema, and that its columns.
        signature = getattr(signature, "inputs", signature)
    if isinstance(signature, str | bytes):
        try:
            signature = json.loads(signature)
        except ValueError as error:
            raise ConfigurationError(f"signature: is no JSON ({error})") from None
    if signature is None:
        return []
    if not isinstance(signature, Iterable) or isinstance(signature, Mapping):
        raise ConfigurationError(
            f"signature={signature!r}: accepts a ModelSignature of MLflow, its inputs, or its to_dict()"
        )
    return list(signature)


def _spec(spec: Any) -> Mapping[str, Any]:
    """A ``ColSpec`` as its own ``to_dict`` has it (read from MLflow 3.17)."""
    if isinstance(spec, Mapping):
        return spec
    kind = getattr(spec, "type", None)
    told = "tensor" if hasattr(spec, "shape") else getattr(kind, "name", str(kind).lower())
    return {
        "type": told,
        "name": getattr(spec, "name", None),
        "required": getattr(spec, "required", True),
    }


_MLFLOW: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "string": "text",
    "datetime": "text",
}


def _specified(at: int, spec: Mapping[str, Any]) -> Column:
    name, told = spec.get("name"), spec.get("type")
    name = f"x{at}" if name is None else name
    if told == "tensor":
        raise ConfigurationError("signature: one of tensors has no columns: give schema=Schema.of(…)")
    if told == "any":
        return Column(name, "any", nullable=True)
    if not isinstance(told, str) or told not in _MLFLOW:
        raise _unreadable(name, f"the type {told}")
    # What MLflow calls optional may be left out, and null then says the same.
    required = bool(spec.get("required", True))
    return Column(name, _MLFLOW[told], required=required, nullable=not required)


# ---- a pandera schema


def columns_of_pandera(schema: Any) -> list[Column]:
    """The columns of a pandera ``DataFrameSchema``, with their checks.

    Args:
        schema: of pandera for pandas or polars; of a ``DataFrameModel``, its ``to_schema()``.

    Raises:
        ConfigurationError: it is none, or demands what a `Column` cannot say.
    """
    columns = getattr(schema, "columns", None)
    if not isinstance(columns, Mapping):
        raise ConfigurationError(f"pandera: accepts a DataFrameSchema, not a {type(schema).__name__}")
    for check in getattr(schema, "checks", None) or ():
        if not getattr(check, "raise_warning", False):
            raise ConfigurationError(f"pandera: the check {check.name} of whole rows cannot be read")
    if getattr(schema, "unique", None):
        raise ConfigurationError("pandera: unique cannot be read: rows are checked one by one")
    return [_declared(name, column) for name, column in columns.items()]


def _declared(name: Any, column: Any) -> Column:
    for option in ("regex", "unique"):
        if getattr(column, option, False):
            raise _unreadable(name, option)
    dtype = column.dtype
    categories = getattr(dtype, "categories", None)
    rules: dict[str, Any] = {}
    for check in column.checks or ():
        # A check that only warns is no rule.
        if not getattr(check, "raise_warning", False):
            _add(name, rules, _rules(name, check))
    if categories is not None:
        _add(name, rules, {"levels": _levels(name, categories)})
    kind: Kind = "any" if dtype is None else _kind_named(name, str(dtype))
    if kind == "any" and "levels" in rules:
        kind = _kind_of(rules["levels"])
    return Column(
        name,
        kind,
        required=bool(column.required),
        nullable=bool(column.nullable),
        default=getattr(column, "default", None),
        description=getattr(column, "description", None) or "",
        **rules,
    )


def _rules(name: Any, check: Any) -> dict[str, Any]:
    """What *check* says, as options of a `Column` (names and statistics read from pandera 0.35)."""
    told = check.statistics or {}
    match check.name:
        case "greater_than_or_equal_to":
            return {"minimum": _as_level(name, told["min_value"])}
        case "less_than_or_equal_to":
            return {"maximum": _as_level(name, told["max_value"])}
        case "in_range" if told.get("include_min", True) and told.get("include_max", True):
            bounds = {"minimum": told["min_value"], "maximum": told["max_value"]}
            return {option: _as_level(name, bound) for option, bound in bounds.items()}
        case "isin":
            return {"levels": _levels(name, told["allowed_values"])}
        case "str_matches" if isinstance(told["pattern"], str):
            # pandera matches from the start of the text, a Column looks anywhere in it.
            return {"pattern": f"^(?:{told['pattern']})"}
        case "str_length" if told.get("min_value") is None and told.get("exact_value") is None:
            return {"max_length": told["max_value"]}
    raise _unreadable(name, f"the check {check.name}")


def _levels(name: Any, values: Iterable[Any]) -> tuple[Any, ...]:
    levels = [_as_level(name, value) for value in values]
    # A set has another order in every process, and a schema must not.
    return tuple(sorted(levels, key=str) if isinstance(values, set | frozenset) else levels)


def _add(name: Any, rules: dict[str, Any], others: dict[str, Any]) -> None:
    """Both *rules* and *others* hold: of two bounds the tighter, of two lists what is in both."""
    for option, value in others.items():
        if option not in rules:
            rules[option] = value
        elif option == "minimum":
            rules[option] = max(rules[option], value)
        elif option in ("maximum", "max_length"):
            rules[option] = min(rules[option], value)
        elif option == "levels":
            rules[option] = tuple(level for level in rules[option] if level in value)
        else:
            raise _unreadable(name, f"a second {option}")

"""Convert pandera schemas to columns."""

from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import ConfigurationError
from ..columns import Column, Kind
from ..datetimes import read_datetime_dtype
from .kinds import infer_kind, kind_of_dtype, to_level, unsupported_column

__all__ = ["read_pandera_schema"]


def read_pandera_schema(schema: Any) -> list[Column]:
    """Return the columns of a pandera ``DataFrameSchema``, including their checks.

    Args:
        schema: ``DataFrameSchema`` for pandas or polars. For a ``DataFrameModel``, pass its ``to_schema()``.

    Raises:
        ConfigurationError: *schema* has the wrong type, or a check that `Column` does not support.
    """
    columns = getattr(schema, "columns", None)
    if not isinstance(columns, Mapping):
        raise ConfigurationError(f"pandera schema must be a DataFrameSchema (got {type(schema).__name__})")
    for check in getattr(schema, "checks", None) or ():
        if not getattr(check, "raise_warning", False):
            raise ConfigurationError(
                f"pandera schema must not have checks of entire rows (got {check.name}): remove the check"
            )
    if getattr(schema, "unique", None):
        raise ConfigurationError(
            "pandera schema must not require unique rows, because each row is validated alone"
            f" (got {schema.unique}): remove unique"
        )
    return [_convert_column(name, column) for name, column in columns.items()]


def _convert_column(name: Any, column: Any) -> Column:
    for option in ("regex", "unique"):
        if getattr(column, option, False):
            raise unsupported_column(name, option)
    dtype = column.dtype
    categories = getattr(dtype, "categories", None)
    options: dict[str, Any] = {}
    for check in column.checks or ():
        # A check that only warns does not reject anything.
        if not getattr(check, "raise_warning", False):
            _merge_options(name, options, _convert_check(name, check))
    if categories is not None:
        _merge_options(name, options, {"levels": _to_levels(name, categories)})
    kind: Kind = "any" if dtype is None else kind_of_dtype(name, str(dtype))
    if kind == "any" and "levels" in options:
        kind = infer_kind(options["levels"])
    if kind == "datetime":
        options |= read_datetime_dtype(dtype) or {}
    return Column(
        name,
        kind,
        required=bool(column.required),
        nullable=bool(column.nullable),
        default=getattr(column, "default", None),
        description=getattr(column, "description", None) or "",
        **options,
    )


def _convert_check(name: Any, check: Any) -> dict[str, Any]:
    """Return *check* as options of a `Column`.

    The names of checks and statistics are those of pandera 0.35.
    """
    statistics = check.statistics or {}
    match check.name:
        case "greater_than_or_equal_to":
            return {"minimum": to_level(name, statistics["min_value"])}
        case "less_than_or_equal_to":
            return {"maximum": to_level(name, statistics["max_value"])}
        case "in_range" if statistics.get("include_min", True) and statistics.get("include_max", True):
            bounds = {"minimum": statistics["min_value"], "maximum": statistics["max_value"]}
            return {option: to_level(name, bound) for option, bound in bounds.items()}
        case "isin":
            return {"levels": _to_levels(name, statistics["allowed_values"])}
        case "str_matches" if isinstance(statistics["pattern"], str):
            # pandera matches at the start of the text, a Column anywhere.
            return {"pattern": f"^(?:{statistics['pattern']})"}
        case "str_length" if statistics.get("min_value") is None and statistics.get("exact_value") is None:
            return {"max_length": statistics["max_value"]}
    raise unsupported_column(name, f"the check {check.name}")


def _to_levels(name: Any, values: Iterable[Any]) -> tuple[Any, ...]:
    levels = [to_level(name, value) for value in values]
    # The order of a set differs between processes. Sort it, so that the schema is the same in all.
    return tuple(sorted(levels, key=str) if isinstance(values, set | frozenset) else levels)


def _merge_options(name: Any, options: dict[str, Any], more: dict[str, Any]) -> None:
    """Add *more* to *options*.

    If both mappings have the same bound, the tighter value applies. If both have levels, only the levels in
    both are allowed.
    """
    for option, value in more.items():
        if option not in options:
            options[option] = value
        elif option == "minimum":
            options[option] = max(options[option], value)
        elif option in ("maximum", "max_length"):
            options[option] = min(options[option], value)
        elif option == "levels":
            options[option] = tuple(level for level in options[option] if level in value)
        else:
            raise unsupported_column(name, f"a second check of its {option}")

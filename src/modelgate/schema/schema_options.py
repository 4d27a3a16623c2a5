"""Options of a schema as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ConfigurationError
from .coerce import parse_text
from .columns import Column, Kind

__all__ = ["SchemaOptions"]

ExtraColumns = Literal["ignore", "forbid"]
UnknownLevels = Literal["reject", "warn", "accept"]
Nan = Literal["null", "reject"]

_TYPED: tuple[Kind, ...] = ("number", "boolean")


@dataclass(frozen=True, slots=True)
class SchemaOptions:
    """Options that apply to all columns of a schema.

    Args:
        extra_columns: Whether to ``"ignore"`` or ``"forbid"`` columns that the schema does not have.
        coerce_strings: Whether to accept numbers and booleans sent as text, as in CSV.
        unknown_levels: How to treat a value that is not among a column's levels: ``"reject"`` it,
            ``"accept"`` it, or accept it and ``"warn"`` in the response.
        nan: How to treat NaN in Python values: ``"null"`` to treat it as null, ``"reject"`` to reject it.
        na_values: CSV cells that mean null in columns of numbers, booleans and dates, in addition to empty
            cells. By default, these are the cells that pandas and R write.
        csv_header: Whether the first line of CSV contains the column names. If False, the cells are in the
            order of the columns.
        echo_values: Whether validation errors show the first wrong value of each column.
        show_schema: Whether validation errors reveal column names, levels and bounds.

    Raises:
        ConfigurationError: An option has an invalid value.
    """

    extra_columns: ExtraColumns = "ignore"
    coerce_strings: bool = False
    unknown_levels: UnknownLevels = "reject"
    nan: Nan = "null"
    na_values: Sequence[str] = ("NA", "NaN", "null", "NULL")
    csv_header: bool = True
    echo_values: bool = False
    show_schema: bool = True

    def __post_init__(self) -> None:
        for option, choices in (
            ("extra_columns", ExtraColumns),
            ("unknown_levels", UnknownLevels),
            ("nan", Nan),
        ):
            value = getattr(self, option)
            if value not in get_args(choices):
                accepted = ", ".join(get_args(choices))
                raise ConfigurationError(f"{option} must be one of {accepted} (got {value!r})")
        for option in ("coerce_strings", "csv_header", "echo_values", "show_schema"):
            value = getattr(self, option)
            if not isinstance(value, bool):
                raise ConfigurationError(f"{option} must be True or False (got {value!r})")
        texts = self.na_values
        if not isinstance(texts, list | tuple) or not all(map(_may_mean_null, texts)):
            raise ConfigurationError(
                f"na_values must be a list of texts that are neither numbers nor booleans (got {texts!r})"
            )
        object.__setattr__(self, "na_values", tuple(texts))


def _may_mean_null(text: object) -> bool:
    """Return whether *text* can mean null in CSV. A number or a boolean cannot."""
    return isinstance(text, str) and all(parse_text(Column("x", kind), text) == text for kind in _TYPED)

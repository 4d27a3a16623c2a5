"""How a schema reads what its columns do not settle."""

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ConfigurationError

__all__ = ["Policy"]

Extra = Literal["ignore", "forbid"]
UnknownLevels = Literal["refuse", "warn", "accept"]
Nan = Literal["null", "refuse"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The choices of a schema as a whole.

    Args:
        extra: what becomes of columns the schema does not have.
        lenient: whether numbers and booleans may come as text, as they do in CSV.
        unknown_levels: what becomes of a value that is not among a column's levels: ``"warn"`` and
            ``"accept"`` let it pass, and ``"warn"`` says so in the answer.
        nan: whether NaN, which Python values can hold and JSON cannot spell, counts as null.
        echo: whether a refusal shows the first wrong value of each column.
        reveal: whether a refusal tells columns, levels and bounds at all.

    Raises:
        ConfigurationError: an option is something else.
    """

    extra: Extra = "ignore"
    lenient: bool = False
    unknown_levels: UnknownLevels = "refuse"
    nan: Nan = "null"
    echo: bool = False
    reveal: bool = True

    def __post_init__(self) -> None:
        for option, told in (("extra", Extra), ("unknown_levels", UnknownLevels), ("nan", Nan)):
            if getattr(self, option) not in get_args(told):
                accepted = ", ".join(get_args(told))
                raise ConfigurationError(f"{option}={getattr(self, option)!r}: accepts {accepted}")
        for option in ("lenient", "echo", "reveal"):
            if not isinstance(getattr(self, option), bool):
                raise ConfigurationError(f"{option}={getattr(self, option)!r}: accepts True or False")

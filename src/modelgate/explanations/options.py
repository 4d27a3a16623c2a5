"""Options for the explanations of a deployment."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ..errors import ConfigurationError
from ..validation import require_positive_int

__all__ = ["ExplanationMethod", "Explanations"]

ExplanationMethod: TypeAlias = Literal["auto", "linear", "tree", "permutation"]


@dataclass(frozen=True, eq=False)
class Explanations:
    """Options for the explanations of a deployment; see `Deployment`.

    Args:
        method: ``"linear"`` for linear models; ``"tree"`` for trees and their ensembles (extra ``shap``);
            ``"permutation"`` for any model; or ``"auto"`` for the first of these that supports the model.
        background: Background rows with which each row is compared, such as a sample of the training rows, in
            any form that `modelgate.Schema.read` accepts. None for the sample in the model's package.
        permutations: Number of column orders over which ``"permutation"`` averages. Each order is also used
            backwards. More orders give more precise results and take longer.
        limit: Maximum number of contributions that a caller can request.

    Raises:
        ConfigurationError: The value of an option is not valid.
    """

    method: ExplanationMethod = "auto"
    background: Any = field(default=None, repr=False)
    permutations: int = 2
    limit: int = 50

    @classmethod
    def from_option(cls, option: "ExplanationMethod | Explanations | None") -> "Explanations | None":
        """Convert *option* to `Explanations`. A method name stands for ``Explanations(name)``.

        Raises:
            ConfigurationError: *option* has another type, or is not the name of a method.
        """
        if option is None or isinstance(option, cls):
            return option
        if not isinstance(option, str):
            raise ConfigurationError(
                f'explanations must be None, a method such as "auto", or Explanations(…) (got {option!r})'
            )
        return cls(option)

    def __post_init__(self) -> None:
        if self.method not in get_args(ExplanationMethod):
            *others, last = map(repr, get_args(ExplanationMethod))
            raise ConfigurationError(
                f"explanations: method must be {', '.join(others)} or {last} (got {self.method!r})"
            )
        require_positive_int("explanations: permutations", self.permutations)
        require_positive_int("explanations: limit", self.limit)

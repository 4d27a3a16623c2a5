"""Runtime of ``lightgbm.Booster``."""

from collections.abc import Callable
from typing import Any

from ...schema import Table
from .booster import BoosterRuntime, Meaning

__all__ = ["LightGBMRuntime"]

_MEANINGS: dict[str, Meaning] = {
    "binary": "binary",
    "multiclass": "multiclass",
    "multiclassova": "multiclass",
}


class LightGBMRuntime(BoosterRuntime):
    """Calls a ``lightgbm.Booster``. What its numbers mean is read from its objective."""

    def __init__(self, model: Any, to_input: Callable[[Table], Any]) -> None:
        # As in "binary sigmoid:1"; a model with an objective of the user's own has none, and gives scores.
        objective = model.dump_model(num_iteration=1).get("objective", "").partition(" ")[0]
        meaning = _MEANINGS.get(objective, "numbers")
        classes = max(2, model.num_model_per_iteration())
        super().__init__(model, to_input, meaning, 0 if meaning == "numbers" else classes)

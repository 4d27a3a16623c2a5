"""Runtime of ``xgboost.Booster``."""

import json
from collections.abc import Callable
from typing import Any

from ...schema import Table
from .booster import BoosterRuntime, Meaning

__all__ = ["XGBoostRuntime"]

_MEANINGS: dict[str, Meaning] = {
    "binary:logistic": "binary",
    "binary:hinge": "labels",
    "multi:softprob": "multiclass",
    "multi:softmax": "labels",
}


class XGBoostRuntime(BoosterRuntime):
    """Calls an ``xgboost.Booster``. What its numbers mean is read from its objective."""

    def __init__(self, model: Any, to_input: Callable[[Table], Any]) -> None:
        learner = json.loads(model.save_config())["learner"]
        meaning = _MEANINGS.get(learner["objective"]["name"], "numbers")
        classes = max(2, int(learner["learner_model_param"]["num_class"]))
        super().__init__(model, to_input, meaning, 0 if meaning == "numbers" else classes)

"""Determine from the objective of a native booster of XGBoost or LightGBM what its predicted numbers mean."""

import json
from typing import Any, Literal, NamedTuple

from .libraries import library_of

__all__ = ["Objective", "read_objective"]


class Objective(NamedTuple):
    """Meaning of a booster's output.

    The output is one of these:

    * ``"binary"``: the probability of class 1, or of each label if a row may have several labels
    * ``"multiclass"``: the probability of each class
    * ``"labels"``: the predicted class
    * ``"numbers"``: any other numbers

    Args:
        output: Kind of the output.
        classes: Number of classes, which are 0, 1, …; 0 for ``"numbers"``.
    """

    output: Literal["binary", "multiclass", "labels", "numbers"]
    classes: int = 0


_XGBOOST = {
    "binary:logistic": "binary",
    "binary:hinge": "labels",
    "multi:softprob": "multiclass",
    "multi:softmax": "labels",
}

_LIGHTGBM = {"binary": "binary", "multiclass": "multiclass", "multiclassova": "multiclass"}


def read_objective(booster: Any) -> Objective:
    """Return the meaning of the output of *booster*: numbers, unless the booster is a classifier."""
    if library_of(booster) == "xgboost":
        learner = json.loads(booster.save_config())["learner"]
        output = _XGBOOST.get(learner["objective"]["name"])
        classes = int(learner["learner_model_param"]["num_class"])
    else:
        # For example "binary sigmoid:1". A model with a custom objective stores none, and predicts scores.
        objective = booster.dump_model(num_iteration=1).get("objective", "")
        output, classes = _LIGHTGBM.get(objective.partition(" ")[0]), booster.num_model_per_iteration()
    return Objective("numbers") if output is None else Objective(output, max(classes, 2))  # type: ignore[arg-type]

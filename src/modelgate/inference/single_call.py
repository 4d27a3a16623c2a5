"""Replace the two calls of a classifier, ``predict`` and ``predict_proba``, by a single call.

The two methods often do the same work:

- Many classifiers of scikit-learn predict the class with the greatest probability.
- Linear classifiers compute labels and probabilities from the same score.
- A pipeline transforms its input in the same way for both methods.

A single call is used only if it returns the same as the two methods. The results are compared for synthetic
rows, and for a sample if there is one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ..schema import Schema, Table
from .plans import PlanOutput, PredictFn
from .plans.link_functions import argmax_labels, binary_probabilities, load_expit, softmax
from .plans.verify import verify
from .runtimes.base import to_arrays

__all__ = ["predict_in_one_call"]

_Predict: TypeAlias = Callable[[Any], PlanOutput]
"""Function that returns labels and probabilities for the input of an estimator."""

_ARGMAX_BASED = {
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.ensemble._bagging.BaggingClassifier",
    "sklearn.ensemble._forest.ExtraTreesClassifier",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._voting.VotingClassifier",
    "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
    "sklearn.semi_supervised._label_propagation.LabelPropagation",
    "sklearn.semi_supervised._label_propagation.LabelSpreading",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.tree._classes.ExtraTreeClassifier",
}
"""Classifiers that predict the class with the greatest probability, according to their source code."""

_SCORE_BASED = {
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._logistic.LogisticRegressionCV",
}
"""Classifiers that compute labels and probabilities from ``decision_function``, as their source shows."""

_SEARCHES = {
    "sklearn.model_selection._search.GridSearchCV",
    "sklearn.model_selection._search.RandomizedSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
}


def predict_in_one_call(
    model: Any,
    schema: Schema,
    to_input: Callable[[Table], Any],
    reference: PredictFn,
    sample: Table | None = None,
) -> PredictFn:
    """Return a function that predicts with one call of *model*, or *reference* if that is impossible.

    Never raises an exception.

    Args:
        model: Fitted classifier with ``predict_proba``.
        schema: Schema of the tables.
        to_input: Function that converts a table to the input of *model*.
        reference: Function that calls ``predict`` and ``predict_proba``.
        sample: Rows on which the function is verified; None for synthetic rows only.
    """
    try:
        predict = _find_single_call(model)
        if predict is None:
            return reference

        def predict_once(table: Table) -> PlanOutput:
            return predict(to_input(table))

        verify(predict_once, reference, schema, Schema.from_model(model), sample)
    except Exception:
        # Users need no reason, unlike for a plan: this is only an internal optimization.
        return reference
    return predict_once


def _find_single_call(model: Any) -> _Predict | None:
    # Only these classes: a subclass may override any method.
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if name == "sklearn.pipeline.Pipeline":
        return _wrap_pipeline([step for _, step in model.steps])
    if name in _SEARCHES:
        return _find_single_call(model.best_estimator_)
    if name in _ARGMAX_BASED:
        return partial(_predict_by_argmax, model)
    return partial(_predict_by_score, model, load_expit()) if name in _SCORE_BASED else None


def _wrap_pipeline(steps: Sequence[Any]) -> _Predict:
    last = steps[-1]
    transforms = [step.transform for step in steps[:-1] if step is not None and step != "passthrough"]
    return partial(_transform_and_predict, transforms, _find_single_call(last) or partial(_call_both, last))


def _transform_and_predict(
    transforms: Sequence[Callable[[Any], Any]], predict: _Predict, rows: Any
) -> PlanOutput:
    for transform in transforms:
        rows = transform(rows)
    return predict(rows)


def _call_both(model: Any, rows: Any) -> PlanOutput:
    # Copies, because a model may return the same array from each call.
    return np.array(model.predict(rows)), to_arrays(model.predict_proba(rows))


def _predict_by_argmax(model: Any, rows: Any) -> PlanOutput:
    probabilities, classes = model.predict_proba(rows), model.classes_
    if isinstance(probabilities, list):
        return np.stack(list(map(argmax_labels, classes, probabilities)), axis=1), probabilities
    return argmax_labels(classes, probabilities), probabilities


def _predict_by_score(model: Any, expit: Callable[[Any], Any], rows: Any) -> PlanOutput:
    scores, classes = model.decision_function(rows), model.classes_
    if scores.ndim == 1:
        return classes.take(scores > 0), binary_probabilities(expit(scores))
    return argmax_labels(classes, scores), softmax(scores)

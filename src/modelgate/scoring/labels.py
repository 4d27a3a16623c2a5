"""Labels and probabilities by one call of a classifier, where two would do the same work twice.

Many of scikit-learn's classifiers predict what their own ``predict_proba`` finds likeliest, linear ones
make both of one score, and a pipeline passes what its steps made of the rows to either. What is made of
one call is used only where it answered rows made up after the schema, and a sample, as both calls did.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ..schema import Schema, Table
from .plans import Answer, Answering
from .plans.links import imported_expit, labels_of, softmax, two_classes
from .plans.verify import verify

__all__ = ["asking_once"]

_Answered: TypeAlias = Callable[[Any], Answer]
"""What an estimator says of what it is given."""

_LIKELIEST = {
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
"""By their source the label is that of the greatest probability: no score that saturates decides."""

_SCORED = {
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._logistic.LogisticRegressionCV",
}
"""By their source both come from ``decision_function``: the label is not that of a probability."""

_SEARCHES = {
    "sklearn.model_selection._search.GridSearchCV",
    "sklearn.model_selection._search.RandomizedSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
}


def asking_once(
    model: Any, schema: Schema, given: Callable[[Table], Any], asked: Answering, sample: Table | None = None
) -> Answering:
    """What answers as *asked* does, with one call of *model* where it is known to take no more. Never raises.

    Args:
        model: a fitted classifier with ``predict_proba``.
        schema: of the tables that will come.
        given: makes of a table what *model* takes.
        asked: calls ``predict`` and ``predict_proba``.
        sample: rows as they will come.
    """
    try:
        answered = _answered(model)
        if answered is None:
            return asked

        def once(table: Table) -> Answer:
            return answered(given(table))

        verify(once, asked, schema, Schema.from_model(model), sample)
    except Exception:
        # It is no plan that somebody may look for: what it would spare is spent.
        return asked
    return once


def _answered(model: Any) -> _Answered | None:
    # Exactly this class: one that inherits from it may do anything.
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if name == "sklearn.pipeline.Pipeline":
        return _ended_pipeline([step for _, step in model.steps])
    if name in _SEARCHES:
        return _answered(model.best_estimator_)
    if name in _LIKELIEST:
        return partial(_likeliest, model)
    return partial(_scored, model, imported_expit()) if name in _SCORED else None


def _ended_pipeline(steps: Sequence[Any]) -> _Answered:
    last = steps[-1]
    transforms = [step.transform for step in steps[:-1] if step is not None and step != "passthrough"]
    return partial(_passed, transforms, _answered(last) or partial(_both, last))


def _passed(transforms: Sequence[Callable[[Any], Any]], answered: _Answered, rows: Any) -> Answer:
    for transform in transforms:
        rows = transform(rows)
    return answered(rows)


def _both(model: Any, rows: Any) -> Answer:
    return np.asarray(model.predict(rows)), model.predict_proba(rows)


def _likeliest(model: Any, rows: Any) -> Answer:
    told, classes = model.predict_proba(rows), model.classes_
    if isinstance(told, list):
        return np.stack(list(map(labels_of, classes, told)), axis=1), told
    return labels_of(classes, told), told


def _scored(model: Any, expit: Callable[[Any], Any], rows: Any) -> Answer:
    scores, classes = model.decision_function(rows), model.classes_
    if scores.ndim == 1:
        return classes.take(scores > 0), two_classes(expit(scores))
    return labels_of(classes, scores), softmax(scores)

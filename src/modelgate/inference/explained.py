"""Read from a predictor what explanations need: the numbers to explain, and the features of the last step."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..explanations import ExplainedModel, Explanations, create_explainer
from ..schema import Table
from ..schema.introspection.column_paths import has_placeholders, stored_names
from .estimator import Estimator
from .plans import build_transform
from .prediction import Output, Prediction
from .predictor import Predictor

__all__ = ["enable_explanations", "explained_numbers"]

Numbers = npt.NDArray[np.float64]


def enable_explanations(predictor: Predictor, background: Table, options: Explanations) -> str:
    """Set `Predictor.explainer`, and return the name of its method.

    Args:
        predictor: Predictor of the model to explain.
        background: Background rows with which explained rows are compared. At least one row is required.
        options: Options of the deployment.

    Raises:
        ConfigurationError: The model cannot be explained, or the method in *options* does not support it.
    """
    prediction = predictor.score(background.slice(0, 1))
    kind = _kind(predictor, prediction.outputs)
    # Models with several outputs, and functions, can only be explained by permutation.
    estimator = None if predictor.estimator is None or kind == "several" else predictor.model
    model = ExplainedModel(
        estimator,
        kind,
        list(predictor.schema),
        _input_columns(estimator, predictor.schema.names),
        lambda table: explained_numbers(predictor, table, predictor.score(table)),
        partial(_feature_reader, predictor, background),
    )
    predictor.explainer = create_explainer(model, background, options)
    return predictor.explainer.methods[0].name


def explained_numbers(predictor: Predictor, table: Table, prediction: Prediction) -> Numbers:
    """Return the numbers to explain, of shape (rows, numbers).

    The numbers of several outputs are concatenated.

    For a classifier, they are the probabilities of the classes, or the class scores if there are no
    probabilities. Otherwise, they are the predicted numbers.
    """
    columns = []
    for output in prediction.outputs:
        if output.probabilities is not None:
            columns.append(output.probabilities)
        elif output.classes is None:
            columns.append(output.values.astype(np.float64)[:, None])
        else:
            assert predictor.estimator is not None
            scores = predictor.estimator.decision_scores(table)
            columns.append(np.column_stack([-scores, scores]) if scores.ndim == 1 else scores)
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)


def _kind(
    predictor: Predictor, outputs: Sequence[Output]
) -> Literal["value", "margin", "binary", "multiclass", "several"]:
    # Integers predicted by an estimator without classes are usually labels, for example of clusters.
    kinds = "iuf" if predictor.estimator is None else "f"
    for output in outputs:
        if output.probabilities is not None or (output.classes is None and output.values.dtype.kind in kinds):
            continue
        has_scores = len(outputs) == 1 and hasattr(predictor.model, "decision_function")
        if output.classes is None or not has_scores:
            raise ConfigurationError("the model must predict numbers, probabilities or scores of classes")
    if len(outputs) > 1:
        return "several"
    if outputs[0].classes is None:
        return "value"
    if outputs[0].probabilities is None:
        return "margin"
    return "binary" if len(outputs[0].classes) == 2 else "multiclass"


def _input_columns(estimator: Any, names: Sequence[str]) -> list[int]:
    """Return the column index of each input of *estimator*; -1 for an input that is not among *names*."""
    stored = None if estimator is None or has_placeholders(estimator) else stored_names(estimator)
    if stored is None:
        return list(range(len(names)))
    indices = {name: index for index, name in enumerate(names)}
    return [indices.get(name, -1) for name in stored]


def _feature_reader(
    predictor: Predictor, background: Table, steps: Sequence[Any], final: Any
) -> Callable[[Table], Any]:
    """Return a function that computes the features of the last step. It uses a plan if there is one."""
    estimator = predictor.estimator
    assert isinstance(estimator, Estimator)
    transform = partial(estimator.transform, steps)
    read = build_transform(predictor.model, steps, final, predictor.schema)
    if read is None:
        return transform

    def read_features(table: Table) -> Any:
        try:
            with np.errstate(all="ignore"):
                return read(table)
        except Exception:
            return transform(table)

    expected = transform(background)
    expected = expected if isinstance(expected, np.ndarray) else expected.toarray()
    is_same = np.array_equal(read_features(background), expected, equal_nan=True)
    return read_features if is_same else transform

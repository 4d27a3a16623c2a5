"""Choose the attribution method for a model.

A method for the type of the model is used only if its strengths add up to the model's predictions.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import ConfigurationError
from ..schema import Column, Table
from .attribution import LINKS, Method, Numbers, ScoreFn, TransformFn, is_additive
from .linear import LinearMethod
from .options import Explanations
from .origins import Unattributable, final_estimator, trace_origins
from .permutation import PermutationMethod
from .trees import TreeMethod, is_tree_model

__all__ = ["ExplainedModel", "Explainer", "create_explainer"]

_TESTED_ROWS = 4
"""Number of background rows with which the permutation method, additive by construction, is tested."""


class ExplainedModel(NamedTuple):
    """Model to explain.

    Attributes:
        estimator: Fitted model; None for a function.
        kind: Kind of the numbers that *score* returns: a key of `LINKS`, or ``"several"`` for several
            outputs.
        columns: Columns of the schema.
        inputs: For each input of the estimator, the index of its column; -1 if the schema lacks the column.
        score: Function that returns the numbers to explain, of shape (rows, numbers).
        transform: Function of two arguments: the transformers before the last step, and the last step. It
            returns another function, which computes the features of the last step from a table.
    """

    estimator: Any
    kind: Literal["value", "margin", "binary", "multiclass", "several"]
    columns: Sequence[Column]
    inputs: Sequence[int]
    score: ScoreFn
    transform: Callable[[Sequence[Any], Any], TransformFn]


class Explainer:
    """Explainer of a model, with the chosen method and a fallback.

    The fallback explains rows for which the contributions of the chosen method do not add up to the prediction.

    Attributes:
        methods: Methods in the order in which to try them.
        limit: Maximum number of contributions that a caller can request.
        columns: Names of the columns.
        listed: For each column, whether explanations may list it; see `leave_out`.
        seconds_per_row: Duration of the first method for one row.
    """

    def __init__(self, methods: Sequence[Method], options: Explanations, columns: Sequence[Column]) -> None:
        self.methods = methods
        self.limit = options.limit
        self.columns = [column.name for column in columns]
        self.listed = np.ones(len(columns), dtype=bool)
        self.seconds_per_row = 0.0

    def leave_out(self, column: str) -> None:
        """Leave *column* out of explanations. Its strength becomes part of `RowExplanation.remaining`."""
        self.listed &= np.array(self.columns) != column


def create_explainer(model: ExplainedModel, background: Table, options: Explanations) -> Explainer:
    """Return the explainer of *model*.

    Args:
        model: Model to explain.
        background: Background rows with which each row is compared. At least one row is required.
        options: Options of the deployment.

    Raises:
        ConfigurationError: The method of *options* cannot explain the model, or shap is not installed.
    """
    numbers = model.score(background)
    tested = background.slice(0, _TESTED_ROWS)
    methods: list[Method] = []
    if options.method != "permutation":
        exact = _find_exact_method(model, background, numbers, options)
        methods += [] if exact is None else [exact]
    link = LINKS["value" if model.kind == "several" else model.kind][0]
    fallback = PermutationMethod(model.score, model.columns, background, options.permutations, link)
    strengths = fallback.attribute(tested, numbers[:_TESTED_ROWS])
    if not is_additive(fallback, strengths, numbers[:_TESTED_ROWS]):
        raise ConfigurationError(
            "the model must predict finite numbers for rows that combine values of several background rows"
        )
    explainer = Explainer([*methods, fallback], options, model.columns)
    row = background.slice(0, 1)
    started_at = time.perf_counter()
    explainer.methods[0].attribute(row, numbers[:1])
    explainer.seconds_per_row = time.perf_counter() - started_at
    return explainer


def _find_exact_method(
    model: ExplainedModel, background: Table, numbers: Numbers, options: Explanations
) -> Method | None:
    """Return the first linear or tree method that is additive for all background rows."""
    reason = "it is not a linear model, tree or ensemble of trees of scikit-learn"
    try:
        for method in _candidates(model, background, numbers.shape[1], options):
            if all(
                is_additive(method, method.attribute(part, numbers[start:stop]), numbers[start:stop])
                for part, start, stop in _parts(background, method.rows_per_call)
            ):
                return method
            reason = "its contributions do not add up to the predictions"
    except ConfigurationError:
        if options.method == "tree":
            raise
    except Unattributable:
        reason = "a feature of its last step is not computed from one column alone"
    except Exception as error:
        # A model may only look like one of scikit-learn, so any error is possible.
        reason = f"{type(error).__name__} was raised"
    if options.method != "auto":
        raise ConfigurationError(
            f"method must be 'auto' or 'permutation' for this model (got {options.method!r}): {reason}"
        )
    return None


def _candidates(
    model: ExplainedModel, background: Table, count: int, options: Explanations
) -> Iterator[Method]:
    steps, final = final_estimator(model.estimator)
    is_linear = hasattr(final, "coef_") and hasattr(final, "intercept_") and options.method != "tree"
    is_tree = is_tree_model(final) and options.method != "linear"
    if model.kind == "several" or not (is_linear or is_tree):
        return
    origins = trace_origins(steps, model.inputs, final.n_features_in_)
    transform: TransformFn = model.transform(steps, final)
    for link in LINKS[model.kind]:
        if is_linear:
            # The probabilities that a linear model predicts are not linear in its features.
            if link.space != "probability":
                yield LinearMethod(final, transform, background, origins, len(model.columns), count, link)
        else:
            yield TreeMethod(final, transform, origins, len(model.columns), count, link)


def _parts(table: Table, rows: int) -> Iterator[tuple[Table, int, int]]:
    for start in range(0, len(table), rows):
        stop = min(start + rows, len(table))
        yield table.slice(start, stop), start, stop

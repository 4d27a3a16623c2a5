"""Predictions of a fitted scikit-learn estimator, made by the estimator or by an equivalent plan."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..models.onnx import OnnxModel
from ..models.sklearn_config import current_sklearn_config, sklearn_config
from ..schema import Schema, Table
from ..schema.model_input import DtypeKey, ModelInput, required_names
from .plans import Plan, PlanOutput, PredictFn, build_onnx_plan, build_plan, force_single_job
from .prediction import Output, Prediction, check_shape, check_values, output_names
from .single_call import predict_in_one_call

__all__ = ["Estimator"]

logger = logging.getLogger("modelgate")

_CHUNK_ROWS = 8192
"""Largest number of rows in one call of an estimator, which limits the memory for intermediate results."""


class Estimator:
    """Predicts tables with a fitted scikit-learn estimator, or with a plan that replaces it.

    The estimator gets the type that it was fitted on: an array, a DataFrame or texts. Its ``n_jobs`` becomes
    1 (see `force_single_job`). Every call runs under the scikit-learn configuration of the thread that
    constructs this object.

    Args:
        model: Fitted estimator, or an `OnnxModel`.
        schema: Schema of the tables.
        target: Name of the target, or of each output.
        plans: Whether to use an exact plan if there is one; ``"onnx"`` for an ONNX graph.
        name: Name of the model in log messages.
        sample: Rows on which a plan is verified; None for synthetic rows only.
        nullable: Whether predicted numbers may be NaN or infinite.

    Attributes:
        plan: The plan, or the reason why there is none.
        dtype_key: Function that decides which tables may be joined (see `DtypeKey`); None if all may.

    Raises:
        ConfigurationError: The schema lacks columns of the estimator.
    """

    def __init__(
        self,
        model: Any,
        schema: Schema,
        target: str | Sequence[str],
        *,
        plans: bool | Literal["onnx"],
        name: str,
        sample: Table | None,
        nullable: bool = False,
    ) -> None:
        self._model = model
        self._nullable = nullable
        self._target = target
        self._name = output_names(target, 1)[0]
        self._config = current_sklearn_config()
        self._has_probabilities = hasattr(model, "predict_proba") and hasattr(model, "classes_")
        self._classes = _classes_of_outputs(getattr(model, "classes_", None))
        # Class labels, if there is exactly one output and it is a class; otherwise None.
        self._labels = self._classes[0] if self._classes is not None and len(self._classes) == 1 else None
        self.plan: Plan | str = "it is an ONNX graph"
        self.dtype_key: DtypeKey | None = None
        if isinstance(model, OnnxModel):
            required_names(model, schema.columns)  # raises if the schema lacks a column of the model
            self._call: PredictFn = model.predict_table
            return
        self._input = ModelInput(model, schema.columns)
        force_single_job(model)
        if self._input.framed and not hasattr(model, "feature_names_in_"):
            self._choose_input_type(schema, sample)
        self._call = self._call_model
        self.plan = self._build_plan(schema, plans, name, sample)
        # An exact plan computes with values, not with dtypes.
        if type(self.plan) is not Plan:
            self.dtype_key = self._input.dtype_key
        if self._has_probabilities and isinstance(self.plan, str):
            self._call = predict_in_one_call(model, schema, self._input, self._call_model, sample)

    def _choose_input_type(self, schema: Schema, sample: Table | None) -> None:
        """Switch to arrays if the model rejects a DataFrame, although it stores column names."""
        for framed in (True, False):
            self._input.framed = framed
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                self._call_model(schema.read([schema.example]) if sample is None else sample.slice(0, 1))
                return
        # The model rejects both. Later calls shall report its error for a DataFrame.
        self._input.framed = True

    def _build_plan(
        self, schema: Schema, plans: bool | Literal["onnx"], name: str, sample: Table | None
    ) -> Plan | str:
        if plans == "onnx":
            try:
                plan = build_onnx_plan(self._model, schema, self._call_model, sample)
            except Exception as error:
                logger.warning("model %s: ONNX graph not used: %s", name, error)
            else:
                # Logged as a warning so that users notice that predictions may differ.
                logger.warning("model %s: ONNX graph used: %s", name, plan.summary)
                return plan
        return (
            build_plan(self._model, schema, self._call_model, sample) if plans else "plans are switched off"
        )

    def __call__(self, table: Table) -> Prediction:
        """Return the prediction for *table*.

        Raises:
            ValueError: The output of the estimator is invalid, see `check_shape` and `check_values`.
            Exception: The error that the estimator raised.
        """
        if self._config is None:
            return self._predict(table)
        with sklearn_config(self._config):
            return self._predict(table)

    def _predict(self, table: Table) -> Prediction:
        rows = len(table.numbers)
        chunked = rows > _CHUNK_ROWS
        values, probabilities = self._predict_in_chunks(table, rows) if chunked else self._predict_rows(table)
        if values.ndim == 1 and not isinstance(probabilities, list):
            labels = self._labels
            outputs = [Output(self._name, values, labels, None if labels is None else probabilities)]
        else:
            outputs = self._outputs(values, probabilities)
        prediction = Prediction(outputs)
        # The output shapes of an exact plan were verified when it was built. Values must be checked always.
        if type(self.plan) is not Plan:
            check_shape(prediction, rows)
        check_values(prediction, nullable=self._nullable)
        return prediction

    def _outputs(self, values: npt.NDArray[Any], probabilities: Any) -> list[Output]:
        columns = [values] if values.ndim == 1 else list(values.T)
        classes = self._classes
        names = output_names(self._target, len(columns))
        if probabilities is None:
            probabilities = [None] * len(columns)
        if classes is not None and len(columns) > 1 and isinstance(probabilities, np.ndarray):
            # Multilabel: each column is the probability that a label is present.
            classes = [[0, 1]] * len(columns)
            probabilities = [np.column_stack([1 - present, present]) for present in probabilities.T]
        if classes is None or len(classes) != len(columns):
            return [Output(name, column) for name, column in zip(names, columns, strict=True)]
        probabilities = probabilities if isinstance(probabilities, list) else [probabilities]
        return [Output(*parts) for parts in zip(names, columns, classes, probabilities, strict=True)]

    def _predict_rows(self, table: Table) -> PlanOutput:
        if isinstance(self.plan, str):
            return self._call(table)
        try:
            return self.plan(table)
        except Exception:
            # The estimator predicts rows that the plan cannot predict, or raises its own error.
            return self._call_model(table)

    def _predict_in_chunks(self, table: Table, rows: int) -> PlanOutput:
        chunks = [table.slice(start, start + _CHUNK_ROWS) for start in range(0, rows, _CHUNK_ROWS)]
        if self.dtype_key is not None and len({*map(self.dtype_key, [table, *chunks])}) > 1:
            return self._predict_rows(table)
        values, probabilities = zip(*map(self._predict_rows, chunks), strict=True)
        if isinstance(probabilities[0], list):
            outputs = zip(*probabilities, strict=True)
            return np.concatenate(values), [np.concatenate(output) for output in outputs]
        return np.concatenate(values), None if probabilities[0] is None else np.concatenate(probabilities)

    def _call_model(self, table: Table) -> PlanOutput:
        # Convert the table for each call: a transformer with copy=False modifies its input.
        values = np.asarray(self._model.predict(self._input(table)))
        if not self._has_probabilities:
            return values, None
        return values, self._model.predict_proba(self._input(table))


def _classes_of_outputs(classes: list[npt.NDArray[Any]] | npt.NDArray[Any] | None) -> list[list[Any]] | None:
    """Return the class labels of each output as Python values, or None for a model without classes."""
    if classes is None:
        return None
    return [labels.tolist() for labels in (classes if isinstance(classes, list) else [classes])]

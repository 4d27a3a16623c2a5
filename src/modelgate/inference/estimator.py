"""Predict with a fitted model, or with an equivalent plan."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..cancellation import stop_if_abandoned
from ..errors import ConfigurationError
from ..flow import isolate_errors
from ..flow.sklearn_config import current_sklearn_config, sklearn_config
from ..models.onnx import OnnxModel
from ..schema import Schema, Table
from ..schema.model_input import DtypeKey, InputForm, ModelInput, required_names
from .checks import check_shape, check_values
from .conversion import output_names
from .first_prediction import synthetic_tables
from .n_jobs import with_single_job
from .plans import Plan, PlanOutput, PredictFn, build_onnx_plan, build_plan
from .prediction import Output, Prediction
from .row_buffer import RowBuffer
from .runtimes import Runtime, find_runtime
from .single_call import predict_in_one_call

__all__ = ["Estimator"]

logger = logging.getLogger("modelgate")

_CHUNK_ROWS = 8192
"""Largest number of rows in one call of an estimator. It limits the memory for intermediate results."""


class Estimator:
    """Predictor function of a fitted model. It calls the model, or a plan that replaces the model.

    A `Runtime` calls the model with rows in the form that the model was fitted on (see `ModelInput`). The
    ``n_jobs`` of the model is 1 (see `with_single_job`). Every call uses the scikit-learn configuration of
    the thread that constructs this object.

    Args:
        model: Fitted model with ``predict``, or an `OnnxModel`.
        schema: Schema of the tables.
        target: Name of the target, or of each output.
        plans: Whether to use an exact plan if there is one; ``"onnx"`` for an ONNX graph.
        name: Name of the model in log messages.
        sample: Rows on which a plan is verified; None for synthetic rows only.
        nullable: Whether predicted numbers may be NaN or infinite.
        input: Form of the rows that the model takes; None to detect it.

    Attributes:
        model: The model with ``n_jobs=1``: *model* itself, or a copy if it had to be changed.
        plan: The plan, or the reason why there is none.
        dtype_key: Function that decides which tables may share one call (see `DtypeKey`); None if all may.

    Raises:
        ConfigurationError: The schema lacks columns of the model, or does not fit *input*.
    """

    _call: PredictFn
    _call_model: PredictFn
    _call_plan: PredictFn

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
        input: InputForm | None = None,  # noqa: A002  a word for users
    ) -> None:
        self.model = model = with_single_job(model)
        self._nullable = nullable
        self._target = target
        self._name = output_names(target, 1)[0]
        self._config = current_sklearn_config()
        self.plan: Plan | str = "it is an ONNX graph"
        self.dtype_key: DtypeKey | None = None
        if isinstance(model, OnnxModel):
            if input is not None:
                raise ConfigurationError(f"input must be None for an ONNX graph (got {input!r})")
            required_names(model, schema.columns)  # raises an error if the schema lacks one
            self._to_input: Callable[[Table], Any] = Table.to_array
            self._set_runtime(find_runtime(model)(model, self._to_input))
            return
        self._to_input = to_input = ModelInput(model, schema.columns, input)
        self._set_runtime(find_runtime(model)(model, to_input))
        to_input.try_forms(
            partial(isolate_errors, model.predict),
            synthetic_tables(schema) if sample is None else [sample],
        )
        self.plan = self._build_plan(schema, plans, name, sample)
        if not isinstance(self.plan, str):
            # `check_values` finds an overflow; numpy's warning about it would only go to the host's log.
            # As a decorator, errstate costs half as much as in a with statement.
            self._call_plan = np.errstate(all="ignore")(self.plan.predict)
        # An exact plan computes with values, not with dtypes.
        if type(self.plan) is not Plan:
            self.dtype_key = to_input.dtype_key
        if self._runtime.has_probabilities and isinstance(self.plan, str):
            self._call = predict_in_one_call(model, schema, to_input, self._call_model, sample)

    def _set_runtime(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._call = self._call_model = runtime.predict
        # Class labels of the only output; None for a numeric output, or for several outputs.
        classes = runtime.classes
        self._labels = classes[0] if classes is not None and len(classes) == 1 else None

    def _build_plan(
        self, schema: Schema, plans: bool | Literal["onnx"], name: str, sample: Table | None
    ) -> Plan | str:
        if plans == "onnx":
            try:
                plan = build_onnx_plan(self.model, schema, self._call_model, sample)
            except Exception as error:
                logger.warning("model %s: ONNX graph not used: %s", name, error)
            else:
                # Logged as a warning so that users notice that predictions may differ.
                logger.warning("model %s: ONNX graph used: %s", name, plan.summary)
                return plan
        return (
            build_plan(self.model, schema, self._call_checked, sample) if plans else "plans are switched off"
        )

    def _call_checked(self, table: Table) -> PlanOutput:
        """Call the model, and raise an error unless its output has the right shape."""
        values, probabilities = self._call_model(table)
        check_shape(Prediction(self._outputs(values, probabilities)), len(table))
        return values, probabilities

    def __call__(self, table: Table) -> Prediction:
        """Return the prediction for *table*.

        Raises:
            ValueError: The output of the estimator is invalid; see `check_shape` and `check_values`.
            Exception: The error that the estimator raised.
        """
        if self._config is None:
            return self._predict(table)
        with sklearn_config(self._config):
            return self._predict(table)

    def decision_scores(self, table: Table) -> npt.NDArray[np.float64]:
        """Return the result of the estimator's ``decision_function``."""
        with sklearn_config(self._config):
            return np.asarray(self.model.decision_function(self._to_input(table)), dtype=np.float64)

    def transform(self, steps: Sequence[Any], table: Table) -> Any:
        """Transform the rows of *table* by *steps*, one after the other.

        The first step gets the rows in the form that the estimator takes. The result is an array of
        floats, or a sparse matrix.
        """
        with sklearn_config(self._config):
            rows = self._to_input(table)
            for step in steps:
                rows = step.transform(rows)
        return rows if hasattr(rows, "tocsr") else np.asarray(rows, dtype=np.float64)

    def _predict(self, table: Table) -> Prediction:
        rows = table.row_count
        chunked = rows > _CHUNK_ROWS
        values, probabilities = self._predict_in_chunks(table, rows) if chunked else self._predict_rows(table)
        if values.ndim == 1 and not isinstance(probabilities, list):
            labels = self._labels
            outputs = [Output(self._name, values, labels, None if labels is None else probabilities)]
        else:
            outputs = self._outputs(values, probabilities)
        prediction = Prediction(outputs)
        # The output shapes of an exact plan were verified when it was built. Its values are checked always.
        if type(self.plan) is not Plan:
            check_shape(prediction, rows)
        check_values(prediction, nullable=self._nullable)
        return prediction

    def _outputs(self, values: npt.NDArray[Any], probabilities: Any) -> list[Output]:
        columns = [values] if values.ndim == 1 else list(values.T)
        classes = self._runtime.classes
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
            return self._call_plan(table)
        except Exception:
            # The estimator predicts rows that the plan cannot predict, or raises its own error.
            return self._call_model(table)

    def _predict_in_chunks(self, table: Table, rows: int) -> PlanOutput:
        # If the keys of all chunks are equal, they equal the key of the table.
        if self.dtype_key is not None and len({*map(self.dtype_key, table.slices(_CHUNK_ROWS))}) > 1:
            return self._predict_rows(table)
        values, buffers, probabilities = RowBuffer(rows), list[RowBuffer](), None
        for chunk in table.slices(_CHUNK_ROWS):
            stop_if_abandoned()
            predicted, probabilities = self._predict_rows(chunk)
            values.append(predicted)
            if probabilities is None:
                continue
            parts = probabilities if isinstance(probabilities, list) else [probabilities]
            buffers = buffers or [RowBuffer(rows) for _ in parts]
            for buffer, part in zip(buffers, parts, strict=True):
                buffer.append(part)
        if probabilities is None:
            return values.array(), None
        arrays = [buffer.array() for buffer in buffers]
        return values.array(), arrays if isinstance(probabilities, list) else arrays[0]

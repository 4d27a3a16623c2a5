"""A fitted scikit-learn estimator, or what answers in its place."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..models.onnx import OnnxModel
from ..schema import Schema, Table
from ..schema.model_input import DtypeKey, ModelInput, needed_names
from .labels import asking_once
from .plans import Answer, Answering, Plan, onnx_plan, plan_of, use_one_job
from .query import Output, Prediction, output_names
from .sklearn_config import configured, current_config

__all__ = ["Estimator"]

logger = logging.getLogger("modelgate")

_AT_ONCE = 8192
"""How many rows an estimator is given at once: what it makes of them on the way is as large as they are."""


class Estimator:
    """Calls a fitted scikit-learn estimator with what it was fitted on: an array, or a named frame.

    Or its plan, which answers the same. The estimator's ``n_jobs`` becomes 1, see `use_one_job`. Every call
    runs under the scikit-learn configuration of the thread that constructs this.
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
    ) -> None:
        self._model = model
        self._target = target
        self._config = current_config()
        self._probabilities = hasattr(model, "predict_proba") and hasattr(model, "classes_")
        self._classes = _json_classes(getattr(model, "classes_", None))
        self.plan: Plan | str = "it is an ONNX graph"
        self.dtype_key: DtypeKey | None = None
        if isinstance(model, OnnxModel):
            needed_names(model, schema.columns)  # raises if the schema lacks one
            self._ask: Answering = model.answer
            return
        self._input = ModelInput(model, schema.columns)
        use_one_job(model)
        if self._input.framed and not hasattr(model, "feature_names_in_"):
            self._choose_form(schema, sample)
        self._ask = self._asked
        self.plan = self._plan(schema, plans, name, sample)
        # An exact plan computes with values and knows no dtypes.
        if type(self.plan) is not Plan:
            self.dtype_key = self._input.dtype_key
        if self._probabilities and isinstance(self.plan, str):
            self._ask = asking_once(model, schema, self._input, self._asked, sample)

    def _choose_form(self, schema: Schema, sample: Table | None) -> None:
        """Choose an array for a model that stores column names and yet answers no DataFrame."""
        for framed in (True, False):
            self._input.framed = framed
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                self._asked(schema.read([schema.example]) if sample is None else sample.part(0, 1))
                return
        # It answers neither: its error for a DataFrame is the one to report.
        self._input.framed = True

    def _plan(
        self, schema: Schema, plans: bool | Literal["onnx"], name: str, sample: Table | None
    ) -> Plan | str:
        if plans == "onnx":
            try:
                plan = onnx_plan(self._model, schema, self._asked, sample)
            except Exception as error:
                logger.warning("%s is not answered for by ONNX: %s", name, error)
            else:
                # The log's default level shows no less: nobody shall have it unawares.
                logger.warning("%s is answered for by ONNX: %s", name, plan.told)
                return plan
        return plan_of(self._model, schema, self._asked, sample) if plans else "plans are switched off"

    def __call__(self, table: Table) -> Prediction:
        if self._config is None:
            return self._predict(table)
        with configured(self._config):
            return self._predict(table)

    def _predict(self, table: Table) -> Prediction:
        values, told = self._answer(table)
        columns = [values] if values.ndim == 1 else list(values.T)
        names = output_names(self._target, len(columns))
        if told is None:
            told = [None] * len(columns)
        classes = self._classes
        if classes is not None and len(columns) > 1 and isinstance(told, np.ndarray):
            # Several labels at once, each there or not: the model tells how likely each is there.
            classes = [[0, 1]] * len(columns)
            told = [np.column_stack([1 - there, there]) for there in told.T]
        if classes is None or len(classes) != len(columns):
            return Prediction([Output(name, column) for name, column in zip(names, columns, strict=True)])
        told = told if isinstance(told, list) else [told]
        return Prediction([Output(*parts) for parts in zip(names, columns, classes, told, strict=True)])

    def _answer(self, table: Table) -> Answer:
        if len(table) <= _AT_ONCE:
            return self._answer_at_once(table)
        parts = [table.part(at, at + _AT_ONCE) for at in range(0, len(table), _AT_ONCE)]
        if self.dtype_key is not None and len({*map(self.dtype_key, [table, *parts])}) > 1:
            return self._answer_at_once(table)
        values, told = zip(*map(self._answer_at_once, parts), strict=True)
        if isinstance(told[0], list):
            return np.concatenate(values), [np.concatenate(parts) for parts in zip(*told, strict=True)]
        return np.concatenate(values), None if told[0] is None else np.concatenate(told)

    def _answer_at_once(self, table: Table) -> Answer:
        if isinstance(self.plan, str):
            return self._ask(table)
        try:
            return self.plan(table)
        except Exception:
            # What a plan cannot do the estimator does, or refuses in its own words.
            return self._asked(table)

    def _asked(self, table: Table) -> Answer:
        # A transformer with copy=False changes what it is given.
        values = np.asarray(self._model.predict(self._input(table)))
        return values, self._model.predict_proba(self._input(table)) if self._probabilities else None


def _json_classes(classes: list[npt.NDArray[Any]] | npt.NDArray[Any] | None) -> list[list[Any]] | None:
    """The labels of each output, as plain Python values."""
    if classes is None:
        return None
    return [labels.tolist() for labels in (classes if isinstance(classes, list) else [classes])]

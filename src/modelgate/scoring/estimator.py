"""A fitted scikit-learn estimator, or what answers in its place."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..models.onnx import OnnxModel
from ..schema import Schema, Table
from ..schema.infer import none_columns
from ..schema.ways import takes_texts
from .labels import asking_once
from .plans import Answer, Answering, Plan, onnx_plan, plan_of, use_one_job
from .query import Output, Prediction, output_names

__all__ = ["Estimator"]

logger = logging.getLogger("modelgate")

_AT_ONCE = 8192
"""How many rows an estimator is given at once: what it makes of them on the way is as large as they are."""


class Estimator:
    """Calls a fitted scikit-learn estimator with what it was fitted on: an array, or a named frame.

    Or its plan, which answers the same. The estimator's ``n_jobs`` becomes 1, see `use_one_job`.
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
        self._probabilities = hasattr(model, "predict_proba") and hasattr(model, "classes_")
        self._classes = _json_classes(getattr(model, "classes_", None))
        self._columns: list[str] | None = None
        if hasattr(model, "feature_names_in_"):
            needed = Schema.from_model(model).names
            lacking = [name for name in needed if name not in schema.names]
            if lacking:
                raise ConfigurationError(f"schema: lacks columns the model needs: {', '.join(lacking)}")
            if not isinstance(model, OnnxModel):
                self._columns = list(needed)
                self._none = none_columns(model)
                _require_pandas()
        self._texts = takes_texts(model)
        if self._texts and [column.kind for column in schema.columns] != ["text"]:
            raise ConfigurationError("schema: the model takes texts: accepts one column, Schema.of(text=str)")
        use_one_job(model)
        self.plan = self._plan(schema, plans, name, sample)
        self._ask: Answering = self._asked
        if self._probabilities and isinstance(self.plan, str):
            self._ask = asking_once(model, schema, self._input, self._asked, sample)

    def _plan(
        self, schema: Schema, plans: bool | Literal["onnx"], name: str, sample: Table | None
    ) -> Plan | str:
        if isinstance(self._model, OnnxModel):
            return "it is an ONNX graph"
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
        starts = range(0, len(table), _AT_ONCE)
        values, told = zip(
            *(self._answer_at_once(table.part(at, at + _AT_ONCE)) for at in starts), strict=True
        )
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
        if isinstance(self._model, OnnxModel):
            return self._model.answer(table)
        # A transformer with copy=False changes what it is given.
        values = np.asarray(self._model.predict(self._input(table)))
        return values, self._model.predict_proba(self._input(table)) if self._probabilities else None

    def _input(self, table: Table) -> Any:
        if self._columns is None:
            return table.texts[0] if self._texts else table.to_array()
        frame = table.to_pandas(self._none)
        return frame if list(frame.columns) == self._columns else frame[self._columns]


def _json_classes(classes: list[npt.NDArray[Any]] | npt.NDArray[Any] | None) -> list[list[Any]] | None:
    """The labels of each output, as plain Python values."""
    if classes is None:
        return None
    return [labels.tolist() for labels in (classes if isinstance(classes, list) else [classes])]


def _require_pandas() -> None:
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            'a model that was fitted with column names is given a DataFrame: pip install "modelgate[pandas]"'
        ) from None

"""Convert tables to the input of a fitted model."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, get_args

import numpy as np

from ..errors import ConfigurationError
from .columns import Column
from .dtype_key import DtypeKey, array_dtype, dtype_key
from .introspection.boosting import categorical_columns, levels_to_array, match_categories
from .introspection.classes import target_models
from .introspection.column_paths import has_placeholders, last_step_names, renames_columns, stored_names
from .introspection.infer_columns import find_none_columns, infer_columns, passed_categories
from .introspection.input_form import InputForm, possible_forms
from .introspection.libraries import is_native_booster, library_of
from .model_frame import FrameConverter, restore_integers
from .table import Table

__all__ = ["DtypeKey", "InputForm", "ModelInput", "column_labels", "required_names"]


class ModelInput:
    """Converter from tables to the input of a fitted model.

    Args:
        model: Fitted model.
        columns: Columns of the schema that validated the tables.
        form: Form of the rows; None for the most likely form. If several are possible, call `try_forms`.

    Attributes:
        form: ``"frame"`` for a DataFrame, ``"array"``, ``"records"`` for a list of dictionaries, or
            ``"texts"`` for a list of texts. An ``xgboost.Booster`` gets a ``DMatrix`` of a frame or an array.
        dtype_key: Function that decides which tables may be concatenated (see `DtypeKey`); None if all may.

    Raises:
        ConfigurationError: *form* is unknown, *columns* do not fit the model (a column is missing, the levels
            of a categorical column are unknown, or texts need a single text column), or pandas is missing.
    """

    form: InputForm
    dtype_key: DtypeKey | None

    def __init__(self, model: Any, columns: Sequence[Column], form: InputForm | None = None) -> None:
        if form not in (None, *get_args(InputForm)):
            raise ConfigurationError(
                f"input must be None or one of {', '.join(map(repr, get_args(InputForm)))} (got {form!r})"
            )
        self._model = model
        self._columns = columns
        self._names = required_names(model, columns)
        self._forms = (form,) if form is not None else possible_forms(model, named=self._names is not None)
        self._use(self._forms[0])

    def __call__(self, table: Table) -> Any:
        """Convert *table* to the input of the model. The result is a copy that the model may modify."""
        return self._convert(table)

    def try_forms(self, predict: Callable[[Any], Any], tables: Iterable[Table]) -> None:
        """Use the first form of rows for which *predict* returns one value for each row of a table.

        If only one form is possible, do nothing. If no form works, use the first form whose error is about
        the values of the rows, not about the form.

        Args:
            predict: Prediction method of the model.
            tables: Tables to try. Only the first row of each table is predicted.
        """
        if len(self._forms) == 1:
            return
        # The number of rows must differ from the number of columns: a model that takes another form may
        # return one value per column.
        rows = 3 if len(self._columns) == 2 else 2
        tables = [Table.concat([table.slice(0, 1)] * rows) for table in tables]
        best = None
        for form in self._forms:
            try:
                self._use(form)
            except ConfigurationError:
                continue
            for table in tables:
                try:
                    with np.errstate(all="ignore"):
                        values = predict(self._convert(table))
                    if np.shape(values)[:1] == (rows,):
                        return
                except Exception as error:
                    if best is None and not _concerns_form(error):
                        best = form
        self._use(best or self._forms[0])

    def _use(self, form: InputForm) -> None:
        """Set the form to which tables are converted."""
        self._convert: Callable[[Table], Any]
        self.form, self.dtype_key = form, None
        if form == "texts":
            if [column.kind for column in self._columns] != ["text"]:
                raise ConfigurationError(
                    "schema must have a single text column for a text model: set schema=Schema.of(text=str)"
                )
            self._convert = _to_texts
        elif form == "records":
            self._convert = _RecordConverter(self._columns)
        elif form == "frame" or self._names is not None:
            frame = self._frame_converter()
            self.dtype_key = dtype_key(self._columns, framed=True)
            self._convert = frame if form == "frame" else lambda table: frame(table).to_numpy()
        else:
            self._convert, self.dtype_key = self._array_converter()
        if is_native_booster(self._model) and library_of(self._model) == "xgboost":
            self._convert = _DMatrixConverter(self._convert)

    def _frame_converter(self) -> FrameConverter:
        _require_pandas()
        columns = {column.name: column for column in self._columns}
        names = list(columns) if self._names is None else self._names
        stores = stored_names(self._model) is not None
        # No encoder reads these columns, so they keep the dtype of the training DataFrame.
        kinds = {column.name: column.kind for column in infer_columns(self._model)} if stores else {}
        passed = passed_categories(self._model) if stores else {}
        for column in self._columns:
            if kinds.get(column.name) == "datetime" != column.kind:
                raise ConfigurationError(
                    f"column {column.name!r}: kind must be datetime, as in training (got {column.kind!r})"
                )
        declared = {
            column.name: levels_to_array(column.levels)
            for column in self._columns
            if column.levels is not None and "category" in (column.dtype or "")
        }
        return FrameConverter(
            names,
            none=find_none_columns(self._model) if stores else frozenset(),
            plain={c.name for c in self._columns if c.kind == "text" and kinds.get(c.name, "any") == "any"},
            categories={
                **(match_categories(self._model, names, columns, passed) if stores else {}),
                **declared,
                # Unlike the levels of a schema, these have the dtype of training.
                **{name: levels for name, levels in passed.items() if levels is not None},
            },
            ordered={column.name for column in self._columns if column.dtype == "ordered category"},
            integers=[names[index] for index in categorical_columns(self._model)],
        )

    def _array_converter(self) -> tuple[Callable[[Table], Any], DtypeKey | None]:
        integers, kinds = categorical_columns(self._model), {column.kind for column in self._columns}
        if integers:
            return _IntegerArrayConverter(integers), None
        dtypes = {column.dtype for column in self._columns}
        if "object" in dtypes or len(dtypes - {None}) == len(dtypes) == 1:
            dtype = "object" if "object" in dtypes else dtypes.pop()
            return partial(Table.to_array, dtype=dtype), dtype_key(self._columns, framed=False)
        if "any" in kinds and kinds <= {"any", "number"}:
            return _to_typed_array, array_dtype
        return Table.to_array, dtype_key(self._columns, framed=False)


def _concerns_form(error: Exception) -> bool:
    """Return whether *error* shows that the model does not accept the `InputForm` of the rows.

    Otherwise the error is probably about the values in the rows.
    """
    structural = isinstance(error, AttributeError | LookupError | NotImplementedError | TypeError)
    # A look-up or a regular expression that finds nothing returns None: that depends on the values.
    return (structural and "NoneType" not in str(error)) or type(error).__name__ == "InvalidIndexError"


def _to_texts(table: Table) -> Sequence[str]:
    return table.texts[0]


def _to_typed_array(table: Table) -> Any:
    return table.to_array().astype(array_dtype(table), copy=False)


class _IntegerArrayConverter:
    """Converter from tables to object arrays in which the columns at *indices* have integers, not floats."""

    def __init__(self, indices: Sequence[int]) -> None:
        self._indices = indices

    def __call__(self, table: Table) -> Any:
        array = table.to_array().astype(object)
        for index in self._indices:
            array[:, index] = restore_integers(array[:, index])
        return array


class _RecordConverter:
    """Converter from tables to dictionaries. Optional columns that are null in a row are left out."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._optional = {column.name for column in columns if not column.required}

    def __call__(self, table: Table) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in row.items() if value is not None or name not in self._optional}
            for row in table.rows()
        ]


class _DMatrixConverter:
    """Converter from tables to the ``DMatrix`` that an ``xgboost.Booster`` takes."""

    def __init__(self, convert: Callable[[Table], Any]) -> None:
        self._convert = convert

    def __call__(self, table: Table) -> Any:
        import xgboost

        return xgboost.DMatrix(self._convert(table), enable_categorical=True)


def required_names(model: Any, columns: Sequence[Column]) -> list[str] | None:
    """Return the names of the columns that *model* needs, in the order of its training data.

    Returns None if the model identifies its columns by position.

    Raises:
        ConfigurationError: A name is not among *columns*.
    """
    known = [column.name for column in columns]
    names = column_labels(model, known)
    missing = [name for name in names or () if name not in known]
    if missing:
        raise ConfigurationError(f"schema must have all columns the model needs: add {', '.join(missing)}")
    return names


def column_labels(model: Any, known: Collection[str]) -> list[str] | None:
    """Return the names of the columns that *model* needs, or None if it identifies them by position.

    LightGBM stores ``a b`` as ``a_b``; the original spelling is returned if it is in *known*.

    Args:
        model: Fitted estimator.
        known: Column names of the schema or the training data. The result may contain other names.
    """
    parts = target_models(model)
    if parts is not None:
        labels = [column_labels(part, known) for part in parts.values()]
        return None if None in labels else list(dict.fromkeys(chain.from_iterable(filter(None, labels))))
    names = stored_names(model)
    if names is None:
        # If the last step was fitted on a DataFrame with the schema's names, so was the first one.
        last = last_step_names(model)
        return last if last is not None and sorted(last) == sorted(known) else None
    if has_placeholders(model):
        return names if set(names) <= set(known) else None
    needed = [column.name for column in infer_columns(model)]
    if renames_columns(model):
        originals = {name.replace(" ", "_"): name for name in known}
        needed = [name if name in known else originals.get(name, name) for name in needed]
    return needed


def _require_pandas() -> None:
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            'a model fitted on named columns needs pandas: pip install "modelgate[pandas]"'
        ) from None

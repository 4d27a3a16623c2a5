"""Restore training dtypes that a model's predictions depend on.

JSON and CSV have no dtypes, but a model may depend on dtypes: ``uint8`` wraps around, ``Int64`` has its own
null, and a ``float32`` is formatted with fewer digits. Such a model would silently predict something else in
production. To detect this, training rows are predicted twice: unchanged, and as converted from a request.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, RequestError
from ..flow.model_thread import in_model_thread
from .coerce import to_json_value
from .columns import Column
from .dtype_key import depends_on_null
from .dtypes import DTYPES
from .introspection import infer_from_values
from .introspection.classes import target_models
from .introspection.column_paths import stored_names, stores_columns
from .introspection.infer_columns import infer_columns
from .introspection.input_form import possible_forms
from .introspection.libraries import is_native_booster, library_of, takes_formula
from .model_input import ModelInput, column_labels
from .names import find_labels
from .table import Table

__all__ = ["restore_dtypes", "take_rows"]

_ROWS = 64
_ROWS_ALONE = 4
_MAX_TESTED = 64
"""Largest number of columns whose nulls are tested one by one, each with a prediction."""

_CLOSE = {"rtol": 1e-6, "atol": 1e-9, "equal_nan": True}

_USUAL_DTYPES = {"number": "float64", "integer": "int64", "boolean": "bool"}
"""dtypes that columns without the option *dtype* have in a DataFrame, by kind."""

_Values: TypeAlias = Mapping[str, Any]
"""Training values by column name: a pandas Series or an array for each."""

_Read: TypeAlias = Callable[[Sequence[Column], Any], Table]
"""Function of columns and rows that validates the rows."""


def restore_dtypes(model: Any, columns: Sequence[Column], X: Any, read: _Read) -> Sequence[Column]:  # noqa: N803
    """Return *columns* with the dtypes of *X* where the predictions of *model* depend on them.

    Some rows of *X* are predicted twice: unchanged, and as a deployment converts them. A column that contains
    no nulls in *X* may be tested with a null. If the null makes *model* fail, or changes the prediction for
    another row, the column is no longer nullable.

    Args:
        model: Fitted model.
        columns: Columns of the schema.
        X: Training rows: a DataFrame, an array of (rows, columns), or a list of dictionaries.
        read: Function of columns and rows that validates the rows.

    Raises:
        ConfigurationError: Even with the dtypes of *X*, the predictions differ, or *model* fails.
    """
    parts = target_models(model)
    if parts is not None:
        for part in parts.values():
            columns = restore_dtypes(part, columns, X, read)
        return columns
    has_rows = (isinstance(X, np.ndarray | list) or hasattr(X, "columns")) and len(X) > 0
    is_callable = hasattr(model, "predict") and not is_native_booster(model) and library_of(model) != "mlflow"
    return in_model_thread(_restore_dtypes, model, columns, X, read) if has_rows and is_callable else columns


def _restore_dtypes(model: Any, columns: Sequence[Column], X: Any, read: _Read) -> Sequence[Column]:  # noqa: N803
    values = _values_by_column(columns, X)
    samples = [take_rows(X, indices) for indices in _sample_indices(len(X), values)]
    inputs, expected = _predict_unconverted(model, columns, samples)
    if not expected:
        return columns
    restored = [_restore_dtype(column, values.get(column.name)) for column in columns]
    opaque = _find_opaque_columns(model, columns)
    partly = [
        new if old.name in opaque and old.kind != "text" and hasattr(X, "columns") else old
        for old, new in zip(columns, restored, strict=True)
    ]
    for candidate in (partly, restored):
        try:
            tables = [read(candidate, sample) for sample in samples]
        except RequestError:
            return columns  # the error is raised where these rows are needed
        to_input = ModelInput(model, candidate)
        to_input.try_forms(model.predict, tables[:1])
        try:
            actual = [_predict(model, to_input(table)) for table in tables]
        except Exception as caught:
            error: Exception | None = caught
        else:
            error = None
            if all(map(_are_close, expected, actual)):
                harmful = _find_harmful_nulls(model, candidate, values, opaque, tables[0], to_input, read)
                return [
                    replace(column, nullable=False) if column in harmful else column for column in candidate
                ]
    if error is None and not all(map(_are_close, expected, (_predict(model, rows) for rows in inputs))):
        return partly  # the model is not deterministic
    raise _explain_difference(inputs[0], to_input(tables[0]), error) from error


def _values_by_column(columns: Sequence[Column], X: Any) -> _Values:  # noqa: N803
    names = [column.name for column in columns]
    if isinstance(X, np.ndarray):
        return dict(zip(names, X.T, strict=True)) if X.shape[1:] == (len(names),) else {}
    if not hasattr(X, "iloc") or not X.columns.is_unique:
        return {}
    labels = find_labels(X.columns, names)
    return {name: X[labels[name]] for name in names if name in labels}


def _sample_indices(count: int, values: _Values) -> list[list[int]]:
    """Return lists of row indices. The rows of each list are predicted in one call.

    The first list includes, for each column with nulls, the first row with a null. Each of the other lists
    has a single row.
    """
    nulls = [
        index for column in values.values() for index in np.flatnonzero(_find_nulls(column))[:1].tolist()
    ]
    together = [*np.linspace(0, count - 1, min(count, _ROWS)).astype(int).tolist(), *nulls]
    alone = [*together[:_ROWS_ALONE], *nulls[:_ROWS_ALONE]]
    return [list(dict.fromkeys(together)), *([index] for index in dict.fromkeys(alone))]


def _find_nulls(values: Any) -> npt.NDArray[np.bool_]:
    if hasattr(values, "isna"):
        return np.asarray(values.isna())
    if values.dtype.kind != "O":
        return np.asarray(values != values)
    return np.array([to_json_value(value) is None or value != value for value in values])


def take_rows(X: Any, indices: Iterable[int]) -> Any:  # noqa: N803
    """Return the rows *indices* of a DataFrame, an array or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[indices]
    return [X[index] for index in indices] if isinstance(X, list) else X[indices]


def _predict_unconverted(
    model: Any, columns: Sequence[Column], samples: Sequence[Any]
) -> tuple[Sequence[Any], list[npt.NDArray[Any]]]:
    """Return *samples* in the form that *model* was trained on, and the model's predictions for them.

    The list of predictions is empty if the model fails for these samples.
    """
    forms = possible_forms(model, named=stored_names(model) is not None)
    is_frame = hasattr(samples[0], "columns")
    trials: list[Sequence[Any]] = []
    if forms == ("array",) and hasattr(samples[0], "to_numpy"):
        trials = [[sample.to_numpy() for sample in samples]]
    elif is_frame and "frame" in forms:
        names = [column.name for column in columns]
        labels = find_labels(samples[0].columns, names)
        needed = [labels[name] for name in column_labels(model, names) or () if name in labels]
        trials = [samples, [sample[needed] for sample in samples]]
    elif ("records" if isinstance(samples[0], list) else "array") in forms and not is_frame:
        trials = [samples]
    for inputs in trials:
        with contextlib.suppress(Exception):
            return inputs, [_predict(model, rows) for rows in inputs]
    return samples, []


def _predict(model: Any, rows: Any) -> npt.NDArray[Any]:
    """Return the probabilities, or the predicted values if *model* has no ``predict_proba``.

    The probabilities of several outputs are concatenated.
    """
    with np.errstate(all="ignore"):
        if not hasattr(model, "predict_proba"):
            return np.asarray(model.predict(rows))
        probabilities = model.predict_proba(rows)
        return np.hstack(probabilities) if isinstance(probabilities, list) else np.asarray(probabilities)


def _are_close(expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> bool:
    if expected.shape != actual.shape:
        return False
    if expected.dtype.kind == "f" and actual.dtype.kind == "f":
        return np.allclose(expected, actual, **_CLOSE)  # type: ignore[arg-type]
    return bool(np.all(expected == actual))


def _find_opaque_columns(model: Any, columns: Sequence[Column]) -> set[str]:
    """Return the columns that *model* passes to functions or to estimators of other libraries.

    Their results may depend on the dtype of a column.
    """
    if takes_formula(model):
        return set()
    kinds = {column.name: column.kind for column in infer_columns(model)} if stores_columns(model) else {}
    return {column.name for column in columns if kinds.get(column.name, "any") == "any"}


def _restore_dtype(column: Column, values: Any) -> Column:
    """Return *column* with the dtype of the training *values*.

    *column* is returned unchanged if it has the option *dtype*, or if *values* have the default dtype of its
    kind or an unsupported dtype.
    """
    if values is None or column.dtype is not None or not DTYPES.get(column.kind):
        return column
    name = str(values.dtype)
    if not isinstance(values, np.ndarray) and name == _USUAL_DTYPES.get(column.kind):
        return column
    options: dict[str, Any] = {"dtype": name}
    if name == "category":
        sample = infer_from_values(column.name, values, max_levels=0)
        # The order of the levels matters to functions that read their codes.
        same = column.levels is None or set(column.levels) == set(sample.levels or ())
        options |= {"kind": sample.kind, "levels": sample.levels if same else column.levels}
        options["dtype"] = "ordered category" if values.dtype.ordered else name
    elif name == "object":
        is_null = _find_nulls(values)
        missing = {"None" if value is None else "NaN" for value in values[is_null]}
        options["missing_value"] = missing.pop() if len(missing) == 1 else None
        # Only this kind distinguishes 1 from 1.0.
        is_mixed = {int, float} <= {type(value) for value in values[~is_null]}
        options["kind"] = "any" if is_mixed else column.kind
    else:
        options["kind"] = next((kind for kind in _USUAL_DTYPES if name in DTYPES[kind]), column.kind)
    try:
        return replace(column, accepts_booleans=False, **options)
    except ConfigurationError:
        return column


def _find_harmful_nulls(
    model: Any,
    columns: Sequence[Column],
    values: _Values,
    opaque: Collection[str],
    table: Table,
    to_input: ModelInput,
    read: _Read,
) -> Sequence[Column]:
    """Return the columns in which a null makes *model* fail or changes the prediction for another row.

    A null may change the dtype of its column, and the model was trained on the dtype without nulls.
    """
    without_nulls = {name for name, cells in values.items() if not _find_nulls(cells).any()}
    questionable = [
        column
        for column in columns
        if column.name in without_nulls
        and (column.nullable and column.required)
        and (column.name in opaque or depends_on_null(column))
    ]
    if len(table) < 2 or not questionable:
        return ()
    first, second = table.rows()[:2]
    expected = _predict(model, to_input(table.slice(0, 2)))[:1]

    def are_harmful(tested: Sequence[Column]) -> bool:
        beside_null = read(columns, [first, second | dict.fromkeys(column.name for column in tested)])
        try:
            return not _are_close(expected, _predict(model, to_input(beside_null))[:1])
        except Exception:
            return True

    if not are_harmful(questionable):
        return ()
    if len(questionable) > _MAX_TESTED:
        # In the other columns, a null can only make the model fail, which callers notice.
        return [column for column in questionable if depends_on_null(column)]
    return [column for column in questionable if are_harmful([column])]


def _explain_difference(expected: Any, actual: Any, error: Exception | None) -> ConfigurationError:
    """Return the error for rows that the model predicts differently after conversion.

    Args:
        expected: Training rows, unchanged.
        actual: The same rows, as converted from a request.
        error: Error that the model raised for the converted rows; None if it raised none.
    """
    which = "these rows"
    if hasattr(expected, "iloc") and hasattr(actual, "iloc"):
        names = [name for name in actual if not _are_identical(expected[name], actual[name])]
        which = f"the values of {', '.join(map(str, names))}" if names else "rows without their index"
    problem = "fails for" if error is not None else "makes other predictions for"
    return ConfigurationError(
        f"X must have values that requests can carry (the model {problem} {which} when they come from JSON):"
        " train the model with numbers, booleans, texts, datetimes or categories, or convert them in its first step"
    )


def _are_identical(expected: Any, actual: Any) -> bool:
    pairs = zip(expected.tolist(), actual.tolist(), strict=True)
    equal = all(type(one) is type(other) and (one == other or one != one) for one, other in pairs)
    return equal and bool(expected.dtype == actual.dtype)

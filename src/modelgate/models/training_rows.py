"""Fingerprints of training rows, to detect calibration rows that the model was fitted on."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..schema import Schema
from ..schema.coerce import to_json_value
from ..schema.names import find_labels

__all__ = ["TrainingRows", "check_rows", "list_to_array", "to_rows"]

_MAX_HASHES = 16_384
_SHOWN = 5

_Hashes = npt.NDArray[np.uint64]


class TrainingRows(msgspec.Struct, frozen=True):
    """Fingerprints of the rows that a model was fitted on.

    A fingerprint is a hash of a row. The lowest 16,384 hashes are stored. They are a random sample that does
    not depend on the order of the rows, so each row is detected with the same probability.

    Attributes:
        has_target: Whether the training targets are part of the hashes.
        hashes: Lowest hashes of the rows in ascending order, as unsigned 64-bit integers, little-endian.
    """

    has_target: bool
    hashes: bytes

    @classmethod
    def of(cls, X: Any, y: Any, schema: Schema) -> "TrainingRows":  # noqa: N803  scikit-learn's word
        """Return the fingerprints of the rows of *X*, including their targets *y* unless *y* is None.

        *X* is a DataFrame or a 2-D array.
        """
        lowest = np.unique(_hash_rows(X, y, schema))[:_MAX_HASHES]
        return cls(y is not None, lowest.astype("<u8").tobytes())

    def reject(self, X: Any, y: Any, schema: Schema) -> None:  # noqa: N803
        """Raise `ConfigurationError` if a row of *X*, together with its target in *y*, is a training row."""
        hashes = _hash_rows(X, y if self.has_target else None, schema)
        found = np.flatnonzero(np.isin(hashes, np.frombuffer(self.hashes, "<u8"))).tolist()
        if found:
            raise ConfigurationError(
                f"X must have no training rows (got at least {len(found)} of {len(X)}: row"
                f" {', '.join(map(str, found[:_SHOWN]))}{', …' * (len(found) > _SHOWN)}): intervals from rows that"
                " the model was fitted on are too narrow. Split the rows before fitting, or set"
                " allow_training_rows=True if these rows were observed independently"
            )


def to_rows(X: Any) -> Any:  # noqa: N803
    """Return *X* if it is a DataFrame, a 2-D array, or a list of dictionaries or texts.

    A Series or an array of texts is converted to a list.

    Raises:
        ConfigurationError: *X* has another type.
    """
    rows = list(X) if getattr(X, "ndim", 2) == 1 else X
    is_list = isinstance(rows, list) and any(
        all(isinstance(row, type_) for row in rows) for type_ in (Mapping, str)
    )
    if is_list or hasattr(rows, "columns") or (isinstance(rows, np.ndarray) and rows.ndim == 2):
        return rows
    raise ConfigurationError(
        "X must be a DataFrame, a 2-D array of rows, a list of dictionaries or a list of texts"
        f" (got {type(X).__name__})"
    )


def list_to_array(rows: Sequence[Any], schema: Schema) -> npt.NDArray[np.object_]:
    """Return dictionaries or texts as an array with the columns in the order of *schema*."""
    array = np.empty((len(rows), len(schema)), dtype=object)
    for index, name in enumerate(schema.names):
        array[:, index] = [row if isinstance(row, str) else row.get(name) for row in rows]
    return array


def check_rows(X: Any, y: Any) -> None:  # noqa: N803
    """Raise `ConfigurationError` if *X* has no rows, or if *y* (unless it is None) has another length."""
    if y is not None and np.shape(y)[:1] != (len(X),):
        raise ConfigurationError(
            f"y must have one value for each of the {len(X)} rows of X (got shape {np.shape(y)})"
        )
    if not len(X):
        raise ConfigurationError("X must have at least one row (got none)")


def _hash_rows(X: Any, y: Any, schema: Schema) -> _Hashes:  # noqa: N803
    """Return one hash per row. Equal values have equal hashes, whatever the dtype of their column."""
    labels = find_labels(X.columns, schema.names) if hasattr(X, "columns") else None
    if labels is None:
        columns = list(X.T)
    else:
        nulls = np.full(len(X), np.nan)
        columns = [X[labels[name]] if name in labels else nulls for name in schema.names]
    if y is not None:
        targets = np.asarray(y)
        columns += [targets] if targets.ndim == 1 else list(targets.T)
    hashes = np.zeros(len(X), dtype=np.uint64)
    for column in columns:
        hashes = _mix(hashes ^ _hash_column(np.asarray(column)))
    return hashes


def _hash_column(values: npt.NDArray[Any]) -> _Hashes:
    if values.dtype.kind in "biuf":
        # Equal values must have equal bits: adding 0.0 turns -0.0 into 0.0, and all NaN become one.
        numbers = values.astype(np.float64) + 0.0
        return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    return np.fromiter(_hash_each(values), np.uint64, len(values))


def _hash_each(values: Iterable[Any]) -> Iterable[int]:
    known: dict[tuple[type, bytes], int] = {}
    for value in values:
        key = type(value), _to_bytes(value)
        if key not in known:
            known[key] = _hash_value(value)
        yield known[key]


def _hash_value(value: Any) -> int:
    """Return the hash of *value*. Numbers have the same hash as in a numeric column."""
    plain = to_json_value(value)
    number = np.nan if plain is None else plain
    if isinstance(number, float) or (isinstance(number, int) and abs(number) < 2**63):
        return int(_hash_column(np.array([number], dtype=np.float64))[0])
    return int.from_bytes(hashlib.blake2b(_to_bytes(plain), digest_size=8).digest())


def _to_bytes(value: Any) -> bytes:
    # str() of a large array, such as an image, leaves out most of its items.
    return value.tobytes() if isinstance(value, np.ndarray) else str(value).encode(errors="surrogatepass")


def _mix(hashes: _Hashes) -> _Hashes:
    """Distribute *hashes* evenly by the finalizer of SplitMix64 (Steele et al., 2014)."""
    hashes = hashes + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))

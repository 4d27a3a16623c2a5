"""Create the entries of a prediction log, one for each predicted row."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol

from .prediction_hook import PredictionRecord

__all__ = ["PredictionWriter", "entry_batches"]

_BATCH = 4096
"""Number of entries that are created at once. An entry takes 2 kB, twenty times as much as in the record."""


class PredictionWriter(Protocol):
    """Destination of a prediction log. Its methods are called by one thread at a time."""

    def write(self, records: Sequence[PredictionRecord], redact: Collection[str]) -> None:
        """Write either all of *records* or none.

        Args:
            records: Prediction records, each with one or more rows; see `entry_batches`.
            redact: Input columns to leave out.

        Raises:
            TypeError, ValueError: A record cannot be encoded. The call is not retried, and the record is
                lost.
            Exception: The records cannot be written now. The call will be retried.
        """


def entry_batches(
    records: Sequence[PredictionRecord], redact: Collection[str]
) -> Iterator[list[dict[str, Any]]]:
    """Yield lists of entries, with an entry for each predicted row.

    An entry is a dict of Python values, without arrays.

    The member ``hypothetical`` is true if the caller marked the rows as hypothetical; see `PredictionRecord`.
    The member ``input`` has all columns except images, tensors and the columns in *redact*. In an entry of a
    forecast, ``input`` is None, and the members ``series`` and ``timestamp`` identify the prediction.
    ``series`` is None if *redact* contains any column of the table.
    """
    entries = (
        entry
        for record in records
        for start in range(0, len(record.prediction), _BATCH)
        for entry in _to_entries(record, redact, slice(start, start + _BATCH))
    )
    while batch := list(islice(entries, _BATCH)):
        yield batch


def _to_entries(record: PredictionRecord, redact: Collection[str], span: slice) -> Iterator[dict[str, Any]]:
    prediction, table = record.prediction, record.table
    values = [output.values[span].tolist() for output in prediction.outputs]
    names = [output.name for output in prediction.outputs]
    probabilities = {
        output.name: (list(map(str, output.classes)), output.probabilities[span].tolist())
        for output in prediction.outputs
        if output.probabilities is not None and output.classes is not None
    }
    forecast = prediction.forecast
    arrays = [name for name, kind in table.kinds.items() if kind in ("image", "tensor")]
    inputs = table.slice(span.start, span.stop).rows(omit={*redact, *arrays}) if forecast is None else None
    # The record does not name the column that identifies the series: it may be any redacted column.
    hides_series = not table.kinds.keys().isdisjoint(redact)
    for index, row in enumerate(range(len(prediction))[span]):
        entry: dict[str, Any] = {
            "request_id": record.request_id,
            "row": row,
            "deployment": record.deployment,
            "version": record.version,
            "key_id": record.key_id,
            "time": datetime.fromtimestamp(record.time, UTC),
            "seconds": record.seconds,
            "hypothetical": record.hypothetical,
            "input": None if inputs is None else inputs[index],
            "prediction": {name: output[index] for name, output in zip(names, values, strict=True)},
            "probabilities": {
                name: dict(zip(classes, rows[index], strict=True))
                for name, (classes, rows) in probabilities.items()
            },
        }
        if forecast is not None:
            entry["series"] = None if hides_series or forecast.series is None else forecast.series[row]
            entry["timestamp"] = forecast.timestamps[row]
        yield entry

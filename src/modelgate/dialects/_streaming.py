"""Stream long responses, which are encoded while they are sent."""

from collections.abc import Iterator
from itertools import chain

import msgspec

from ..inference import Prediction

__all__ = ["COLUMN_ROWS", "PIECE_ROWS", "row_spans", "stream_if_long"]

COLUMN_ROWS = 32
"""Number of rows from which `modelgate.codecs.json_writer.encode_rows` is faster than encoding objects."""

PIECE_ROWS = 4096
"""Number of rows that are encoded at once. As Python objects they take ten times the memory of their JSON."""


def row_spans(rows: int) -> Iterator[slice]:
    """Divide *rows* rows into slices of at most `PIECE_ROWS` rows."""
    for start in range(0, rows, PIECE_ROWS):
        yield slice(start, min(start + PIECE_ROWS, rows))


def stream_if_long(prediction: Prediction, pieces: Iterator[bytes]) -> bytes | Iterator[bytes]:
    """Return the joined *pieces*, or an iterator over them if *prediction* has more than 4,096 rows.

    The first piece is encoded here, so that its errors are raised before the response begins.

    Raises:
        UnicodeEncodeError: A predicted label contains lone surrogates, which UTF-8 cannot encode.
    """
    if len(prediction) <= PIECE_ROWS:
        return b"".join(pieces)
    for output in prediction.outputs:
        if output.values.dtype.kind in "OU":
            for span in row_spans(len(prediction)):
                msgspec.json.encode(output.values[span].tolist())
    return chain([next(pieces)], pieces)

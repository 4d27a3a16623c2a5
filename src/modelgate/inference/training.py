"""Training data in the package of a model."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..errors import ConfigurationError, RequestError
from ..schema import Schema, Table

__all__ = ["TrainingData", "read_sample"]


class TrainingData:
    """Sample and statistics of the training rows.

    Args:
        schema: Schema of the model.
        sample: Sample of the training rows, as mappings of values by column name.
        statistics: Content of ``statistics.json`` in the package.

    Attributes:
        rows: Number of training rows.
        statistics: Statistics by column.
        target_statistics: Statistics of each output; empty if the package has none.
    """

    def __init__(
        self, schema: Schema, sample: Sequence[Mapping[str, Any]], statistics: Mapping[str, Any]
    ) -> None:
        self._schema = schema
        self._sample = sample
        self.rows: int = statistics.get("rows", 0)
        self.statistics: Mapping[str, Any] = statistics.get("columns", {})
        self.target_statistics: Sequence[Mapping[str, Any]] = statistics.get("target", ())

    @cached_property
    def background(self) -> Table | None:
        """Sample as a table, read on first use; None if the schema accepts none of its rows."""
        return read_sample(self._schema, self._sample)


def read_sample(schema: Schema, sample: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return the rows of *sample* that *schema* accepts, or None if there are none."""
    if not isinstance(sample, list | tuple) or not all(isinstance(row, Mapping) for row in sample):
        raise ConfigurationError(
            f"sample must be a list of rows, each a mapping of column names to values (got {sample!r:.80})"
        )
    tables = []
    for row in sample:
        with contextlib.suppress(RequestError):
            tables.append(schema.read([row]))
    return Table.concat(tables) if tables else None

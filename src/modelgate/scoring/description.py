"""Descriptions of deployments. Dialects convert them to metadata in their wire formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..forecasting import TimeSeriesSpec
from ..inference import Target
from ..schema import Schema

__all__ = ["Description"]


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """Metadata of a deployment, independent of the wire format.

    Args:
        name: Deployment name.
        version: Version of the model.
        model_id: Name of the model.
        schema: Schema of the input.
        targets: Predicted targets. For a function, only their names may be known.
        function: Whether the model is a function, which may have side effects.
        endpoint: Additional path of the deployment (option *endpoint* of `Deployment`); None if it has none.
        time_series: Columns and windows of a forecaster; None for other models.
        example: Rows that a forecaster can score; None for other models, and while the
            forecaster is not in memory.
        max_explanations: Maximum number of contributions in a response; None for a deployment without
            explanations.
    """

    name: str
    version: str
    model_id: str
    schema: Schema
    targets: Sequence[Target]
    function: bool = False
    endpoint: str | None = None
    time_series: TimeSeriesSpec | None = None
    example: Sequence[Mapping[str, Any]] | None = None
    max_explanations: int | None = None

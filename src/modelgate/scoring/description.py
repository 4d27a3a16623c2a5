"""Descriptions of deployments, for metadata in any wire format."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..inference import Target
from ..schema import Schema

__all__ = ["Description"]


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """Metadata of a deployment, independent of the wire format.

    Args:
        name: Deployment name.
        version: Version of its model.
        model_id: Name of its model.
        schema: Schema of its input.
        targets: Predicted targets; for a function only their names may be known.
        function: Whether the model is a function, which may have side effects.
        endpoint: Additional path of the deployment, see `Deployment`.
    """

    name: str
    version: str
    model_id: str
    schema: Schema
    targets: Sequence[Target]
    function: bool = False
    endpoint: str | None = None

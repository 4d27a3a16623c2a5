"""Convert MLflow model signatures to columns."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import ConfigurationError
from ..columns import Column, Kind
from ..datetimes import Resolution
from .kinds import unsupported_column

__all__ = ["read_mlflow_signature"]


def read_mlflow_signature(signature: Any) -> list[Column]:
    """Return the input columns of an MLflow signature.

    Args:
        signature: MLflow ``ModelSignature``, its ``inputs``, or the ``to_dict()`` of either.

    Raises:
        ConfigurationError: The signature has no inputs, contains tensors, or has a column of a composite
            type.
    """
    specs = _column_specs(signature)
    if not specs:
        raise ConfigurationError("signature must have inputs (got none): set schema=Schema.of(…) instead")
    return [_create_column(index, _to_mapping(spec)) for index, spec in enumerate(specs)]


def _column_specs(signature: Any) -> list[Any]:
    if isinstance(signature, Mapping):
        signature = signature.get("inputs")
    for _ in range(2):
        # ModelSignature.inputs is an MLflow Schema, whose inputs are the columns.
        signature = getattr(signature, "inputs", signature)
    if isinstance(signature, str | bytes):
        try:
            signature = json.loads(signature)
        except ValueError as error:
            raise ConfigurationError(f"signature must be valid JSON: {error}") from None
    if signature is None:
        return []
    if not isinstance(signature, Iterable) or isinstance(signature, Mapping):
        raise ConfigurationError(
            f"signature must be an MLflow ModelSignature, its inputs, or its to_dict() (got {signature!r})"
        )
    return list(signature)


def _to_mapping(spec: Any) -> Mapping[str, Any]:
    """Return the fields of a ``ColSpec`` in the form of its ``to_dict()`` (as of MLflow 3.17)."""
    if isinstance(spec, Mapping):
        return spec
    data_type = getattr(spec, "type", None)
    type_name = "tensor" if hasattr(spec, "shape") else getattr(data_type, "name", str(data_type).lower())
    return {
        "type": type_name,
        "name": getattr(spec, "name", None),
        "required": getattr(spec, "required", True),
    }


_KINDS: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "string": "text",
    "datetime": "datetime",
}


def _create_column(index: int, spec: Mapping[str, Any]) -> Column:
    name, type_name = spec.get("name"), spec.get("type")
    name = f"x{index}" if name is None else name
    if type_name == "tensor":
        raise ConfigurationError("signature must have columns (got tensors): set schema=Schema.of(…) instead")
    if type_name == "any":
        return Column(name, "any", nullable=True)
    if not isinstance(type_name, str) or type_name not in _KINDS:
        raise unsupported_column(name, f"the type {type_name}")
    # MLflow treats null in an optional column like a missing column.
    required = bool(spec.get("required", True))
    # MLflow converts datetimes to datetime64[ns].
    resolution: Resolution | None = "ns" if type_name == "datetime" else None
    return Column(name, _KINDS[type_name], required=required, nullable=not required, resolution=resolution)

"""Write the members of a package, and check that the written model makes the same predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..schema import Schema
from ..schema.schema_file import schema_to_dict
from .archive import MANIFEST, SIGNATURE
from .ed25519 import sign
from .forecaster_package import dump_model
from .manifest import Manifest
from .training_sample import verify_example

__all__ = ["write_members"]


def write_members(
    model: Any,
    manifest: Manifest,
    schema: Schema,
    documents: Mapping[str, Any],
    sign_key: str | Path | None,
) -> dict[str, bytes]:
    """Return the members of a package by name, including the manifest with their digests.

    Args:
        model: Fitted estimator or forecaster.
        manifest: Metadata of the model.
        schema: Schema of the input.
        documents: Other members, which are written as JSON. Documents that are None are left out.
        sign_key: See `ModelPackage.save`.

    Raises:
        ConfigurationError: The model cannot be written, or it does not reproduce the example.
    """
    documents = {"schema.json": schema_to_dict(schema.columns, schema.options), **documents}
    members = {name: msgspec.json.encode(value) for name, value in documents.items() if value is not None}
    model_members, written = dump_model(model, manifest.model)
    members |= model_members
    # A gate makes the same check when it loads the package.
    verify_example(written, schema, msgspec.json.decode(members["example.json"]))
    encoded = msgspec.json.format(msgspec.json.encode(manifest.with_members(members)))
    signature = {} if sign_key is None else {SIGNATURE: sign(encoded, sign_key)}
    return {MANIFEST: encoded, **signature, **members}

"""Create the OpenAPI documents of a gate without a server."""

import contextlib
from typing import Any

import msgspec

from ..deployments import Deployments
from ..errors import DeploymentUnavailable
from ..flow import drive
from ..flow.model_thread import in_model_thread
from .openapi import OpenAPI

__all__ = ["create_document"]


def create_document(openapi: OpenAPI, deployments: Deployments, name: str | None) -> dict[str, Any]:
    """Return the OpenAPI document of one deployment, or of all if *name* is None; see `Gate.openapi`."""
    catalog = deployments.catalog
    if name is None:
        flow = openapi.merged_document(sorted(catalog), catalog)
    else:
        # The document has predictions as examples only if the model is in memory.
        with contextlib.suppress(DeploymentUnavailable):
            deployments.predictor(name)
        flow = openapi.document(name, catalog)
    return msgspec.json.decode(in_model_thread(drive, flow), type=dict[str, Any])

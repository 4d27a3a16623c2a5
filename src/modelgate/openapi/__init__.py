"""OpenAPI 3.1 documents of deployments, in every wire format of the gate."""

from .openapi import OpenAPI

__all__ = ["OpenAPI"]

"""The OpenAPI 3.1 document of a deployment, in every wire format its gate speaks."""

from .openapi import OpenAPI

__all__ = ["OpenAPI"]

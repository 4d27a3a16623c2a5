"""OpenAPI 3.1 documents of deployments. They describe the requests in every dialect of the gate."""

from .openapi import OpenAPI

__all__ = ["OpenAPI"]

"""What a deployment's input must look like, and the tables made of it."""

from .columns import Column, Kind
from .schema import Schema
from .table import Table

__all__ = ["Column", "Kind", "Schema", "Table"]

"""What a deployment's input must look like, and the tables made of it."""

from .columns import Column, Kind
from .csv_out import csv_of
from .csv_rows import CSV
from .passthrough import kept_columns
from .policy import Policy
from .rows import Split, by_row
from .schema import Schema
from .table import Table

__all__ = ["CSV", "Column", "Kind", "Policy", "Schema", "Split", "Table", "by_row", "csv_of", "kept_columns"]

"""Schemas of deployment inputs, and tables of validated rows."""

from ..codecs.csv_writer import write_csv
from .columns import Column, Kind
from .csv_decoder import CSV
from .images import ImageSpec
from .json_columns import rows_from_columns
from .lazy_table import LazyTable
from .passthrough import read_passthrough_columns, read_sent_rows
from .schema import Schema
from .schema_options import SchemaOptions
from .split_rows import LazyRows, SplitRows, columns_to_records
from .table import Table

__all__ = [
    "CSV",
    "Column",
    "ImageSpec",
    "Kind",
    "LazyRows",
    "LazyTable",
    "Schema",
    "SchemaOptions",
    "SplitRows",
    "Table",
    "columns_to_records",
    "read_passthrough_columns",
    "read_sent_rows",
    "rows_from_columns",
    "write_csv",
]

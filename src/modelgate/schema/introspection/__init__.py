"""Derive schemas from fitted models, sample data, MLflow signatures and pandera schemas.

Objects of other packages are recognized by their attributes, so that none of the packages is imported.
"""

from .mlflow import read_mlflow_signature
from .pandera import read_pandera_schema
from .sample import infer_from_sample, infer_from_values

__all__ = ["infer_from_sample", "infer_from_values", "read_mlflow_signature", "read_pandera_schema"]

"""The model as MLflow saves it, for ``mlflow models serve``. It has no batching."""

import sys

import mlflow.sklearn
from shared import MODEL

mlflow.sklearn.save_model(
    MODEL, sys.argv[1], pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
)

"""Save the model for ``mlflow models serve``, which does not batch."""

import sys

import mlflow.sklearn
from shared import MODEL

mlflow.sklearn.save_model(
    MODEL, sys.argv[1], pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
)

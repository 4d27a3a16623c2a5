"""Plans for k-means, which call scikit-learn's compiled search for the nearest center."""

from typing import Any

import numpy as np

from ...schema import Table
from .base import FeatureSource, PlanOutput, PredictFn, register_predictor, reject_nonfinite

__all__: list[str] = []


@register_predictor("sklearn.cluster._kmeans", "KMeans", "MiniBatchKMeans")
def _plan_k_means(step: Any, source: FeatureSource) -> PredictFn:
    from sklearn.cluster._kmeans import _labels_inertia

    read, centers = source.number_reader(step), step.cluster_centers_

    def predict(table: Table) -> PlanOutput:
        block = np.ascontiguousarray(read(table), dtype=centers.dtype)
        reject_nonfinite(block)
        return _labels_inertia(block, np.ones(len(block)), centers, n_threads=1, return_inertia=False), None

    return predict

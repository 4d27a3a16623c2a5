"""k-means, through scikit-learn's compiled search for the nearest centre."""

from typing import Any

import numpy as np

from ...schema import Table
from .parts import Answer, Answering, Source, predictor, refuse_nonfinite

__all__: list[str] = []


@predictor("sklearn.cluster._kmeans", "KMeans", "MiniBatchKMeans")
def _k_means(step: Any, source: Source) -> Answering:
    from sklearn.cluster._kmeans import _labels_inertia

    read, centers = source.numbers(step), step.cluster_centers_

    def answer(table: Table) -> Answer:
        block = np.ascontiguousarray(read(table), dtype=centers.dtype)
        refuse_nonfinite(block)
        return _labels_inertia(block, np.ones(len(block)), centers, n_threads=1, return_inertia=False), None

    return answer

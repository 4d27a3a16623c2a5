"""Scoring layer that compares the model with a shadow, that is, a second model that scores the same requests."""

import logging
import math
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from ...flow import Flow, Handler, drive
from ...flow.fair_pool import FairThreadPool
from ...flow.fork_safety import reset_after_fork
from ...inference import Output, Prediction
from ..query import Query
from .curve import AddCurve

__all__ = ["ShadowLayer", "ShadowReport"]

logger = logging.getLogger("modelgate")

_MAX_QUEUED = 32
"""Largest number of requests queued for a shadow. Each has its body in memory."""


class ShadowReport(NamedTuple):
    """Comparison of a shadow with the serving model, in this process.

    Attributes:
        rows: Number of rows that both models have scored.
        agreed: Number of rows for which both models predicted the same. Labels must be equal; numbers may
            differ by one part in a million. NaN equals NaN.
        difference: Mean absolute difference of the finite predicted numbers; None if there are no such
            numbers.
        failed: Number of requests that the shadow failed to score.
        dropped: Number of requests that were not compared because the queue of the shadow was full.
    """

    rows: int = 0
    agreed: int = 0
    difference: float | None = None
    failed: int = 0
    dropped: int = 0


class ShadowLayer:
    """Scoring layer that also scores a sample of the requests with a shadow, in another thread.

    The layer compares the predictions of both models. Layers that change predictions must be
    outside of this layer.

    Args:
        name: Deployment name.
        sample: Fraction of the requests that the shadow scores; see `Shadow`.
        score: Handler that scores a query with the shadow.
        chance: Function that returns a random number from 0 to 1.
    """

    scores = True

    def __init__(
        self,
        name: str,
        sample: float,
        score: Handler[Query, Prediction],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._sample = sample
        self._score = score
        self._chance = chance
        self._threads = FairThreadPool(1).share()
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start with an empty report and no comparison queued."""
        self._lock = threading.Lock()
        self._report, self._numbers, self._queued = ShadowReport(), 0, 0

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        sampled = not isinstance(query.layer, AddCurve) and self._chance() < self._sample
        return self._score_and_compare(query, call_next) if sampled else call_next(query)

    def _score_and_compare(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        prediction = yield from call_next(query)
        with self._lock:
            if self._queued >= _MAX_QUEUED:
                self._report = self._report._replace(dropped=self._report.dropped + 1)
                return prediction
            self._queued += 1
        # Copy the outputs, because outer layers may change them.
        outputs = [replace(output, values=output.values.copy()) for output in prediction.outputs]
        shadow_query = Query(query.rows, max_rows=None, forecast=query.forecast)
        self._threads.submit(partial(self._compare, shadow_query, outputs))
        return prediction

    def _compare(self, query: Query, outputs: Sequence[Output]) -> None:
        try:
            shadow_outputs = drive(self._score(query)).outputs
            agreed, differences = _compare_outputs(outputs, shadow_outputs)
        except Exception as error:
            with self._lock:
                report = self._report = self._report._replace(failed=self._report.failed + 1)
            if report.failed == 1:
                logger.warning("deployment %s: shadow cannot score", self._name, exc_info=error)
        else:
            self._count(agreed, differences)
        finally:
            with self._lock:
                self._queued -= 1

    def _count(self, agreed: Sequence[bool], differences: Sequence[float]) -> None:
        with self._lock:
            report, numbers_before = self._report, self._numbers
            self._numbers += len(differences)
            if self._numbers:
                sum_before = 0.0 if report.difference is None else report.difference * numbers_before
                report = report._replace(difference=(sum_before + math.fsum(differences)) / self._numbers)
            self._report = report._replace(rows=report.rows + len(agreed), agreed=report.agreed + sum(agreed))

    def report(self) -> ShadowReport:
        """Return the report on the requests compared so far."""
        with self._lock:
            return self._report


def _compare_outputs(
    outputs: Sequence[Output], shadow_outputs: Sequence[Output]
) -> tuple[list[bool], list[float]]:
    """Return for each row whether the predictions agree, and the absolute differences of all finite numbers.

    Raises:
        ValueError: The models have different numbers of outputs or rows.
    """
    agreed, differences = np.ones(len(outputs[0].values), dtype=bool), []
    for output, shadow_output in zip(outputs, shadow_outputs, strict=True):
        values, shadow_values = output.values, shadow_output.values
        if values.dtype.kind == shadow_values.dtype.kind == "f":
            agreed &= np.isclose(values, shadow_values, rtol=1e-6, atol=1e-12, equal_nan=True)
            with np.errstate(invalid="ignore"):
                difference = np.abs(values - shadow_values)
            differences += difference[np.isfinite(difference)].tolist()
        else:
            pairs = zip(values.tolist(), shadow_values.tolist(), strict=True)
            agreed &= np.array([value == shadow_value for value, shadow_value in pairs], dtype=bool)
    return agreed.tolist(), differences

"""A second model that scores what the first one did, and answers nobody."""

import logging
import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from ..errors import ConfigurationError
from ..flow import Flow, Handler, drive
from ..flow.forks import renew_in_child
from ..flow.threads import Threads
from .query import Output, Prediction, Query
from .rollout import check_candidate

__all__ = ["Agreement", "Shadow", "Shadowing"]

logger = logging.getLogger("modelgate")

_WAITING = 32
"""How many requests wait for a shadow at most; each holds its body in memory."""


@dataclass(frozen=True, eq=False)
class Shadow:
    """Have another model score what a deployment's own one does, to see how far they agree.

    It has a thread of its own and a queue of 32 requests; what does not fit in is left out. Nobody
    waits for it, and no error of it is anybody's.

    Args:
        model: ``"store:churn@4"``, or a package.
        sample: which part of the requests, from 0 to 1.

    Raises:
        ConfigurationError: an option cannot work.
    """

    model: Any
    sample: float = 1.0

    def __post_init__(self) -> None:
        check_candidate(self.model)
        number = isinstance(self.sample, int | float) and not isinstance(self.sample, bool)
        if not number or not 0 <= self.sample <= 1:
            raise ConfigurationError(f"sample={self.sample!r}: accepts a number from 0 to 1")


class Agreement(NamedTuple):
    """How far a shadow agrees with the model that answers, in this process.

    Attributes:
        rows: that both have scored.
        agreed: of them those with the same labels, and the same numbers to one part in a million; NaN is the same as NaN.
        difference: of their numbers, on average, where both are finite; None where there are none.
        failed: requests that the shadow could not score.
        dropped: requests that found its queue full.
    """

    rows: int = 0
    agreed: int = 0
    difference: float | None = None
    failed: int = 0
    dropped: int = 0


class Shadowing:
    """The scoring layer that shows the rows to a shadow. Below all that changes predictions.

    Args:
        name: of the deployment.
        sample: as of `Shadow`.
        score: what the shadow makes of a query.
        chance: gives a number from 0 to 1.
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
        self._renew()
        renew_in_child(self, Shadowing._renew)

    def _renew(self) -> None:
        """Nothing is counted and nothing waits: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._threads = Threads(1).share()
        self._told, self._numbers, self._waiting = Agreement(), 0, 0

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        return self._shadowed(query, call_next) if self._chance() < self._sample else call_next(query)

    def _shadowed(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        prediction = yield from call_next(query)
        with self._lock:
            if self._waiting >= _WAITING:
                self._told = self._told._replace(dropped=self._told.dropped + 1)
                return prediction
            self._waiting += 1
        # The layers outside may change what they are given.
        said = [replace(output, values=output.values.copy()) for output in prediction.outputs]
        self._threads.submit(partial(self._compare, query.rows, said))
        return prediction

    def _compare(self, rows: Any, said: Sequence[Output]) -> None:
        try:
            agreed, apart = _compared(said, drive(self._score(Query(rows, max_rows=None))).outputs)
        except Exception as error:
            with self._lock:
                told = self._told = self._told._replace(failed=self._told.failed + 1)
            if told.failed == 1:
                logger.warning("the shadow of deployment %s cannot score", self._name, exc_info=error)
        else:
            self._count(agreed, apart)
        finally:
            with self._lock:
                self._waiting -= 1

    def _count(self, agreed: Sequence[bool], apart: Sequence[float]) -> None:
        with self._lock:
            told, before = self._told, self._numbers
            self._numbers += len(apart)
            if self._numbers:
                sum_before = 0.0 if told.difference is None else told.difference * before
                told = told._replace(difference=(sum_before + math.fsum(apart)) / self._numbers)
            self._told = told._replace(rows=told.rows + len(agreed), agreed=told.agreed + sum(agreed))

    def agreement(self) -> Agreement:
        """How far they agree until now."""
        with self._lock:
            return self._told


def _compared(ours: Sequence[Output], theirs: Sequence[Output]) -> tuple[list[bool], list[float]]:
    """Which rows agree, and how far each of their numbers is from the other.

    Raises:
        ValueError: there are more outputs of one than of the other.
    """
    agreed, apart = np.ones(len(ours[0].values), dtype=bool), []
    for one, other in zip(ours, theirs, strict=True):
        if one.values.dtype.kind == other.values.dtype.kind == "f":
            agreed &= np.isclose(one.values, other.values, rtol=1e-6, atol=1e-12, equal_nan=True)
            with np.errstate(invalid="ignore"):
                between = np.abs(one.values - other.values)
            apart += between[np.isfinite(between)].tolist()
        else:
            pairs = zip(one.values.tolist(), other.values.tolist(), strict=True)
            agreed &= np.array([mine == yours for mine, yours in pairs], dtype=bool)
    return agreed.tolist(), apart

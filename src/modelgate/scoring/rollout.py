"""Which of several models answers a request."""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..flow import Flow, run
from ..models import ModelPackage
from ..models.package import PACKAGE
from ..schema.passthrough import first_value
from .query import Query
from .validate import is_large

__all__ = ["Choice", "Rollout", "check_candidate", "choose", "place_of"]

_COLUMN = "column:"


@dataclass(frozen=True, eq=False)
class Rollout:
    """Give some of a deployment's requests to other models: a canary, or an A/B test.

    A request goes to one of them whole. What they do not get stays with the deployment's own model.

    Args:
        percents: by model, ``"store:churn@4"`` or a package, how many requests of a hundred it answers;
            sorted by its name, so that who stays with which does not depend on how they were written.
        by: what stays with one model, in every process and after every start: ``"key"``, whoever has
            the key of the request; ``"column:customer"``, the value that column has in the first row,
            whether or not the model asks for it; or ``"request"``, nothing. Whoever has no key, or no
            such column, stays with the deployment's own model.

    Raises:
        ConfigurationError: an option cannot work.
    """

    percents: Mapping[Any, float]
    by: str = "request"

    def __post_init__(self) -> None:
        if not isinstance(self.percents, Mapping) or not self.percents:
            raise ConfigurationError(
                f'percents={self.percents!r}: accepts {{model: percent}}, as {{"store:churn@4": 5}}'
            )
        for model, percent in self.percents.items():
            check_candidate(model)
            if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
                raise ConfigurationError(f"percents: {percent!r}: accepts numbers from 0 to 100")
        ordered = sorted(self.percents.items(), key=lambda item: _name_of(item[0]))
        object.__setattr__(self, "percents", dict(ordered))
        if math.fsum(self.percents.values()) > 100:
            raise ConfigurationError(f"percents={dict(self.percents)!r}: accepts no more than 100 together")
        known = self.by in ("request", "key")
        if not known and not (
            isinstance(self.by, str) and self.by.removeprefix(_COLUMN) not in ("", self.by)
        ):
            raise ConfigurationError(f'by={self.by!r}: accepts "request", "key" or "column:name"')


def check_candidate(model: Any) -> None:
    """Raises `ConfigurationError` where *model* would not tell its version."""
    text = isinstance(model, str) and model.startswith("store:")
    file = isinstance(model, str | Path) and Path(model).suffix == PACKAGE
    if not (text or file or isinstance(model, ModelPackage)):
        raise ConfigurationError(
            f'{model!r}: accepts what tells its version: "store:name@version", or a package'
        )


def _name_of(model: Any) -> str:
    return (
        f"{model.manifest.name}@{model.manifest.version}" if isinstance(model, ModelPackage) else str(model)
    )


def place_of(name: str, unit: str) -> float:
    """Where *unit* stands from 0 to 1 in the deployment *name*: the same everywhere, and evenly spread."""
    told = unit.encode("utf-8", "surrogatepass")
    digest = blake2b(told, digest_size=8, key=name.encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def edges_of(shares: Sequence[float]) -> list[float]:
    """Where the part of each of the other models ends, and that of the last one of several begins.

    That one has the far end and the deployment's own what is between, so that of two both grow into it.
    """
    *first, last = shares if len(shares) > 1 else (*shares, 0.0)
    ends = [math.fsum(first[: at + 1]) for at in range(len(first))]
    return [*ends, max(1 - last, ends[-1])]


def choose(edges: Sequence[float], place: float) -> int:
    """Which of the models at *place*: 1 for the first of the others, and 0 for the deployment's own.

    As the share of the first or of the last one grows, what it had stays in it.
    """
    at, own = bisect_right(edges, place), len(edges) - 1
    return at if at > own else (at + 1) % len(edges)


class Choice:
    """Chooses a model for each query.

    Args:
        rollout: by which.
        name: of the deployment; what stands first in one stands elsewhere in the next.
        chance: gives a number from 0 to 1 for a request that stays with nothing.
    """

    def __init__(self, rollout: Rollout, name: str, chance: Callable[[], float] = random.random) -> None:
        self._edges = edges_of([percent / 100 for percent in rollout.percents.values()])
        self._by = rollout.by
        self._column = rollout.by.removeprefix(_COLUMN)
        self._name = name
        self._chance = chance

    def pick(self, query: Query) -> Flow[int]:
        """See `choose`."""
        if self._by == "request":
            return choose(self._edges, self._chance())
        unit = query.caller if self._by == "key" else (yield from self._value(query.rows))
        return 0 if unit is None else choose(self._edges, place_of(self._name, unit))

    def _value(self, rows: object) -> Flow[str | None]:
        """The value of the column, as JSON and CSV alike spell it."""
        read = partial(first_value, rows, self._column)
        value = (yield from run(read)) if is_large(rows) else read()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return None if value is None else str(value)

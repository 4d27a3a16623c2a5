"""Traffic splits and shadows: several models behind one deployment."""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, DeploymentUnavailable, NotFound
from ..flow import Flow, run
from ..models import ModelPackage
from ..models.package_files import PACKAGE
from ..schema import CSV, Schema, SplitRows
from ..schema.passthrough import first_value
from ..scoring.layers.validate import SchemaOf
from ..scoring.many_rows import is_large
from ..scoring.query import Query

__all__ = ["Rollout", "Shadow", "TrafficSplitter", "check_candidate", "hash_to_unit", "pick_model"]

_COLUMN = "column:"


@dataclass(frozen=True, eq=False)
class Rollout:
    """Traffic split that sends some of a deployment's requests to other models, for a canary or an A/B test.

    The deployment's own model answers the remaining requests. All rows of a request go to the same model.

    Args:
        weights: Percentage of requests by model. A model is ``"store:churn@4"`` or a package. The order
            of the models does not matter, because they are sorted by name.
        sticky_by: How to assign requests to models: ``"request"`` at random, ``"key"`` by the owner of the
            API key, ``"column:customer"`` by the value of that column in the first row. The same owner or
            value always gets the same model, in every process and after a restart. The models need not use
            the column. Requests without a key, or without the column, go to the deployment's own model.

    Raises:
        ConfigurationError: An option cannot be used.
    """

    weights: Mapping[Any, float]
    sticky_by: str = "request"

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise ConfigurationError(
                f'weights must be {{model: percent}}, such as {{"store:churn@4": 5}} (got {self.weights!r})'
            )
        for model, percent in self.weights.items():
            check_candidate(model)
            if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
                raise ConfigurationError(f"weights must be numbers from 0 to 100 (got {percent!r})")
        ordered = sorted(self.weights.items(), key=lambda item: _model_name(item[0]))
        object.__setattr__(self, "weights", dict(ordered))
        if math.fsum(self.weights.values()) > 100:
            raise ConfigurationError(f"weights must be at most 100 in total (got {dict(self.weights)!r})")
        known = self.sticky_by in ("request", "key")
        if not known and not (
            isinstance(self.sticky_by, str)
            and self.sticky_by.removeprefix(_COLUMN) not in ("", self.sticky_by)
        ):
            raise ConfigurationError(
                f'sticky_by must be "request", "key" or "column:name" (got {self.sticky_by!r})'
            )


@dataclass(frozen=True, eq=False)
class Shadow:
    """Second model that scores a deployment's requests, so that the predictions of both can be compared.

    The shadow has its own thread and a queue of 32 requests; when the queue is full, requests are
    skipped. Callers neither wait for the shadow nor see its errors.

    Args:
        model: ``"store:churn@4"``, or a package.
        sample: Share of requests to score, from 0 to 1.

    Raises:
        ConfigurationError: An option cannot be used.
    """

    model: Any
    sample: float = 1.0

    def __post_init__(self) -> None:
        check_candidate(self.model)
        is_number = isinstance(self.sample, int | float) and not isinstance(self.sample, bool)
        if not is_number or not 0 <= self.sample <= 1:
            raise ConfigurationError(f"sample must be a number from 0 to 1 (got {self.sample!r})")


def check_candidate(model: Any) -> None:
    """Raise `ConfigurationError` unless *model* is a package or a stored model. Other models have no version."""
    is_stored = isinstance(model, str) and model.startswith("store:")
    is_file = isinstance(model, str | Path) and Path(model).suffix == PACKAGE
    if not (is_stored or is_file or isinstance(model, ModelPackage)):
        raise ConfigurationError(
            f'the model must be a package or "store:name@version", so that it has a version (got {model!r})'
        )


def _model_name(model: Any) -> str:
    return (
        f"{model.manifest.name}@{model.manifest.version}" if isinstance(model, ModelPackage) else str(model)
    )


def hash_to_unit(name: str, value: str) -> float:
    """Map *value* to a number from 0 to 1, evenly distributed and the same in every process.

    The hash includes the deployment *name*, so that a value gets unrelated numbers in different deployments.
    """
    data = value.encode("utf-8", "surrogatepass")
    digest = blake2b(data, digest_size=8, key=name.encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def boundaries(shares: Sequence[float]) -> list[float]:
    """Return the boundaries between the models on the range from 0 to 1.

    The first candidate starts at 0, and each further one where the previous one ends. If there are several,
    the last one ends at 1 instead. The deployment's own model gets the gap between them. Each of at most two
    candidates can therefore grow without moving the range of the other.

    Args:
        shares: Share of each candidate model, from 0 to 1.
    """
    *first, last = shares if len(shares) > 1 else (*shares, 0.0)
    ends = [math.fsum(first[: index + 1]) for index in range(len(first))]
    return [*ends, max(1 - last, ends[-1])]


def pick_model(edges: Sequence[float], position: float) -> int:
    """Return the index of the model at *position*: 0 for the deployment's own, 1 for the first candidate.

    When the share of the first or the last candidate grows, this candidate keeps its earlier positions.

    Args:
        edges: Result of `boundaries`.
        position: Number from 0 to 1.
    """
    index, own = bisect_right(edges, position), len(edges) - 1
    return index if index > own else (index + 1) % len(edges)


class TrafficSplitter:
    """Splitter that picks a model for each query of a deployment.

    Args:
        rollout: Weights and stickiness.
        name: Deployment name. Sticky assignments differ between deployments.
        schema: Schema of the deployment's own model, or a function that returns it. It provides the column
            names for rows without names, such as CSV without a header line.
        random_number: Function that returns a number from 0 to 1, to assign requests at random.
    """

    def __init__(
        self,
        rollout: Rollout,
        name: str,
        schema: Schema | SchemaOf,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._edges = boundaries([percent / 100 for percent in rollout.weights.values()])
        self._sticky_by = rollout.sticky_by
        self._column = rollout.sticky_by.removeprefix(_COLUMN)
        self._name = name
        self._schema = schema
        self._random_number = random_number

    def pick(self, query: Query) -> Flow[int]:
        """Return the index of the model for *query* (see `pick_model`)."""
        if self._sticky_by == "request":
            return pick_model(self._edges, self._random_number())
        value = query.caller if self._sticky_by == "key" else (yield from self._column_value(query))
        return 0 if value is None else pick_model(self._edges, hash_to_unit(self._name, value))

    def _column_value(self, query: Query) -> Flow[str | None]:
        """Return the column's value in the first row as text. JSON and CSV give the same text."""
        rows = query.rows
        if (isinstance(rows, CSV) and rows.header is None) or (
            isinstance(rows, SplitRows) and rows.columns is None
        ):
            rows = yield from self._name_columns(rows, query.load_timeout)
        read = partial(first_value, rows, self._column)
        value = (yield from run(read)) if is_large(rows) else read()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return None if value is None else str(value)

    def _name_columns(self, rows: CSV | SplitRows, load_timeout: float | None) -> Flow[CSV | SplitRows]:
        """Return *rows* with the column names of the schema, unless they are CSV with a header line."""
        schema = self._schema
        if not isinstance(schema, Schema):
            try:
                # Use a separate query, because the call sets its predictor to the deployment's own model.
                schema = yield from schema(Query(b"", load_timeout=load_timeout))
            except (NotFound, DeploymentUnavailable):
                return rows
        if isinstance(rows, SplitRows):
            return SplitRows(schema.names, rows.data)
        return rows if schema.options.csv_header else replace(rows, header=schema.names)

"""Queries: rows to score, as scoring layers see them."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ..flow import Flow
from ..flow.timing import Timing
from ..inference import Predictor
from ..schema import Table

__all__ = ["Query", "RowCheck"]

RowCheck: TypeAlias = Callable[[int], Flow[None]]


class Query(msgspec.Struct, eq=False):
    """Rows to score.

    Attributes:
        rows: Rows as received: raw JSON or Python values, see `modelgate.Schema.read`.
        deployment: Name of the requested deployment; None if the request names none.
        version: Requested version of its model; None for any.
        caller: Identity of the caller, if a `Rollout` needs it.
        table: The rows once they are validated.
        predictor: The model that scores them, once it is taken from the cache.
        cache_hit: Whether the model was in the cache.
        single: Whether the caller sent one row outside of a list, and expects one result outside of a list.
        max_rows: Largest number of rows that the service of the wire format accepts; None for no limit.
        decimals: Decimals to which the service of the wire format rounds numbers; None for no rounding.
        passthrough_columns: Columns to echo back, ``"all"`` for all of them, None for none.
        on_rows: Checks that are called with the number of validated rows, and may reject the query.
        timing: Timing of the request's phases, if it was requested.
        load_timeout: Seconds to wait for a model that is being loaded, see `ModelCache.get`.
    """

    rows: Any
    deployment: str | None = None
    table: Table | None = None
    predictor: Predictor | None = None
    cache_hit: bool | None = None
    single: bool = False
    max_rows: int | None = 10_000
    decimals: int | None = None
    passthrough_columns: Sequence[str] | Literal["all"] | None = None
    on_rows: Sequence[RowCheck] = ()
    version: str | None = None
    caller: str | None = None
    timing: Timing | None = None
    load_timeout: float | None = None

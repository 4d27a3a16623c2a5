"""Index the rows of a request by series and date."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, InvalidValues
from ..schema import Table
from ..schema.report import SHOWN_ROWS
from .calendar import Keys
from .spec import TimeSeriesSpec
from .timestamps import format_like, format_utc, parse_moment

__all__ = ["SeriesRows", "describe_dates", "describe_rows", "join_some"]

_DATE_RULE = "must be a date, or date and time, in ISO 8601, such as 2024-01-06 or 2024-01-06T10:00:00Z"


class SeriesRows:
    """Rows of a table, indexed by series and date.

    Args:
        table: Rows that match the schema of *spec*.
        spec: Columns of the series.

    Attributes:
        ids: Distinct series, as sent, in order of first appearance; None for a single series.
        names: Names of the distinct series, as text.
        codes: For each row, the index of its series in *names*.
        keys: Date of each row, as local time for steps of days and longer, else in UTC.
        utc: Date of each row in UTC.
        dates: Date of each row, as sent.
        values: Target of each row; NaN for null.
        columns: Values of the columns known in advance, by name; NaN for null.

    Raises:
        InvalidValues: A date cannot be read.
        InvalidInput: There are no rows, or a series is sent both as a number and as text.
    """

    def __init__(self, table: Table, spec: TimeSeriesSpec) -> None:
        if not len(table):
            raise InvalidInput("Send the history of the series: the request has no rows")
        self.spec = spec
        self.dates: list[str] = table[spec.date_column].tolist()
        moments = [parse_moment(text, spec.timezone) for text in self.dates]
        if None in moments:
            rows = [row for row, moment in enumerate(moments) if moment is None]
            raise InvalidValues({spec.date_column: f"{self._date_rule} ({describe_rows(rows)})"})
        both = np.array(moments, dtype=np.int64)
        self.keys: Keys = both[:, 0 if spec.parsed_step.is_daily else 1]
        self.utc: Keys = both[:, 1]
        self.ids: list[Any] | None = None
        self.names, self.codes = [""], np.zeros(len(table), dtype=np.int64)
        if spec.series_id is not None:
            codes: dict[Any, int] = {}
            ids = table[spec.series_id].tolist()
            self.codes = np.array([codes.setdefault(name, len(codes)) for name in ids], dtype=np.int64)
            self.ids, self.names = list(codes), list(map(_series_name, codes))
            if len(set(self.names)) < len(self.names):
                raise InvalidInput(
                    f"{spec.series_id} must not name a series both by a number and by text (1 and '1')"
                )
            # True equals 1 and 1.0 as the key of a dictionary.
            if not codes.keys().isdisjoint((0, 1)) and _has_both_kinds(ids):
                raise InvalidInput(
                    f"{spec.series_id} must not name a series both by a number and by a boolean (1 and true)"
                )
        self.values: npt.NDArray[np.float64] = table[spec.target]
        self.columns: Mapping[str, npt.NDArray[np.float64]] = {
            name: table[name] for name in spec.known_in_advance
        }

    def __len__(self) -> int:
        return len(self.keys)

    def parse(self, option: str, text: str) -> int:
        """Parse the date in a request option, and return it in the form of the dates in *keys*.

        Raises:
            InvalidInput: *text* is not a date.
        """
        is_short = isinstance(text, str) and len(text) <= 64
        moment = parse_moment(text, self.spec.timezone) if is_short else None
        if moment is None:
            raise InvalidInput(f"{option} {self._date_rule}")
        return moment.wall if self.spec.parsed_step.is_daily else moment.utc

    def format_points(self, keys: Keys, codes: npt.NDArray[np.int64]) -> list[str]:
        """Return the dates *keys* as ISO 8601 texts in UTC. *codes* contains the series of each date."""
        if self.spec.timezone is not None or not np.array_equal(self.utc, self.keys):
            samples = dict(zip(self.codes.tolist(), self.dates, strict=True))
            pairs = zip(keys.tolist(), codes.tolist(), strict=True)
            keys = np.array([self.format_like(samples[code], key)[1] for key, code in pairs], dtype=np.int64)
        return format_utc(keys, unit="s")

    def format_like(self, text: str, key: int) -> tuple[str, int]:
        """Return the date *key* twice: in the form of *text*, and in UTC as microseconds since 1970.

        Raises:
            InvalidInput: The date is before the year 1 or after the year 9999.
        """
        try:
            return format_like(text, key, self.spec.timezone, local=self.spec.parsed_step.is_daily)
        except OverflowError:
            raise InvalidInput(
                "The forecast window is not within the years 1 to 9999: send other dates"
            ) from None

    @property
    def _date_rule(self) -> str:
        zone = self.spec.timezone
        return _DATE_RULE if zone is None else f"{_DATE_RULE}, and must exist in the time zone {zone}"

    def describe(self, code: int) -> str:
        """Return the name of a series for the start of an error message."""
        return f"Series {self.names[code]!r}" if self.ids is not None else "The series"


def describe_dates(keys: Keys) -> str:
    """List *keys* as dates for an error message: the first dates, and the number of the others."""
    texts = format_utc(keys, unit="s")
    is_short = all(text.endswith("T00:00:00Z") for text in texts)
    return join_some([text[:10] if is_short else text[:-1] for text in texts])


def _has_both_kinds(ids: Sequence[Any]) -> bool:
    """Return whether *ids* contains booleans and also the numbers 0 or 1, which are equal to booleans."""
    return len({isinstance(name, bool) for name in ids if name in (0, 1)}) > 1


def _series_name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def describe_rows(rows: Sequence[int]) -> str:
    """List row indices for an error message: ``row 3, 4``."""
    return f"row {join_some(list(map(str, rows)))}"


def join_some(texts: Sequence[str]) -> str:
    """Join the first *texts* with commas, and add the number of the others."""
    more = len(texts) - SHOWN_ROWS
    return ", ".join(texts[:SHOWN_ROWS]) + (f" and {more} more" if more > 0 else "")

"""What is wrong with an input: every fault at once."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import InvalidInput, InvalidValues, MissingColumns
from .columns import Column
from .policy import Policy

__all__ = ["Fault", "Report"]

COMPARED = 10
"""How many names are compared with how many for a near one: what a refusal costs has a bound too."""

SHOWN_ROWS, SHOWN_NAMES, SHOWN_TEXT = 5, 100, 60
"""How many rows, how many names and how much of a value one answer tells: it is as long as its reader."""


@dataclass(slots=True)
class Fault:
    """The values of one column that break one rule.

    Args:
        rule: what they must be.
        count: how many there are.
        rows: the first of their rows, counted from 0.
        value: the first of them.
    """

    rule: str
    value: object = None
    count: int = 0
    rows: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        """One more, in *row*."""
        self.count += 1
        if len(self.rows) < SHOWN_ROWS:
            self.rows.append(row)


@dataclass(slots=True)
class Report:
    """The faults of an input.

    Args:
        missing: the columns that lack in one row or more, in the order of the schema.
        faults: by column, for each rule broken.
        unexpected: the columns that the schema does not have, where it forbids them.
        meant: by a name that was sent, the column it may stand for.
    """

    missing: list[str] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    meant: dict[str, str] = field(default_factory=dict)

    def add(self, column: Column, rule: str, row: int, value: object) -> None:
        """Note that *value* in *row* breaks *rule*."""
        faults = self.faults.setdefault(column.name, [])
        fault = next((fault for fault in faults if fault.rule == rule), None)
        if fault is None:
            fault = Fault(rule, value)
            faults.append(fault)
        fault.add(row)

    def suggest(self, sent: Iterable[str]) -> None:
        """Find for each missing column the name it may have been sent as: ``bed`` for ``beds``."""
        unused = [name for name in list(sent)[:COMPARED] if len(name) <= SHOWN_TEXT]
        for column in self.missing[:COMPARED]:
            near = _nearest(column, unused)
            if near is not None:
                self.meant[near] = column

    def raise_for_faults(self, rows: int, columns: Sequence[Column], policy: Policy) -> None:
        """Raise the error of what was found, if anything was.

        Raises:
            MissingColumns: columns are missing; other faults stand beside them.
            InvalidValues: values break a rule, or columns are not expected.
        """
        if not (self.missing or self.faults or self.unexpected):
            return
        by_name = {column.name: column for column in columns}
        errors = {
            name: "; ".join(_told(fault, by_name[name], rows, echo=policy.echo) for fault in faults)
            for name, faults in self.faults.items()
        }
        details = {"unexpected_columns": self.unexpected[:SHOWN_NAMES], "did_you_mean": self.meant}
        error: InvalidInput = (
            MissingColumns(self.missing, errors, details) if self.missing else InvalidValues(errors, details)
        )
        if not policy.reveal:
            error.hide()
        raise error


def _nearest(name: str, names: list[str]) -> str | None:
    """The one of *names* that *name* may be a slip of. Comparing is slow, so long names are not compared."""
    if len(name) > SHOWN_TEXT:
        return None
    near = difflib.get_close_matches(name, [n for n in names if len(n) <= SHOWN_TEXT], n=1, cutoff=0.75)
    return near[0] if near else None


def _told(fault: Fault, column: Column, rows: int, *, echo: bool) -> str:
    told = fault.rule
    if isinstance(fault.value, str) and column.levels is not None:
        levels = [level for level in column.levels[: COMPARED**2] if isinstance(level, str)]
        near = _nearest(fault.value.strip().lower(), levels) if rows <= COMPARED else None
        told += f": did you mean {near}?" if near is not None else ""
    if echo:
        told += f", not {repr(fault.value)[:SHOWN_TEXT]}"
    if rows == 1:
        return told
    more = fault.count - len(fault.rows)
    shown = ", ".join(map(str, fault.rows)) + (f" and {more} more" if more else "")
    return f"{told} (row {shown})"

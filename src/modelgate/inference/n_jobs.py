"""Limit the number of processor cores that an estimator uses."""

from typing import Any

__all__ = ["force_single_job"]


def force_single_job(model: Any) -> None:
    """Set ``n_jobs`` to 1 on *model* and on every scikit-learn estimator in it, in place.

    Distributing a few rows to several threads takes longer than scoring them (for a forest, twice as long),
    and a server needs its cores for other requests. Predictions stay the same, except for rounding: with one
    job, the trees of a forest are always added up in the same order.
    """
    seen: set[int] = set()
    queue = [model]
    while queue:
        step = queue.pop()
        if id(step) in seen or not type(step).__module__.startswith("sklearn."):
            continue
        seen.add(id(step))
        attributes = getattr(step, "__dict__", {})
        if attributes.get("n_jobs") is not None:
            step.n_jobs = 1
        for value in attributes.values():
            queue += _flatten(value)


def _flatten(value: Any) -> list[Any]:
    """Return the items of nested lists and tuples (the steps of a pipeline), or *value* itself."""
    if isinstance(value, list | tuple):
        return [part for item in value for part in _flatten(item)]
    return [value]

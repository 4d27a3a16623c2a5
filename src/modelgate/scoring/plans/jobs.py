"""How many processor cores an estimator takes for itself."""

from typing import Any

__all__ = ["use_one_job"]


def use_one_job(model: Any) -> None:
    """Set ``n_jobs`` to 1 on *model* and on every scikit-learn estimator in it.

    Handing out a few rows to other threads takes longer than scoring them, twice as long for a forest;
    and a server has other requests for its cores. The model given is changed: what it predicts is not,
    except that the trees of a forest are added up in the same order each time.
    """
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        step = waiting.pop()
        if id(step) in seen or not type(step).__module__.startswith("sklearn."):
            continue
        seen.add(id(step))
        told = getattr(step, "__dict__", {})
        if told.get("n_jobs") is not None:
            step.n_jobs = 1
        for value in told.values():
            waiting += _parts(value)


def _parts(value: Any) -> list[Any]:
    """*value*, or what is in it: steps are tuples in a list."""
    if isinstance(value, list | tuple):
        return [part for item in value for part in _parts(item)]
    return [value]

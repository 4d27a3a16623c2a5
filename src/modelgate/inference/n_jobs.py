"""Limit the number of processor cores that an estimator uses."""

from typing import Any

__all__ = ["with_single_job"]


def with_single_job(model: Any) -> Any:
    """Return *model* with each ``n_jobs`` that is set replaced by 1.

    This includes estimators that scikit-learn objects store in attributes, lists and tuples.

    An estimator whose ``n_jobs`` is set, or that contains such an estimator, is copied, because it may belong
    to the caller. The copy shares everything else with the original, such as the arrays.

    Distributing a few rows to several threads takes longer than scoring them (for a forest, twice as long),
    and a server needs its cores for other requests. Predictions stay the same, except for rounding: with one
    job, the trees of a forest are always added up in the same order.
    """
    try:
        return _copy_with_single_job(model, {})
    except RecursionError:
        # Some objects form long lists, such as the leaves of Birch. Predictions with several jobs are the same.
        return model


def _copy_with_single_job(value: Any, copies: dict[int, Any]) -> Any:
    """Return *value* with ``n_jobs=1``. *copies* maps the id of each estimator to its result."""
    if type(value) in (list, tuple):  # such as the steps of a pipeline
        items = [_copy_with_single_job(item, copies) for item in value]
        is_same = all(new is old for new, old in zip(items, value, strict=True))
        return value if is_same else type(value)(items)
    if not type(value).__module__.startswith("sklearn.") or not hasattr(value, "__dict__"):
        return value
    if id(value) not in copies:
        copies[id(value)] = value
        attributes = {name: _copy_with_single_job(item, copies) for name, item in vars(value).items()}
        if attributes.get("n_jobs") is not None:
            attributes["n_jobs"] = 1
        if any(attributes[name] is not item for name, item in vars(value).items()):
            copies[id(value)] = copy = object.__new__(type(value))
            vars(copy).update(attributes)
    return copies[id(value)]

"""Checks of plans, for any supported version of scikit-learn."""

from modelgate.inference.plans import Plan
from support.versions import SKLEARN


def is_planned(predictor):
    """Return whether *predictor* has a plan, which it must have from scikit-learn 1.6 on.

    Older versions compute some probabilities in other ways, so that verification rejects the plans.
    """
    if SKLEARN < (1, 6) and not isinstance(predictor.plan, Plan):
        assert predictor.plan.startswith("the plan ")
        return False
    assert isinstance(predictor.plan, Plan), predictor.plan
    return True

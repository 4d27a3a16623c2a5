"""Fit models without the warnings of small data."""

import warnings


def quiet_fit(estimator, rows, target):
    """Fit *estimator* and return it. How well it fits does not matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(rows, target)

"""Create row explanations from the strengths that an attribution method returns."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .attribution import Numbers, add_up
from .explanation import Contribution, Explain, RowExplanation, is_noise, qualitative_strength, rank

__all__ = ["describe_rows"]


def describe_rows(
    unexplained: Sequence[RowExplanation],
    strengths: Numbers,
    columns: Sequence[str],
    value_of: Callable[[int, int], Any],
    explain: Explain,
    listed: npt.NDArray[np.bool_],
) -> Iterator[RowExplanation]:
    """Yield the explanation of each row, with its strongest contributions.

    Args:
        unexplained: Explanations of the rows, without contributions. They are not changed.
        strengths: Strengths, of shape (rows, columns).
        columns: Column names.
        value_of: Function that takes the indices of a row and a column, and returns the value in the request.
        explain: Explanations that the caller requests.
        listed: For each column, whether explanations may list it.
    """
    features = int(np.count_nonzero(listed))
    all_requested = explain.count >= features
    # A column that must not be listed gets the strength 0, and contributions without strength are left out.
    order, shares = rank(strengths * listed, explain.count)
    strongest = strengths[np.arange(len(order))[:, None], order]
    rows = zip(
        unexplained,
        add_up(strengths).tolist(),
        *(part.tolist() for part in (order, strongest, shares)),
        strict=True,
    )
    for row, (explanation, total, *ranked) in enumerate(rows):
        contributions = [
            Contribution(
                columns[index], value_of(row, index), strength, qualitative_strength(share, features)
            )
            for index, strength, share in zip(*ranked, strict=True)
            if not is_noise(share, all_requested=all_requested)
        ]
        listed_strengths = [contribution.strength for contribution in contributions]
        remaining = total - sum(listed_strengths)
        if not math.isfinite(remaining):
            # A part of the sum exceeds the largest float.
            parts = len(contributions) + 1
            remaining = (total / parts - sum(strength / parts for strength in listed_strengths)) * parts
        yield RowExplanation(
            explanation.label,
            explanation.method,
            explanation.space,
            explanation.base_value,
            contributions,
            remaining,
        )

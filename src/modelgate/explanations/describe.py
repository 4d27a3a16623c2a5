"""Explanations of rows, from the strengths that an attribution method returns."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from .attribution import Numbers
from .explanation import Contribution, Explain, RowExplanation, is_noise, qualitative_strength, rank

__all__ = ["describe_rows"]


def describe_rows(
    unexplained: Sequence[RowExplanation],
    strengths: Numbers,
    columns: Sequence[str],
    value_of: Callable[[int, int], Any],
    explain: Explain,
    unlisted: Collection[str] = (),
) -> list[RowExplanation]:
    """Return *unexplained* with the strongest contributions of each row.

    Args:
        unexplained: Explanation of each row, without its contributions.
        strengths: Strengths, of shape (rows, columns).
        columns: Column names.
        value_of: Returns the value in the request, for the indices of a row and a column.
        explain: Request of the caller.
        unlisted: Names of columns to leave out of all explanations.
    """
    is_listed = np.array([column not in unlisted for column in columns])
    features = int(is_listed.sum())
    # A contribution without strength is not listed.
    order, shares = rank(np.where(is_listed, strengths, 0.0), explain.count)
    rows = zip(unexplained, order.tolist(), strengths.tolist(), shares.tolist(), strict=True)
    described = []
    for row, (explanation, indices, row_strengths, row_shares) in enumerate(rows):
        contributions = [
            Contribution(
                columns[index],
                value_of(row, index),
                row_strengths[index],
                qualitative_strength(row_shares[index], features),
            )
            for index in indices
            if not is_noise(row_shares[index], all_requested=explain.count >= features)
        ]
        listed = sum(contribution.strength for contribution in contributions)
        described.append(
            RowExplanation(
                explanation.label,
                explanation.method,
                explanation.space,
                explanation.base_value,
                contributions,
                sum(row_strengths) - listed,
            )
        )
    return described

"""Explanations of rows, from the strengths that an attribution method returns."""

from collections.abc import Callable, Sequence
from typing import Any

from .attribution import Numbers
from .explanation import Contribution, Explain, RowExplanation, is_noise, qualitative_strength, rank

__all__ = ["describe_rows"]


def describe_rows(
    unexplained: Sequence[RowExplanation],
    strengths: Numbers,
    columns: Sequence[str],
    value_of: Callable[[int, int], Any],
    explain: Explain,
) -> list[RowExplanation]:
    """Return *unexplained* with the strongest contributions of each row.

    Args:
        unexplained: Explanation of each row, without its contributions.
        strengths: Strengths, of shape (rows, columns).
        columns: Column names.
        value_of: Returns the value in the request, for the indices of a row and a column.
        explain: Request of the caller.
    """
    features = len(columns)
    order, shares = rank(strengths, explain.count)
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

"""Simulated A/B tests of two model versions, evaluated daily: false winners, and real differences found.

Each version answers the same number of requests a day. The outcome of each is right or wrong. An experiment
declares a winner on the first day on which the always-valid interval of the difference does not contain zero.
"""

import math

import numpy as np

from modelgate.monitoring.outcome_statistics import ALPHA
from modelgate.monitoring.sequential import Mean, compare_means

DAYS, EXPERIMENTS, MIN_ROWS = 60, 1_000, 100
FIRST_ALPHA = ALPHA / 2
"""Error probability of the first two versions that are compared."""


def find_winner(
    rng: np.random.Generator, daily: int, accuracies: tuple[float, float], rows: int
) -> tuple[int, int] | None:
    """Return the first day with a winner, and its index; None if there is no winner.

    Args:
        rng: Random generator.
        daily: Requests of each version per day.
        accuracies: Probabilities of a right prediction.
        rows: Rows of each request, which are all right or all wrong.
    """
    wrong = [rng.binomial(daily, 1 - accuracy, size=DAYS).cumsum() for accuracy in accuracies]
    for day in range(DAYS):
        requests = daily * (day + 1)
        if min(min(each[day], requests - each[day]) for each in wrong) < 10 or requests < MIN_ROWS:
            continue
        means = [_mean(each[day] / requests, requests, rows) for each in wrong]
        _, low, high = compare_means(means[0], means[1], FIRST_ALPHA)
        if low > 0 or high < 0:
            return day, 0 if low > 0 else 1
    return None


def _mean(share: float, requests: int, rows: int) -> Mean:
    """Return `Mean.from_groups` of *requests* whose *rows* are all wrong in a *share* of them."""
    return Mean(requests * rows, requests, share, math.sqrt(share * (1 - share) / (requests - 1)))


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print(f"{EXPERIMENTS} experiments of {DAYS} days, alpha {FIRST_ALPHA:.1%}")
    print("requests/day  rows  accuracies     winners  right  median day")
    for daily, rows, accuracies in (
        (50, 1, (0.8, 0.8)),
        (50, 1, (0.98, 0.98)),
        (500, 1, (0.8, 0.8)),
        (100, 10, (0.8, 0.8)),
        (500, 1, (0.8, 0.82)),
        (1000, 1, (0.8, 0.82)),
    ):
        results = [find_winner(rng, daily, accuracies, rows) for _ in range(EXPERIMENTS)]
        days = [result[0] + 1 for result in results if result is not None]
        right = sum(result is not None and result[1] == 1 for result in results)
        median = f"{np.median(days):.0f}" if days else "-"
        print(f"{daily:>12}  {rows:>4}  {accuracies!s:<13}  {len(days):>7}  {right:>5}  {median:>10}")


if __name__ == "__main__":
    main()

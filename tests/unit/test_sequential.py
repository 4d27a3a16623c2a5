"""Comparison of model versions that is valid at any time."""

import math

import numpy as np
import pytest

from modelgate.monitoring.outcome_statistics import ALPHA, CalibrationBin, calibration_error, compare_arms
from modelgate.monitoring.sequential import Mean, always_valid_margin, compare_means

DAYS, DAILY, EXPERIMENTS = 30, 1_000, 1_000


def find_winners(seed, accuracies):
    """Return the winner of each experiment, 0, 1 or None. Each is looked at daily, and ends with a winner."""
    rng = np.random.default_rng(seed)
    shape = EXPERIMENTS, DAYS
    wrong = [rng.binomial(DAILY, 1 - accuracy, size=shape).cumsum(axis=1) for accuracy in accuracies]
    rows = DAILY * np.arange(1, DAYS + 1)
    shares = [each / rows for each in wrong]
    return [
        next((winner for day in range(DAYS) if (winner := look(shares, rows, number, day)) is not None), None)
        for number in range(EXPERIMENTS)
    ]


def look(shares, rows, number, day):
    means = [make_mean(share[number, day], rows[day]) for share in shares]
    _, low, high = compare_means(*means, 0.05)
    return 0 if low > 0 else 1 if high < 0 else None


def make_mean(share, rows):
    return Mean(rows, rows, share, math.sqrt(share * (1 - share) / (rows - 1)))


@pytest.mark.slow
def test_no_difference_declares_a_winner_in_at_most_5_percent_of_experiments():
    winners = find_winners(0, (0.8, 0.8))

    assert sum(winner is not None for winner in winners) <= 0.05 * EXPERIMENTS


def test_difference_of_two_points_is_found():
    winners = find_winners(1, (0.8, 0.82))

    assert 0.99 * EXPERIMENTS <= winners.count(1)
    assert 0 == winners.count(0)


def test_usual_interval_would_declare_more_winners():
    """So the always-valid interval is needed, and this simulation can tell."""
    rng = np.random.default_rng(2)
    shares = [
        rng.binomial(DAILY, 0.2, size=(EXPERIMENTS, DAYS)).cumsum(axis=1) / (DAILY * np.arange(1, DAYS + 1))
        for _ in range(2)
    ]
    errors = np.sqrt(2 * 0.2 * 0.8 / (DAILY * np.arange(1, DAYS + 1)))
    is_significant = np.abs(shares[0] - shares[1]) > 1.96 * errors

    assert 0.15 * EXPERIMENTS < is_significant.any(axis=1).sum()


def test_interval_covers_running_mean_at_all_times():
    """Of random walks without drift, at most 5 % ever leave the interval."""
    steps = np.arange(1, 2_001)
    means = np.random.default_rng(3).normal(size=(400, len(steps))).cumsum(axis=1) / steps
    margins = np.array([always_valid_margin(1 / math.sqrt(step), 0.05, 0.05) for step in steps])

    assert (np.abs(means) > margins).any(axis=1).mean() <= 0.05


def test_mean_of_groups_equals_that_of_values_if_each_has_its_own():
    values = np.random.default_rng(4).normal(size=50)
    mean = Mean.from_groups((1, value) for value in values.tolist())

    assert (50, 50) == (mean.values, mean.groups)
    assert pytest.approx((values.mean(), values.std(ddof=1) / math.sqrt(50))) == (mean.mean, mean.error)


def test_rows_of_a_request_count_as_one_observation_if_they_are_equal():
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2, size=200).tolist()
    alone = Mean.from_groups((1, value) for value in values)
    repeated = Mean.from_groups((10, 10 * value) for value in values)

    assert pytest.approx((alone.mean, alone.error)) == (repeated.mean, repeated.error)


@pytest.mark.parametrize("groups", [[], [(5, 2)]])
def test_few_groups_have_an_unlimited_error(groups):
    assert math.inf == Mean.from_groups(groups).error


def test_comparison_needs_a_minimum_sample():
    large, small, rare = make_mean(0.2, 5_000), make_mean(0.2, 99), make_mean(0.001, 5_000)
    compared = compare_arms(
        {("1", "2"): (large, small), ("1", "3"): (large, rare), ("1", "4"): (large, make_mean(0.3, 5_000))},
        "error_rate",
        100,
    )

    assert [None, None, "1"] == [each.winner for each in compared]
    assert [None, None] == [each.difference for each in compared[:2]]
    assert pytest.approx(0.1) == compared[2].difference
    assert compared[2].low < 0.1 < compared[2].high


def test_comparison_does_not_change_when_another_version_is_added():
    """The error probabilities of any number of comparisons add up to at most 5 %."""
    pair = make_mean(0.2, 5_000), make_mean(0.2, 5_000)
    [alone] = compare_arms({("1", "2"): pair}, "error_rate", 100)
    several = compare_arms({("1", "2"): pair, ("1", "3"): pair}, "error_rate", 100)

    assert alone == several[0]
    assert pytest.approx([ALPHA / 2, ALPHA / 6]) == [each.alpha for each in several]
    assert several[0].high < several[1].high


def test_calibration_error_is_weighted_by_rows():
    assert pytest.approx(0.125) == calibration_error(
        [CalibrationBin(30, 0.9, 0.8), CalibrationBin(10, 0.4, 0.2)]
    )
    assert None is calibration_error([])

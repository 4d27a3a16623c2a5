"""Statistics of drift: false alarms, shifts that are found, and sums over processes."""

import numpy as np
import pandas as pd
import pytest

from modelgate import Column, Output, Prediction, PredictionRecord, Schema, Table
from modelgate.inference.training import TrainingData
from modelgate.models.training_sample import training_statistics
from modelgate.monitoring.drift_bins import DriftCounts, ModelBins
from modelgate.monitoring.drift_judge import judge
from modelgate.monitoring.drift_statistics import Thresholds, Window, assess, join_windows
from modelgate.monitoring.drift_storage import ModelKey, MonitoredModel

SCHEMA = Schema.of(height=Column("height", "number", nullable=True), income=float, visits=int, plan=str)
TRAINING_ROWS, WINDOW_ROWS = 4_000, 1_000
PLANS = np.array(["free", "pro", "team"])


def draw(rng, rows, shift=0.0):
    """Return rows: normal, skewed and discrete numbers, each shifted by *shift* standard deviations, and levels."""
    scores = rng.normal(shift, size=(rows, 4))
    return pd.DataFrame(
        {
            "height": np.where(rng.random(rows) < 0.1, np.nan, scores[:, 0]),
            "income": np.exp(scores[:, 1]),
            "visits": np.exp(scores[:, 2] + 1).astype(int),
            "plan": PLANS[np.digitize(scores[:, 3], (-0.5, 0.5))],
        }
    )


TRAINING = draw(np.random.default_rng(0), TRAINING_ROWS)
STATISTICS = training_statistics(TRAINING, TRAINING["income"].to_numpy(), SCHEMA)


def make_record(frame, predictions=None, statistics=STATISTICS, **fields):
    numbers = frame[["height", "income", "visits"]].to_numpy(float)
    table = Table(SCHEMA.columns, numbers, [frame["plan"].tolist()])
    values = np.zeros(len(frame)) if predictions is None else predictions
    training = TrainingData(SCHEMA, [], statistics)
    return PredictionRecord(
        "r", "price", "1", None, 0.0, 0.0, table, Prediction([Output("y", values, **fields)]), training
    )


BINS = ModelBins(make_record(TRAINING))


def assess_frame(frame, bins=BINS):
    counts = bins.count([make_record(frame)])
    return assess(Window(0, 1, counts), bins.reference, None, Thresholds())


@pytest.mark.slow
def test_no_alarm_in_200_quiet_windows():
    rng = np.random.default_rng(1)
    alarms = [assess_frame(draw(rng, WINDOW_ROWS)).alarms() for _ in range(200)]

    assert [set()] * 200 == alarms


@pytest.mark.slow
def test_shift_of_half_a_standard_deviation_is_found_in_200_of_200_windows():
    rng = np.random.default_rng(2)
    found = [
        {name for name, measure in assess_frame(draw(rng, WINDOW_ROWS, 0.5)).alarms() if measure == "psi"}
        for _ in range(200)
    ]

    assert [set(SCHEMA.names)] * 200 == found


@pytest.mark.slow
@pytest.mark.parametrize("training_rows", [100, 500])
def test_small_training_sample_raises_no_alarm(training_rows):
    """Bins of few training rows are uncertain, too."""
    rng = np.random.default_rng(3)
    alarms = set()
    for _ in range(40):
        training = draw(rng, training_rows)
        statistics = training_statistics(training, training["income"].to_numpy(), SCHEMA)
        bins = ModelBins(make_record(training, statistics=statistics))
        alarms |= assess_frame(draw(rng, WINDOW_ROWS), bins).alarms()

    assert set() == alarms


def test_index_equals_its_definition():
    """Recomputed with pandas, from the training rows themselves."""
    frame = draw(np.random.default_rng(4), WINDOW_ROWS, 0.3)
    edges = np.quantile(TRAINING["income"], np.linspace(0, 1, 11))[1:-1]
    expected = pd.Series(np.searchsorted(edges, TRAINING["income"])).value_counts(normalize=True)
    actual = pd.Series(np.searchsorted(edges, frame["income"])).value_counts(normalize=True)
    index = ((actual - expected) * np.log(actual / expected)).sum()

    assert pytest.approx(index, rel=0.02) == assess_frame(frame).columns["income"].psi


def test_counts_equal_those_of_pandas():
    frame = draw(np.random.default_rng(5), WINDOW_ROWS)
    frame.loc[:99, "plan"] = "gold"
    frame.loc[:49, "income"] = -1.0
    frame.loc[:29, "income"] = 1e9
    columns = assess_frame(frame).columns

    assert pytest.approx(frame["height"].isna().mean()) == columns["height"].missing
    assert pytest.approx(TRAINING["height"].isna().mean()) == columns["height"].missing_in_training
    assert 0.1 == columns["plan"].unseen
    low, high = TRAINING["income"].min(), TRAINING["income"].max()
    assert pytest.approx(1 - frame["income"].between(low, high).mean()) == columns["income"].out_of_range


@pytest.mark.parametrize(
    ("column", "value", "measure"),
    [("height", np.nan, "missing"), ("plan", "gold", "unseen"), ("income", 1e9, "out_of_range")],
)
def test_measure_raises_an_alarm_of_its_own(column, value, measure):
    frame = draw(np.random.default_rng(6), WINDOW_ROWS)
    frame.loc[: WINDOW_ROWS // 5, column] = value

    assert {(column, measure)} <= assess_frame(frame).alarms()


def test_window_below_minimum_sample_is_not_judged():
    drift = assess_frame(draw(np.random.default_rng(7), 499, 3.0))

    assert set() == drift.alarms()
    assert {(None, None, None, None)} == {
        (each.psi, each.missing, each.unseen, each.out_of_range) for each in drift.columns.values()
    }


def test_constant_column_has_no_index_but_a_range():
    training = TRAINING.assign(visits=7)
    bins = ModelBins(make_record(training, statistics=training_statistics(training, None, SCHEMA)))
    drift = assess_frame(draw(np.random.default_rng(8), WINDOW_ROWS).assign(visits=8), bins).columns["visits"]

    assert (None, 1.0, ["out_of_range"]) == (drift.psi, drift.out_of_range, drift.drifted)


def test_sum_of_counts_is_the_count_of_all_rows():
    """So the counts of several processes can be added, in any order."""
    frame = draw(np.random.default_rng(9), WINDOW_ROWS)
    parts = [BINS.count([make_record(frame[start::3])]) for start in range(3)]

    assert BINS.count([make_record(frame)]) == parts[2] + (parts[0] + parts[1])
    assert parts[0] == DriftCounts() + parts[0]


def test_package_without_exact_counts_is_compared_too():
    """Packages of earlier versions have only the deciles."""
    columns = {name: {**column} for name, column in STATISTICS["columns"].items()}
    del columns["income"]["at_most"]
    bins = ModelBins(make_record(TRAINING, statistics={**STATISTICS, "columns": columns}))
    quiet = assess_frame(draw(np.random.default_rng(10), WINDOW_ROWS), bins).columns["income"]

    assert quiet.psi is not None
    assert [] == quiet.drifted


def test_windows_are_joined_until_they_have_enough_rows():
    buckets = [Window(n, n + 1, DriftCounts(rows)) for n, rows in enumerate((300, 100, 200, 700, 50))]
    joined = [(window.start, window.end, window.counts.rows) for window in join_windows(buckets, 500)]

    assert [(0, 3, 600), (3, 4, 700), (4, 5, 50)] == joined


def judge_windows(shifts, now=1_000):
    rng = np.random.default_rng(11)
    buckets = [
        Window(10 * n, 10 * n + 10, BINS.count([make_record(draw(rng, WINDOW_ROWS, shift))]))
        for n, shift in enumerate(shifts)
    ]
    model = MonitoredModel(ModelKey("price", "1", ""), BINS.reference, None, buckets)
    return judge(model, Thresholds(), 2, now)


@pytest.mark.parametrize(
    ("shifts", "alarms", "new"),
    [
        ((0, 1), 0, 0),
        ((1, 0, 1), 0, 0),
        ((0, 1, 1), 4, 4),
        ((0, 1, 1, 1), 4, 4),
        ((1, 1, 1, 1, 1), 4, 0),
        ((1, 1, 0), 0, 4),
    ],
    ids=["once", "interrupted", "sustained", "judged late", "not new", "over"],
)
def test_alarm_needs_consecutive_windows(shifts, alarms, new):
    judgement = judge_windows(shifts)

    assert alarms == len([alarm for alarm in judgement.alarms if alarm.measure == "psi"])
    assert new == len([alarm for alarm in judgement.new_alarms if alarm.measure == "psi"])


def test_window_that_has_not_ended_raises_no_alarm():
    assert [] == judge_windows((1, 1), now=15).alarms


@pytest.mark.parametrize("divisor", [1, 20], ids=["many", "few"])
def test_whole_numbers_as_targets_have_bins(divisor):
    """Regression of counts, for example. Few numbers are packaged as levels, because they may be labels."""
    targets = np.arange(TRAINING_ROWS) % 200 // divisor
    statistics = training_statistics(TRAINING, targets, SCHEMA)
    record = make_record(TRAINING, targets + 0.25, statistics=statistics)

    assert TRAINING_ROWS == sum(ModelBins(record).count([record]).prediction)


def test_predictions_are_compared_with_the_first_window():
    """Not with the training targets, which vary more than predictions do."""
    rng, buckets = np.random.default_rng(12), []
    record = make_record(
        TRAINING, np.zeros(len(TRAINING)), classes=[0, 1], probabilities=np.zeros((len(TRAINING), 2))
    )
    bins = ModelBins(record)
    for start, shift in ((0, 0.0), (10, 0.0), (20, 0.5)):
        positive = 1 / (1 + np.exp(3 - rng.normal(shift, size=WINDOW_ROWS)))
        probabilities = np.column_stack([1 - positive, positive])
        window = make_record(
            draw(rng, WINDOW_ROWS), np.zeros(WINDOW_ROWS), classes=[0, 1], probabilities=probabilities
        )
        buckets.append(Window(start, start + 10, bins.count([window])))
    key = ModelKey("price", "1", "")
    first, quiet, shifted = judge(
        MonitoredModel(key, bins.reference, None, buckets), Thresholds(), 1, 1_000
    ).assessments

    assert (None, [], ["psi"]) == (first.prediction.psi, quiet.prediction.drifted, shifted.prediction.drifted)

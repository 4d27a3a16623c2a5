"""False alarms and missed shifts of drift monitoring, in simulated windows.

Each window has 1,000 rows with four kinds of columns: normal, skewed and discrete numbers, and levels.
"""

import numpy as np
from numpy.typing import NDArray

from modelgate import Output, Prediction, PredictionRecord, Schema
from modelgate.inference.training import TrainingData
from modelgate.models.training_sample import training_statistics
from modelgate.monitoring.drift_bins import ModelBins
from modelgate.monitoring.drift_statistics import Assessment, Thresholds, Window, assess

ROWS, WINDOWS = 1_000, 200
SCHEMA = Schema.of(normal=float, skewed=float, discrete=float, level=str)
LEVELS = np.array(["low", "middle", "high"])


def draw(rng: np.random.Generator, rows: int, shift: float) -> NDArray[np.object_]:
    """Return rows whose columns are shifted by *shift* standard deviations."""
    scores = rng.normal(shift, size=(rows, 4))
    array = np.empty((rows, 4), dtype=object)
    array[:, 0], array[:, 1], array[:, 2] = (
        scores[:, 0],
        np.exp(scores[:, 1]),
        np.floor(np.exp(scores[:, 2] + 1)),
    )
    array[:, 3] = LEVELS[np.digitize(scores[:, 3], (-0.5, 0.5))]
    return array


def to_record(array: NDArray[np.object_], training: TrainingData) -> PredictionRecord:
    """Return the record of a prediction for the rows in *array*."""
    rows = [dict(zip(SCHEMA.names, row, strict=True)) for row in array.tolist()]
    prediction = Prediction([Output("y", np.zeros(len(rows)))])
    return PredictionRecord("r", "d", "1", None, 0.0, 0.0, SCHEMA.read(rows), prediction, training)


def main() -> None:
    """Print the table."""
    print(f"{'training rows':>13} {'shift':>6}  windows of {WINDOWS} with an alarm, by column")
    for training_rows in (500, 1_000, 10_000):
        rng = np.random.default_rng(0)
        rows = draw(rng, training_rows, 0.0)
        training = TrainingData(SCHEMA, [], training_statistics(rows, None, SCHEMA))
        bins = ModelBins(to_record(rows, training))

        def judge(shift: float, bins: ModelBins = bins, training: TrainingData = training) -> Assessment:
            counts = bins.count([to_record(draw(rng, ROWS, shift), training)])  # noqa: B023
            return assess(Window(0, 1, counts), bins.reference, None, Thresholds())

        for shift in (0.0, 0.25, 0.5):
            alarms = [{name for name, _ in judge(shift).alarms()} for _ in range(WINDOWS)]
            found = "  ".join(f"{name} {sum(name in each for each in alarms)}" for name in SCHEMA.names)
            print(f"{training_rows:>13} {shift:>6}  {found}  any {sum(map(bool, alarms))}")


if __name__ == "__main__":
    main()

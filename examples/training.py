"""Train models on data sets of scikit-learn and on generated sales, and save them for the example apps."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import sklearn
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate import ImageSpec, ModelPackage

from .bottles import HISTORY, fit_bottles

__all__ = ["PHOTO", "SAMPLES", "WINE_COLUMNS", "train", "wine_frame"]

NUMBERS = ["alcohol", "malic_acid", "flavanoids", "hue", "proline"]
TEXTS = ["colour", "body"]
WINE_COLUMNS = NUMBERS + TEXTS

PHOTO = ImageSpec(size=(8, 8), mode="L", fit="contain", background=255, invert=True, scale=16 / 255)
"""How a photo of a digit, dark on light paper, becomes the pixels of the training data: 16 is the darkest."""

_THREE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAABgAAAAYCAAAAADFHGIkAAAA6ElEQVR42m2SrXJEIQyFv3auxMYxOGZWxeD6Fn3gteswsTgG"
    "F4tvBbez3N0ic3J+kvDxA8zRq+ENgC/9jgQ+eX99AAcw6dWATAOcSoQDJgMAAXHgLqQbx1NBAcNZVsezWgAM8h8QZiQBEAcG"
    "SDkZgduiTaBlUeASd45eHbSkyG4+H9W8ZSkpsgNz1HsDlBguUiECZCGFV48iIFoiL0AAspaVfDcnqWOwwh+XvQpu57DXtau3"
    "h/VNai24Y8+eU2p0oJo38B0YvQLmbZ1lY1Rj9WbRtAF9/YScRQtxZ9g6m2hJMfwTFzjr/AJVTFBSfqwFBgAAAABJRU5ErkJg"
    "gg=="
)

SAMPLES: dict[str, Any] = {
    "wine": {
        "alcohol": 14.23,
        "malic_acid": 1.71,
        "flavanoids": 3.06,
        "hue": 1.04,
        "proline": 1065,
        "colour": "deep",
        "body": "full",
    },
    "diabetes": {
        "age": 59,
        "sex": 2,
        "bmi": 32.1,
        "bp": 101,
        "s1": 157,
        "s2": 93.2,
        "s3": 38,
        "s4": 4,
        "s5": 4.8598,
        "s6": 87,
    },
    "bottles": HISTORY,
    "digits": {"photo": _THREE},
}
"""Example row for each model; for a forecaster, example rows."""


def train() -> Path:
    """Return the folder of the models, after training those that are missing.

    Each version of scikit-learn has its own folder.
    """
    folder = Path(__file__).parent / "models" / f"scikit-learn-{sklearn.__version__}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "digits.skops"
    if not path.exists():
        _save(skops.io.dumps(fit_digits()), path)
    for name, fit in PACKAGES.items():
        path = folder / f"{name}.mgpkg"
        if not path.exists():
            _save(fit().to_bytes()[1], path)
    return folder


def wine_frame() -> pd.DataFrame:
    """Return the wines: `WINE_COLUMNS`, and the column ``cultivar`` to predict."""
    frame: pd.DataFrame = load_wine(as_frame=True).frame
    frame["colour"] = _levels(frame["color_intensity"], [3.5, 5.5], ["light", "medium", "deep"])
    frame["body"] = _levels(frame["alcohol"], [12.5, 13.5], ["light", "medium", "full"])
    frame["cultivar"] = [f"cultivar-{target + 1}" for target in frame["target"]]
    return frame


def fit_wine(version: str = "1", regularization: float = 1.0) -> ModelPackage:
    """Return a classifier that predicts the cultivar of a wine from numbers and text."""
    frame = wine_frame()
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), NUMBERS),
            ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS),
        ]
    )
    classifier = LogisticRegression(C=1 / regularization, max_iter=1000)
    model = make_pipeline(columns, classifier).fit(frame[WINE_COLUMNS], frame["cultivar"])
    return ModelPackage.from_estimator(
        model, frame[WINE_COLUMNS], frame["cultivar"], name="wine", version=version, target="cultivar"
    )


def fit_diabetes() -> ModelPackage:
    """Return a regressor that predicts the progression of diabetes, with intervals; values may be missing."""
    data = load_diabetes(as_frame=True, scaled=False)
    forest = RandomForestRegressor(n_estimators=50, min_samples_leaf=3, n_jobs=1, random_state=0)
    rows, calibration_rows, targets, calibration_targets = train_test_split(
        data.data, data.target, test_size=100, random_state=0
    )
    model = make_pipeline(SimpleImputer(), forest).fit(rows, targets)
    package = ModelPackage.from_estimator(model, rows, targets, name="diabetes", target="progression")
    return package.calibrate(calibration_rows, calibration_targets)


def fit_digits() -> Any:
    """Return a classifier that recognizes a handwritten digit in 8 x 8 pixels."""
    pixels, digits = load_digits(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(pixels, digits)


PACKAGES: dict[str, Callable[[], ModelPackage]] = {
    "wine": fit_wine,
    "wine-2": partial(fit_wine, "2", regularization=1000),
    "diabetes": fit_diabetes,
    "bottles": fit_bottles,
}


def _levels(values: "pd.Series[float]", bounds: list[float], names: list[str]) -> list[str]:
    edges = [float("-inf"), *bounds, float("inf")]
    return [str(name) for name in pd.cut(values, edges, labels=names)]


def _save(content: bytes, path: Path) -> None:
    # Several workers may start at once: each writes its own file, and then replaces the model.
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


if __name__ == "__main__":
    print(train())

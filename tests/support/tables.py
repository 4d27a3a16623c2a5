"""Real tables of packages that bundle them: scikit-learn, statsmodels, faraway and vega-datasets."""

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pandas
import sklearn.datasets

ROWS = 100
"""Number of rows from which a table is thinned out."""

FILES = {
    "faraway": ("datasets/*/*.csv.bz2",),
    "statsmodels": ("datasets/*/*.csv",),
    "vega_datasets": ("_data/*.csv", "_data/*.json"),
}
"""File patterns by package. The packages are not imported: statsmodels takes seconds."""

SEPARATORS = {"anes96": "\t", "modechoice": ";", "spector": r"\s+"}
"""Separators of files that do not use a comma."""

UNREADABLE = {"E6_jmulti"}
"""Files without a header line."""

DATES = ("date", "Date", "month", "Year")
"""Names of the columns of vega-datasets that contain dates."""


def list_tables():
    """Return functions by name, such as ``faraway/cheddar``, that return a table each."""
    tables = {
        f"sklearn/{name}": partial(load_from_sklearn, name)
        for name in ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    }
    for package, patterns in FILES.items():
        folder = Path(find_spec(package).origin).parent
        for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
            name = path.name.partition(".")[0]
            if name not in UNREADABLE:
                tables[f"{package}/{name}"] = partial(read_table, path, SEPARATORS.get(name, ","))
    return tables


def load_from_sklearn(name):
    """Return a table of scikit-learn, with its target as the last column."""
    return thin_out(getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame)


def read_table(path, separator):
    """Return the table in a file, without columns that are empty or number the rows.

    Dates of vega-datasets become datetimes, and indicators of faraway booleans: files store neither.
    """
    if path.suffix == ".json":
        frame = pandas.DataFrame(json.loads(path.read_text()))
    else:
        frame = pandas.read_csv(path, sep=separator)
    if "vega_datasets" in path.parts:
        for column in frame.columns.intersection(DATES):
            frame[column] = pandas.to_datetime(frame[column], format="mixed")
    if "faraway" in path.parts:
        indicators = [name for name in frame if frame[name].isin([0, 1]).all()]
        frame = frame.astype(dict.fromkeys(indicators, bool))
    return thin_out(frame.dropna(axis="columns", how="all").drop(columns="Unnamed: 0", errors="ignore"))


def thin_out(frame):
    """Return evenly spaced rows of *frame*."""
    return frame.iloc[:: max(1, len(frame) // ROWS)].reset_index(drop=True)

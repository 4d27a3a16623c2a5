"""What every server has in common: the model, and how a request and an answer are to look.

``MODEL`` names the file of the model, ``SINGLE`` says that a request has a row.
"""

import gc
import json
import os
from pathlib import Path

import joblib

KEY = "a-key-for-the-benchmark"
LIMITS = ("1000000/minute", "100000000/day")

FILE = Path(os.environ["MODEL"])
MODEL = joblib.load(FILE)
ROW = json.loads(FILE.with_suffix(".json").read_text())
COLUMNS = list(ROW)
FRAMES = any(isinstance(value, str) for value in ROW.values())
CLASSES = MODEL.classes_.tolist() if hasattr(MODEL, "classes_") else None


def given(rows):
    """*rows*, objects, as the model was fitted on them."""
    if FRAMES:
        import pandas

        return pandas.DataFrame(rows)[COLUMNS]
    return [[row[name] for name in COLUMNS] for row in rows]


def score(rows):
    """An answer a row: label and confidence, or a number; rounded."""
    if CLASSES is None:
        return [{"prediction": value} for value in MODEL.predict(given(rows)).round(4).tolist()]
    told = MODEL.predict_proba(given(rows))
    labels, sure = told.argmax(axis=1).tolist(), told.max(axis=1).round(4).tolist()
    return [{"prediction": CLASSES[at], "confidence": value} for at, value in zip(labels, sure, strict=True)]


# What every app with such imports does well to do: see "Pauses of the garbage collector" in docs/operations.md.
gc.collect()
gc.freeze()

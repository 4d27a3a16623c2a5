"""Shared by all servers: the model, and the format of requests and answers.

The environment variable ``MODEL`` holds the path of the model.
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


def to_model_input(rows):
    """Convert JSON objects to the input that the model was fitted on."""
    if FRAMES:
        import pandas

        return pandas.DataFrame(rows)[COLUMNS]
    return [[row[name] for name in COLUMNS] for row in rows]


def score(rows):
    """Return one answer per row, rounded: label and confidence, or a number."""
    if CLASSES is None:
        return [{"prediction": value} for value in MODEL.predict(to_model_input(rows)).round(4).tolist()]
    probabilities = MODEL.predict_proba(to_model_input(rows))
    labels, confidences = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).round(4).tolist()
    return [
        {"prediction": CLASSES[label], "confidence": confidence}
        for label, confidence in zip(labels, confidences, strict=True)
    ]


# Recommended for apps with such imports: see "Pauses of the garbage collector" in docs/operations.md.
gc.collect()
gc.freeze()

"""Explanations in modelgate's own wire format: parse options of the query string, and encode members of rows.

Each row has ``explanations``, the strongest contributions. ``explanation_label`` is the class or target that
they explain, and ``remaining_strength`` the sum of all other contributions. The member ``explanation`` of the
response describes the method, which is the same for all rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import InvalidInput
from ..explanations import Explain, RowExplanation, labels_and_base_values
from ..inference import Prediction
from .openapi_spec import JSONSchema, object_schema

__all__ = [
    "EXPLAIN_OPTIONS",
    "EXPLANATIONS_SCHEMA",
    "EXPLANATION_COLUMNS",
    "EXPLANATION_SCHEMA",
    "OPENAPI_PARAMETERS",
    "describe_explanations",
    "explanation_columns",
    "parse_explain",
]

EXPLAIN_OPTIONS = ("explain", "threshold_low", "threshold_high")

EXPLANATION_COLUMNS = [
    f"explanation_{{}}_{field}" for field in ("feature", "value", "strength", "qualitative_strength")
]

OPENAPI_PARAMETERS: Sequence[JSONSchema] = (
    {
        "name": "explain",
        "in": "query",
        "description": "Largest number of contributions to return with each prediction",
        "schema": {"type": "integer", "minimum": 1},
        "example": 3,
    },
    {
        "name": "threshold_low",
        "in": "query",
        "description": "Explain predictions below this value",
        "schema": {"type": "number"},
        "example": 0.2,
    },
    {
        "name": "threshold_high",
        "in": "query",
        "description": "Explain predictions above this value",
        "schema": {"type": "number"},
        "example": 0.5,
    },
)

EXPLANATIONS_SCHEMA: Mapping[str, JSONSchema] = {
    "explanations": {
        "type": ["array", "null"],
        "description": "The strongest contributions; empty for a prediction between the thresholds",
        "items": object_schema(
            ["feature", "value", "strength", "qualitative_strength"],
            feature={"type": "string"},
            value={},
            strength={"type": "number"},
            qualitative_strength={"enum": ["+++", "++", "+", "-", "--", "---"]},
        ),
        "examples": [
            [
                {
                    "feature": "age",
                    "value": 41,
                    "strength": -0.42,
                    "qualitative_strength": "--",
                }
            ]
        ],
    },
    "explanation_label": {
        "description": "Class whose probability grows with the strengths, or name of the target",
        "examples": ["yes"],
    },
    "remaining_strength": {"type": ["number", "null"], "examples": [0.05]},
}

EXPLANATION_SCHEMA: JSONSchema = {
    **object_schema(
        ["method", "space", "base_values"],
        method={"enum": ["linear", "tree", "permutation"]},
        space={"enum": ["value", "link", "probability", "margin"]},
        base_values={
            "type": "object",
            "description": "By class or target; for several outputs, by output and class",
            "additionalProperties": {"type": ["number", "object"]},
        },
    ),
    "examples": [{"method": "linear", "space": "margin", "base_values": {"yes": -0.3}}],
}


def parse_explain(options: Mapping[str, str]) -> Explain:
    """Return the request for explanations in *options*, the parameters of the query string.

    Raises:
        InvalidInput: An option has a wrong value, or there are thresholds without ``explain``.
    """
    if "explain" not in options:
        raise InvalidInput("threshold_low and threshold_high need the option explain")
    count = options["explain"]
    if not (count.isascii() and count.isdigit() and len(count) < 10):
        raise InvalidInput("explain must be a whole number of at least 1")
    thresholds = [_parse_threshold(name, options.get(name)) for name in EXPLAIN_OPTIONS[1:]]
    return Explain(int(count), *thresholds)


def _parse_threshold(name: str, text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise InvalidInput(f"{name} must be a number") from None


def explanation_columns(explanations: Sequence[RowExplanation]) -> dict[str, list[Any]]:
    """Return the members that explain rows: for each name, a list with one value per row.

    A contribution is encoded as an object of its attributes.
    """
    return {
        "explanations": [row.contributions for row in explanations],
        "explanation_label": [row.label for row in explanations],
        "remaining_strength": [row.remaining for row in explanations],
    }


def describe_explanations(prediction: Prediction) -> dict[str, Any]:
    """Return the method and the base values of the explanations of *prediction*.

    At least one row must be explained.
    """
    base_values = {
        output.name: {
            _label(label): value for label, value in labels_and_base_values(output.explanations or ())
        }
        for output in prediction.outputs
    }
    assert prediction.explanations
    first, only = prediction.explanations[0], base_values[prediction.outputs[0].name]
    return {
        "method": first.method,
        "space": first.space,
        "base_values": base_values if len(base_values) > 1 else only,
    }


def _label(label: Any) -> str:
    return label if isinstance(label, str) else msgspec.json.encode(label).decode()

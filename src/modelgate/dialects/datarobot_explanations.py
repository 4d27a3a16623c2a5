"""Prediction Explanations of the DataRobot Prediction API: query parameters, and members of rows.

There are two routes. On the older one, ``/predictionExplanations``, rows have exactly the members in the
document "DataRobot Prediction API", so they have no ``predictionThreshold``. On
``/predictions?maxExplanations=3``, each row also has an ``explanationMetadata``, which is an extension.
Strengths are Shapley values instead of DataRobot's XEMP, but the qualitative strengths follow the tables for
XEMP.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from ..errors import InvalidInput
from ..explanations import Explain, RowExplanation
from ..http import Request
from ..inference import Output
from .openapi_spec import JSONSchema, array_schema, object_schema

__all__ = [
    "EXPLANATION_PARAMETERS",
    "EXPLANATION_PATH",
    "EXPLANATION_PROPERTIES",
    "OPENAPI_PARAMETERS",
    "explanation_members",
    "is_explanation_route",
    "parse_explain",
]

EXPLANATION_PATH = "/predictionExplanations"

EXPLANATION_PARAMETERS = frozenset(
    {
        "maxExplanations",
        "maxCodes",
        "maxNgramExplanations",
        "thresholdLow",
        "thresholdHigh",
        "explanationAlgorithm",
    }
)

_DEFAULT_COUNT = 3

OPENAPI_PARAMETERS: Sequence[JSONSchema] = (
    {
        "name": "maxExplanations",
        "in": "query",
        "description": "Largest number of explanations per row; by default 3 on /predictionExplanations, else 0",
        "schema": {"type": "integer", "minimum": 0},
        "example": 3,
    },
    *(
        {
            "name": name,
            "in": "query",
            "description": f"Explain predictions {side} this value; null for no such threshold",
            "schema": {"type": ["number", "null"]},
            "example": example,
        }
        for name, side, example in (("thresholdLow", "below", 0.2), ("thresholdHigh", "above", 0.5))
    ),
)

EXPLANATION_PROPERTIES: Mapping[str, JSONSchema] = {
    "predictionExplanations": {
        "type": ["array", "null"],
        "description": "The strongest first; empty for a prediction between the thresholds",
        "items": object_schema(
            ["featureValue", "strength", "feature", "qualitativeStrength", "label"],
            featureValue={},
            strength={"type": "number"},
            feature={"type": "string"},
            qualitativeStrength={"enum": ["+++", "++", "+", "-", "--", "---"]},
            label={},
        ),
        "examples": [
            [
                {
                    "featureValue": 49,
                    "strength": 0.6194461777,
                    "feature": "driver_age",
                    "qualitativeStrength": "+++",
                    "label": 1,
                }
            ]
        ],
    },
    "explanationMetadata": array_schema(
        object_schema(
            ["label", "method", "space", "baseValue", "remainingTotal"],
            label={},
            method={"enum": ["linear", "tree", "permutation"]},
            space={"enum": ["value", "link", "probability", "margin"]},
            baseValue={"type": "number"},
            remainingTotal={"type": ["number", "null"]},
        )
    ),
}


def is_explanation_route(request: Request) -> bool:
    """Return whether the path of *request* is the route whose responses always have explanations."""
    return request.path.rstrip("/").endswith(EXPLANATION_PATH)


def parse_explain(request: Request) -> Explain | None:
    """Return the explanations that the query string requests, or None if it requests none.

    Raises:
        InvalidInput: A parameter has a wrong value, or there are thresholds without explanations.
    """
    options = dict(parse_qsl(request.query_string))
    count = _DEFAULT_COUNT if is_explanation_route(request) else 0
    for name in ("maxCodes", "maxExplanations"):
        if name in options:
            count = _parse_count(name, options[name])
    thresholds = [_parse_threshold(name, options.get(name)) for name in ("thresholdLow", "thresholdHigh")]
    if options.get("maxNgramExplanations", "0") != "0":
        raise InvalidInput("'maxNgramExplanations': text explanations are not available for this deployment")
    algorithm = options.get("explanationAlgorithm")
    if algorithm is not None and (count or algorithm.lower() != "xemp"):
        raise InvalidInput(
            "'explanationAlgorithm': the algorithm cannot be chosen: leave out this option, and set"
            " maxExplanations"
        )
    if not count:
        if thresholds != [None, None]:
            raise InvalidInput("thresholdLow and thresholdHigh need maxExplanations of at least 1")
        return None
    return Explain(count, *thresholds)


def _parse_count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput(f"{name!r}: value must be a whole number of at least 0")
    return int(text)


def _parse_threshold(name: str, text: str | None) -> float | None:
    if text is None or text.lower() == "null":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{name!r}: value must be a number or null") from None


def explanation_members(
    outputs: Sequence[Output], span: slice, *, has_metadata: bool
) -> dict[str, list[Any]]:
    """Return the members that explain the rows in *span*: for each name, a list with one value per row.

    If there are several outputs, the label of a class is the output's name, ``_`` and the class, as in
    ``predictionValues``.

    Args:
        outputs: Outputs with explanations.
        span: Rows to return.
        has_metadata: Whether to add the member ``explanationMetadata``.
    """
    explanations: list[Any] = []
    metadata = []
    columns = [(output.explanations or ())[span] for output in outputs]
    for row in zip(*columns, strict=True):
        labels = [
            explanation.label
            if output.classes is None or len(outputs) == 1
            else f"{output.name}_{explanation.label}"
            for output, explanation in zip(outputs, row, strict=True)
        ]
        parts = [_contributions(*part) for part in zip(row, labels, strict=True)]
        known = [part for part in parts if part is not None]
        explanations.append([item for part in known for item in part] if known else None)
        metadata.append([_metadata(*part) for part in zip(row, labels, strict=True)])
    members = {"predictionExplanations": explanations}
    return {**members, "explanationMetadata": metadata} if has_metadata else members


def _contributions(explanation: RowExplanation, label: Any) -> list[dict[str, Any]] | None:
    if explanation.contributions is None:
        return None
    return [
        {
            "featureValue": item.value,
            "strength": item.strength,
            "feature": item.feature,
            "qualitativeStrength": item.qualitative_strength,
            "label": label,
        }
        for item in explanation.contributions
    ]


def _metadata(explanation: RowExplanation, label: Any) -> dict[str, Any]:
    return {
        "label": label,
        "method": explanation.method,
        "space": explanation.space,
        "baseValue": explanation.base_value,
        "remainingTotal": explanation.remaining,
    }

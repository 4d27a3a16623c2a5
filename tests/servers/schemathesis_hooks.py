"""Hooks of schemathesis, which runs in an environment of its own.

They leave out valid cases that a gate rejects for a rule that OpenAPI cannot describe. All invalid cases remain.
"""

import os

import schemathesis

COLUMNS = ["age", "plan"]
KEY = os.environ["MODELGATE_KEY"]
OPTIONS, ALL = ("passthrough", "passthroughColumns"), "passthroughColumnsSet"
ENVELOPES = ("dataframe_split", "dataframe_records", "instances", "inputs")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Send the same key everywhere."""
    if isinstance(case.body, dict) and isinstance(case.body.get("api_key"), str):
        case.body["api_key"] = KEY


@schemathesis.hook
def filter_case(context, case):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return True
    check_body = follows_curve_rules if case.path.endswith("/curves") else follows_body_rules
    return (
        case.media_type in (None, "application/json")
        and follows_query_rules(case.query or {})
        and (not isinstance(case.body, dict) or check_body(case.body))
    )


def follows_query_rules(query):
    """Passthrough columns are columns of the rows, or all. The other options need features that the models lack."""
    names = [name for option in OPTIONS for name in query.get(option) or ()]
    return (
        {*OPTIONS, ALL}.issuperset(query) and set(COLUMNS).issuperset(names) and not (names and ALL in query)
    )


def follows_curve_rules(body):
    """The grid is of ages in the column's bounds, and the models have no packaged rows."""
    grid = body.get("grid") or [-1]
    return (
        body["column"] == "age"
        and body.get("row") is not None
        and body.get("points") is None
        and not body.get("average")
        and all(type(age) in (int, float) and 0 <= age <= 120 for age in grid)
    )


def follows_body_rules(body):
    """One member has the rows, and these have equally many values, or the shape of their tensor."""
    envelopes = [body[name] for name in ENVELOPES if body.get(name) is not None]
    if len(envelopes) > 1:
        return False
    if body.get("dataframe_split") is not None:
        split = body["dataframe_split"]
        return split.get("columns") == COLUMNS and all(len(row) == len(COLUMNS) for row in split["data"])
    inputs = body.get("inputs")
    if isinstance(inputs, dict):
        return len({len(values) for values in inputs.values()}) == 1
    if isinstance(inputs, list) and inputs and "datatype" in inputs[0]:
        outputs = [output["name"] for output in body.get("outputs") or ()]
        tensors = [(tensor["name"], tensor["shape"], tensor["datatype"]) for tensor in inputs]
        return tensors == [("age", [1], "FP64"), ("plan", [1], "BYTES")] and outputs in ([], ["prediction"])
    return True

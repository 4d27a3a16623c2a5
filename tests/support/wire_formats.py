"""Requests and responses of one column ``x0`` in every wire format, of the deployment ``m``."""

import json

REQUESTS = {
    "native": ("/deployments/m/predict", "{rows}"),
    "simple": ("/simple/m", "{rows}"),
    "plexe": ("/predict/m", "{rows}"),
    "mlclever": ("/api/predict", '{{"input_data": {rows}}}'),
    "datarobot": ("/deployments/m/predictions", "{rows}"),
    "peltarion": ("/deployment/m/forward", '{{"rows": {rows}}}'),
    "mlflow": ("/mlflow/m/invocations", '{{"dataframe_records": {rows}}}'),
    "tf_serving": ("/v1/models/m:predict", '{{"instances": {rows}}}'),
    "open_inference": (
        "/v2/models/m/infer",
        '{{"inputs": [{{"name": "x0", "shape": [{count}], "datatype": "FP64", "data": {values}}}]}}',
    ),
}
"""Path and body by dialect. ``mlclever`` and others name the deployment in the body or by the key."""

NUMBERS_IN = {
    "native": lambda answer: [row["prediction"] for row in answer["predictions"]],
    "simple": lambda answer: [row["prediction"] for row in answer],
    "plexe": lambda answer: answer["result"],
    "mlclever": lambda answer: answer["predictions"],
    "datarobot": lambda answer: [row["prediction"] for row in answer["data"]],
    "peltarion": lambda answer: [row["prediction"] for row in answer["rows"]],
    "mlflow": lambda answer: answer["predictions"],
    "tf_serving": lambda answer: answer["predictions"],
    "open_inference": lambda answer: answer["outputs"][0]["data"],
}
"""Functions that return the predictions in a decoded response, by dialect."""


def request_of(dialect, values):
    """Return the path and the body of a request for rows with *values*."""
    path, body = REQUESTS[dialect]
    rows = json.dumps([{"x0": value} for value in values])
    return path, body.format(rows=rows, values=list(values), count=len(values)).encode()

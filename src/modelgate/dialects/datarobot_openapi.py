"""OpenAPI description of the DataRobot Prediction API."""

from collections.abc import Sequence

from ..errors import RequestError
from ..inference import Target
from ._exposure import DATAROBOT_ADJUSTED, DATAROBOT_PARAMETER
from ._humility import DATAROBOT_HUMILITY
from .datarobot_explanations import EXPLANATION_PATH, EXPLANATION_PROPERTIES, OPENAPI_PARAMETERS
from .openapi_spec import (
    OBJECT,
    ROW,
    ROWS,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    object_schema,
    targets_schema,
)

__all__ = ["OPENAPI_SPEC", "RequestLineTooLong"]


class RequestLineTooLong(RequestError):
    """The request line exceeds the limit of the service, 8192 bytes.

    Source: "DataRobot Prediction API", section "Knowing the limitations". Clients such as `datarobot-predict`
    exceed the limit when they send many ``passthroughColumns``, because each is a query parameter.
    """

    status = 414
    code = "request_line_too_long"
    longest = 8192

    def __init__(self) -> None:
        super().__init__(f"The request line is longer than {self.longest} bytes: name fewer columns")


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    row = object_schema(
        ["predictionValues", "prediction", "rowId"],
        predictionValues=array_schema(object_schema(["value", "label"], value={}, label={})),
        predictionThreshold={"type": "number"},
        prediction=targets_schema(targets),
        rowId={"type": "integer"},
        **EXPLANATION_PROPERTIES,
        passthroughValues=OBJECT,
        **DATAROBOT_ADJUSTED,
        **DATAROBOT_HUMILITY,
    )
    return object_schema(["data"], data=array_schema(row), **WARNINGS)


OPENAPI_SPEC = OpenAPISpec(
    "DataRobot Prediction API",
    {
        "application/json": any_of_schema(ROW, ROWS),
        "text/csv": {"type": "string"},
        "multipart/form-data": object_schema(["file"], file={"type": "string"}),
    },
    _response_schema,
    object_schema(["message"], message={"type": "string"}),
    answer_types=("text/csv",),
    keys=(("bearer",), ("token",), ("basic",), ("x-api-key",)),
    parameters=(
        {
            "name": "passthroughColumns",
            "in": "query",
            "description": "Input column to return unchanged; repeat for several",
            "schema": array_schema({"type": "string", "minLength": 1}),
        },
        {
            "name": "passthroughColumnsSet",
            "in": "query",
            "description": "Return all input columns",
            "schema": {"const": "all"},
        },
        DATAROBOT_PARAMETER,
    ),
    errors=(RequestLineTooLong(),),
    explanation_parameters=OPENAPI_PARAMETERS,
    explanation_path=EXPLANATION_PATH,
)

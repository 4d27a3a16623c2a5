"""What an OpenAPI document says of the DataRobot Prediction API."""

from collections.abc import Sequence

from ..errors import RequestError
from ..scoring import Target
from .document import ROW, ROWS, WARNINGS, Document, JSONSchema, array, by_name, either, members

__all__ = ["DOCUMENT", "RequestLineTooLong"]


class RequestLineTooLong(RequestError):
    """The request line is longer than the service takes."""

    status = 414
    code = "request_line_too_long"
    longest = 8192

    def __init__(self) -> None:
        super().__init__(f"The request line is longer than {self.longest} bytes: name fewer columns")


def _answer(targets: Sequence[Target]) -> JSONSchema:
    row = members(
        ["predictionValues", "prediction", "rowId"],
        predictionValues=array(members(["value", "label"], value={}, label={})),
        predictionThreshold={"type": "number"},
        prediction=by_name(targets),
        rowId={"type": "integer"},
        passthroughValues={"type": "object"},
    )
    return members(["data"], data=array(row), **WARNINGS)


DOCUMENT = Document(
    "DataRobot Prediction API",
    {
        "application/json": either(ROW, ROWS),
        "text/csv": {"type": "string"},
        "multipart/form-data": members(["file"], file={"type": "string"}),
    },
    _answer,
    members(["message"], message={"type": "string"}),
    answer_types=("text/csv",),
    keys=(("bearer",), ("token",), ("basic",)),
    parameters=(
        {
            "name": "passthroughColumns",
            "in": "query",
            "description": "Columns to give back as they came: once for each",
            "schema": array({"type": "string"}),
        },
        {
            "name": "passthroughColumnsSet",
            "in": "query",
            "description": "Give back all columns",
            "schema": {"const": "all"},
        },
    ),
    errors=(RequestLineTooLong(),),
)

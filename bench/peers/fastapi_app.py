"""Typical FastAPI app: pydantic, a key as a dependency, slowapi, a sync handler."""

import secrets

import pydantic
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import APIKeyHeader
from shared import COLUMNS, KEY, LIMITS, ROW, score
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded

Row = pydantic.create_model(
    "Row",
    **{f"f{index}": (type(ROW[name]), pydantic.Field(alias=name)) for index, name in enumerate(COLUMNS)},
)


class Answer(pydantic.BaseModel):
    prediction: int | float | str
    confidence: float | None = None


def check_key(key: str = Depends(APIKeyHeader(name="X-API-Key"))):
    if not secrets.compare_digest(key, KEY):
        raise HTTPException(401)
    return key


limiter = Limiter(key_func=lambda request: request.headers.get("x-api-key", ""))
app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


@app.post("/predict", dependencies=[Depends(check_key)])
@limiter.limit(";".join(LIMITS))
def predict(request: Request, rows: Row | list[Row]) -> list[Answer]:
    rows = rows if isinstance(rows, list) else [rows]
    return score([row.model_dump(by_alias=True) for row in rows])

"""Gate in a FastAPI app."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response

from modelgate import Deployment, Gate, Prediction

model: Any = None
gate = Gate([Deployment("churn", model)], keys="open")
app = FastAPI()
app.mount("/ml", gate.asgi)


def find_gate() -> Gate:
    return gate


@app.post("/predict")
async def predict(request: Request, injected: Annotated[Gate, Depends(find_gate)]) -> Response:
    return await injected.handle(request, "churn")


@app.get("/score")
def score(age: float) -> list[float]:
    prediction: Prediction = gate.score("churn", [{"age": age}], timeout=1.5)
    values: list[float] = prediction.values.tolist()
    return values


gate.score("churn")  # type: ignore[call-arg]
gate.score(0, {"age": 41})  # type: ignore[arg-type]

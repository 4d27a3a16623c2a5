"""The client, blocking and asynchronous, with custom httpx clients."""

from typing import Any, assert_type

import httpx

from modelgate.client import AsyncClient, Client, ConnectionFailed, OutputPredictions, Predictions

URL = "https://localhost/ml/churn"

with Client(URL, key="a-key", timeout=5, batch_rows=100) as client:
    assert_type(client, Client)
    predictions = client.predict([{"age": 41}], progress=lambda done, total: None)
    assert_type(predictions, Predictions)
    assert_type(len(predictions), int)
    assert_type(predictions.version, str | None)
    assert_type(predictions.probabilities, list[list[float]] | None)
    assert_type(predictions.outputs, dict[str, OutputPredictions])
    assert_type(client.predict([], passthrough=["id"]).passthrough, list[dict[str, Any]] | None)


async def predict() -> Predictions:
    try:
        async with httpx.AsyncClient() as http, AsyncClient(URL, http=http) as client:
            assert_type(client, AsyncClient)
            return await client.predict({"age": 41})
    except ConnectionFailed as error:
        assert_type(error.retried, bool)
        raise


Client(URL, key=5)  # type: ignore[arg-type]
Client(URL, http=httpx.AsyncClient())  # type: ignore[arg-type]
Client(URL, attempts="3")  # type: ignore[arg-type]

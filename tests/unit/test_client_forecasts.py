"""Forecasts by the client, blocking and with asyncio."""

import asyncio

import httpx
import pytest

from modelgate import Deployment, ForecastOptions, Gate, InvalidInput, Schema
from modelgate.client import AsyncClient, Client, UnexpectedResponse
from support.series import Drift, drift_rows

ROWS = drift_rows()


def serve(model=None, **options):
    return Gate([Deployment("sales", model or Drift(), version="3", **options)], keys="open")


def blocking(gate, rows, options=None):
    with httpx.Client(transport=httpx.WSGITransport(gate.wsgi)) as http:
        return Client("http://app/sales", http=http).forecast(rows, options)


def with_asyncio(gate, rows, options=None):
    async def call():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate.asgi)) as http:
            return await AsyncClient("http://app/sales", http=http).forecast(rows, options)

    return asyncio.run(call())


@pytest.mark.parametrize("forecast", [blocking, with_asyncio])
def test_forecasts(forecast):
    result = forecast(serve(), ROWS)

    assert [105, 106, 107, 205, 206, 207] == result.values
    assert (6, "3", []) == (len(result), result.version, result.warnings)
    assert (1, "2018-01-06", 5) == tuple(result.rows[0][name] for name in ("series", "date", "row"))
    assert result.request_id


@pytest.mark.parametrize("forecast", [blocking, with_asyncio])
def test_options_are_sent(forecast):
    rows = [row for row in ROWS if row["date"] < "2018-01-06"]
    options = ForecastOptions(forecast_point="2018-01-05T00:00:00+00:00", relax_known_in_advance=True)

    assert [1, 2, 3, 1, 2, 3] == [row["step"] for row in forecast(serve(), rows, options).rows]


def test_data_frames_are_sent():
    pandas = pytest.importorskip("pandas")

    assert 6 == len(blocking(serve(), pandas.DataFrame(ROWS)))


def test_predict_refers_to_forecast():
    message = "call forecast instead of predict"
    transport = httpx.WSGITransport(serve().wsgi)
    with httpx.Client(transport=transport) as http, pytest.raises(UnexpectedResponse, match=message):
        Client("http://app/sales", http=http).predict(ROWS)


def test_errors_are_raised():
    with pytest.raises(InvalidInput, match="there is no row for 2018-01-03"):
        blocking(serve(), ROWS[:2] + ROWS[3:])


@pytest.mark.parametrize(
    "forecast",
    [blocking, with_asyncio, lambda gate, rows, options: gate.score("sales", rows, forecast=options)],
)
def test_options_of_another_type_are_rejected(forecast):
    with pytest.raises(
        InvalidInput, match=r"must be ForecastOptions\(forecast_point=…\) or None \(got dict\)"
    ):
        forecast(serve(), ROWS, {"forecast_point": "2018-01-05"})


def test_forecasts_without_predictions_are_unexpected():
    def handle(request):
        return httpx.Response(200, json={"forecast": [{"date": "2018-01-06"}], "model_version": "3"})

    client = Client("http://app/sales", http=httpx.Client(transport=httpx.MockTransport(handle)))
    with pytest.raises(UnexpectedResponse, match=r"the response has no forecasts: .*`prediction`"):
        client.forecast(ROWS)


def test_other_models_do_not_forecast():
    gate = serve(lambda table: table["a"], schema=Schema.of(a=float))
    with pytest.raises(UnexpectedResponse, match="the response has no forecasts"):
        blocking(gate, [{"a": 1}])
    with pytest.raises(InvalidInput, match="Time series predictions are not available"):
        blocking(gate, [{"a": 1}], ForecastOptions(relax_series=True))

"""Blocking and asyncio clients, both based on `Session`."""

import inspect
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from ..errors import ConfigurationError
from ..explanations import Explain
from ..flow import adrive, drive
from ..forecasting import ForecastOptions
from ..scoring.layers.intervals import to_levels
from .curves import ResponseCurve, request_curve
from .forecasts import Forecasts, request_forecasts
from .predictions import Predictions
from .retry import Retry
from .session import Progress, Session, warn_of_plain_http

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncClient", "Client", "httpx_package"]

H = TypeVar("H")

BATCH_ROWS = 10_000
"""Default of *batch_rows*. For the dialect ``native``, a gate only has a limit if the deployment sets one."""

BATCH_BYTES = 4 * 1024 * 1024


def httpx_package() -> Any:
    """Import and return the package httpx.

    Raises:
        ConfigurationError: httpx is not installed.
    """
    try:
        import httpx
    except ImportError:
        raise ConfigurationError('a client needs httpx: pip install "modelgate[client]"') from None
    return httpx


def _options(
    passthrough: Sequence[str],
    explain: int | Explain | None,
    intervals: Sequence[float],
    *,
    adjusted: bool,
    context: bool,
) -> dict[str, Any]:
    """Return the options for the query string. Options that are None or empty are not sent."""
    options = {
        "passthrough": passthrough,
        "intervals": to_levels(intervals),
        "adjusted": "true" if adjusted else None,
        "context": "true" if context else None,
    }
    explain = Explain.from_option(explain)
    if explain is None:
        return options
    # As text, because the number 0 would not be sent.
    thresholds = {"threshold_low": explain.threshold_low, "threshold_high": explain.threshold_high}
    set_thresholds = {name: repr(value) for name, value in thresholds.items() if value is not None}
    return {**options, "explain": explain.count, **set_thresholds}


class _BaseClient(Generic[H]):
    """Base class of both clients."""

    _is_async: ClassVar[bool]

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        key_header: str = "authorization",
        timeout: float = 60.0,
        deadline: float = 300.0,
        attempts: int = 5,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        http: H | None = None,
    ) -> None:
        if (
            http is not None
            and inspect.iscoroutinefunction(getattr(http, "send", None)) is not self._is_async
        ):
            name = "httpx.AsyncClient" if self._is_async else "httpx.Client"
            raise ConfigurationError(f"http must be an {name} (got {type(http).__name__})")
        self._owns_http = http is None
        self._session = Session(
            url,
            key,
            Retry(attempts, deadline, timeout),
            self._create_http() if http is None else http,
            batch_rows=batch_rows,
            batch_bytes=batch_bytes,
            key_header=key_header,
        )
        if http is None and key is not None:
            warn_of_plain_http(url)

    def _create_http(self) -> H:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.url!r})"


class Client(_BaseClient["httpx.Client"]):
    """Blocking client for one deployment: ``Client("http://localhost:8000/ml/churn", key=…)``.

    Threads can share a client.

    Args:
        url: URL of the deployment: the gate's mount point and the deployment's name, such as
            ``"https://host/ml/churn"``. The URL of the deployment's metadata is accepted, too:
            ``"https://host/ml/deployments/churn"``.
        key: API key; None if the gate needs no key. A warning is logged if it is sent over plain ``http://``
            to another machine.
        key_header: Header field in which the key is sent, ``"authorization"`` or ``"x-api-key"``. If a
            platform needs ``Authorization``, use ``"x-api-key"``, and pass the platform's token with *http*.
        timeout: Seconds for one attempt. Connecting may take at most half of this time. The blocking
            client checks the time only when it receives data, so an attempt can take longer.
        deadline: Seconds for a whole call, such as `predict`, including all batches and waits.
        attempts: Maximum number of attempts to send a batch if the server is busy, a rate limit is reached or
            the connection fails. Repeating a request is safe, because scoring changes nothing.
        batch_rows: Maximum rows per request.
        batch_bytes: Maximum bytes per request.
        http: httpx client to send requests with, for your own certificates or proxies. The caller
            must close it.

    Raises:
        ConfigurationError: An option is invalid, or httpx is not installed.
    """

    _is_async = False

    def _create_http(self) -> "httpx.Client":
        return httpx_package().Client()  # type: ignore[no-any-return]

    def predict(
        self,
        rows: Any,
        *,
        passthrough: Sequence[str] = (),
        explain: int | Explain | None = None,
        intervals: Sequence[float] = (),
        adjusted: bool = False,
        context: bool = False,
        progress: Progress | None = None,
    ) -> Predictions:
        """Return the predictions for *rows*, in the same order.

        Args:
            rows: One row as a dict; a list of dicts; a pandas or polars DataFrame; or `modelgate.CSV`.
            passthrough: Columns of *rows* to return with the predictions, such as an id. They need not be in
                the schema.
            explain: Number of contributions to return for each row, or `modelgate.Explain` with thresholds;
                see `OutputPredictions.explanations`. None for no explanations.
            intervals: Levels of the prediction intervals to add, in percent. The model must be calibrated;
                see `modelgate.ModelPackage.calibrate`.
            adjusted: Whether to also return predictions for one unit of exposure. The deployment must have an
                exposure.
            context: Whether to compare the values of each row with the training data; see
                `Predictions.context`. The model must have a package with training statistics.
            progress: Function called after each batch with the number of rows done and the total.

        Raises:
            ExplanationsUnavailable: The deployment does not explain its predictions.
            UnknownColumns: *rows* lacks a column of *passthrough*.
            MissingColumns, InvalidValues: Rows do not match the schema. Row numbers refer to *rows*.
            InvalidInput: The model cannot provide the *intervals*.
            Unauthorized, Forbidden, NotFound: The key is not valid for the deployment, or the URL is
                wrong.
            RateLimitExceeded, Overloaded: The last attempt failed, or no time is left for another attempt.
            ConnectionFailed, UnexpectedResponse: There is no gate at the URL, or it does not respond.
        """
        options = _options(passthrough, explain, intervals, adjusted=adjusted, context=context)
        return drive(self._session.predict(rows, progress, options))

    def forecast(self, rows: Any, options: ForecastOptions | None = None) -> Forecasts:
        """Return the forecasts for the history in *rows*. All rows are sent in one request.

        Args:
            rows: History and rows to predict, in any form that `predict` accepts.
            options: Options of forecasts; None for their defaults.

        Raises:
            InvalidInput: The history is not complete, the deployment does not forecast, or *options* is not a
                `ForecastOptions`.
            ModelgateError: Any error of `predict`.
        """
        return drive(request_forecasts(self._session, rows, options))

    def curve(
        self,
        column: str,
        row: Mapping[str, Any] | None = None,
        *,
        grid: Sequence[Any] | None = None,
        points: int | None = None,
        average: bool = False,
    ) -> ResponseCurve:
        """Return predictions for *row* with *column* set to each value of a grid.

        Args:
            column: Name of the column that varies.
            row: A complete row; None to return only the *average*.
            grid: 1 to 200 values of the column; None for its levels, or for numbers from the 10th to the 90th
                percentile of the training data.
            points: Number of values in the default grid of a column of numbers; by default 50.
            average: Whether to add the mean predictions for the sample of training rows in the package.

        Raises:
            InvalidInput: The row, the column or the grid is not valid, or there is no sample.
            ModelgateError: Any error of `predict`.
        """
        return drive(request_curve(self._session, column, row, grid, points, average=average))

    def close(self) -> None:
        """Close the connections, unless *http* was passed."""
        if self._owns_http:
            self._session.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_BaseClient["httpx.AsyncClient"]):
    """Client for asyncio: ``await AsyncClient("http://localhost:8000/ml/churn", key=…).predict(…)``.

    The arguments are those of `Client`, except that *http* must be an `httpx.AsyncClient`.
    """

    _is_async = True

    def _create_http(self) -> "httpx.AsyncClient":
        return httpx_package().AsyncClient()  # type: ignore[no-any-return]

    async def predict(
        self,
        rows: Any,
        *,
        passthrough: Sequence[str] = (),
        explain: int | Explain | None = None,
        intervals: Sequence[float] = (),
        adjusted: bool = False,
        context: bool = False,
        progress: Progress | None = None,
    ) -> Predictions:
        """Return the predictions for *rows*; see `Client.predict`."""
        options = _options(passthrough, explain, intervals, adjusted=adjusted, context=context)
        return await adrive(self._session.predict(rows, progress, options))

    async def forecast(self, rows: Any, options: ForecastOptions | None = None) -> Forecasts:
        """Return the forecasts for the history in *rows*; see `Client.forecast`."""
        return await adrive(request_forecasts(self._session, rows, options))

    async def curve(
        self,
        column: str,
        row: Mapping[str, Any] | None = None,
        *,
        grid: Sequence[Any] | None = None,
        points: int | None = None,
        average: bool = False,
    ) -> ResponseCurve:
        """Return predictions for *row* with *column* set to each value of a grid; see `Client.curve`."""
        return await adrive(request_curve(self._session, column, row, grid, points, average=average))

    async def aclose(self) -> None:
        """Close the connections, unless *http* was passed."""
        if self._owns_http:
            await self._session.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

"""`Client` and `AsyncClient`: a `Session`, driven by blocking or by awaiting."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError
from ..flow import adrive, drive
from .predictions import Predictions
from .retry import Retry
from .session import Progress, Session

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncClient", "Client", "httpx_package"]

BATCH_ROWS = 10_000
"""As many as a gate takes where neither the deployment nor the service spoken says otherwise."""

BATCH_BYTES = 4 * 1024 * 1024


def httpx_package() -> Any:
    """The package httpx. Raises `ConfigurationError` where it is missing."""
    try:
        import httpx
    except ImportError:
        raise ConfigurationError('a client needs httpx: pip install "modelgate[client]"') from None
    return httpx


class _Caller:
    """What both clients are made of."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        deadline: float = 300.0,
        attempts: int = 5,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        http: Any = None,
    ) -> None:
        self._given = http is not None
        self._session = Session(
            url,
            key,
            Retry(attempts, deadline, timeout),
            self._made() if http is None else http,
            batch_rows=batch_rows,
            batch_bytes=batch_bytes,
        )

    def _made(self) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.url!r})"


class Client(_Caller):
    """Asks a deployment, and blocks until it has answered: ``Client("http://localhost:8000/ml/churn", key=…)``.

    It may be shared by threads.

    Args:
        url: of the deployment: that of the mount point and its name, ``"https://host/ml/churn"``, or the
            one that shows its metadata, ``"https://host/ml/deployments/churn"``.
        key: the API key; None where the gate is open.
        timeout: seconds until the answer to one attempt must be there; half of them to connect.
            A blocking client looks at the clock whenever some of the body has come.
        deadline: seconds until `predict` must be done, with all its batches and waits.
        attempts: how often one batch is sent at most, where the server is busy, a limit is reached, or
            the connection fails. A prediction changes nothing at the server: sent twice it is answered twice.
        batch_rows: the most rows of one request.
        batch_bytes: the most bytes of one request.
        http: the client of httpx that sends, for certificates or proxies of your own, and which you close.

    Raises:
        ConfigurationError: an option cannot work, or httpx is missing.
    """

    def _made(self) -> "httpx.Client":
        return httpx_package().Client()  # type: ignore[no-any-return]

    def predict(self, rows: Any, *, progress: Progress | None = None) -> Predictions:
        """What the model says of *rows*, in their order.

        Args:
            rows: one row as a dict; a list of dicts; a pandas or polars DataFrame; or `modelgate.CSV`.
            progress: is called with the number of rows done, and of all, after each batch.

        Raises:
            MissingColumns, InvalidValues: rows break the schema; row numbers are those of *rows*.
            Unauthorized, Forbidden, NotFound: the key or the deployment is another.
            RateLimitExceeded, Overloaded: still so after all attempts, or beyond the deadline.
            ConnectionFailed, UnexpectedAnswer: there is no gate at the URL, or none that answers.
        """
        return drive(self._session.predict(rows, progress))

    def close(self) -> None:
        """Close the connections."""
        if not self._given:
            self._session.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Caller):
    """Asks a deployment, and is awaited: ``await AsyncClient("http://localhost:8000/ml/churn", key=…).predict(…)``.

    Args and Raises: as for `Client`; *http* is an `httpx.AsyncClient`.
    """

    def _made(self) -> "httpx.AsyncClient":
        return httpx_package().AsyncClient()  # type: ignore[no-any-return]

    async def predict(self, rows: Any, *, progress: Progress | None = None) -> Predictions:
        """As `Client.predict`."""
        return await adrive(self._session.predict(rows, progress))

    async def aclose(self) -> None:
        """Close the connections."""
        if not self._given:
            await self._session.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

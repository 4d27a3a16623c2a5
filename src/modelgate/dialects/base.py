"""Protocol of dialects."""

from collections.abc import Sequence
from typing import Protocol

from ..flow import Flow
from ..http import Request, Response, Route, WireFormat
from ..inference import Prediction
from ..scoring import Query

__all__ = ["Dialect"]


class Dialect(WireFormat, Protocol):
    """Wire format of one service. A dialect decodes requests to queries, and encodes predictions and errors.

    All methods are pure functions, except that `credentials` and `decode` may read the body. In the `Query`,
    `decode` sets the service's maximum number of rows and its number of decimals. A deployment can override
    these defaults.

    Two optional attributes let the gate describe requests and responses to callers: ``request_template``, a
    `modelgate.dialects.RequestTemplate`, and ``openapi_spec``, a `modelgate.dialects.OpenAPISpec`.
    """

    name: str

    @property
    def routes(self) -> Sequence[Route]:
        """Routes of this dialect, relative to the mount point."""

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the request to a query. The rows in the query are not validated yet.

        Raises:
            RequestError: The envelope around the rows cannot be read.
        """

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode the predictions for *query* as the response."""

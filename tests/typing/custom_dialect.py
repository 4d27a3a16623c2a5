"""Custom wire format."""

from modelgate import Flow, Gate, InvalidInput, Prediction, Query, Request, Response
from modelgate.dialects import Dialect
from modelgate.errors import AnswerableError
from modelgate.http.routing import Route


def report_health(request: Request) -> Flow[Response]:
    catalog = request.context.catalog
    assert catalog is not None
    ready = yield from catalog.ready()
    return Response(200 if ready else 503, b"", [("content-type", "text/plain")])


class Terse:
    name = "terse"
    max_body = 64 * 1024
    routes = [Route("POST", "/terse/{deployment}"), Route("GET", "/terse", report_health, is_public=True)]  # noqa: RUF012

    def credentials(self, request: Request) -> Flow[str | None]:
        yield from ()
        return request.headers.get("x-token")

    def decode(self, request: Request) -> Flow[Query]:
        body = yield from request.read()
        if not body:
            raise InvalidInput("the body is empty")
        return Query(body, single=True)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        return Response(200, str(prediction.values[0]).encode(), [("content-type", "text/plain")])

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        return Response(error.status, error.message.encode(), [("content-type", "text/plain")])


class Unnamed:
    routes = (Route("POST", "/unnamed"),)


dialect: Dialect = Terse()
gate = Gate(keys="open", dialects=["mlclever", Terse()])
Gate(keys="open", dialects=[Unnamed()])  # type: ignore[list-item]

"""Session that scores CSV with a gate in this process, with the same results as an HTTP request."""

from ..client.errors import error_from_response
from ..client.session import HTTPResponse
from ..dialects.native import Native
from ..errors import AnswerableError, PredictionError
from ..flow import Flow
from ..gate import Gate
from ..gate.score_and_encode import score_and_encode
from ..http import Request, Response

__all__ = ["LocalSession"]


class LocalSession:
    """Session for a deployment of a gate in this process.

    The results equal those of `POST /deployments/{deployment}/predict`: the deployment's schema, exact plans,
    humility rules, rounding and scoring layers apply. HTTP layers do not apply: there are no keys, rate
    limits or deadlines. Functions passed as `Gate(on_prediction=…)` are not called.

    Args:
        gate: The gate.
        deployment: Name of the deployment.
        query: Query string of the requests, such as ``intervals=90``.
        dialect: Wire format of the rows and the results; None for `Native`.
    """

    def __init__(self, gate: Gate, deployment: str, query: str = "", dialect: Native | None = None) -> None:
        self._catalog = gate.deployments.catalog
        self._catalog.require(deployment)
        self._deployment = deployment
        self._query = query
        self._dialect = dialect or Native()

    def post(self, body: bytes, media_type: str, accept: str) -> Flow[HTTPResponse]:
        """Score *body* and return the encoded results.

        Raises:
            ModelgateError: The same error that a client of the gate would raise.
        """
        path, headers = (
            f"/deployments/{self._deployment}/predict",
            {"content-type": media_type, "accept": accept},
        )
        request = Request("POST", path, headers, query_string=self._query)
        request.wire, request.body_read = self._dialect, body
        try:
            response = yield from self._answer(request)
        except AnswerableError as error:
            response = self._dialect.encode_error(request, error)
            raised = error_from_response(
                response.status,
                dict(response.headers),
                _read(response),
                path,
                key_header=None,
                has_worked=True,
            )
            if isinstance(error, PredictionError) and error.__cause__ is not None:
                raised.add_note(f"cause: {type(error.__cause__).__name__}: {error.__cause__}")
            raise raised from None
        return HTTPResponse(response.status, dict(response.headers), _read(response))

    def _answer(self, request: Request) -> Flow[Response]:
        query = request.context.query = yield from self._dialect.decode(request)
        query.deployment = request.context.deployment = self._deployment
        return (yield from score_and_encode(self._catalog.get_active(self._deployment).score, request))


def _read(response: Response) -> bytes:
    body = response.body
    return body if isinstance(body, bytes) else b"".join(body)

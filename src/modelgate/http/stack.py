"""Stacks of HTTP layers, and errors as responses."""

from collections.abc import Iterable

from ..errors import AnswerableError, ConfigurationError
from ..flow import Flow, Handler, Layer, stack, validate_layers
from .request import Request
from .response import Response

__all__ = ["call_encoding_errors", "encode_error", "http_stack"]


def call_encoding_errors(request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
    """Return the response of *call_next*. If it raises an `AnswerableError`, return that as a response.

    For layers that must see every response. Other layers let such errors pass.
    """
    try:
        return (yield from call_next(request))
    except AnswerableError as error:
        return encode_error(request, error)


def encode_error(request: Request, error: AnswerableError) -> Response:
    """Return *error* as a response in the wire format of *request*."""
    request.error_code = error.code
    return request.wire.encode_error(request, error)


def http_stack(
    layers: Iterable[Layer[Request, Response]], handler: Handler[Request, Response]
) -> Handler[Request, Response]:
    """Return *handler* with HTTP *layers* around it, the first one outermost.

    Raises:
        ConfigurationError: One of them is not an HTTP layer.
    """
    http_layers = validate_layers(layers)
    for layer in http_layers:
        if getattr(layer, "scores", False):
            name = type(layer).__name__
            raise ConfigurationError(
                f"layers: {name} is a scoring layer: pass it to scoring_layers=[…] or WithScoring(…)"
            )
    return stack(http_layers, handler)

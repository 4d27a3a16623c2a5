"""Stack HTTP layers, and convert errors to responses."""

import inspect
from collections.abc import Iterable
from typing import TypeAlias

from ..errors import AnswerableError, ConfigurationError
from ..flow import Flow, Handler, Layer, stack, validate_layers
from .request import Request
from .response import Response

__all__ = ["CallNext", "call_encoding_errors", "check_wrapping", "encode_error", "http_stack"]

CallNext: TypeAlias = Handler[Request, Response]
"""Second argument of an HTTP layer: calls the inner layers, and then the handler."""

_APP_PARAMETERS = (["environ", "start_response"], ["scope", "receive", "send"])


def call_encoding_errors(request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
    """Return the response of *call_next*. If it raises an `AnswerableError`, return the error as a response.

    Use this in layers that must see every response. Other layers let such errors pass.
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
        ConfigurationError: One of *layers* is not an HTTP layer.
    """
    http_layers = validate_layers(layers)
    for layer in http_layers:
        if getattr(layer, "scores", False):
            name = type(layer).__name__
            raise ConfigurationError(
                f"layers: {name} is a scoring layer: pass it to scoring_layers=[…] or WithScoring(…)"
            )
    return stack(http_layers, handler)


def check_wrapping(application: object, layers: Iterable[object]) -> None:
    """Raise `ConfigurationError` if *application* is a layer, or if one of *layers* is an app."""
    if not callable(application) or "call_next" in _parameter_names(application):
        raise ConfigurationError(
            f"wrap must get the app first, and then the layers (got {application!r} first)"
        )
    for layer in layers:
        if _parameter_names(layer) in _APP_PARAMETERS:
            raise ConfigurationError(
                f"wrap must get the app first, and then the layers (got the app {layer!r} among the layers)"
            )


def _parameter_names(function: object) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []

"""Adapter for Flask, which mounts a handler in an app, or calls a handler from a view."""

from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BodyTooLarge, ConfigurationError, MalformedBody
from ..flow import Handler, drive
from ..http import Request, Response
from . import wsgi

__all__ = ["handle", "mount"]


def mount(app: flask.Flask, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in a Flask app.

    Requests to the handler bypass Flask, which saves time. The routes, hooks and error pages of the app do
    not apply to them.

    Args:
        app: Flask app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.

    Raises:
        ConfigurationError: *prefix* does not begin with a slash, or ends with one.
    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ConfigurationError(f'prefix must be a path such as "/ml" (got {prefix!r})')
    flask_app, mounted_app = app.wsgi_app, wsgi.app(handler)

    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> object:
        path = environ.get("PATH_INFO", "")
        if path != prefix and not path.startswith(prefix + "/"):
            return flask_app(environ, start_response)
        mounted_environ = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
            "PATH_INFO": path[len(prefix) :],
        }
        return mounted_app(mounted_environ, start_response)

    app.wsgi_app = dispatch  # type: ignore[method-assign,assignment]


class _FlaskRequest(wsgi.WSGIRequest):
    """Request of a Flask view. If the view has read the body already, Flask returns it from a cache."""

    __slots__ = ("_flask",)

    def __init__(self, request: flask.Request) -> None:
        super().__init__(request.environ)
        self._flask = request

    def _read(self) -> bytes:
        limit = min(filter(None, (self._flask.max_content_length, self.max_body)), default=None)
        if limit is not None:
            # Allow one byte more than the limit, because Flask silently truncates bodies of unknown length.
            self._flask.max_content_length = limit + 1
        try:
            body = self._flask.get_data()
        except RequestEntityTooLarge:
            raise BodyTooLarge(limit or 0) from None
        except Exception as error:
            raise MalformedBody("The body could not be read: send it again") from error
        if limit is not None and len(body) > limit:
            raise BodyTooLarge(limit)
        return body


def handle(request: flask.Request, handler: Handler[Request, Response]) -> flask.Response:
    """Call *handler* from a Flask view, and return a response that the view can return."""
    gate_request = _FlaskRequest(request)
    try:
        response = drive(handler(gate_request))
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        return flask.Response(body, response.status_line, response.headers)
    finally:
        gate_request.close()

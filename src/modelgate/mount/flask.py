"""Flask adapter: mounts a handler in an app, or calls it from a view."""

from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BodyTooLarge, ConfigurationError, MalformedBody
from ..flow import Handler, drive
from ..http import Request, Response
from . import wsgi

__all__ = ["handle", "mount"]


def mount(app: flask.Flask, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount *handler*, for example a gate, below *prefix*.

    Its requests bypass Flask: they do not cost Flask's processing time, and the routes, hooks and error
    pages of the app do not see them.

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
    """Request of a Flask view, which may have read its body already: Flask caches it."""

    __slots__ = ("_flask",)

    def __init__(self, request: flask.Request) -> None:
        super().__init__(request.environ)
        self._flask = request

    def _read(self) -> bytes:
        limit = min(filter(None, (self._flask.max_content_length, self.max_body)), default=None)
        if limit is not None:
            # One byte more than the limit, because Flask silently truncates bodies of unknown length.
            self._flask.max_content_length = limit + 1
        try:
            body = self._flask.get_data()
        except RequestEntityTooLarge:
            raise BodyTooLarge(limit or 0) from None
        except Exception as error:
            raise MalformedBody("The body could not be read") from error
        if limit is not None and len(body) > limit:
            raise BodyTooLarge(limit)
        return body


def handle(request: flask.Request, handler: Handler[Request, Response]) -> flask.Response:
    """Call *handler* from a Flask view, and return the response for the view to return."""
    gate_request = _FlaskRequest(request)
    try:
        response = drive(handler(gate_request))
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        return flask.Response(body, response.status_line, response.headers)
    finally:
        gate_request.close()

"""Flask: a handler beside the app's own routes, or behind one of them."""

from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BodyTooLarge, ConfigurationError, MalformedBody
from ..flow import Handler, drive
from ..http import Request, Response
from . import wsgi

__all__ = ["handle", "mount"]


def mount(app: flask.Flask, prefix: str, handler: Handler[Request, Response]) -> None:
    """Answer everything below *prefix* with *handler*, a gate for one.

    It stands in front of Flask, so that its requests cost none of Flask's work; the app's own
    routes, hooks and error pages are untouched, and see nothing of it.

    Raises:
        ConfigurationError: *prefix* does not begin with a slash, or ends in one.
    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ConfigurationError(f'prefix={prefix!r}: accepts a path such as "/ml"')
    own, mounted = app.wsgi_app, wsgi.app(handler)

    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> object:
        path = environ.get("PATH_INFO", "")
        if path != prefix and not path.startswith(prefix + "/"):
            return own(environ, start_response)
        inside = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
            "PATH_INFO": path[len(prefix) :],
        }
        return mounted(inside, start_response)

    app.wsgi_app = dispatch  # type: ignore[method-assign,assignment]


class _FlaskRequest(wsgi.WSGIRequest):
    """A Flask request: the view may have read its body already, and Flask has kept it then."""

    __slots__ = ("_flask",)

    def __init__(self, request: flask.Request) -> None:
        super().__init__(request.environ)
        self._flask = request

    def _read(self) -> bytes:
        limit = min(filter(None, (self._flask.max_content_length, self.max_body)), default=None)
        if limit is not None:
            # One byte more: a body whose length is not told is cut off there without a word.
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
    """The answer of *handler* to the request of a Flask view, for the view to return."""
    seen = _FlaskRequest(request)
    try:
        response = drive(handler(seen))
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        return flask.Response(body, response.status_line, response.headers)
    finally:
        seen.close()

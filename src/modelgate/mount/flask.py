"""Adapter for Flask. It mounts a handler in an app, or calls a handler from a view."""

import flask
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wsgi import get_input_stream

from ..errors import BodyTooLarge, ConfigurationError, MalformedBody
from ..flow import Handler, Layer
from ..http import Request, Response
from ..http.spooled_body import SpooledBody
from . import wsgi
from .prefix import require_prefix
from .views import respond

__all__ = ["handle", "init_app", "mount", "wrap"]

_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def mount(app: flask.Flask, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in front of a Flask app.

    Requests to the handler bypass Flask, which saves time. The routes, hooks and error pages of the app do
    not apply to these requests. To apply hooks, use `init_app`.

    Args:
        app: Flask app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.

    Raises:
        ConfigurationError: *app* is not a Flask app, or *prefix* is not a path such as ``/ml``.
    """
    _require_app(app, "use init_app for a blueprint, and gate.mount for other apps")
    app.wsgi_app = wsgi.mount(app.wsgi_app, prefix, handler)  # type: ignore[method-assign]


def wrap(app: flask.Flask, *layers: Layer[Request, Response]) -> None:
    """Wrap *layers* around a Flask app, the first one outermost; see `modelgate.mount.wsgi.wrap`.

    Raises:
        ConfigurationError: *app* is not a Flask app, or a layer is not callable.
    """
    _require_app(app, "use mount.wsgi.wrap for other WSGI apps")
    app.wsgi_app = wsgi.wrap(app.wsgi_app, *layers)  # type: ignore[method-assign]


def _require_app(app: object, remedy: str) -> None:
    if not isinstance(app, flask.Flask):
        raise ConfigurationError(f"app must be a Flask app (got {type(app).__name__}): {remedy}")


def init_app(app: flask.Flask | flask.Blueprint, prefix: str, handler: Handler[Request, Response]) -> None:
    """Serve a handler from routes of a Flask app or blueprint.

    Hooks such as ``before_request`` and ``after_request``, and extensions such as Flask-CORS and Flask-Login,
    apply to requests to the handler.

    Args:
        app: Flask app, or a blueprint.
        prefix: Path below which the handler is served, such as ``/ml``.
        handler: Handler, for example a gate.

    Raises:
        ConfigurationError: *app* is not a Flask app or blueprint, or *prefix* is not a path such as ``/ml``.
    """
    require_prefix(prefix)
    if not isinstance(app, flask.Flask | flask.Blueprint):
        raise ConfigurationError(
            f"app must be a Flask app or blueprint (got {type(app).__name__}): use gate.mount for other apps"
        )

    def view(path: str = "") -> flask.Response:
        request = _FlaskRequest(flask.request)
        # At the prefix itself, the path is "/" if the URL ends in a slash, and empty otherwise.
        request.path = "/" + path if path or flask.request.path.endswith("/") else ""
        request.root_path = flask.request.root_path + flask.request.path.removesuffix(request.path)
        response = _respond(request, handler)
        if request.method == "OPTIONS" and response.status_code == 405:
            # Return Flask's own response, which extensions such as Flask-CORS complete.
            return flask.current_app.make_default_options_response()
        return response

    endpoint = "modelgate" + prefix.replace("/", "_").replace(".", "_")
    for rule in (prefix, prefix + "/", prefix + "/<path:path>"):
        app.add_url_rule(rule, endpoint, view, methods=_METHODS, provide_automatic_options=False)


class _FlaskRequest(wsgi.WSGIRequest):
    """Request of a Flask view. If the view has read the body, Flask returns a cached copy."""

    __slots__ = ("_flask",)

    def __init__(self, request: WerkzeugRequest) -> None:
        super().__init__(request.environ)
        self._flask = request
        if flask.has_app_context():
            self.on_exception = _send_exception

    def _read(self) -> bytes | SpooledBody:
        if self.content_length is None and not self.environ.get("wsgi.input_terminated"):
            return super()._read()
        limit = min(filter(None, (self._flask.max_content_length, self.max_body)), default=None)
        try:
            if limit is not None and "stream" not in self._flask.__dict__:
                # Allow one byte more than the limit, because werkzeug silently truncates bodies of unknown
                # length. Before Flask 3.1, the limit of a request cannot be set.
                self._flask.stream = get_input_stream(self.environ, max_content_length=limit + 1)
            body = self._flask.get_data()
        except RequestEntityTooLarge:
            raise BodyTooLarge(limit or 0) from None
        except Exception as error:
            raise MalformedBody("The body could not be read: send it again") from error
        if limit is not None and len(body) > limit:
            raise BodyTooLarge(limit)
        return body


def _send_exception(error: BaseException) -> None:
    """Send the signal that error trackers for Flask listen to."""
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    flask.got_request_exception.send(app, exception=error)


def handle(request: WerkzeugRequest, handler: Handler[Request, Response]) -> flask.Response:
    """Call *handler* from a view of Flask or werkzeug, and return a response that the view can return."""
    return _respond(_FlaskRequest(request), handler)


def _respond(request: _FlaskRequest, handler: Handler[Request, Response]) -> flask.Response:
    response, body = respond(request, handler)
    return flask.Response(body, response.status_line, response.headers)

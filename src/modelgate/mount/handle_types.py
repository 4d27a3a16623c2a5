"""Types of `modelgate.Gate.handle`, for type checkers.

If a framework is not installed, type checkers replace its classes by Any, which matches every request. A
request is therefore recognized by members that only the requests of its framework have. The types of
responses come from the frameworks.

There is no overload for Django, because the same request class is used in sync views, which return a
response, and in async views, which return an awaitable. There are none for Pyramid and Bottle, because these
frameworks contain no type information.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    import blacksheep
    import flask
    import litestar
    import quart
    import sanic
    import starlette.requests
    import starlette.responses

__all__ = ["typed_handle"]


class _WerkzeugRequest(Protocol):
    """Request of Flask or Werkzeug."""

    @property
    def want_form_data_parsed(self) -> bool: ...


class _QuartRequest(Protocol):
    """Request of Quart."""

    @property
    def blueprint(self) -> str | None: ...

    async def send_push_promise(self, path: str) -> None: ...


class _LitestarRequest(Protocol):
    """Request of Litestar."""

    @property
    def route_handler(self) -> Any: ...


class _BlackSheepRequest(Protocol):
    """Request of BlackSheep."""

    @property
    def route_values(self) -> Mapping[str, Any]: ...


class _SanicRequest(Protocol):
    """Request of Sanic."""

    @property
    def network_paths(self) -> Any: ...


class _FalconRequest(Protocol):
    """Request of Falcon under WSGI."""

    @property
    def relative_uri(self) -> str: ...


class _FalconASGIRequest(_FalconRequest, Protocol):
    """Request of Falcon under ASGI."""

    @property
    def scope(self) -> Mapping[str, Any]: ...


class Handle(Protocol):
    """Function that answers a request of a web framework with a response of the same framework."""

    @overload
    def __call__(
        self,
        request: "starlette.requests.Request",
        deployment: str | None = None,
        *,
        dialect: str | None = None,
    ) -> "Awaitable[starlette.responses.Response]": ...
    @overload
    def __call__(
        self, request: _WerkzeugRequest, deployment: str | None = None, *, dialect: str | None = None
    ) -> "flask.Response": ...
    @overload
    def __call__(
        self, request: _QuartRequest, deployment: str | None = None, *, dialect: str | None = None
    ) -> "Awaitable[quart.Response]": ...
    @overload
    def __call__(
        self, request: _LitestarRequest, deployment: str | None = None, *, dialect: str | None = None
    ) -> "Awaitable[litestar.Response[bytes]]": ...
    @overload
    def __call__(
        self, request: _BlackSheepRequest, deployment: str | None = None, *, dialect: str | None = None
    ) -> "Awaitable[blacksheep.Response]": ...
    @overload
    def __call__(
        self, request: _SanicRequest, deployment: str | None = None, *, dialect: str | None = None
    ) -> "Awaitable[sanic.HTTPResponse]": ...
    @overload
    def __call__(
        self,
        request: _FalconASGIRequest,
        deployment: str | None = None,
        *,
        dialect: str | None = None,
        response: Any,
    ) -> Awaitable[None]: ...
    @overload
    def __call__(
        self,
        request: _FalconRequest,
        deployment: str | None = None,
        *,
        dialect: str | None = None,
        response: Any,
    ) -> None: ...
    @overload
    def __call__(
        self,
        request: Any,
        deployment: str | None = None,
        *,
        dialect: str | None = None,
        response: Any = None,
    ) -> Any: ...


class HandleMethod(Protocol):
    """Method that is a `Handle` when it is bound."""

    def __get__(self, instance: Any, owner: Any = None, /) -> Handle: ...


M = TypeVar("M", bound=Callable[..., Any])


def typed_handle(method: M) -> HandleMethod:
    """Return *method* unchanged, with the overloads of `Handle` as its type."""
    return method  # type: ignore[return-value]

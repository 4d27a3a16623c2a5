"""Types of `modelgate.Gate.handle`, for type checkers."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    import flask
    import litestar
    import quart
    import starlette.requests
    import starlette.responses
    import werkzeug.wrappers

__all__ = ["typed_handle"]


class Handle(Protocol):
    """Function that answers a request of a web framework with a response of the same framework."""

    # Starlette comes first, because it is always installed. Requests of frameworks that are not installed have
    # the type Any, and match every request.
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
        self,
        request: "werkzeug.wrappers.Request",
        deployment: str | None = None,
        *,
        dialect: str | None = None,
    ) -> "flask.Response": ...
    @overload
    def __call__(
        self, request: "quart.Request", deployment: str | None = None, *, dialect: str | None = None
    ) -> "Awaitable[quart.Response]": ...
    @overload
    def __call__(
        self,
        request: "litestar.Request[Any, Any, Any]",
        deployment: str | None = None,
        *,
        dialect: str | None = None,
    ) -> "Awaitable[litestar.Response[bytes]]": ...
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
    """Return *method* unchanged, but typed with the overloads of `Handle`."""
    return method  # type: ignore[return-value]

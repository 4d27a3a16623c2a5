"""Everything modelgate raises.

* ModelgateError
  + ConfigurationError                at construction only
  + RequestError                4xx   the caller can mend it
    - MalformedBody             400
    - ConflictingCredentials    400
    - InvalidInput              400
      . MissingColumns
      . InvalidValues
      . UnknownColumns
    - Unauthorized              401
    - Forbidden                 403
      . InsufficientScope
      . KeyInactive
      . DeploymentInactive
    - NotFound                  404
    - MethodNotAllowed          405
    - BodyTooLarge              413
    - BatchTooLarge             413
    - UnsupportedMediaType      415
    - RateLimitExceeded         429
  + ServingError                5xx   the caller can only try again
    - PredictionError           500
    - Overloaded                503
    - DeploymentUnavailable     503
      . DeploymentLoading
    - StoreError                503
    - DeadlineExceeded          504

An error says what is wrong and hints at a status; the dialect spoken gives it its wire form. Its
message is written for the caller: never internals, keys, or values of other people's data.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

__all__ = [
    "BatchTooLarge",
    "BodyTooLarge",
    "ConfigurationError",
    "ConflictingCredentials",
    "DeadlineExceeded",
    "DeploymentInactive",
    "DeploymentLoading",
    "DeploymentUnavailable",
    "Forbidden",
    "InsufficientScope",
    "InvalidInput",
    "InvalidValues",
    "KeyInactive",
    "MalformedBody",
    "MethodNotAllowed",
    "MissingColumns",
    "ModelgateError",
    "NotFound",
    "Overloaded",
    "PredictionError",
    "RateLimitExceeded",
    "RequestError",
    "ServingError",
    "StoreError",
    "Unauthorized",
    "UnknownColumns",
    "UnsupportedMediaType",
]

SHOWN_ERRORS = 100
"""How many columns with wrong values one answer tells."""


class ModelgateError(Exception):
    """The root of the tree."""


class ConfigurationError(ModelgateError, ValueError):
    """An option that cannot work, found at construction. Names the option and what it accepts."""


class AnswerableError(ModelgateError):
    """An error with an answer: the common part of `RequestError` and `ServingError`.

    Attributes:
        status: the HTTP status the core suggests; a dialect may choose another.
        code: a stable name for programs.
        message: one sentence for the caller.
        details: further members of the answer, by name.
        headers: further headers of the answer.
        request_id: of the request that failed, where `modelgate.client` raises it.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    default_message: ClassVar[str] = "The request failed"
    request_id: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.details: dict[str, Any] = dict(details or {})
        self.headers = dict(headers or {})
        super().__init__(self.message)


class RequestError(AnswerableError):
    """The request is at fault, and the caller can mend it."""

    status = 400
    code = "bad_request"


class MalformedBody(RequestError):
    """The body cannot be read as what it says it is."""

    code = "malformed_body"


class ConflictingCredentials(RequestError):
    """Two different keys in one request (RFC 6750, section 3.1: ``invalid_request``)."""

    code = "conflicting_credentials"
    default_message = "Two different API keys were sent: send one"


class InvalidInput(RequestError):
    """The body reads well and says something the deployment cannot score."""

    code = "invalid_input"

    def hide(self) -> None:
        """Keep what the schema is like from the caller; the attributes still tell the program."""
        self.message, self.details = "Invalid input data", {}
        self.args = (self.message,)


class InvalidValues(InvalidInput):
    """Values that break a column's rule, or columns that are not expected.

    Attributes:
        errors: by column, what its values must be.
    """

    code = "invalid_values"

    def __init__(self, errors: Mapping[str, str], details: Mapping[str, Any] | None = None) -> None:
        self.errors = dict(errors)
        further = _told({"errors": _first(self.errors), **(details or {})})
        told = [f"{column} {rule}" for column, rule in _first(self.errors).items()]
        told += [f"{column} is not expected" for column in further.get("unexpected_columns", ())]
        super().__init__(f"Invalid input data: {'; '.join(told)}", details=further)


class MissingColumns(InvalidInput):
    """The input lacks columns the model needs.

    Attributes:
        missing_columns: all of them, in the order of the schema.
        errors: by column, what the values that did come must be.
    """

    code = "missing_columns"

    def __init__(
        self,
        missing_columns: Sequence[str],
        errors: Mapping[str, str] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.missing_columns = list(missing_columns)
        self.errors = dict(errors or {})
        further = {"missing_columns": self.missing_columns, "errors": _first(self.errors), **(details or {})}
        # The words of the ML Clever Prediction API, "Error Responses".
        super().__init__("Prediction failed due to missing input data", details=_told(further))

    def __str__(self) -> str:
        return f"missing input columns: {', '.join(self.missing_columns)}"


class UnknownColumns(InvalidInput):
    """The caller asked to have columns given back that were not sent.

    Attributes:
        columns: their names.
    """

    code = "unknown_columns"

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        super().__init__(f"Columns expected but not found: {', '.join(self.columns)}")


def _first(errors: Mapping[str, str]) -> dict[str, str]:
    return dict(list(errors.items())[:SHOWN_ERRORS])


def _told(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value}


class Unauthorized(RequestError):
    """No key, or one nobody knows. RFC 9110, section 11.6.1: a 401 must carry a challenge."""

    status = 401
    code = "unauthorized"
    default_message = "Invalid API key"


class Forbidden(RequestError):
    """The key is known, and not for this."""

    status = 403
    code = "forbidden"
    default_message = "This API key does not serve this deployment"


class InsufficientScope(Forbidden):
    """The key is good, and opens other deployments or for other actions (RFC 6750, section 3.1)."""

    code = "insufficient_scope"

    def __init__(self) -> None:
        super().__init__(headers={"www-authenticate": 'Bearer error="insufficient_scope"'})


class KeyInactive(Forbidden):
    """The key is known, and not valid now.

    The issue of a key is no secret to who holds it, so it is told apart from a key nobody knows;
    RFC 6750, section 3.1, names the error ``invalid_token`` and would have a 401.

    Attributes:
        key_id: names the key in logs.
        state: ``"revoked"``, ``"expired"``, ``"replaced"`` or ``"pending"``.
    """

    code = "key_inactive"

    def __init__(self, key_id: str, state: str, message: str) -> None:
        self.key_id = key_id
        self.state = state
        super().__init__(message, headers={"www-authenticate": 'Bearer error="invalid_token"'})


class DeploymentInactive(Forbidden):
    """The deployment is there and switched off."""

    code = "deployment_inactive"
    default_message = "This deployment is not active"


class NotFound(RequestError):
    """Nothing is there."""

    status = 404
    code = "not_found"
    default_message = "Not found"


class MethodNotAllowed(RequestError):
    """The path is there, the method is not. RFC 9110, section 15.5.6: a 405 must carry Allow."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"This path answers to {names} only", headers={"allow": names})


class BodyTooLarge(RequestError):
    """The body is larger than the gate reads.

    Attributes:
        limit: the largest body read, in bytes.
    """

    status = 413
    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"The body is larger than the {limit} bytes accepted here")


class BatchTooLarge(RequestError):
    """The request costs more than a limit ever lets pass at once: waiting does not help.

    Attributes:
        limit: the most one request may cost.
    """

    status = 413
    code = "batch_too_large"

    def __init__(self, cost: int, limit: int, unit: str = "rows") -> None:
        self.limit = limit
        super().__init__(
            f"The request has {cost} {unit}, and the rate limit lets no more than {limit} pass at once:"
            f" send at most {limit} {unit} a request"
        )


class UnsupportedMediaType(RequestError):
    """The body is of a kind, or in a coding, that is not read here. RFC 9110, section 15.5.16."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, accepted: str, *, field: str = "Content-Type") -> None:
        answer = "accept-encoding" if field == "Content-Encoding" else "accept"
        super().__init__(f"Send the body with {field}: {accepted}", headers={answer: accepted})


class RateLimitExceeded(RequestError):
    """Too many requests.

    Attributes:
        retry_after: whole seconds until the next one may pass; at least one.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, limit: str, retry_after: int, headers: Mapping[str, str] | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"Rate limit of {limit} exceeded: try again in {retry_after} s",
            headers={**(headers or {}), "retry-after": str(retry_after)},
        )


class ServingError(AnswerableError):
    """The server is at fault. What happened is in the log; the answer shows none of it."""

    status = 500
    code = "internal_error"
    default_message = "An unexpected error occurred on the server"


class PredictionError(ServingError):
    """The model failed; its own exception is the ``__cause__``, for the log alone."""

    code = "prediction_error"
    default_message = "The model failed to score this request"


class Overloaded(ServingError):
    """As many requests are in flight as the gate takes.

    Attributes:
        retry_after: whole seconds to wait before the next try.
    """

    status = 503
    code = "overloaded"

    def __init__(self, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"The server is busy: try again in {retry_after} s", headers={"retry-after": str(retry_after)}
        )


class DeploymentUnavailable(ServingError):
    """The deployment's model cannot be loaded just now, or takes no new requests.

    Attributes:
        retry_after: whole seconds to wait before the next try.
    """

    status = 503
    code = "deployment_unavailable"

    def __init__(self, retry_after: int = 1, message: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(
            message or "This deployment's model is not available just now",
            headers={"retry-after": str(retry_after)},
        )


class DeploymentLoading(DeploymentUnavailable):
    """The deployment's model is being loaded, and has taken longer than the caller waits.

    Attributes:
        seconds: how long the load has taken so far.
    """

    code = "deployment_loading"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            message=f"This deployment's model is being loaded ({seconds:.0f} s so far): try again"
        )


class StoreError(ServingError):
    """A store that the answer depends on, of keys for one, cannot be asked just now.

    Attributes:
        retry_after: whole seconds to wait before the next try.
    """

    status = 503
    code = "store_error"

    def __init__(self, message: str = "", *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(
            message or f"A store this service needs is not available just now: try again in {retry_after} s",
            headers={"retry-after": str(retry_after)},
        )


class DeadlineExceeded(ServingError):
    """The time this request had is over, and it is given up."""

    status = 504
    code = "deadline_exceeded"
    default_message = "This request took longer than it may"

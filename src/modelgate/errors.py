"""Exceptions.

* ModelgateError
  + ConfigurationError                an option or a file cannot be used; never sent to callers
  + RequestError                4xx   the caller can fix it
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
    - RequestInProgress         409
    - LengthRequired            411
    - BodyTooLarge              413
    - BatchTooLarge             413
    - UnsupportedMediaType      415
    - ExplanationsUnavailable   422
    - IdempotencyKeyReused      422
    - RateLimitExceeded         429
    - HumilityError             480
  + ServingError                5xx   the caller can only retry
    - PredictionError           500
    - Overloaded                503
    - DeploymentUnavailable     503
      . DeploymentLoading
    - StoreError                503
    - DeadlineExceeded          504

A `RequestError` or `ServingError` has a message, a status and a code. The dialect of the request encodes the
error as a response. The message is written for callers: it contains no internals, no keys, and no values of
other callers.
"""

import contextlib
import copyreg
import random
from collections.abc import Iterator, Mapping, Sequence
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
    "ExplanationsUnavailable",
    "Forbidden",
    "HumilityError",
    "IdempotencyKeyReused",
    "InsufficientScope",
    "InvalidInput",
    "InvalidValues",
    "KeyInactive",
    "LengthRequired",
    "MalformedBody",
    "MethodNotAllowed",
    "MissingColumns",
    "ModelgateError",
    "NotFound",
    "Overloaded",
    "PredictionError",
    "RateLimitExceeded",
    "RequestError",
    "RequestInProgress",
    "ServingError",
    "StoreError",
    "Unauthorized",
    "UnknownColumns",
    "UnsupportedMediaType",
]


class ModelgateError(Exception):
    """Base class of all exceptions of modelgate.

    They can be pickled, so that worker processes can raise them.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, a pickle calls the constructor with `args`, but the parameters depend on the class.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class ConfigurationError(ModelgateError, ValueError):
    """An option, or a file or database that it names, cannot be used.

    Invalid options of an object raise this error when the object is constructed. The message describes the
    valid values.
    """


@contextlib.contextmanager
def error_context(option: str) -> Iterator[None]:
    """Prefix the message of any `ConfigurationError` raised in the block with the option name *option*."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from error.__cause__


class AnswerableError(ModelgateError):
    """Base class for errors that become a response, that is, `RequestError` and `ServingError`.

    Attributes:
        status: Default HTTP status; a dialect may use another one.
        code: Stable code of the error, for programs.
        message: One sentence for the caller.
        details: Additional members of the response body, by name.
        headers: Additional header fields of the response.
        request_id: Id of the failed request, set by `modelgate.client`.
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

    def add_hint(self, hint: str, **details: object) -> None:
        """Append *hint* to the message, and add *details*."""
        self.message += hint
        self.details.update(details)
        self.args = (self.message,)


class RequestError(AnswerableError):
    """The request is invalid. The caller can fix it.

    Attributes:
        needs_example: Whether the gate should add an example to the message, because the body contains no
            rows.
    """

    status = 400
    code = "bad_request"
    needs_example = False


class MalformedBody(RequestError):
    """The body cannot be read, or is not in the format that its ``Content-Type`` names."""

    code = "malformed_body"


class ConflictingCredentials(RequestError):
    """The request has two different API keys (RFC 6750, section 3.1: ``invalid_request``)."""

    code = "conflicting_credentials"
    default_message = "Two different API keys were sent: send one"


class InvalidInput(RequestError):
    """The body is well-formed, but the deployment cannot score its rows."""

    code = "invalid_input"

    def hide(self) -> None:
        """Remove the schema from the message and the details. Other attributes remain, for logs."""
        self.message, self.details = "Invalid input data", {}
        self.args = (self.message,)


class InvalidValues(InvalidInput):
    """Values are not valid for their columns, or there are unexpected columns.

    Attributes:
        errors: Rules that the values must follow, by column name.
    """

    code = "invalid_values"

    def __init__(
        self, errors: Mapping[str, str], message: str = "", *, details: Mapping[str, object] | None = None
    ) -> None:
        self.errors = dict(errors)
        message = message or "Invalid input data: " + "; ".join(map(" ".join, self.errors.items()))
        super().__init__(message, details={"errors": self.errors} if details is None else details)


class MissingColumns(InvalidInput):
    """The input lacks columns that the model needs.

    Attributes:
        missing_columns: Names of all missing columns, in the order of the schema.
        errors: Problems by column name: the rule that the values must follow, or the rows without a value.
    """

    code = "missing_columns"
    # From "Error Responses" of the ML Clever Prediction API.
    default_message = "Prediction failed due to missing input data"

    def __init__(
        self,
        missing_columns: Sequence[str],
        errors: Mapping[str, str] | None = None,
        *,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.missing_columns = list(missing_columns)
        self.errors = dict(errors or {})
        if details is None:
            members = {"missing_columns": self.missing_columns, "errors": self.errors}
            details = {name: value for name, value in members.items() if value}
        super().__init__(details=details)

    def __str__(self) -> str:
        return f"missing input columns: {', '.join(self.missing_columns)}"


class UnknownColumns(InvalidInput):
    """The request names passthrough columns that are not in its rows.

    Attributes:
        columns: Names of the passthrough columns that are missing from the rows.
    """

    code = "unknown_columns"

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        message = f"Columns expected but not found: {', '.join(self.columns)}"
        super().__init__(message, details={"columns": self.columns})


class Unauthorized(RequestError):
    """The API key is missing or unknown. `KeyAuth` adds ``WWW-Authenticate`` (RFC 9110, section 11.6.1)."""

    status = 401
    code = "unauthorized"
    default_message = "Invalid API key"


class Forbidden(RequestError):
    """The key is valid, but does not permit this request."""

    status = 403
    code = "forbidden"
    default_message = "This API key has no access to this deployment"


class InsufficientScope(Forbidden):
    """The key is valid, but for other deployments or actions (RFC 6750, section 3.1)."""

    code = "insufficient_scope"

    def __init__(self, message: str = "", *, details: Mapping[str, object] | None = None) -> None:
        headers = {"www-authenticate": 'Bearer error="insufficient_scope"'}
        super().__init__(message, details=details, headers=headers)


class KeyInactive(Forbidden):
    """The key is known, but not valid at this time.

    For an unknown key, the error is `Unauthorized`. `KeyInactive` reveals that the key is known, but only to
    a caller who has the key. ``WWW-Authenticate`` has ``invalid_token`` (RFC 6750, section 3.1).

    Attributes:
        key_id: Id of the key, for logs.
        state: ``"revoked"``, ``"expired"``, ``"replaced"`` or ``"pending"``.
    """

    code = "key_inactive"

    def __init__(self, key_id: str, state: str, message: str) -> None:
        self.key_id = key_id
        self.state = state
        super().__init__(message, headers={"www-authenticate": 'Bearer error="invalid_token"'})


class DeploymentInactive(Forbidden):
    """The deployment exists, but is switched off."""

    code = "deployment_inactive"
    default_message = "This deployment is not active"


class NotFound(RequestError):
    """There is no such path or deployment."""

    status = 404
    code = "not_found"
    default_message = "Not found"


class MethodNotAllowed(RequestError):
    """The path does not support the method. The response has ``Allow`` (RFC 9110, section 15.5.6)."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"This path supports only {names}", headers={"allow": names})


class RequestInProgress(RequestError):
    """Another request with the same ``Idempotency-Key`` is still in progress; see `Idempotency`.

    Attributes:
        retry_after: Whole seconds to wait before the next attempt.
    """

    status = 409
    code = "request_in_progress"
    default_message = "A request with this Idempotency-Key is still in progress: try again in 1 s"

    def __init__(self, message: str = "", *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message, headers={"retry-after": str(retry_after)})


class IdempotencyKeyReused(RequestError):
    """The ``Idempotency-Key`` belongs to another request; see `Idempotency`."""

    status = 422
    code = "idempotency_key_reused"
    default_message = (
        "This Idempotency-Key was sent with another body, query string or media type: send a new key with"
        " each new request"
    )


class LengthRequired(RequestError):
    """The body is chunked, and the server does not pass it on to the app (RFC 9110, section 15.5.12)."""

    status = 411
    code = "length_required"
    default_message = (
        "The server cannot read a body with Transfer-Encoding: chunked: send it with Content-Length"
    )


class BodyTooLarge(RequestError):
    """The body is too large.

    Attributes:
        limit: Maximum size of a body, in bytes.
    """

    status = 413
    code = "body_too_large"

    def __init__(self, limit: int, message: str = "") -> None:
        self.limit = limit
        super().__init__(message or f"The body is larger than the limit of {limit} bytes")


class BatchTooLarge(RequestError):
    """The request costs more than a rate limit ever allows at once, so waiting does not help.

    Attributes:
        limit: Highest cost of one request.
    """

    status = 413
    code = "batch_too_large"

    def __init__(self, cost: int, limit: int, unit: str = "rows") -> None:
        self.limit = limit
        super().__init__(
            f"The request has {cost} {unit}, but the rate limit allows at most {limit} at once:"
            f" send at most {limit} {unit} per request"
        )


class UnsupportedMediaType(RequestError):
    """The media type or content coding of the body is not supported (RFC 9110, section 15.5.16)."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, accepted: str, *, field: str = "Content-Type") -> None:
        response_field = "accept-encoding" if field == "Content-Encoding" else "accept"
        choices = " or ".join(accepted.rsplit(", ", 1))
        super().__init__(f"Send the body with {field}: {choices}", headers={response_field: accepted})


class ExplanationsUnavailable(RequestError):
    """The request asks for explanations, and the deployment does not explain its predictions."""

    status = 422
    code = "explanations_unavailable"
    default_message = "Prediction explanations are not available for this model"


class RateLimitExceeded(RequestError):
    """A rate limit is exceeded.

    Attributes:
        retry_after: Whole seconds until the next request may be allowed, at least one.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, limit: str, retry_after: int, headers: Mapping[str, str] | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"Rate limit of {limit} exceeded: try again in {retry_after} s",
            headers={**(headers or {}), "retry-after": str(retry_after)},
        )


class HumilityError(RequestError):
    """A humility rule rejects a row, and with it the whole request.

    DataRobot uses the status 480, which is not registered with IANA.

    Attributes:
        rows: Indices of the rows that triggered the rule, from 0.
    """

    status = 480
    code = "humility_error"
    # From "Making predictions with humility monitoring" of the DataRobot Prediction API.
    default_message = "Humility ReturnError action triggered."

    def __init__(self, rows: Sequence[int] = ()) -> None:
        self.rows = list(rows)
        super().__init__(details={"rows": self.rows})


class ServingError(AnswerableError):
    """The server is at fault. The cause is in the log, not in the response."""

    status = 500
    code = "internal_error"
    default_message = "An unexpected error occurred on the server"


class PredictionError(ServingError):
    """The model failed. The model's exception is the ``__cause__``, which only the log shows."""

    code = "prediction_error"
    default_message = "The model failed to score this request"


class Overloaded(ServingError):
    """The server has reached its limit of concurrent or queued work.

    Args:
        retry_after: Whole seconds to wait before the next attempt. None for a random number from 1 to 3, so
            that rejected callers do not all retry at once.

    Attributes:
        retry_after: Whole seconds to wait before the next attempt.
    """

    status = 503
    code = "overloaded"

    def __init__(self, retry_after: int | None = None) -> None:
        self.retry_after = retry_after = random.randint(1, 3) if retry_after is None else retry_after  # noqa: S311
        super().__init__(
            f"The server is busy: try again in {retry_after} s", headers={"retry-after": str(retry_after)}
        )


class DeploymentUnavailable(ServingError):
    """The deployment's model cannot be loaded at the moment, or the deployment accepts no new requests.

    Attributes:
        retry_after: Whole seconds to wait before the next attempt.
    """

    status = 503
    code = "deployment_unavailable"

    def __init__(self, retry_after: int = 1, message: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(
            message or f"This deployment's model is temporarily unavailable: try again in {retry_after} s",
            headers={"retry-after": str(retry_after)},
        )


class DeploymentLoading(DeploymentUnavailable):
    """The model of the deployment is still loading, and the request has reached its maximum waiting time.

    Attributes:
        seconds: Duration of the load so far.
    """

    code = "deployment_loading"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            message=f"This deployment's model is being loaded ({seconds:.0f} s so far): try again"
        )


class StoreError(ServingError):
    """A store that the request depends on, such as the key store, is unavailable.

    Attributes:
        retry_after: Whole seconds to wait before the next attempt.
    """

    status = 503
    code = "store_error"

    def __init__(self, message: str = "", *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(
            message
            or f"A store that this service needs is temporarily unavailable: try again in {retry_after} s",
            headers={"retry-after": str(retry_after)},
        )


class DeadlineExceeded(ServingError):
    """The request was not finished before its deadline."""

    status = 504
    code = "deadline_exceeded"
    default_message = "This request took longer than allowed"

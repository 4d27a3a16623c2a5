"""Create examples of all errors that a caller may get, for the responses in an OpenAPI document."""

from collections.abc import Iterator

from .. import errors
from ..errors import AnswerableError
from ..schema import Schema

__all__ = ["error_examples"]

_AUTHENTICATION = (
    errors.Unauthorized,
    errors.InsufficientScope,
    errors.KeyInactive,
    errors.ConflictingCredentials,
)

_IDEMPOTENCY = (errors.RequestInProgress, errors.IdempotencyKeyReused)

# Not constructed below: base classes, errors of routes that do not score, and errors about the schema.
_SKIPPED = (
    errors.RequestError,
    errors.Forbidden,
    errors.MethodNotAllowed,
    errors.UnknownColumns,
    errors.MissingColumns,
    errors.InvalidValues,
)

_ALL: list[type[AnswerableError]] = [
    kind for kind in (getattr(errors, name) for name in errors.__all__) if issubclass(kind, AnswerableError)
]


def _errors_with_arguments() -> Iterator[AnswerableError]:
    """Yield an example of each error whose message depends on arguments."""
    yield errors.InvalidInput("10001 rows are more than the limit of 10000 per request: send fewer rows")
    yield errors.Unauthorized(headers={"www-authenticate": 'Bearer realm="modelgate", error="invalid_token"'})
    yield errors.KeyInactive("k1", "revoked", "This API key was revoked. Ask its issuer for a new one")
    yield errors.BatchTooLarge(10_000, 1000)
    yield errors.UnsupportedMediaType("application/json")
    yield errors.UnsupportedMediaType("gzip, deflate, bz2", field="Content-Encoding")
    yield errors.RateLimitExceeded("60/minute", 17)
    yield errors.HumilityError([99])
    yield errors.DeploymentLoading(12)
    yield errors.Overloaded(1)


def error_examples(
    schema: Schema, max_body: int, *, keyed: bool, idempotent: bool
) -> Iterator[AnswerableError]:
    """Yield an example of each error that a caller of a prediction route may get.

    Args:
        schema: Schema of the rows, for examples of errors about rows.
        max_body: Maximum size of the body in bytes.
        keyed: Whether requests need an API key.
        idempotent: Whether requests may have an ``Idempotency-Key``.
    """
    examples = [*_row_errors(schema), errors.BodyTooLarge(max_body), *_errors_with_arguments()]
    done = {type(error) for error in examples} | set(_SKIPPED)
    examples += [kind() for kind in _ALL if kind not in done]
    left_out = (*(() if keyed else _AUTHENTICATION), *(() if idempotent else _IDEMPOTENCY))
    yield from (error for error in examples if not isinstance(error, left_out))


def _row_errors(schema: Schema) -> Iterator[AnswerableError]:
    """Yield the errors for invalid JSON, for missing columns and for an invalid value."""
    first = schema.columns[0].name
    invalid: tuple[object, ...] = (b"{", {}, [{**schema.example, first: []}])
    for rows in invalid:
        try:
            schema.read(rows)
        except AnswerableError as error:
            yield error

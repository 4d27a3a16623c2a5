"""Everything that may become of a request but an answer: an example of each error there is."""

from collections.abc import Iterator

from .. import errors
from ..errors import AnswerableError
from ..schema import Schema

__all__ = ["faults"]

_KEYED = (
    errors.Unauthorized,
    errors.InsufficientScope,
    errors.KeyInactive,
    errors.ConflictingCredentials,
)

# Those that stand for others, that come where nothing is scored, or of rows that this schema cannot refuse so.
_OTHERS = (
    errors.RequestError,
    errors.Forbidden,
    errors.MethodNotAllowed,
    errors.UnknownColumns,
    errors.MissingColumns,
    errors.InvalidValues,
)

_KINDS: list[type[AnswerableError]] = [
    kind for kind in (getattr(errors, name) for name in errors.__all__) if issubclass(kind, AnswerableError)
]


def _made() -> Iterator[AnswerableError]:
    """Those that must be told something."""
    yield errors.InvalidInput("10001 rows are more than the 10000 accepted at once: send fewer")
    yield errors.Unauthorized(headers={"www-authenticate": 'Bearer realm="modelgate", error="invalid_token"'})
    yield errors.KeyInactive(
        "k1", "revoked", "This API key was revoked: ask whom you had it from for another"
    )
    yield errors.BatchTooLarge(10_000, 1000)
    yield errors.UnsupportedMediaType("application/json")
    yield errors.UnsupportedMediaType("gzip, deflate, bz2", field="Content-Encoding")
    yield errors.RateLimitExceeded("60/minute", 17)
    yield errors.DeploymentLoading(12)


def faults(schema: Schema, max_body: int, *, keyed: bool) -> Iterator[AnswerableError]:
    """An example of each error, as a caller may be told it.

    Args:
        schema: of the rows: those about them are its own.
        max_body: the largest body read, in bytes.
        keyed: whether a key is asked.
    """
    told = [*_of_rows(schema), errors.BodyTooLarge(max_body), *_made()]
    known = {type(error) for error in told} | set(_OTHERS)
    told += [kind() for kind in _KINDS if kind not in known]
    yield from (error for error in told if keyed or not isinstance(error, _KEYED))


def _of_rows(schema: Schema) -> Iterator[AnswerableError]:
    """What is told of rows that break the schema."""
    first = schema.columns[0].name
    broken: tuple[object, ...] = (b"{", {}, [{**schema.example, first: []}])
    for rows in broken:
        try:
            schema.read(rows)
        except AnswerableError as error:
            yield error

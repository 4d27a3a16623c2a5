"""Error records for operators."""

from datetime import UTC, datetime

import msgspec

from ..errors import ConfigurationError, NotFound, StoreError

__all__ = ["ErrorRecord"]


class ErrorRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Record of an error. The traceback is in the log.

    Args:
        time: Time of the error.
        type: Class name of the error.
        message: Message of the error if it is about a file or the configuration; else None.
        request_id: Id of the failed request.
    """

    time: datetime
    type: str
    message: str | None = None
    request_id: str | None = None

    @classmethod
    def of_request(cls, error: BaseException, request_id: str | None) -> "ErrorRecord":
        """Return the record of an error in a request, without the error message, which may quote rows."""
        return cls(datetime.now(UTC), type(error).__name__, request_id=request_id)

    @classmethod
    def of_load(cls, error: BaseException) -> "ErrorRecord":
        """Return the record of an error in loading a model."""
        is_safe = isinstance(error, ConfigurationError | NotFound | StoreError | ImportError)
        return cls(datetime.now(UTC), type(error).__name__, str(error) if is_safe else None)

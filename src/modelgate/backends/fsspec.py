"""Open fsspec file systems, such as object storage."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError

__all__ = ["open_file_system"]


def open_file_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the fsspec file system of *url*, and the path in this file system.

    Args:
        url: URL such as ``s3://bucket/models``.
        options: Options of the file system.

    Raises:
        ConfigurationError: A library is missing, or the URL or an option is not valid.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigurationError('url needs an extra: pip install "modelgate[fsspec]"') from None
    try:
        fs, path = url_to_fs(url, **options)
    except ImportError as error:
        raise ConfigurationError(f"url: fsspec needs another package for this URL: {error}") from None
    except Exception as error:
        # Do not show the URL in the message: it may contain a password.
        raise ConfigurationError(
            "url and storage_options must be valid for fsspec, such as s3://bucket/models"
            f" (got {type(error).__name__})"
        ) from None
    return fs, path

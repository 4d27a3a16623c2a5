"""Create directories in which the processes of one machine share files."""

from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["open_shared_directory"]


def open_shared_directory(
    option: str, directory: str | Path, *, subdirectory: str = "", mode: int = 0o777
) -> Path:
    """Create *directory* and a file ``lock`` in it for `fcntl.flock`.

    Return the absolute path of the directory.

    The path is absolute because the process may change its working directory.

    Args:
        option: Name of the option, for error messages.
        directory: Directory for the files. It is created if it is missing.
        subdirectory: Name of a subdirectory, which is created and whose path is returned instead.
        mode: Permissions of the directories and the file that are created.

    Raises:
        ConfigurationError: The directory cannot be written, or the system has no file locks.
    """
    try:
        import fcntl  # noqa: F401
    except ImportError:
        raise ConfigurationError(f"{option} must be None on this system, which has no fcntl") from None
    if not isinstance(directory, str | Path) or not str(directory).strip():
        raise ConfigurationError(f"{option} must be the path of a directory (got {directory!r})")
    path = Path(directory).absolute() / subdirectory
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        (path / "lock").touch(mode=mode & 0o666)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{option} must be a directory that can be written (got {str(directory)!r}):"
            f" {getattr(error, 'strerror', error)}"
        ) from error
    return path

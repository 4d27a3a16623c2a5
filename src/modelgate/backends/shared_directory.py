"""Create directories in which the processes of one machine share files."""

from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["open_shared_directory"]


def open_shared_directory(
    option: str, directory: str | Path, *, subdirectory: str = "", mode: int = 0o777
) -> Path:
    """Create a directory with a file ``lock`` for `fcntl.flock`, and return the directory's path.

    The path is absolute because the process may change its working directory.

    Args:
        option: Name of the option, for error messages.
        directory: Path of the directory. Missing parents are created, too.
        subdirectory: Name of a subdirectory to create and return instead; empty for *directory* itself.
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

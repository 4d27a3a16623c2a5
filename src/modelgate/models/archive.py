"""Read and write the members of a package, in a zip file or a folder.

Members are never extracted to a path that the archive names.
"""

import contextlib
import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

from ..errors import ConfigurationError

__all__ = [
    "MANIFEST",
    "MEMBERS",
    "SIGNATURE",
    "Archive",
    "FolderArchive",
    "ZipArchive",
    "pack",
    "pack_metadata",
    "write",
]

MANIFEST, SIGNATURE = "manifest.json", "signature.ed25519"
MEMBERS = (
    "schema.json",
    "background.json",
    "statistics.json",
    "example.json",
    "model.skops",
    "model.joblib",
    "model.onnx",
)
_KNOWN = frozenset([MANIFEST, SIGNATURE, *MEMBERS])
_METADATA = (MANIFEST, SIGNATURE, "schema.json")
_LARGEST_MANIFEST = 1_000_000


class Archive(Protocol):
    """Read access to the members of a package.

    Attributes:
        names: Names of the members that exist.
        is_folder: Whether the package is a folder, whose digest is the digest of its manifest.
    """

    names: frozenset[str]
    is_folder: bool

    def read(self, name: str) -> bytes:
        """Return the content of a member.

        Raises:
            ConfigurationError: There is no member *name*.
        """


class ZipArchive:
    """The members of an uncompressed zip file; no member can be larger than the file itself.

    Args:
        file: The open zip file.

    Raises:
        ConfigurationError: A member does not belong in a package, is duplicated, or is compressed.
        zipfile.BadZipFile: *file* is not a zip file.
    """

    is_folder = False

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file)
        found: set[str] = set()
        for info in self._zip.infolist():
            if info.filename not in _KNOWN or info.filename in found:
                raise ConfigurationError(
                    f"contains {info.filename[:100]!r}, which is unknown or duplicated in a package"
                )
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ConfigurationError(
                    f"its {info.filename} must be stored without compression or encryption"
                )
            found.add(info.filename)
        self.names = frozenset(found)

    def read(self, name: str) -> bytes:
        """See `Archive.read`."""
        if name not in self.names:
            raise ConfigurationError(f"has no {name}")
        if name == MANIFEST and self._zip.getinfo(name).file_size > _LARGEST_MANIFEST:
            raise ConfigurationError(f"its {name} is larger than {_LARGEST_MANIFEST} bytes")
        return self._zip.read(name)


class FolderArchive:
    """The members of a package in a folder; other files in it are ignored.

    Args:
        folder: Path of the folder.
    """

    is_folder = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = frozenset(name for name in _KNOWN if (folder / name).is_file())

    def read(self, name: str) -> bytes:
        """See `Archive.read`."""
        if name not in self.names:
            raise ConfigurationError(f"has no {name}")
        return (self._folder / name).read_bytes()


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed zip file of *members*; equal members give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def pack_metadata(members: Mapping[str, bytes]) -> bytes:
    """Return a zip file of the manifest, the signature and the schema only."""
    return pack({name: members[name] for name in _METADATA if name in members})


def _write_synced(path: Path, content: bytes) -> None:
    # Without fsync, a crash of the machine can keep the later rename and lose the content.
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, content: bytes | Mapping[str, bytes]) -> None:
    """Write a file or folder atomically.

    Args:
        path: Path of the file or folder.
        content: Content of the file; for a folder, a mapping of file names to contents.

    Raises:
        ConfigurationError: *path* cannot be written, or the folder already exists.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if isinstance(content, bytes):
            _write_synced(temporary, content)
        else:
            temporary.mkdir()
            for name, member in content.items():
                _write_synced(temporary / name, member)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()
        raise ConfigurationError(f"path: {str(path)!r} cannot be written: {error}") from error

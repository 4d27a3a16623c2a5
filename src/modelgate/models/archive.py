"""Read and write packages. A package is a zip file or a folder. The files in it are called members.

For security, members are never extracted to paths that the zip file names.
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
    "forecaster.json",
    "fingerprints.json",
    "calibration.json",
    "model.skops",
    "model.joblib",
    "model.onnx",
    "model.ubj",
    "model.txt",
    "model.cbm",
)
_KNOWN = frozenset([MANIFEST, SIGNATURE, *MEMBERS])
_METADATA = (MANIFEST, SIGNATURE, "schema.json")
_LARGEST_MANIFEST = 1_000_000


class Archive(Protocol):
    """Read access to the members of a package.

    Attributes:
        names: Names of the members in the package.
        is_folder: Whether the package is a folder. The digest of a folder is the digest of its manifest.
    """

    names: frozenset[str]
    is_folder: bool

    def read(self, name: str) -> bytes:
        """Return the content of the member *name*.

        Raises:
            ConfigurationError: The package has no such member.
        """

    def close(self) -> None:
        """Free the memory of the package. No member can be read afterwards."""


class ZipArchive:
    """Package in an uncompressed zip file.

    Compression is rejected, so that no member is larger than the file itself.

    Args:
        file: The open zip file.

    Raises:
        ConfigurationError: A member does not belong in a package, is duplicated, or is compressed.
        zipfile.BadZipFile: *file* is not a zip file.
    """

    is_folder = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file)
        found: set[str] = set()
        for info in self._zip.infolist():
            if info.filename not in _KNOWN or info.filename in found:
                raise ConfigurationError(
                    f"the package contains {info.filename[:100]!r}, which is unknown or duplicated: remove it"
                )
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ConfigurationError(
                    f"{info.filename} must be stored in the package without compression or encryption"
                )
            found.add(info.filename)
        self.names = frozenset(found)

    def read(self, name: str) -> bytes:
        """See `Archive.read`."""
        if name not in self.names:
            raise ConfigurationError(f"the package has no {name}: save the package again")
        if name == MANIFEST and self._zip.getinfo(name).file_size > _LARGEST_MANIFEST:
            raise ConfigurationError(f"{name} must have at most {_LARGEST_MANIFEST} bytes")
        return self._zip.read(name)

    def close(self) -> None:
        """See `Archive.close`."""
        self._file.close()


class FolderArchive:
    """Package in a folder. Files that are not members of a package are ignored.

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
            raise ConfigurationError(f"the package has no {name}: save the package again")
        return (self._folder / name).read_bytes()

    def close(self) -> None:
        """See `Archive.close`."""


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed zip file of *members*. The same members always result in the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def pack_metadata(members: Mapping[str, bytes]) -> bytes:
    """Return a zip file of only the metadata in *members*: the manifest, the signature and the schema."""
    return pack({name: members[name] for name in _METADATA if name in members})


def _write_synced(path: Path, content: bytes) -> None:
    # Without fsync, a power failure after the rename in `write` could leave an empty file.
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, content: bytes | Mapping[str, bytes]) -> None:
    """Write a file or folder atomically.

    Args:
        path: Path of the file or folder.
        content: Content of the file, or for a folder a mapping of file names to contents.

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
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()
        raise ConfigurationError(f"path: {str(path)!r} cannot be written: {error}") from error

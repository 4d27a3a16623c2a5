"""The members of a package: in a zip or in a folder. Nothing is ever unpacked to a path it names."""

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
    "ED25519",
    "MANIFEST",
    "MEMBERS",
    "SIGNATURE",
    "Archive",
    "FolderArchive",
    "ZipArchive",
    "pack",
    "pack_sidecars",
    "write",
]

MANIFEST, SIGNATURE, ED25519 = "manifest.json", "signature", "signature.ed25519"
MEMBERS = (
    "schema.json",
    "background.json",
    "statistics.json",
    "example.json",
    "model.skops",
    "model.joblib",
    "model.onnx",
)
_KNOWN = frozenset([MANIFEST, SIGNATURE, ED25519, *MEMBERS])
_SIDECARS = (MANIFEST, SIGNATURE, ED25519, "schema.json")
_LARGEST_MANIFEST = 1_000_000


class Archive(Protocol):
    """The members of a package, by name.

    Attributes:
        names: of those there are.
        is_folder: whether the digest of the whole is that of its manifest.
    """

    names: frozenset[str]
    is_folder: bool

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            ConfigurationError: there is none of that name.
        """


class ZipArchive:
    """The members of a zip, none of them compressed: so none is larger than the file.

    Args:
        file: the zip.

    Raises:
        ConfigurationError: a member is none of a package's, stands there twice, or is not stored.
        zipfile.BadZipFile: it is no zip.
    """

    is_folder = False

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file)
        found: set[str] = set()
        for info in self._zip.infolist():
            if info.filename not in _KNOWN or info.filename in found:
                raise ConfigurationError(f"holds {info.filename[:100]!r}, which has no place in a package")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ConfigurationError(f"{info.filename} is compressed or encrypted: a package only stores")
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
    """The members in a folder. Whatever else is in it is not looked at.

    Args:
        folder: where they are.
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
    """A zip of *members*: the same bytes for the same members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def pack_sidecars(members: Mapping[str, bytes]) -> bytes:
    """A zip of those *members* alone that tell of the model."""
    return pack({name: members[name] for name in _SIDECARS if name in members})


def _write_whole(path: Path, content: bytes) -> None:
    # A rename may outlive a crash of the machine that what was written does not.
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, content: bytes | Mapping[str, bytes]) -> None:
    """Write a file, or a folder of *content*: whole, or not at all.

    Raises:
        ConfigurationError: it cannot be written, or there is such a folder already.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if isinstance(content, bytes):
            _write_whole(temporary, content)
        else:
            temporary.mkdir()
            for name, member in content.items():
                _write_whole(temporary / name, member)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()
        raise ConfigurationError(f"path={str(path)!r}: cannot be written: {error}") from error

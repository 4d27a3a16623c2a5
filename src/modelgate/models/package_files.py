"""Recognize types of model files, and check files before a model is loaded."""

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import IO, TypeVar

from ..errors import ConfigurationError, StoreError, error_context
from .archive import FolderArchive, ZipArchive, pack_metadata
from .booster_file import BOOSTER_SUFFIXES
from .load_policy import LoadPolicy
from .manifest import Manifest, PackageMetadata, read_metadata
from .pickle_file import PICKLE_SUFFIXES, check_pickled_version, decompress
from .skops_file import check_skops_version, read_skops_schema
from .versions import is_version

__all__ = [
    "PACKAGE",
    "SUFFIXES",
    "check_bare_file",
    "check_file",
    "check_identity",
    "check_name",
    "file_errors",
    "is_model_file",
    "metadata_bytes",
    "model_files",
    "parse_package_metadata",
    "read_package_metadata",
    "sha256_of",
    "split_name",
]

P = TypeVar("P", bound=PurePath)

PACKAGE = ".mgpkg"
_VERSION_BYTES = 1 << 20
"""Number of bytes of a bare file that are searched for the version of scikit-learn before loading."""

SUFFIXES = (PACKAGE, ".skops", *PICKLE_SUFFIXES, ".onnx", *BOOSTER_SUFFIXES)


def check_file(path: Path, policy: LoadPolicy) -> None:
    """Check that *policy* permits the model file at *path*, without loading the model.

    Only the manifest and the schema of a package are read.

    Raises:
        ConfigurationError: The file does not exist, is damaged, or must not be loaded.
    """
    with file_errors(path):
        check_name(path)
        metadata = _load_metadata(path, policy)
        if metadata is None:
            suffix = split_name(path)[1]
            check_bare_file(suffix, path.read_bytes, policy)
            _check_version(path, suffix, policy)
            return
        if metadata.manifest.model == "model.joblib":
            policy.check_pickle()
        if "scikit-learn" in metadata.manifest.versions and metadata.manifest.model != "model.onnx":
            policy.check_sklearn_version(metadata.manifest.versions["scikit-learn"])


def _check_version(path: Path, suffix: str, policy: LoadPolicy) -> None:
    """Compare the version of scikit-learn that wrote a bare file with the installed one.

    Only the beginning of the file is searched for the version. Loading the file compares the versions again.
    """
    content = b""
    with (
        contextlib.suppress(Exception),
        path.open("rb") as file,
    ):  # Loading reports what is wrong with the file.
        if suffix == ".skops":
            content = read_skops_schema(file, _VERSION_BYTES)
        elif suffix in PICKLE_SUFFIXES:
            content = decompress(file.read(_VERSION_BYTES), _VERSION_BYTES)
    check = check_skops_version if suffix == ".skops" else check_pickled_version
    check(content, policy)


def split_name(path: PurePath) -> tuple[str, str]:
    """Return the stem and the suffix of the name of a model file.

    The suffix is one of `SUFFIXES`, or empty. A version may contain dots, and a compressed pickle has two
    suffixes: ``churn@1.10.joblib.gz`` is split into ``churn@1.10`` and ``.joblib.gz``.
    """
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), "")
    return path.name.removesuffix(suffix), suffix


def model_files(paths: Iterable[P]) -> dict[str, P]:
    """Return the model files among *paths*, with their stems as keys.

    If several files have the same stem, only the one whose suffix comes first in `SUFFIXES` is returned.
    """
    files = [(*split_name(path), path) for path in paths]
    ranked = sorted((file for file in files if file[1]), key=lambda file: SUFFIXES.index(file[1]))
    return {stem: path for stem, _, path in reversed(ranked)}


def check_name(path: Path) -> None:
    """Raise `ConfigurationError` unless *path* is an existing model file."""
    if not split_name(path)[1]:
        raise ConfigurationError(
            f"the file name must end in {PACKAGE}, .skops, .onnx, .joblib, .pkl, .pickle,"
            f" {', '.join(BOOSTER_SUFFIXES[:-1])} or {BOOSTER_SUFFIXES[-1]}: rename or convert the file (a"
            " compressed pickle ends in .joblib.gz, for example)"
        )
    if not is_model_file(path):
        raise ConfigurationError("there is no such file: check the path")


def check_bare_file(suffix: str, read: Callable[[], bytes], policy: LoadPolicy) -> None:
    """Raise `ConfigurationError` if *policy* forbids a bare file, that is, a model file without a package.

    Args:
        suffix: Suffix of the file name.
        read: Function that returns the content of the file. It is called only to show the digest in an error.
        policy: Checks that the file must pass.
    """
    if suffix in PICKLE_SUFFIXES and policy.sha256 is None:
        raise ConfigurationError(
            "the file is a pickle, and loading a pickle runs the code in it. If you made this file, pin it"
            f' with sha256="{sha256_of(read())}", or save the model with skops, which runs no code.'
        )
    policy.check_signature(b"", None)


def is_model_file(path: Path) -> bool:
    """Return whether *path* is a file, or a folder that is a package."""
    return path.is_file() or (path.suffix == PACKAGE and path.is_dir())


def read_package_metadata(path: Path, policy: LoadPolicy) -> PackageMetadata | None:
    """Return the manifest and the schema of a package, or None for a bare file. The model is not read.

    Raises:
        ConfigurationError: The manifest or the schema is damaged, or the package has no valid signature
            although *policy* requires one.
    """
    with file_errors(path):
        return _load_metadata(path, policy)


def _load_metadata(path: Path, policy: LoadPolicy) -> PackageMetadata | None:
    if path.suffix != PACKAGE:
        return None
    if path.is_dir():
        metadata = read_metadata(FolderArchive(path), policy)
    else:
        with path.open("rb") as file:
            metadata = read_metadata(ZipArchive(file), policy)
    check_identity(path, metadata.manifest, policy)
    return metadata


def check_identity(path: Path, manifest: Manifest, policy: LoadPolicy) -> None:
    """Raise `ConfigurationError` if the name or version of a signed package does not match its file name.

    Without this check, anyone with write access to the folder could rename a file, and so make the store
    serve another signed model or an old version.
    """
    if not policy.requires_signature:
        return
    version = f"{manifest.name}@{manifest.version}"
    if path.stem.partition("@")[0] != manifest.name:
        raise ConfigurationError(
            f"the file contains the package {version}: name the file {manifest.name}{PACKAGE}"
        )
    # If *path* is a link, check its own name and the name of its target.
    for stem in (path.stem, path.resolve().stem):
        if is_version(stem) and stem != version:
            raise ConfigurationError(
                f"the file contains the package {version}: name the file {version}{PACKAGE}"
            )


def metadata_bytes(content: bytes, suffix: str) -> bytes | None:
    """Return a zip file with only the metadata of a package, or None for a bare file. See `pack_metadata`."""
    if suffix != PACKAGE:
        return None
    archive = ZipArchive(io.BytesIO(content))
    return pack_metadata({name: archive.read(name) for name in archive.names})


def parse_package_metadata(
    name: str, file: IO[bytes], policy: LoadPolicy, *, metadata_only: bool = False
) -> PackageMetadata:
    """Return the manifest and the schema of a package in an open file.

    Args:
        name: File name of the package.
        file: The package, or the result of `metadata_bytes`.
        policy: Checks that the package must pass.
        metadata_only: Whether *file* is the result of `metadata_bytes`.

    Raises:
        ConfigurationError: See `read_package_metadata`.
    """
    path = Path(name)
    with file_errors(path):
        metadata = read_metadata(ZipArchive(file), policy, metadata_only=metadata_only)
        check_identity(path, metadata.manifest, policy)
        return metadata


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Convert any error except `StoreError` to a `ConfigurationError` that names the file at *path*."""
    with error_context(f"model={str(path)!r}"):
        try:
            yield
        except (ConfigurationError, StoreError):
            raise
        except (zipfile.BadZipFile, EOFError) as error:
            reason = f"it is truncated, damaged, or not a {path.suffix} file ({error})"
            raise ConfigurationError(f"the file cannot be read: {reason}") from error
        except Exception as error:
            raise ConfigurationError(f"the file cannot be read: {error!r}") from error


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 digest of *content*, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()

"""Inspect a model file: its content, its input schema, and the code that runs when it is loaded."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..forecasting.forecaster import is_forecaster
from ..schema import Schema
from ..schema.unknown_levels import ALLOW_UNKNOWN_LEVELS, describe_rejected_levels
from .archive import MANIFEST, SIGNATURE, Archive, FolderArchive, ZipArchive
from .ed25519 import signer_of
from .load_policy import LoadPolicy
from .manifest import Manifest
from .package import ModelPackage, open_package
from .package_files import (
    PACKAGE,
    check_name,
    file_errors,
    read_package_metadata,
    sha256_of,
    split_name,
)
from .pickle_file import PICKLE_SUFFIXES, check_pickled_version, decompress
from .pickle_scan import pickle_imports
from .skops_file import foreign_types

__all__ = ["FileReport", "report_on"]

_LARGEST_RATIO = 1000
"""Maximum size of a decompressed pickle, relative to its file. The rest is not scanned for imports."""


@dataclass
class FileReport:
    """Report on a model file.

    Args:
        size: Size in bytes.
        sha256: Digest of the file, or of the manifest for a folder. It can be used to pin the file or folder.
        format: Format of the model file: ``skops``, ``onnx``, ``joblib`` for any pickle, or the suffix of a
            booster's native file, such as ``ubj``.
        signer: Ed25519 public key, in base64, that signed the package; None if it is not signed.
        manifest: Manifest of the package; None for a bare file.
        schema: Schema of the input; None if it is not known.
        model: Class names of the estimator's steps; None if the model was not loaded.
        package: Loaded package; None if it was not loaded.
        imports: For a pickle, the names that it imports and may call when it is loaded; for a skops file,
            the untrusted types in it.
        warnings: Problems of the file, one line each.
    """

    size: int
    sha256: str
    format: str
    signer: str | None = None
    manifest: Manifest | None = None
    schema: Schema | None = None
    model: str | None = None
    package: ModelPackage | None = None
    imports: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)


def report_on(
    path: Path, *, load_pickle: bool = False, public_keys: Sequence[str | Path] | None = None
) -> FileReport:
    """Inspect a model file. A pickle is loaded only if *load_pickle* is True.

    Args:
        path: Path of the file or folder.
        load_pickle: Whether to load a model that is a pickle. Loading a pickle runs the code in it.
        public_keys: Ed25519 keys, one of which should have signed the package.

    Raises:
        ConfigurationError: The file is not a model file, or it is damaged.
    """
    policy = LoadPolicy(public_keys=public_keys)
    metadata = read_package_metadata(path, policy) if path.suffix == PACKAGE else None
    with file_errors(path):
        check_name(path)
        if metadata is None:
            content = path.read_bytes()
            suffix = split_name(path)[1]
            format_ = "joblib" if suffix in PICKLE_SUFFIXES else suffix[1:]
            report = FileReport(len(content), sha256_of(content), format_)
        else:
            report, content = _inspect_package(path, *metadata)
        if report.format == "joblib":
            content = decompress(content, limit=_LARGEST_RATIO * len(content))
        report.imports = _find_imports(content, report)
    try:
        if report.format == "joblib" and not load_pickle:
            check_pickled_version(content, policy)
        else:
            _load(path, report, replace(policy, sha256=report.sha256, allow_pickle=load_pickle))
    except ConfigurationError as error:
        report.warnings.append(f"a gate would reject the file: {error}")
    return report


def _inspect_package(path: Path, manifest: Manifest, schema: Schema) -> tuple[FileReport, bytes]:
    content = b"" if path.is_dir() else path.read_bytes()
    archive: Archive = FolderArchive(path) if path.is_dir() else ZipArchive(io.BytesIO(content))
    size = len(content) or sum(member.size for member in manifest.members.values())
    digest = sha256_of(content or archive.read(MANIFEST))
    format_ = manifest.model.partition(".")[2]
    report = FileReport(size, digest, format_, manifest=manifest, schema=schema)
    if SIGNATURE in archive.names:
        try:
            report.signer = signer_of(archive.read(MANIFEST), archive.read(SIGNATURE))
        except ConfigurationError as error:
            report.warnings.append(str(error))
    return report, archive.read(manifest.model)


def _find_imports(content: bytes, report: FileReport) -> list[str]:
    if report.format != "joblib":
        return foreign_types(content) if report.format == "skops" else []
    report.warnings.append("the model is a pickle: loading it runs the code in it")
    names, complete = pickle_imports(content)
    if not complete:
        report.warnings.append(
            "the list of imports may be incomplete: arrays or unusual opcodes hide the rest"
        )
    return sorted(names)


def _load(path: Path, report: FileReport, policy: LoadPolicy) -> None:
    """Load the model as a gate does, and complete *report*."""
    package = open_package(path, policy)
    report.model = _describe_steps(package.model)
    report.schema = report.schema or Schema.from_model(package.model)
    report.package = package
    rejected = describe_rejected_levels(package.model, report.schema)
    if rejected is not None:
        report.warnings.append(f"{rejected}: {ALLOW_UNKNOWN_LEVELS}")


def _describe_steps(model: Any) -> str:
    if is_forecaster(model):
        regressor = getattr(model, "regressor", None)
        return type(model).__name__ + ("" if regressor is None else f" > {_describe_steps(regressor)}")
    steps = getattr(model, "steps", None) or [("", model)]
    return " > ".join(type(step).__name__ for _, step in steps)

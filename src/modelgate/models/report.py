"""What is in a model file, what it asks for, and what loading it would run."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..schema import Schema
from .archive import ED25519, MANIFEST, SIGNATURE, Archive, FolderArchive, ZipArchive
from .ed25519 import signer_of
from .files import foreign_types
from .manifest import Manifest
from .package import PACKAGE, ModelPackage, check_name, naming, open_package, sidecars_of
from .pickles import names_in_pickle
from .rules import Rules

__all__ = ["FileReport", "report_on"]


@dataclass
class FileReport:
    """What is told of a model file.

    Args:
        size: in bytes.
        sha256: the digest to pin it by.
        format: how the estimator is written: ``skops``, ``joblib`` or ``onnx``.
        signed: whether there is a signature of a secret key; whether it is a good one takes the key.
        signer: the public key, in base64, whose holder has signed it.
        manifest: of a package.
        schema: of the input, as far as it is known.
        model: the steps of the estimator, where it was loaded.
        package: what was loaded.
        runs: of a pickle all that loading it imports and may call; of skops the types that are not trusted.
        warnings: what a person should know.
    """

    size: int
    sha256: str
    format: str
    signed: bool = False
    signer: str | None = None
    manifest: Manifest | None = None
    schema: Schema | None = None
    model: str | None = None
    package: ModelPackage | None = None
    runs: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)


def report_on(
    path: Path,
    *,
    key: str | None = None,
    trusted: bool = False,
    public_keys: Sequence[str | Path] | None = None,
) -> FileReport:
    """Look at a model file. Nothing in it is executed, unless it is *trusted*.

    Args:
        path: of the file, or the folder.
        key: with which it should be signed.
        trusted: whether to load a pickle too.
        public_keys: of which one's holder should have signed it.

    Raises:
        ConfigurationError: it is no file that could be a model, or is not whole.
    """
    rules = Rules(key=key, public_keys=public_keys)
    with naming(path):
        check_name(path)
        if path.suffix != PACKAGE:
            content = path.read_bytes()
            report = FileReport(len(content), _digest(content), path.suffix[1:])
        else:
            report, content = _package(path, rules)
        report.runs = _runs(content, report)
    _load(path, report, replace(rules, sha256=report.sha256, allow_pickle=trusted))
    return report


def _package(path: Path, rules: Rules) -> tuple[FileReport, bytes]:
    whole = b"" if path.is_dir() else path.read_bytes()
    archive: Archive = FolderArchive(path) if path.is_dir() else ZipArchive(io.BytesIO(whole))
    sidecars = sidecars_of(path, rules)
    assert sidecars is not None
    manifest, schema = sidecars
    size = len(whole) or sum(member.size for member in manifest.members.values())
    digest = _digest(whole or archive.read(MANIFEST))
    signed = SIGNATURE in archive.names
    format_ = manifest.model.partition(".")[2]
    report = FileReport(size, digest, format_, signed, manifest=manifest, schema=schema)
    if ED25519 in archive.names:
        try:
            report.signer = signer_of(archive.read(MANIFEST), archive.read(ED25519))
        except ConfigurationError as error:
            report.warnings.append(str(error))
    return report, archive.read(manifest.model)


def _runs(content: bytes, report: FileReport) -> list[str]:
    if report.format != "joblib":
        return foreign_types(content) if report.format == "skops" else []
    report.warnings.append("it is a pickle: loading it runs the code in it")
    names, whole = names_in_pickle(content)
    if not whole:
        report.warnings.append(
            "it may import more, after its first array or where it is compressed or odd: what, cannot be told"
            " without loading"
        )
    return sorted(names)


def _load(path: Path, report: FileReport, rules: Rules) -> None:
    """Load it as a gate would, where that runs nothing, or is trusted to."""
    if report.format == "joblib" and not rules.allow_pickle:
        return
    try:
        package = open_package(path, rules)
        report.model = _steps(package.model)
        report.schema = report.schema or Schema.from_model(package.model)
        report.package = package
    except ConfigurationError as error:
        report.warnings.append(f"a gate would refuse it: {error}")


def _steps(model: Any) -> str:
    steps = getattr(model, "steps", None) or [("", model)]
    return " > ".join(type(step).__name__ for _, step in steps)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

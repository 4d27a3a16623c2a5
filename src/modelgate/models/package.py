"""A fitted model, and what is needed to serve it, in one file or one folder."""

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
import numpy as np

from ..errors import ConfigurationError, StoreError
from ..schema import Schema
from ..schema.files import plain
from ..schema.model_input import spelled_names
from . import ed25519
from .archive import (
    ED25519,
    MANIFEST,
    SIGNATURE,
    Archive,
    FolderArchive,
    ZipArchive,
    pack,
    pack_sidecars,
    write,
)
from .file_readers import check_opens_no_files
from .files import check_version, dump, read_estimator
from .manifest import Label, Manifest, Sidecars, make_manifest, read_member, read_sidecars
from .model_thread import in_model_thread
from .onnx import OnnxModel
from .onnx_export import measured_onnx
from .rules import Mismatch, Rules, sign
from .sample import answers, background, check_example, places, statistics
from .versions import is_version

__all__ = [
    "PACKAGE",
    "SUFFIXES",
    "ModelPackage",
    "check_file",
    "check_name",
    "is_model_file",
    "load_model",
    "naming",
    "open_content",
    "open_package",
    "sidecars_in",
    "sidecars_of",
    "sidecars_part",
]

PACKAGE = ".mgpkg"
SUFFIXES = (PACKAGE, ".skops", ".joblib", ".onnx")

_EXAMPLES = 3
_SAMPLE = 64


@dataclass(frozen=True, eq=False)
class ModelPackage:
    """A fitted model, and what is needed to serve it.

    Make one with `from_estimator`, or read one with `load`.

    Args:
        model: the fitted estimator.
        manifest: what is said of it.
        schema: of its input; None of a bare file, which has none.
        background: rows as in training, as a caller might send them.
        statistics: figures of the training, by column.
        example: rows, and what the model said of them.
        size: in bytes, of what it was read from.
        sha256: the digest of that: of a folder, of its manifest.
    """

    model: Any = field(repr=False)
    manifest: Manifest
    schema: Schema | None = None
    background: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    statistics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    example: Mapping[str, Any] | None = field(default=None, repr=False)
    size: int = 0
    sha256: str = ""

    @property
    def sample(self) -> list[Mapping[str, Any]]:
        """The rows of the example and at most 64 others, evenly chosen: what a plan of the model is tried on."""
        example = () if self.example is None else self.example["rows"]
        return [*example, *(self.background[at] for at in places(len(self.background), _SAMPLE).tolist())]

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any,  # noqa: N803  scikit-learn's word
        y: Any = None,
        *,
        name: str = "model",
        version: str = "1",
        schema: Schema | None = None,
        target: str | Sequence[str] = "prediction",
        positive_class: Label | None = None,
        threshold: float | None = None,
        format: Literal["skops", "joblib", "onnx"] = "skops",  # noqa: A002
    ) -> "ModelPackage":
        """The package of a fitted estimator.

        Args:
            model: the estimator.
            X: rows as in training, a DataFrame or an array: up to 200 are kept.
            y: what is to be predicted for them, for figures of it.
            name: of the model: letters, digits, ``_``, ``-`` and single dots.
            version: of the model.
            schema: of its input; by default read from the estimator, and from *X* where that stores no kind.
            target: the name of what is predicted, or of each output.
            positive_class: of two classes the one that is looked for.
            threshold: from which probability on that is predicted.
            format: ``"skops"``; ``"joblib"``: a pickle, for estimators that skops cannot write; or
                ``"onnx"``: a graph made of the estimator, which may answer a little otherwise, and is
                what is packed. How much is measured on the rows kept, see `Manifest.difference`.

        Raises:
            ConfigurationError: an option cannot work, rows of *X* break the schema, or *model* opens files.
        """
        if format not in ("skops", "joblib", "onnx"):
            raise ConfigurationError(f"format={format!r}: accepts skops, joblib or onnx")
        if not hasattr(X, "columns") and not (isinstance(X, np.ndarray) and X.ndim == 2):
            raise ConfigurationError(f"X: accepts a DataFrame or an array of rows, not {type(X).__name__}")
        if y is not None and np.shape(y)[:1] != (len(X),):
            raise ConfigurationError(f"y: accepts a value for each of the {len(X)} rows of X")
        if not len(X):
            raise ConfigurationError("X: accepts at least one row")
        check_opens_no_files(model)
        schema = schema or Schema.from_model(model, X)
        rows = background(X, schema)
        estimator, told = model, None
        if isinstance(model, OnnxModel):
            format = "onnx"  # noqa: A001
        elif format == "onnx":
            model, told = measured_onnx(estimator, schema, rows)
        manifest = make_manifest(
            estimator,
            name=name,
            version=version,
            target=target,
            positive_class=positive_class,
            threshold=threshold,
            model=f"model.{format}",
            difference=told,
        )
        few = rows[:_EXAMPLES]
        example = {"rows": few, "expected": answers(model, schema, few)}
        return cls(model, manifest, schema, rows, statistics(X, y, schema), example)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        sha256: str | None = None,
        key: str | bytes | None = None,
        allow_pickle: bool = False,
        mismatch: Mismatch = "refuse",
        public_keys: Sequence[str | Path] | None = None,
    ) -> "ModelPackage":
        """Read a package, or a bare ``.skops``, ``.onnx`` or ``.joblib`` file.

        Args:
            path: of the file or folder.
            sha256: the digest it must have, taken of the very bytes that are loaded; of a folder
                that of its ``manifest.json``. A pickle needs one.
            key: the secret with which it must be signed.
            allow_pickle: whether a package may hold a pickle, which runs what is in it.
            mismatch: what becomes of a model of another version of scikit-learn (the patch level may
                differ), or with other columns than its schema: ``"refuse"``, or ``"warn"`` in the log.
            public_keys: the holder of one of which must have signed it: PEM files, or Ed25519 keys in
                base64. Needs the extra ``ed25519``.

        Raises:
            ConfigurationError: it is not there, not whole, not the one pinned or signed, not trusted,
                does not fit what is installed here, or answers its example in another way.
        """
        return open_package(Path(path), Rules(sha256, key, allow_pickle, mismatch, public_keys))

    def save(
        self,
        path: str | Path,
        *,
        key: str | bytes | None = None,
        sign_key: str | Path | None = None,
        folder: bool = False,
    ) -> str:
        """Write the package, whole or not at all, and give back the digest to pin it by.

        Args:
            path: of the file to write, which ends in ``.mgpkg``.
            key: a secret to sign it with, to be kept where the package is not.
            sign_key: the PEM file of an Ed25519 private key to sign it with. Needs the extra ``ed25519``.
            folder: whether to write a folder of that name.

        Raises:
            ConfigurationError: *path* ends otherwise, it cannot be written there, or the model cannot be
                written in the format chosen, or what is written does not answer the example as the model.
        """
        path = Path(path)
        if path.suffix != PACKAGE:
            raise ConfigurationError(f"path={str(path)!r}: accepts a name that ends in {PACKAGE}")
        members = self._members(key, sign_key)
        content = pack(members)
        write(path, members if folder else content)
        return _digest(members[MANIFEST] if folder else content)

    def packed(
        self, *, key: str | bytes | None = None, sign_key: str | Path | None = None
    ) -> tuple[bytes, bytes]:
        """What `save` writes into a file; before it a zip of that alone which tells of the model."""
        members = self._members(key, sign_key)
        return pack_sidecars(members), pack(members)

    def _members(self, key: str | bytes | None, sign_key: str | Path | None) -> dict[str, bytes]:
        if self.schema is None:
            raise ConfigurationError("a bare file is no package: make one with ModelPackage.from_estimator")
        # A key that cannot work is refused before the model is written.
        Rules(key=key)
        told = {
            "schema.json": plain(self.schema.columns, self.schema.policy),
            "background.json": self.background,
            "statistics.json": self.statistics,
            "example.json": self.example,
        }
        members = {name: msgspec.json.encode(value) for name, value in told.items()}
        members[self.manifest.model], written = dump(self.model, Path(self.manifest.model).suffix)
        # What no gate would load is not written.
        check_example(written, self.schema, msgspec.json.decode(members["example.json"]))
        manifest = msgspec.json.format(msgspec.json.encode(self.manifest.sealed(members)))
        signatures = {} if key is None else {SIGNATURE: sign(manifest, key)}
        if sign_key is not None:
            signatures[ED25519] = ed25519.sign(manifest, sign_key)
        return {MANIFEST: manifest, **signatures, **members}


def load_model(path: str | Path, *, sha256: str | None = None) -> Any:
    """The fitted model in the file *path*: of `ModelPackage.load`, the model alone."""
    return ModelPackage.load(path, sha256=sha256).model


def check_file(path: Path, rules: Rules) -> None:
    """Raises `ConfigurationError` where *path* is nothing that could be loaded by these *rules*.

    As much of it is read as tells that; of a package, not its model.
    """
    with naming(path):
        check_name(path)
        sidecars = _sidecars(path, rules)
        if sidecars is None:
            _check_bare(path.suffix, path.read_bytes, rules)
            return
        if sidecars.manifest.model == "model.joblib":
            rules.check_pickle()
        if "scikit-learn" in sidecars.manifest.versions and sidecars.manifest.model != "model.onnx":
            check_version(sidecars.manifest.versions["scikit-learn"], rules)


def check_name(path: Path) -> None:
    """Raises `ConfigurationError` where *path* is not that of a model file."""
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"accepts files ending in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not is_model_file(path):
        raise ConfigurationError("there is no such file")


def _check_bare(suffix: str, read: Callable[[], bytes], rules: Rules) -> None:
    if suffix == ".joblib" and rules.sha256 is None:
        raise ConfigurationError(
            "is a pickle, and loading a pickle runs the code in it. If you made this file, pin it:"
            f' sha256="{_digest(read())}". Or save it with skops, which runs none.'
        )
    rules.check_signatures(b"", None, None)


def is_model_file(path: Path) -> bool:
    """Whether there is a file at *path*, or a package that is a folder."""
    return path.is_file() or (path.suffix == PACKAGE and path.is_dir())


def sidecars_of(path: Path, rules: Rules) -> Sidecars | None:
    """The manifest and the schema of a package, read without its model; None of a bare file.

    Raises:
        ConfigurationError: they are not whole, or not signed.
    """
    with naming(path):
        return _sidecars(path, rules)


def _sidecars(path: Path, rules: Rules) -> Sidecars | None:
    if path.suffix != PACKAGE:
        return None
    if path.is_dir():
        sidecars = read_sidecars(FolderArchive(path), rules)
    else:
        with path.open("rb") as file:
            sidecars = read_sidecars(ZipArchive(file), rules)
    _check_identity(path, sidecars.manifest, rules)
    return sidecars


def _check_identity(path: Path, manifest: Manifest, rules: Rules) -> None:
    """Raise `ConfigurationError` unless a signed package is the one that its file is named after.

    Write access to the folder must not be enough to serve another signed model, or an old version of it.
    """
    if not rules.demands_signature:
        return
    told = f"{manifest.name}@{manifest.version}"
    if path.stem.partition("@")[0] != manifest.name:
        raise ConfigurationError(f"holds the package {told}: name the file {manifest.name}{PACKAGE}")
    # Of a link, both what it is called and what it leads to.
    for stem in (path.stem, path.resolve().stem):
        if is_version(stem) and stem != told:
            raise ConfigurationError(f"holds the package {told}")


def sidecars_part(content: bytes, suffix: str) -> bytes | None:
    """What of a package tells of its model, as bytes by itself; None of a bare file."""
    if suffix != PACKAGE:
        return None
    archive = ZipArchive(io.BytesIO(content))
    return pack_sidecars({name: archive.read(name) for name in archive.names})


def sidecars_in(name: str, file: IO[bytes], rules: Rules, *, alone: bool = False) -> Sidecars:
    """The manifest and the schema of the package file *name*, which is open. Raises as `sidecars_of` does.

    Args:
        alone: whether they are there without the rest, see `sidecars_part`.
    """
    path = Path(name)
    with naming(path):
        sidecars = read_sidecars(ZipArchive(file), rules, alone=alone)
        _check_identity(path, sidecars.manifest, rules)
        return sidecars


def open_package(path: Path, rules: Rules) -> ModelPackage:
    """See `ModelPackage.load`."""
    with naming(path):
        check_name(path)
        if path.is_dir():
            archive = FolderArchive(path)
            package = _read(archive, _digest(archive.read(MANIFEST)), rules)
            _check_identity(path, package.manifest, rules)
            return package
        return _open_content(path, path.read_bytes(), rules)


def open_content(name: str, content: bytes, rules: Rules) -> ModelPackage:
    """What `open_package` makes of a file *name* with this *content*."""
    path = Path(name)
    with naming(path):
        return _open_content(path, content, rules)


def _open_content(path: Path, content: bytes, rules: Rules) -> ModelPackage:
    suffix = path.suffix
    if suffix == PACKAGE:
        package = read_package(content, rules)
        _check_identity(path, package.manifest, rules)
        return package
    _check_bare(suffix, lambda: content, rules)
    digest = rules.check_digest(content)
    model = in_model_thread(read_estimator, content, suffix, rules)
    return ModelPackage(model, Manifest(name="model", format=1), size=len(content), sha256=digest)


def read_package(content: bytes, rules: Rules) -> ModelPackage:
    """The package in a zip of these bytes. Raises as `ModelPackage.load` does."""
    digest = rules.check_digest(content)
    return _read(ZipArchive(io.BytesIO(content)), digest, rules)


def _read(archive: Archive, digest: str, rules: Rules) -> ModelPackage:
    manifest, schema = read_sidecars(archive, rules)
    if manifest.model == "model.joblib":
        rules.check_pickle()
    told = {
        name: msgspec.json.decode(read_member(archive, manifest, f"{name}.json"))
        for name in ("statistics", "example")
    }
    rows = read_member(archive, manifest, "background.json")
    background = msgspec.json.decode(rows, type=list[dict[str, Any]] | None) or ()
    content = read_member(archive, manifest, manifest.model)
    model = in_model_thread(read_estimator, content, Path(manifest.model).suffix, rules)
    _check_columns(model, schema, rules)
    check_example(model, schema, told["example"])
    size = sum(member.size for member in manifest.members.values())
    return ModelPackage(model, manifest, schema, background, **told, size=size, sha256=digest)


def _check_columns(model: Any, schema: Schema, rules: Rules) -> None:
    needed = spelled_names(model, schema.names)
    if needed is not None and set(needed) != set(schema.names):
        other = ", ".join(sorted(set(needed).symmetric_difference(schema.names)))
        rules.settle(f"has other columns than its schema ({other})")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file is told as a fault of it, with its name."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"model={str(path)!r}: {error}") from None
    except StoreError:
        raise
    except (zipfile.BadZipFile, EOFError) as error:
        told = f"is cut off, damaged, or no {path.suffix} file ({error})"
        raise ConfigurationError(f"model={str(path)!r}: cannot be read: it {told}") from error
    except Exception as error:
        raise ConfigurationError(f"model={str(path)!r}: cannot be read: {error!r}") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

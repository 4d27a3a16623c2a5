"""Model packages: a fitted model and everything needed to serve it, in one file or folder."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..errors import ConfigurationError
from ..flow.model_thread import in_model_thread
from ..forecasting import DirectForecaster
from ..schema import Schema
from ..schema.model_input import column_labels
from .archive import MANIFEST, Archive, FolderArchive, ZipArchive, pack, pack_metadata, write
from .booster_file import write_booster
from .calibration import CALIBRATION, Calibration, calibrate
from .file_readers import check_opens_no_files
from .forecaster_package import describe_forecaster, read_state
from .load_policy import LoadPolicy, Mismatch
from .manifest import Label, Manifest, make_manifest, read_member, read_metadata, read_optional_member
from .multi_target import order_targets, target_names
from .onnx import OnnxModel
from .onnx_export import measure_onnx
from .package_files import (
    PACKAGE,
    check_bare_file,
    check_identity,
    check_name,
    file_errors,
    sha256_of,
    split_name,
)
from .package_members import write_members
from .serializers import read_estimator, suffix_for
from .training_rows import TrainingRows, check_rows, list_to_array, to_rows
from .training_sample import (
    background_sample,
    evenly_spaced_indices,
    predict_to_lists,
    training_statistics,
    verify_example,
)

__all__ = ["ModelPackage", "load_model", "open_content", "open_package", "read_package"]

_EXAMPLES = 3
_SAMPLE = 64


@dataclass(frozen=True, eq=False)
class ModelPackage:
    """Fitted model with everything that is needed to serve it.

    Create a package with `from_estimator` or `from_forecaster`, or read one with `load`.

    Args:
        model: Fitted estimator, or a fitted `DirectForecaster`.
        manifest: Metadata of the model.
        schema: Schema of the input; None for a bare file.
        background: Sample of the training rows, in the form a caller would send.
        statistics: Training statistics by column.
        example: Example rows, with the predictions of the model when the package was created.
        size: Size in bytes of the file or folder from which the package was read.
        sha256: Digest of the file from which the package was read; for a folder, digest of its manifest.
        training_rows: Fingerprints of the training rows. `calibrate` uses them.
        calibration: Errors of the model on calibration rows, from which prediction intervals are computed.
    """

    model: Any = field(repr=False)
    manifest: Manifest
    schema: Schema | None = None
    background: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    statistics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    example: Mapping[str, Any] | None = field(default=None, repr=False)
    size: int = 0
    sha256: str = ""
    training_rows: TrainingRows | None = field(default=None, repr=False)
    calibration: Calibration | None = field(default=None, repr=False)

    @property
    def sample(self) -> list[Mapping[str, Any]]:
        """Rows for verifying an exact plan: the example, and up to 64 rows of *background*.

        `modelgate.inference.plans` describes exact plans.
        """
        example = () if self.example is None else self.example["rows"]
        indices = evenly_spaced_indices(len(self.background), _SAMPLE).tolist()
        return [*example, *(self.background[index] for index in indices)]

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
        format: Literal["skops", "native", "joblib", "onnx"] = "skops",  # noqa: A002
    ) -> "ModelPackage":
        """Create the package of a fitted estimator.

        Args:
            model: Fitted estimator.
            X: Training rows: a DataFrame, a 2-D array, a list of dictionaries, or texts for a model of texts.
                Up to 200 of them are stored.
            y: Training targets, whose statistics are stored; None to store none. For several outputs, an
                array of shape (rows, outputs), or a DataFrame with a column for each target.
            name: Model name: letters, digits, ``_``, ``-`` and single dots.
            version: Model version.
            schema: Schema of the input. None to infer it from the estimator. Columns and column types that
                the estimator does not store are inferred from *X*.
            target: Name of the predicted variable, or a list with one name per output. Leave this out
                for a `MultiTarget`.
            positive_class: Positive label of a binary classifier; None for the second of ``classes_``.
            threshold: Minimum probability for predicting the positive class; None to keep the labels
                that the model predicts.
            format: ``"skops"``; ``"native"`` for the native file of XGBoost, LightGBM or CatBoost;
                ``"joblib"`` (a pickle) for other estimators that skops cannot write; or ``"onnx"`` to convert
                the estimator to an ONNX graph. The predictions of a graph may differ slightly from those of
                the estimator. `Manifest.difference` contains the difference for the stored rows.

        Raises:
            ConfigurationError: The value of an option is not valid, rows of *X* do not match the schema, or
                *model* opens files whose names come from callers.
        """
        suffix = suffix_for(model, format)
        X = to_rows(X)  # noqa: N806
        check_rows(X, y)
        check_opens_no_files(model)
        schema = Schema.from_model(model, X) if schema is None else schema.with_training_dtypes(model, X)
        if isinstance(X, list):
            X = list_to_array(X, schema)  # noqa: N806
        rows = background_sample(X, schema)
        if format == "native":
            _, model = write_booster(model)
        estimator, difference = model, None
        if format == "onnx" and not isinstance(model, OnnxModel):
            model, difference = measure_onnx(estimator, schema, rows)
        manifest = make_manifest(
            estimator,
            name=name,
            version=version,
            target=target_names(model, target),
            positive_class=positive_class,
            threshold=threshold,
            model=f"model{suffix}",
            difference=difference,
        )
        y, examples = order_targets(y, manifest.target), rows[:_EXAMPLES]
        example = {"rows": examples, "expected": predict_to_lists(model, schema, examples)}
        return cls(
            model,
            manifest,
            schema,
            rows,
            training_statistics(X, y, schema),
            example,
            training_rows=TrainingRows.of(X, y, schema),
        )

    def calibrate(
        self,
        X: Any,  # noqa: N803  scikit-learn's word
        y: Any,
        *,
        levels: Sequence[float] = (80, 90, 95),
        allow_training_rows: bool = False,
    ) -> "ModelPackage":
        """Return a copy of the package that can add prediction intervals to predicted numbers.

        The intervals are computed by split conformal prediction (Lei et al., 2018). For new rows from the
        same distribution as the calibration rows, an interval contains the true value with at least the
        requested probability. This holds on average over all rows, not for each group of rows.

        Args:
            X: Calibration rows, as in `from_estimator`. The model must not have been fitted on them.
            y: True values, as in `from_estimator`.
            levels: Levels in percent that callers will request. A level needs at least
                ``level / (100 - level)`` rows. Callers may also request any other level for which there are
                enough rows.
            allow_training_rows: Whether *X* may have rows that are equal to training rows. Use True only if
                such rows were observed independently, as may happen with few distinct values.

        Raises:
            ConfigurationError: A row is a training row, the rows do not match the schema, *y* has the wrong
                shape or is not finite, the model predicts no number, or there are too few rows for one of the
                *levels*.
        """
        if self.schema is None or self.training_rows is None:
            raise ConfigurationError(
                "a package without fingerprints of its training rows cannot be calibrated:"
                " create it with ModelPackage.from_estimator"
            )
        X = to_rows(X)  # noqa: N806
        check_rows(X, y)
        if isinstance(X, list):
            X = list_to_array(X, self.schema)  # noqa: N806
        y = order_targets(y, self.manifest.target)
        if not allow_training_rows:
            self.training_rows.reject(X, y, self.schema)
        calibration = calibrate(self.model, self.schema, X, y, self.manifest.classes, levels)
        return replace(self, calibration=calibration)

    @classmethod
    def from_forecaster(
        cls,
        forecaster: DirectForecaster,
        *,
        name: str = "model",
        version: str = "1",
        format: Literal["skops", "joblib"] = "skops",  # noqa: A002
    ) -> "ModelPackage":
        """Create the package of a fitted forecaster.

        It contains the regressor, and JSON with everything else.

        Args:
            forecaster: Fitted forecaster.
            name: Name of the package.
            version: Version of the package.
            format: ``"skops"``, or ``"joblib"`` (a pickle) for regressors that skops cannot write.

        Raises:
            ConfigurationError: The value of an option is not valid, or *forecaster* is not fitted.
        """
        return cls(forecaster, **describe_forecaster(forecaster, format, name=name, version=version))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        sha256: str | None = None,
        allow_pickle: bool = False,
        on_version_mismatch: Mismatch = "reject",
        public_keys: Sequence[str | Path] | None = None,
    ) -> "ModelPackage":
        """Read a package, or a bare file: ``.skops``, ``.onnx``, a native file of a booster, or a pickle.

        Pickles end in ``.joblib``, ``.pkl`` or ``.pickle``, and may be compressed: ``.joblib.gz``.

        Args:
            path: Path of the file or folder.
            sha256: Digest that the file must have (for a folder, the digest of its ``manifest.json``).
                Required for a pickle. None to accept any digest.
            allow_pickle: Whether a package may contain a pickle. Loading a pickle runs the code in it.
            on_version_mismatch: Action if the model was saved with another major or minor version of
                scikit-learn, or if its columns differ from its schema: ``"reject"`` to reject the model, or
                ``"warn"`` to log a warning.
            public_keys: PEM files, or Ed25519 keys in base64, one of which must have signed the package.
                Needs the extra ``ed25519``. None to accept packages without a signature.

        Raises:
            ConfigurationError: The file is missing or damaged, its digest or signature is wrong, it contains
                untrusted types, it needs other library versions, or the model no longer reproduces the
                predictions in the package's example.
        """
        policy = LoadPolicy(sha256, allow_pickle, on_version_mismatch, public_keys)
        return open_package(Path(path), policy)

    def save(self, path: str | Path, *, sign_key: str | Path | None = None, folder: bool = False) -> str:
        """Write the package atomically. Return its digest, which can be used to pin it.

        Args:
            path: Path to write, which must end in ``.mgpkg``.
            sign_key: PEM file of an Ed25519 private key to sign with, which needs the extra ``ed25519``. None
                for no signature.
            folder: Whether to write a folder instead of a file.

        Raises:
            ConfigurationError: *path* has the wrong suffix or cannot be written, the model cannot be written
                in the chosen format, or the written model does not reproduce the predictions in the example.
        """
        path = Path(path)
        if path.suffix != PACKAGE:
            raise ConfigurationError(f"path must end in {PACKAGE} (got {str(path)!r})")
        members = self._members(sign_key)
        content = pack(members)
        write(path, members if folder else content)
        return sha256_of(members[MANIFEST] if folder else content)

    def to_bytes(self, *, sign_key: str | Path | None = None) -> tuple[bytes, bytes]:
        """Return two zip files: one with only the metadata, and the complete package as `save` writes it."""
        members = self._members(sign_key)
        return pack_metadata(members), pack(members)

    def _members(self, sign_key: str | Path | None) -> dict[str, bytes]:
        if self.schema is None:
            raise ConfigurationError("a bare file cannot be saved: use ModelPackage.from_estimator")
        documents = {
            "background.json": self.background,
            "statistics.json": self.statistics,
            "example.json": self.example,
            "fingerprints.json": self.training_rows,
            CALIBRATION: self.calibration,
        }
        return write_members(self.model, self.manifest, self.schema, documents, sign_key)


def load_model(path: str | Path, *, sha256: str | None = None) -> Any:
    """Return the fitted model in the file at *path*. See `ModelPackage.load` for *sha256* and errors."""
    return ModelPackage.load(path, sha256=sha256).model


def open_package(path: Path, policy: LoadPolicy) -> ModelPackage:
    """Read the package or bare file at *path*. Raises the same errors as `ModelPackage.load`."""
    with file_errors(path):
        check_name(path)
        if path.is_dir():
            archive = FolderArchive(path)
            package = _read(archive, sha256_of(archive.read(MANIFEST)), policy)
            check_identity(path, package.manifest, policy)
            return package
        return _open_file(path, io.BytesIO(path.read_bytes()), policy)


def open_content(name: str, content: bytes, policy: LoadPolicy) -> ModelPackage:
    """Read a package or a bare file from memory, like `open_package`.

    Args:
        name: File name.
        content: Content of the file.
        policy: Checks that the file must pass.
    """
    path = Path(name)
    with file_errors(path):
        return _open_file(path, io.BytesIO(content), policy)


def _open_file(path: Path, file: io.BytesIO, policy: LoadPolicy) -> ModelPackage:
    suffix = split_name(path)[1]
    if suffix == PACKAGE:
        package = read_package(file, policy)
        check_identity(path, package.manifest, policy)
        return package
    check_bare_file(suffix, file.getvalue, policy)
    content = file.getvalue()
    digest = policy.check_digest(content)
    model = in_model_thread(read_estimator, content, suffix, policy)
    return ModelPackage(model, Manifest(name="model", format=1), size=len(content), sha256=digest)


def read_package(file: io.BytesIO, policy: LoadPolicy) -> ModelPackage:
    """Read a package from its zip file, which is closed. Raises the same errors as `ModelPackage.load`."""
    digest = policy.check_digest(file.getvalue())
    return _read(ZipArchive(file), digest, policy)


def _read(archive: Archive, digest: str, policy: LoadPolicy) -> ModelPackage:
    manifest, schema = read_metadata(archive, policy)
    if manifest.model == "model.joblib":
        policy.check_pickle()
    statistics, example = (
        msgspec.json.decode(read_member(archive, manifest, name))
        for name in ("statistics.json", "example.json")
    )
    rows = read_member(archive, manifest, "background.json")
    background = msgspec.json.decode(rows, type=list[dict[str, Any]] | None) or ()
    training_rows = read_optional_member(archive, manifest, "fingerprints.json", TrainingRows)
    calibration = read_optional_member(archive, manifest, CALIBRATION, Calibration)
    state = read_state(archive, manifest)
    content = read_member(archive, manifest, manifest.model)
    # Before the model is created, because a zip file is as large as the model.
    archive.close()
    model = in_model_thread(read_estimator, content, Path(manifest.model).suffix, policy)
    if manifest.time_series is None or state is None:
        _check_columns(model, schema, policy)
    else:
        model = DirectForecaster.restore(model, manifest.time_series, state)
    verify_example(model, schema, example)
    size = sum(member.size for member in manifest.members.values())
    return ModelPackage(
        model,
        manifest,
        schema,
        background,
        statistics,
        example,
        size,
        digest,
        training_rows,
        calibration,
    )


def _check_columns(model: Any, schema: Schema, policy: LoadPolicy) -> None:
    needed = column_labels(model, schema.names)
    if needed is not None and set(needed) != set(schema.names):
        different = ", ".join(sorted(set(needed).symmetric_difference(schema.names)))
        policy.handle_mismatch(f"the model has other columns than its schema ({different})")

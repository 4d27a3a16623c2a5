"""Manifest of a package: metadata that can be read without loading the model."""

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np

from ..errors import ConfigurationError
from ..forecasting import TimeSeriesSpec
from ..schema import Schema
from ..schema.introspection.classes import target_models
from ..schema.introspection.infer_columns import outputs_of
from ..schema.introspection.libraries import is_native_booster
from ..schema.schema_file import schema_from_dict
from .archive import MANIFEST, MEMBERS, SIGNATURE, Archive
from .load_policy import LoadPolicy
from .onnx_export import Difference

__all__ = [
    "Label",
    "Manifest",
    "Member",
    "PackageMetadata",
    "Task",
    "make_manifest",
    "read_member",
    "read_metadata",
    "read_optional_member",
]

T = TypeVar("T")

Label: TypeAlias = bool | int | float | str
Task: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression"]

_NAME = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
_VERSION = r"^[A-Za-z0-9._-]{1,64}\Z"
_TOKENS = (
    ("name", _NAME, "letters, digits, '_', '-' and single dots, 64 characters at most"),
    ("version", _VERSION, "letters, digits, '_', '-' and '.', 64 characters at most"),
)


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Digest and size of a package member."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Metadata of a packaged model, stored as ``manifest.json``.

    Args:
        name: Model name: letters, digits, ``_``, ``-`` and single dots.
        version: Model version.
        task: Kind of prediction, named as in the DataRobot model runner; None if some outputs are
            labels and others are numbers.
        target: Name of the predicted variable, or a list with one name per output.
        classes: List with one item per output: the labels in the order of ``classes_``, or None if the output
            is a number.
        positive_class: Positive label of a binary classifier.
        threshold: Minimum probability for predicting the positive class.
        model: Name of the member that contains the model.
        versions: Versions of Python and of the libraries with which the package was created.
        difference: Measured difference between an ONNX graph and the original estimator.
        time_series: Columns, step and windows of a forecaster; None for other models.
        members: Digest and size of every other member, by name.
        format: Format version of the manifest.
    """

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    version: Annotated[str, msgspec.Meta(pattern=_VERSION)] = "1"
    task: Task | None = None
    target: str | list[str] = "prediction"
    classes: list[list[Label] | None] = msgspec.field(default_factory=lambda: [None])
    positive_class: Label | None = None
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    model: Literal["model.skops", "model.joblib", "model.onnx", "model.ubj", "model.txt", "model.cbm"] = (
        "model.skops"
    )
    versions: dict[str, str] = {}
    difference: Difference | None = None
    time_series: TimeSeriesSpec | None = None
    members: dict[str, Member] = {}
    format: Literal[1]

    def with_members(self, members: Mapping[str, bytes]) -> "Manifest":
        """Return a copy with the digests and sizes of *members*."""
        digests = {name: _describe_member(content) for name, content in members.items()}
        return msgspec.structs.replace(self, members=digests)


class PackageMetadata(NamedTuple):
    """Metadata of a packaged model, available before the model is loaded."""

    manifest: Manifest
    schema: Schema


def make_manifest(estimator: Any, /, **fields: Any) -> Manifest:
    """Create the manifest of *estimator*.

    Args:
        estimator: Fitted estimator.
        fields: Fields of `Manifest` that are not read from the estimator.

    Raises:
        ConfigurationError: The value of a field is not valid, or does not fit the estimator.
    """
    classes = outputs_of(estimator)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    models = (target_models(estimator) or {"": estimator}).values()
    if any(type(model).__module__.startswith("sklearn.") for model in models):
        import sklearn

        versions["scikit-learn"] = sklearn.__version__
    for option, pattern, accepted in _TOKENS:
        if not re.match(pattern, str(fields.get(option, "1"))):
            raise ConfigurationError(f"{option} must be {accepted} (got {fields[option]!r})")
    _check_outputs(estimator, classes, fields.get("target"), fields.get("threshold"))
    try:
        return _parse_manifest(
            {**fields, "format": 1, "task": _infer_task(classes), "classes": classes, "versions": versions}
        )
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error).replace("$.", "")) from None


def _check_outputs(
    estimator: Any, classes: Sequence[Any], target: str | Sequence[str] | None, threshold: float | None
) -> None:
    """Raise `ConfigurationError` if *target* or *threshold* does not fit the estimator."""
    if isinstance(target, list | tuple) and len(target) != len(classes):
        raise ConfigurationError(
            f"target must be a name, or a list of names for the {len(classes)} outputs (got {target!r})"
        )
    has_probabilities = hasattr(estimator, "predict_proba") or is_native_booster(estimator)
    is_binary = has_probabilities and any(len(labels or ()) == 2 for labels in classes)
    if threshold is not None and not is_binary:
        raise ConfigurationError(
            f"threshold must be None for a model without probabilities of two classes (got {threshold!r})"
        )


def _parse_manifest(fields: Any) -> Manifest:
    manifest = msgspec.convert(fields, Manifest)
    if manifest.positive_class is not None:
        labels = [(type(label), label) for label in manifest.classes[0] or ()]
        if len(labels) != 2 or (type(manifest.positive_class), manifest.positive_class) not in labels:
            raise ConfigurationError(
                "positive_class must be one of the two classes of a binary classifier"
                f" (got {manifest.positive_class!r}; the classes are {manifest.classes})"
            )
    return manifest


def _infer_task(classes: Sequence[Sequence[Label] | None]) -> Task | None:
    if None in classes:
        return "regression" if set(classes) == {None} else None
    if len(classes) > 1:
        return "multilabel"
    return "binary" if len(classes[0] or ()) == 2 else "multiclass"


def read_metadata(archive: Archive, policy: LoadPolicy, *, metadata_only: bool = False) -> PackageMetadata:
    """Read the manifest and the schema of a package, without reading its model.

    Args:
        archive: The package.
        policy: Checks of the digest and the signature.
        metadata_only: Whether *archive* contains only the metadata (see `pack_metadata`), not the model.

    Raises:
        ConfigurationError: The manifest or the schema is damaged, *policy* rejects the digest or the
            signature, or the manifest does not list exactly the members of the package.
    """
    raw = archive.read(MANIFEST)
    if archive.is_folder:
        policy.check_digest(raw)
    policy.check_signature(raw, archive.read(SIGNATURE) if SIGNATURE in archive.names else None)
    manifest = _parse_manifest(msgspec.json.decode(raw))
    listed = manifest.members.keys()
    if not metadata_only and (listed != archive.names.intersection(MEMBERS) or manifest.model not in listed):
        raise ConfigurationError(
            f"{MANIFEST} does not list exactly the members of the package: save the package again"
        )
    schema = msgspec.json.decode(read_member(archive, manifest, "schema.json"))
    return PackageMetadata(manifest, Schema(*schema_from_dict(schema)))


def read_member(archive: Archive, manifest: Manifest, name: str) -> bytes:
    """Return the content of the member *name* after checking its digest against *manifest*.

    Raises:
        ConfigurationError: The member is missing, or its digest differs.
    """
    content = archive.read(name)
    if _describe_member(content) != manifest.members.get(name):
        raise ConfigurationError(f"{name} does not have the digest in {MANIFEST}: save the package again")
    return content


def read_optional_member(archive: Archive, manifest: Manifest, name: str, type_: type[T]) -> T | None:
    """Return the JSON member *name* as a *type_*, or None if the package has no such member."""
    if name not in archive.names:
        return None
    return msgspec.json.decode(read_member(archive, manifest, name), type=type_)


def _describe_member(content: bytes) -> Member:
    return Member(hashlib.sha256(content).hexdigest(), len(content))

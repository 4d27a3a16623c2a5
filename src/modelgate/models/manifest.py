"""What a package says of its model, apart from the model."""

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from ..errors import ConfigurationError
from ..schema import Schema
from ..schema.files import parse
from ..schema.infer import outputs_of
from .archive import ED25519, MANIFEST, MEMBERS, SIGNATURE, Archive
from .onnx_export import Difference
from .rules import Rules

__all__ = ["Label", "Manifest", "Member", "Sidecars", "Task", "make_manifest", "read_member", "read_sidecars"]

Label: TypeAlias = bool | int | float | str
Task: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression"]

_NAME = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
_VERSION = r"^[A-Za-z0-9._-]{1,64}\Z"
_TOKENS = (
    ("name", _NAME, "letters, digits, '_', '-' and single dots, 64 characters at most"),
    ("version", _VERSION, "letters, digits, '_', '-' and '.', 64 characters at most"),
)


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digest and the size of a member."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a package says of its model.

    Args:
        name: of the model: letters, digits, ``_``, ``-`` and single dots.
        version: of the model.
        task: what it predicts, in the words of the DataRobot model runner.
        target: the name of what is predicted, or of each output.
        classes: for each output its labels in the order of ``classes_``; None for a number.
        positive_class: of two classes the one that is looked for.
        threshold: from which probability on that is predicted.
        model: the member that is the model.
        versions: of what it was made with.
        difference: how far a graph answers otherwise than the estimator it was made of.
        members: all others, by name.
        format: of the manifest.
    """

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    version: Annotated[str, msgspec.Meta(pattern=_VERSION)] = "1"
    task: Task | None = None
    target: str | list[str] = "prediction"
    classes: list[list[Label] | None] = msgspec.field(default_factory=lambda: [None])
    positive_class: Label | None = None
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    model: Literal["model.skops", "model.joblib", "model.onnx"] = "model.skops"
    versions: dict[str, str] = {}
    difference: Difference | None = None
    members: dict[str, Member] = {}
    format: Literal[1]

    def sealed(self, members: Mapping[str, bytes]) -> "Manifest":
        """The same manifest, with the digests of *members*."""
        told = {
            name: Member(hashlib.sha256(content).hexdigest(), len(content))
            for name, content in members.items()
        }
        return msgspec.structs.replace(self, members=told)


class Sidecars(NamedTuple):
    """What is known of a model before it is loaded."""

    manifest: Manifest
    schema: Schema


def make_manifest(estimator: Any, /, **told: Any) -> Manifest:
    """The manifest of *estimator*.

    Raises:
        ConfigurationError: an option is something else than it accepts.
    """
    classes = outputs_of(estimator)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if type(estimator).__module__.startswith("sklearn."):
        import sklearn

        versions["scikit-learn"] = sklearn.__version__
    for option, pattern, accepted in _TOKENS:
        if not re.match(pattern, str(told.get(option, "1"))):
            raise ConfigurationError(f"{option}={told[option]!r}: accepts {accepted}")
    _check_outputs(estimator, classes, told.get("target"), told.get("threshold"))
    try:
        return _checked(
            {**told, "format": 1, "task": _task(classes), "classes": classes, "versions": versions}
        )
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error).replace("$.", "")) from None


def _check_outputs(
    estimator: Any, classes: Sequence[Any], target: str | Sequence[str] | None, threshold: float | None
) -> None:
    """Raises `ConfigurationError` where *target* or *threshold* is of no such estimator."""
    if isinstance(target, list | tuple) and len(target) != len(classes):
        raise ConfigurationError(
            f"target={target!r}: accepts a name, or one for each of {len(classes)} outputs"
        )
    decides = hasattr(estimator, "predict_proba") and any(len(labels or ()) == 2 for labels in classes)
    if threshold is not None and not decides:
        raise ConfigurationError(f"threshold={threshold!r}: the model tells no probabilities of two classes")


def _checked(told: Any) -> Manifest:
    manifest = msgspec.convert(told, Manifest)
    if manifest.positive_class is not None:
        labels = [(type(label), label) for label in manifest.classes[0] or ()]
        if len(labels) != 2 or (type(manifest.positive_class), manifest.positive_class) not in labels:
            raise ConfigurationError(
                f"positive_class={manifest.positive_class!r}: the model's classes are {manifest.classes}"
            )
    return manifest


def _task(classes: Sequence[Sequence[Label] | None]) -> Task:
    if any(labels is None for labels in classes):
        return "regression"
    if len(classes) > 1:
        return "multilabel"
    return "binary" if len(classes[0] or ()) == 2 else "multiclass"


def read_sidecars(archive: Archive, rules: Rules, *, alone: bool = False) -> Sidecars:
    """The manifest and the schema of a package; its model is not touched.

    Args:
        archive: the members.
        rules: by which it must be signed.
        alone: whether they are kept apart from the others.

    Raises:
        ConfigurationError: they are not whole, not signed as *rules* ask, or name other members.
    """
    raw = archive.read(MANIFEST)
    if archive.is_folder:
        rules.check_digest(raw)
    signatures = [archive.read(name) if name in archive.names else None for name in (SIGNATURE, ED25519)]
    rules.check_signatures(raw, *signatures)
    manifest = _checked(msgspec.json.decode(raw))
    named = manifest.members.keys()
    if not alone and (named != archive.names.intersection(MEMBERS) or manifest.model not in named):
        raise ConfigurationError(f"its {MANIFEST} names other members than there are")
    told = msgspec.json.decode(read_member(archive, manifest, "schema.json"))
    return Sidecars(manifest, Schema(*parse(told)))


def read_member(archive: Archive, manifest: Manifest, name: str) -> bytes:
    """The bytes of a member, which have the digest that *manifest* tells.

    Raises:
        ConfigurationError: they have another, or there is none of that name.
    """
    content = archive.read(name)
    told = manifest.members.get(name)
    if told is None or Member(hashlib.sha256(content).hexdigest(), len(content)) != told:
        raise ConfigurationError(f"its {name} is not the one that {MANIFEST} names")
    return content

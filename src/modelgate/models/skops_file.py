"""Read and write skops files.

skops only creates objects of trusted types, but a file can make it call any trusted type or function with any
arguments. modelgate trusts more names than skops does by default. So `read_skops` rejects files that would
call one of the additional names.
"""

import copy
import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np

from ..errors import ConfigurationError
from .file_readers import walk_parts
from .load_policy import LoadPolicy
from .trusted_types import FIT_ATTRIBUTES, FIT_PARAMETERS, TRUSTED

__all__ = ["check_skops_version", "foreign_types", "read_skops", "read_skops_schema", "write_skops"]

_SCHEMA = "schema.json"
_VERSION = re.compile(rb'"_sklearn_version":\s*{[^{}]*"content":\s*"\\"([^"\\]+)\\""')
_LARGEST_RATIO = 100

_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

_REFERRING = (
    *("FunctionNode", "ObjectNode", "PartialNode", "SparseMatrixNode", "TreeNode", "TupleNode", "TypeNode"),
)
"""Loaders of skops that do not call the type or function named in the file. Other loaders may do so."""

_REFERRED = {*TRUSTED} - {"numpy.dtype", "sklearn.utils._bunch.Bunch"}
"""Trusted names that a file may refer to, but not call."""

_JSON_TYPE = {"__module__": "builtins", "__class__": "str"}
_JOBLIB = 'use format="joblib", which writes a pickle'
_PINNED = (
    "save it with joblib and pin the file with sha256=, or make a package with"
    ' format="joblib", which writes a pickle'
)


def read_skops(content: bytes, policy: LoadPolicy, remedy: str = _PINNED) -> Any:
    """Deserialize an estimator. Parts of untrusted types are left out if predicting does not need them.

    Args:
        content: Content of the file.
        policy: Checks that the file must pass.
        remedy: Advice in the error for untrusted types.

    Raises:
        ConfigurationError: skops is not installed, or the file is rejected because it contains untrusted
            types, would call a function, is too large when unpacked, or was saved with another version of
            scikit-learn.
    """
    skops_io = _import_skops_io()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _reject_zip_bomb(archive, len(content))
        schema = archive.read(_SCHEMA)
    # Compare the versions first, because other versions have other types.
    check_skops_version(schema, policy)
    content, foreign = _drop_fit_only(content, schema)
    if foreign:
        raise ConfigurationError(
            f"the file contains types that are not trusted ({', '.join(foreign)}): {remedy}"
        )
    return skops_io.loads(content, trusted=list(TRUSTED))


def read_skops_schema(file: IO[bytes], limit: int) -> bytes:
    """Return up to *limit* bytes of the JSON that describes the objects in a skops *file*."""
    with zipfile.ZipFile(file) as archive, archive.open(_SCHEMA) as member:
        return member.read(limit)


def check_skops_version(schema: bytes, policy: LoadPolicy) -> None:
    """Check the versions of scikit-learn in the *schema* of a skops file.

    Raises:
        ConfigurationError: See `LoadPolicy.check_sklearn_version`.
    """
    for version in sorted(set(_VERSION.findall(schema))):
        policy.check_sklearn_version(version.decode())


def foreign_types(content: bytes) -> list[str]:
    """Return the untrusted types that prevent a file from being loaded. No objects are created."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _drop_fit_only(content, archive.read(_SCHEMA))[1]


def _drop_fit_only(content: bytes, schema: bytes) -> tuple[bytes, list[str]]:
    """Remove from the file the untrusted parts that only fitting uses.

    Returns:
        The new content of the file, and the untrusted types that remain in it.
    """
    document = json.loads(schema)
    foreign = _find_foreign(content, document)
    if not foreign:
        return content, []
    for state in _iterate_states(document):
        attributes = state.get("content")
        if (
            _name_of(state).startswith("sklearn.")
            and isinstance(attributes, dict)
            and "key_types" in attributes
        ):
            _drop_attributes(attributes, foreign)
    content = _with_schema(content, document)
    return content, sorted(_find_foreign(content, document))


def _find_foreign(content: bytes, document: Any) -> set[str]:
    # skops would read the arrays, too, but reports types by the schema alone.
    without_arrays = _with_schema(content, document, empty=True)
    untrusted = set(_import_skops_io().get_untrusted_types(data=without_arrays)) - set(TRUSTED)
    return untrusted | _find_calls(document)


def _find_calls(document: Any) -> set[str]:
    """Return the names that must not be called, but that loading the file may call."""
    states = list(_iterate_states(document))
    calls = {_name_of(state) for state in states if state["__loader__"] not in _REFERRING} & _REFERRED
    # skops calls the type of each key of a dict. Of all states with the same id, it uses the first.
    used: dict[Any, Any] = {}
    for state in states:
        if state["__loader__"] == "DictNode":
            key_types = state["key_types"]["content"]
            calls.update(_name_of(key) for key in key_types if not _is_harmless_key_type(key))
            used |= {part["__id__"]: part for part in (state["key_types"], *key_types)}
    return calls.union(_name_of(state) for state in states if used.get(state.get("__id__"), state) != state)


def _is_harmless_key_type(state: Mapping[str, Any]) -> bool:
    return state["__loader__"] == "TypeNode" and _name_of(state) not in _REFERRED


def _iterate_states(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the state of every object in a file: the dict from which skops creates the object."""
    stack = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def _name_of(state: Mapping[str, Any]) -> str:
    return f"{state['__module__']}.{state['__class__']}"


def _drop_attributes(attributes: Mapping[str, Any], foreign: set[str]) -> None:
    """Drop or reset attributes of *foreign* types if the estimator does not need them to predict."""
    values, key_types = attributes["content"], attributes["key_types"]["content"]
    for index, name in reversed(list(enumerate(values))):
        if not foreign.isdisjoint(map(_name_of, _iterate_states(values[name]))):
            if name in FIT_PARAMETERS:
                content = json.dumps(FIT_PARAMETERS[name])
                values[name] = {"__loader__": "JsonNode", **_JSON_TYPE, "content": content}
            elif name in FIT_ATTRIBUTES:
                del values[name], key_types[index]


def _with_schema(content: bytes, document: Any, *, empty: bool = False) -> bytes:
    """Return the file with *document* as its schema. If *empty* is True, its other members are empty."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w") as changed:
        for name in set(archive.namelist()) - {_SCHEMA}:
            changed.writestr(name, b"" if empty else archive.read(name))
        changed.writestr(_SCHEMA, json.dumps(document))
    return buffer.getvalue()


def write_skops(model: Any) -> tuple[bytes, Any]:
    """Serialize *model*. Return the bytes, and the estimator that `read_skops` reads back from the bytes.

    Raises:
        ConfigurationError: skops is missing, cannot write the model, or cannot read what it has written.
    """
    skops_io = _import_skops_io()
    try:
        try:
            content: bytes = skops_io.dumps(model)
        except Exception:
            content = skops_io.dumps(_without_unwritable_parts(model))
        return content, read_skops(content, LoadPolicy(), remedy=_JOBLIB)
    except ConfigurationError as error:
        raise ConfigurationError(f"model: {error}") from None
    except Exception as error:
        raise ConfigurationError(f"model: skops cannot write the model ({error}): {_JOBLIB}") from error


def _without_unwritable_parts(model: Any) -> Any:
    """Return a copy of *model* without parts that skops cannot write and that only fitting uses."""
    model = copy.deepcopy(model)
    for _, part in walk_parts(model):
        if type(part).__module__.startswith("sklearn."):
            for name, value in list(getattr(part, "__dict__", {}).items()):
                if name in FIT_PARAMETERS and not _is_writable(value):
                    setattr(part, name, FIT_PARAMETERS[name])
                elif name in FIT_ATTRIBUTES and not _is_writable(value):
                    delattr(part, name)
    return model


def _is_writable(value: Any) -> bool:
    try:
        _import_skops_io().dumps(value)
    except Exception:
        return False
    return True


def _import_skops_io() -> Any:
    try:
        import skops.io
    except ImportError:
        raise ConfigurationError('.skops files need skops: pip install "modelgate[skops]"') from None
    return skops.io


def _reject_zip_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Raise `ConfigurationError` if *archive*, a file of *size* bytes, is far larger when unpacked.

    The check adds up the declared sizes of the members. A false size does no harm, because zipfile never
    reads more of a member than its declared size. Array headers are checked, too, because numpy allocates an
    array before it reads the data.
    """
    if sum(info.file_size for info in archive.infolist()) > _LARGEST_RATIO * size:
        raise ConfigurationError(
            f"the file must not unpack to more than {_LARGEST_RATIO} times its own size: save the model again,"
            " without compression"
        )
    for info in archive.infolist():
        with archive.open(info) as member:
            if info.filename.endswith(".npy"):
                _check_array(member, info.file_size)
            elif info.filename.endswith(".npz"):
                with zipfile.ZipFile(member) as inner:
                    _reject_zip_bomb(inner, info.file_size)


def _check_array(member: IO[bytes], size: int) -> None:
    read_header = _HEADERS.get(np.lib.format.read_magic(member))
    if read_header is None:
        raise ConfigurationError("the file contains an array of an unknown format: save the model again")
    shape, _, dtype = read_header(member)
    if member.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ConfigurationError(
            "the file contains an array whose size differs from its header: save the model again"
        )

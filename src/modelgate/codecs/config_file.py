"""Configuration files in TOML or JSON, which can be edited by hand."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

__all__ = ["config_errors", "read_config", "write_config"]


@contextmanager
def config_errors(option: str, path: str | Path) -> Iterator[None]:
    """Re-raise an error of the block with *option* and *path* in the message.

    Raises:
        ConfigurationError: The block raised an error about the file or its content.
    """
    try:
        yield
    except (ConfigurationError, OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{option}={str(path)!r}: {error}") from None


def read_config(option: str, path: str | Path) -> Mapping[str, Any]:
    """Return the content of a ``.toml`` or ``.json`` file, or an empty mapping if the JSON is not an object.

    Args:
        option: Name of the option that is read, for error messages.
        path: Path of the file.

    Raises:
        ConfigurationError: *path* has a different ending, or the file cannot be read.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise _wrong_ending(option, path)
    with config_errors(option, path):
        content = reader(path.read_text("utf-8"))
    return content if isinstance(content, dict) else {}


def write_config(option: str, path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a ``.toml`` or ``.json`` file atomically.

    Args:
        option: Name of the option that is written, for error messages.
        path: Path of the file.
        content: Plain values by key. A list of mappings becomes an array of tables in TOML.

    Raises:
        ConfigurationError: *path* has a different ending, or cannot be written.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise _wrong_ending(option, path)
    text = json.dumps(content, indent=2, ensure_ascii=False) if path.suffix == ".json" else _to_toml(content)
    temporary = path.with_name(path.name + ".new")
    with config_errors(option, path):
        temporary.write_bytes((text.rstrip() + "\n").encode())
        temporary.replace(path)


def _wrong_ending(option: str, path: Path) -> ConfigurationError:
    return ConfigurationError(f"{option} must be a file ending in .toml or .json (got {str(path)!r})")


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict[str, Any]()
    for name, value in pairs:
        if name in content:
            raise ConfigurationError(
                f"the names in an object must differ (got {name!r} twice): remove one of them"
            )
        content[name] = value
    return content


_READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": partial(json.loads, object_pairs_hook=_object_of_pairs),
}


def _to_toml(content: Mapping[str, Any]) -> str:
    tables = {key: value for key, value in content.items() if _is_array_of_tables(value)}
    blocks = [_to_lines({key: value for key, value in content.items() if key not in tables})]
    for key, items in tables.items():
        blocks += [f"[[{key}]]\n{_to_lines(item)}" for item in items]
    return "\n\n".join(block for block in blocks if block)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _to_lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {_toml_value(value)}" for key, value in table.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + "}"
    # JSON text, numbers, booleans and lists are valid TOML, except for the control character DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

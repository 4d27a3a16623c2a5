"""Find the names that a pickle imports, without executing the pickle."""

import pickletools
from typing import Any

__all__ = ["pickle_imports"]

_TEXT = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_NEUTRAL = {"PROTO", "FRAME"}
# Opcodes of persistent objects and registered extensions, whose imports are not named in the pickle.
_UNREADABLE = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4"}
_BZ2 = b"BZ"
"""First bytes of a file compressed with bz2. The pickle of a bytes object may start with them, too."""


def pickle_imports(content: bytes) -> tuple[set[str], bool]:
    """Return the set of names that a pickle imports, and whether this set is certainly complete."""
    names: set[str] = set()
    if content.startswith(_BZ2):
        return names, False
    try:
        return names, _collect(content, names) == len(content) - 1
    except (ValueError, LookupError):
        return names, False


def _collect(content: bytes, names: set[str]) -> int:
    """Add the imports of the pickle *content* to *names*, and return the position of the last opcode.

    Raises:
        ValueError, LookupError: An import cannot be read, or the content is not a pickle.
    """
    # Track only the strings on top of the stack, because STACK_GLOBAL imports the name in the last two.
    top: list[str | None] = []
    memo: dict[Any, str | None] = {}
    end = -1
    for opcode, argument, position in pickletools.genops(content):
        end = position or 0
        if opcode.name in _PUT:
            memo[len(memo) if argument is None else argument] = top[-1] if top else None
        elif opcode.name in _GET:
            top.append(memo[argument])
        elif opcode.name in _TEXT:
            top.append(argument)
        elif opcode.name == "DUP":
            top += top[-1:]
        elif opcode.name == "POP":
            del top[-1:]
        elif opcode.name not in _NEUTRAL:
            _read_import(opcode.name, argument, top, names)
            top.clear()
    return end


def _read_import(opcode: str, argument: object, top: list[str | None], names: set[str]) -> None:
    if opcode in ("GLOBAL", "INST"):
        names.add(str(argument).replace(" ", "."))
    elif opcode == "STACK_GLOBAL":
        module, name = top[-2:]
        if module is None or name is None:
            raise ValueError
        names.add(f"{module}.{name}")
    # After BUILD of joblib's array wrapper, the bytes of an array follow, which are not part of the pickle.
    elif opcode in _UNREADABLE or (
        opcode == "BUILD" and any("joblib" in name or "ArrayWrapper" in name for name in names)
    ):
        raise ValueError

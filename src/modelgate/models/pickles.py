"""What a pickle imports, read without executing it."""

import pickletools
from typing import Any

__all__ = ["names_in_pickle"]

_TEXT = frozenset(["SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"])
_PUT = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])
_GET = frozenset(["GET", "BINGET", "LONG_BINGET"])
# All but those of persistent objects, registered extensions and buffers out of band.
_OTHERS = """
    PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS
    EMPTY_SET ADDITEMS FROZENSET GLOBAL STACK_GLOBAL INST OBJ NEWOBJ NEWOBJ_EX REDUCE BUILD
"""
_KNOWN = _TEXT | _PUT | _GET | frozenset(_OTHERS.split())
_BZ2 = b"BZ"
"""How what is compressed so begins; and a pickle of bytes."""


class _Unknown(Exception):
    """What follows cannot be told."""


def names_in_pickle(content: bytes) -> tuple[set[str], bool]:
    """What it imports; and whether that is all: it could be read to its end, and every name be told."""
    reader = _Reader()
    end = -1
    if content.startswith(_BZ2):
        return set(), False
    try:
        for code, argument, position in pickletools.genops(content):
            reader.read(code, argument)
            end = position or 0
    except (_Unknown, ValueError, LookupError):
        return reader.names, False
    return reader.names, end == len(content) - 1


class _Reader:
    """The machine that a pickle is a program of, where all is unknown but text: it is what imports take."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, code: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do what *code* does. Raises where that cannot be told."""
        name = code.name
        if name not in _KNOWN:
            raise _Unknown
        if name in _PUT or name == "MEMOIZE":
            self._memo[len(self._memo) if argument is None else argument] = self._top()
        elif name in _GET:
            self._stack.append(self._memo[argument])
        elif name in _TEXT:
            self._stack.append(argument)
        elif name == "DUP":
            self._stack.append(self._top())
        else:
            self._import(name, argument)
            self._move(code)

    def _top(self) -> Any:
        if self._stack[-1] is pickletools.markobject:
            raise _Unknown
        return self._stack[-1]

    def _import(self, name: str, argument: Any) -> None:
        if name in ("GLOBAL", "INST"):
            self.names.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL":
            if not all(isinstance(text, str) for text in self._stack[-2:]):
                raise _Unknown
            self.names.add(".".join(self._stack[-2:]))
        # Where joblib builds what stands for an array, it reads the array, which is no pickle, from the file.
        elif name == "BUILD" and any("joblib" in told or "ArrayWrapper" in told for told in self.names):
            raise _Unknown

    def _move(self, code: pickletools.OpcodeInfo) -> None:
        """Take from the stack, and put there, as much as *code* does."""
        taken = list(code.stack_before)
        mark = pickletools.markobject
        if mark in taken:
            while self._stack.pop() is not mark:
                pass
            taken = taken[: taken.index(mark)]
        if code.name != "POP" and mark in self._stack[len(self._stack) - len(taken) :]:
            raise _Unknown
        for _ in taken:
            self._stack.pop()
        self._stack += [mark if told is mark else None for told in code.stack_after]

"""What is told of a pickle, and what it would do."""

import io
import pickle
import struct

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate.models.pickles import names_in_pickle

CALL = b"\x8c\x04true\x85R."


class Anything:
    """What imports are in a pickle that is watched: it may be called, filled and built."""

    def __new__(cls, *args, **options):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass

    def append(self, item):
        pass

    def __setitem__(self, key, value):
        pass


class Watched(pickle._Unpickler):
    """Notes what is imported, and imports nothing."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self.names = set()

    def find_class(self, module, name):
        self.names.add(f"{module}.{name}")
        return Anything


def imported(content):
    """What is really imported, until the pickle ends or breaks."""
    watched = Watched(content)
    try:
        watched.load()
    except Exception:
        return watched.names, False
    return watched.names, True


@pytest.mark.parametrize(
    ("program", "names", "whole"),
    [
        (b"(S'true'\nios\nsystem\n.", {"os.system"}, True),
        (b"(cos\nsystem\nS'true'\no.", {"os.system"}, True),
        # A memo written by number moves the next one.
        (
            b"\x8c\x02osp9\n0\x8c\x02os\x940\x8c\x01x\x940\x8c\x06system\x940h\x01h\x03\x93" + CALL,
            {"os.system"},
            True,
        ),
        (b"\x8c\x02os\x8c\x06system\x8c\x08builtins\x8c\x03len00\x93" + CALL, {"os.system"}, True),
        (b"\x8c\x02os2\x8c\x06system\x93" + CALL, {"os.system"}, True),
        (b"S'os'\nS'system'\n\x93" + CALL, set(), False),
        (b"\x82\x01.", set(), False),
        (b"Px\n.", set(), False),
        (b"N.N.", set(), False),
        (b"h\x01.", set(), False),
        (b"((\x93.", set(), False),
        (b"cos\nsystem\n(R.", {"os.system"}, False),
        (
            b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)R}bN.",
            {"joblib.numpy_pickle.NumpyArrayWrapper"},
            False,
        ),
        (b"B" + struct.pack("<I", 9) + b"x" * 9 + b".", set(), True),
        (b"BZ\0\0\0" + b"x" * 0x5A + b".", set(), False),
    ],
    ids=ascii,
)
def test_what_a_program_imports(program, names, whole):
    """Whichever way it is written; and where that cannot be told, this is."""
    assert (names, whole) == names_in_pickle(b"\x80\x04" * (program[:1] != b"B") + program)


OPCODES = [
    *(b"\x8c\x01a", b"\x8c\x01b", b"\x8c\x01c", b"N", b"K\x01", b"S'a'\n", b"(", b"0", b"1", b"2", b"\x94"),
    *(b"q\x00", b"q\x01", b"p1\n", b"r\x02\0\0\0", b"h\x00", b"h\x01", b"g2\n", b"j\x01\0\0\0"),
    *(
        b"\x93",
        b"ca\nb\n",
        b"ic\na\n",
        b"o",
        b"R",
        b"b",
        b"\x81",
        b")",
        b"\x85",
        b"\x86",
        b"t",
        b"]",
        b"a",
        b"e",
        b"}",
        b"s",
        b"u",
    ),
]


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(OPCODES), max_size=30))
def test_no_program_imports_what_is_not_told(opcodes):
    """Where all is told to be known, it is, and what runs imports nothing else."""
    content = b"\x80\x04" + b"".join(opcodes) + b"."
    names, whole = names_in_pickle(content)
    really, ran = imported(content)

    assert not whole or really <= names
    assert not (whole and ran) or really == names


def test_what_is_dumped_is_told_whole():
    """In every protocol; an array of joblib's is where it ends."""
    value = {"a": [1, 2.5, (None, True)], "b": {3}, "c": np.float64(1.5), "d": b"x", "e": complex(1, 2)}
    for protocol in range(2, 6):
        content = pickle.dumps(value, protocol)

        assert (imported(content)[0], True) == names_in_pickle(content)
    buffer = io.BytesIO()
    joblib.dump([np.arange(3), value], buffer)

    assert not names_in_pickle(buffer.getvalue())[1]

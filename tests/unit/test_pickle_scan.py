"""Imports listed by `pickle_imports`, compared with those of a real load."""

import io
import pickle
import struct

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.models.pickle_scan import pickle_imports
from support.marks import examples

CALL = b"\x8c\x04true\x85R."


class Anything:
    """Stands in for imported objects: it can be called, filled and built."""

    def __new__(cls, *args, **options):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass

    def append(self, item):
        pass

    def __setitem__(self, key, value):
        pass


class RecordingUnpickler(pickle._Unpickler):
    """Records the imports instead of executing them."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self.names = set()

    def find_class(self, module, name):
        self.names.add(f"{module}.{name}")
        return Anything


def run_imports(content):
    """Return the names that are really imported until the pickle ends or breaks."""
    watched = RecordingUnpickler(content)
    try:
        watched.load()
    except Exception:
        return watched.names, False
    return watched.names, True


@pytest.mark.parametrize(
    ("program", "names", "complete"),
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
        # It breaks where it calls; what it imports is known all the same.
        (b"cos\nsystem\n(R.", {"os.system"}, True),
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
def test_pickle_imports_finds_all_imports(program, names, complete):
    assert (names, complete) == pickle_imports(b"\x80\x04" * (program[:1] != b"B") + program)


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


@pytest.mark.slow
@examples(10)
@given(st.lists(st.sampled_from(OPCODES), max_size=30))
def test_complete_pickle_imports_are_complete(opcodes):
    """If the result is reported as complete, execution imports nothing else."""
    content = b"\x80\x04" + b"".join(opcodes) + b"."
    names, complete = pickle_imports(content)
    really, ran = run_imports(content)

    assert not complete or really <= names
    assert not (complete and ran) or really == names


def test_pickle_imports_of_dumped_objects_are_complete():
    """In every protocol; an array of joblib's ends the list."""
    value = {"a": [1, 2.5, (None, True)], "b": {3}, "c": np.float64(1.5), "d": b"x", "e": complex(1, 2)}
    for protocol in range(2, 6):
        content = pickle.dumps(value, protocol)

        assert (run_imports(content)[0], True) == pickle_imports(content)
    buffer = io.BytesIO()
    joblib.dump([np.arange(3), value], buffer)

    assert not pickle_imports(buffer.getvalue())[1]

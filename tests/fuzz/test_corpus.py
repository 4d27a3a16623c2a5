"""The fuzz targets with all inputs of the corpus. `make fuzz` searches for more."""

import pytest

from fuzz.corpus import CORPUS
from fuzz.targets import TARGETS

INPUTS = [(target, name) for target, inputs in CORPUS.items() for name in inputs]


def test_every_target_has_a_corpus():
    assert set(TARGETS) == set(CORPUS)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "name"), INPUTS, ids=lambda text: text.replace(" ", "-"))
def test_inputs_do_no_harm(target, name):
    TARGETS[target](CORPUS[target][name])

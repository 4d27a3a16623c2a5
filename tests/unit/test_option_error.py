"""Options in errors of a scoring run: arguments in Python, flags on the command line."""

import pickle

import pytest

from modelgate.bulk.checkpoint import Checkpoint, checkpoint_path
from modelgate.bulk.option_error import OptionError
from modelgate.bulk.output import resume_output

STARTED = Checkpoint(
    target={"gate": "app:gate", "deployment": None, "explain": "3"},
    chunk=500,
    keep=["id", "date"],
    table="scores",
    append=True,
)


def test_resuming_with_other_options(tmp_path):
    STARTED.save(checkpoint_path(tmp_path / "{out}.csv"))
    with pytest.raises(OptionError) as raised:
        resume_output(Checkpoint(target=STARTED.target, chunk=500, table="scores"), tmp_path / "{out}.csv")

    assert str(raised.value) == (
        f"{tmp_path}/{{out}}.csv was started with gate=app:gate, explain=3, table=scores, append=True,"
        " batch_rows=500, passthrough=['id', 'date']: resume with these options, or start over with overwrite=True"
    )
    assert raised.value.with_flags() == (
        f"{tmp_path}/{{out}}.csv was started with --gate app:gate --explain 3 --table scores --append --rows 500"
        " --keep id --keep date: resume with these options, or start over with --overwrite"
    )


def test_error_of_a_worker_names_flags_too():
    error = pickle.loads(pickle.dumps(OptionError("{deployment} must be one of {names}", names="a, b")))

    assert ("deployment must be one of a, b", "--deployment must be one of a, b") == (
        str(error),
        error.with_flags(),
    )

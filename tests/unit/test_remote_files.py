"""``modelgate score`` from and to file systems of fsspec."""

import gzip
import io
import sys

import fsspec
import pyarrow
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import parquet

from modelgate import ConfigurationError, Deployment, Gate, Schema
from modelgate.bulk import score_file
from modelgate.bulk.remote_file import RemoteFile
from support.scoring import score_command

ROWS = b"age\n1\nold\n" + b"".join(b"%d\n" % age for age in range(3, 10))
OUTPUT = 'prediction\n2.0\n""\n' + "".join(f"{2.0 * age}\n" for age in range(3, 10))
ERRORS = "line,reason,row\n3,age must be a number,old\n"
INPUT, TARGET = "memory://bucket/in/rows.csv", "memory://bucket/out/scored.csv"


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """The memory file system, with the input; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/bucket/in/rows.csv", ROWS)
    yield fs
    fs.rm("/bucket", recursive=True)


@pytest.fixture
def run(monkeypatch):
    """Run the command with a gate."""
    gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
    return score_command(monkeypatch, gate)


def read_outputs(memory):
    return [memory.cat_file(f"/bucket/out/scored{suffix}").decode() for suffix in (".csv", ".errors.csv")]


def test_remote_rows_are_scored_to_a_remote_file(memory, run, tmp_path):
    table = io.BytesIO()
    parquet.write_table(pyarrow.table({"age": ROWS.decode().split()[1:]}), table)
    memory.pipe_file("/bucket/in/rows.csv.gz", gzip.compress(ROWS))
    memory.pipe_file("/bucket/in/rows.parquet", table.getvalue())
    for url in (INPUT, f"{INPUT}.gz", "memory://bucket/in/rows.parquet"):
        run(url, "-o", TARGET, "--overwrite", "--rows", "2")

        assert [OUTPUT, ERRORS] == read_outputs(memory)
        assert [] == list(tmp_path.iterdir())


def test_remote_rows_are_scored_to_a_local_file_by_default(memory, run, tmp_path):
    run(INPUT)

    assert [OUTPUT, ERRORS] == [
        tmp_path.joinpath(f"rows.predictions{suffix}").read_text() for suffix in (".csv", ".errors.csv")
    ]


def test_local_rows_are_scored_to_a_remote_file(memory, run, tmp_path):
    tmp_path.joinpath("rows.csv").write_bytes(ROWS)
    target = tmp_path / "out" / "scored.csv"
    target.parent.mkdir()
    run("rows.csv", "-o", f"file://{target}")

    assert OUTPUT == target.read_text()
    assert {"rows.csv", "out"} == {path.name for path in tmp_path.iterdir()}


def test_stopped_run_to_a_remote_file_is_resumed(memory, run):
    """Nothing is uploaded before all is complete."""
    stopped = run(INPUT, "-o", TARGET, "--rows", "3", "--in-flight", "1", answers=2, code=2)

    assert "run the same command to continue" in stopped
    assert not memory.exists("/bucket/out")
    run(INPUT, "-o", TARGET, "--rows", "3")
    assert [OUTPUT, ERRORS] == read_outputs(memory)


def test_failed_upload_is_repeated_without_scoring(memory, run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", lambda *_, **__: 1 / 0)
        stopped = run(INPUT, "-o", TARGET, code=4)

    assert "the storage failed: ZeroDivisionError" in stopped
    assert not memory.exists("/bucket/out")
    run(INPUT, "-o", TARGET, answers=0)
    assert [OUTPUT, ERRORS] == read_outputs(memory)


def test_existing_remote_output_is_replaced_only_with_overwrite(memory, run, tmp_path):
    run(INPUT, "-o", TARGET)
    memory.pipe_file("/bucket/in/rows.csv", b"age\n5\n")

    assert f"{TARGET} already exists: choose another --output" in run(INPUT, "-o", TARGET, code=2)
    assert [] == list(tmp_path.iterdir())
    run(INPUT, "-o", TARGET, "--overwrite", code=0)
    assert "prediction\n10.0\n" == memory.cat_file("/bucket/out/scored.csv").decode()
    assert not memory.exists("/bucket/out/scored.errors.csv")


def test_remote_input_is_never_overwritten(memory, run):
    assert "is the input and would be overwritten" in run(INPUT, "-o", INPUT, "--overwrite", code=2)
    assert ROWS == memory.cat_file("/bucket/in/rows.csv")


def test_failure_before_the_first_rows_leaves_no_folder(memory, run, tmp_path):
    run(INPUT, "-o", "memory://bucket/out/scored.csv", answers=0, code=2)

    assert [] == list(tmp_path.iterdir())


def test_missing_remote_input_is_named(memory, run):
    assert "memory://bucket/none.csv does not exist" in run("memory://bucket/none.csv", code=2)


def test_failing_storage_is_not_reported_as_damage(memory, run, monkeypatch):
    def fail(*_):
        raise OSError("slow down")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFile.read", fail, raising=False)
    error = run(INPUT, code=4)

    assert "the storage failed: OSError: slow down" in error


def test_passwords_of_urls_are_not_shown(memory, run):
    url = "memory://user:secret@bucket/in/empty.csv"
    memory.pipe_file(RemoteFile(url)._path, b"age,\0\n")

    assert "memory://bucket/in/empty.csv is not a text file" in run(url, code=2)
    memory.rm_file(RemoteFile(url)._path)


def test_remote_file_needs_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[fsspec\]"'):
        RemoteFile(INPUT)


APP = """
from modelgate import Deployment, Gate, Schema
gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
"""


@pytest.mark.slow
def test_score_file_takes_urls(memory, monkeypatch, tmp_path):
    tmp_path.joinpath("remote_app.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    scored = score_file(INPUT, TARGET, "remote_app:gate", workers=1)

    assert (TARGET, TARGET.replace(".csv", ".errors.csv"), 8, 1) == (
        scored.output,
        scored.errors,
        scored.scored,
        scored.rejected,
    )
    assert [OUTPUT, ERRORS] == read_outputs(memory)

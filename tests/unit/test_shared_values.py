"""Metric values that several processes add up through files."""

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import ConfigurationError
from modelgate.monitoring.shared_values import SharedValues
from support.marks import examples
from support.waiting import SOON, wait_until

COUNT = """
import os, sys
from modelgate.monitoring.shared_values import SharedValues
values = SharedValues(sys.argv[1])
values.allocate("c", ("m",))[0] += 2
values.allocate("g", ("m",), gauge=True)[0] = 7
"""


def run(directory, script=COUNT):
    subprocess.run([sys.executable, "-c", script, str(directory)], check=True, timeout=SOON)


def kill(directory):
    """Count in another process, which is killed."""
    done = subprocess.run(
        [sys.executable, "-c", f"{COUNT}os.kill(os.getpid(), 9)", str(directory)], timeout=SOON
    )

    assert -9 == done.returncode


def folder(directory):
    """Return the subdirectory of this version."""
    return directory / metadata.version("modelgate")


def files(directory):
    return sorted(path.suffix for path in folder(directory).iterdir() if path.name != "lock")


def test_values_of_two_storages_are_added(tmp_path):
    """Values are added by name and label."""
    one, two = SharedValues(tmp_path), SharedValues(tmp_path)
    one.allocate("c", ("m",), 2)[0] += 1
    two.allocate("c", ("m",), 2)[1] += 0.5
    two.allocate("c", ("n",))[0] += 4
    two.allocate("g", (), gauge=True)[0] = 3
    expected = {"c": {("m",): [1, 0.5], ("n",): [4]}, "g": {(): [3]}}

    assert [expected, expected] == [one.read(), two.read()]


def test_values_are_the_same_for_the_same_labels(tmp_path):
    values = SharedValues(tmp_path)
    values.allocate("c", ("m",))[0] += 1
    values.allocate("c", ("m",))[0] += 1

    assert {"c": {("m",): [2]}} == values.read()


@pytest.mark.slow
def test_counters_of_killed_processes_stay_and_gauges_do_not(tmp_path):
    """Read before and after another process has collected their files."""
    kill(tmp_path)
    kill(tmp_path)
    values = SharedValues(tmp_path)
    before = values.read()
    values.allocate("c", ("m",))[0] += 1

    assert ({"c": {("m",): [4]}}, {"c": {("m",): [5]}}) == (before, values.read())
    assert [".json", ".values"] == files(tmp_path)


@pytest.mark.slow
def test_interrupted_collection_counts_nothing_twice(tmp_path):
    """The collected file was not deleted yet."""
    run(tmp_path)
    [path] = folder(tmp_path).glob("*.values")
    content = path.read_bytes()
    first = SharedValues(tmp_path)
    first.allocate("c", ("m",))
    path.write_bytes(content)
    before = first.read()
    SharedValues(tmp_path).allocate("c", ("m",))

    assert [{"c": {("m",): [2]}}] * 2 == [before, first.read()]
    assert not path.exists()


@pytest.mark.slow
def test_forked_child_counts_in_a_file_of_its_own(tmp_path):
    """It starts from zero, and its end does not end the parent's gauges."""
    script = """
import os, sys
from modelgate.monitoring.shared_values import SharedValues
values = SharedValues(sys.argv[1])
values.allocate("c", ())[0] += 1
values.allocate("g", (), gauge=True)[0] = 5
if not os.fork():
    values.allocate("c", ())[0] += 10
    assert {"c": {(): [11]}, "g": {(): [5]}} == values.read()
    os._exit(0)
assert 0 == os.wait()[1]
SharedValues(sys.argv[1]).allocate("c", ())
assert {"c": {(): [11]}, "g": {(): [5]}} == values.read(), values.read()
"""
    run(tmp_path, script)


@pytest.mark.slow
def test_parent_that_ends_before_its_child_keeps_no_gauges(tmp_path):
    """The child has inherited the lock of the parent's file, and gives it up."""
    script = """
import os, sys, time
from modelgate.monitoring.shared_values import SharedValues
values = SharedValues(sys.argv[1])
values.allocate("g", (), gauge=True)[0] = 5
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.001)
assert {} == values.read(), values.read()
open(sys.argv[1] + "/child", "w").close()
"""
    run(tmp_path, script)
    wait_until((tmp_path / "child").exists)


@pytest.mark.slow
@examples(1)
@given(st.lists(st.tuples(st.text(), st.integers(1, 900)), unique_by=lambda pair: pair[0], max_size=40))
def test_values_survive_in_any_number_and_size(tmp_path_factory, entries):
    """Across the segments of the file, with any text as a label."""
    values = SharedValues(tmp_path_factory.mktemp("values"))
    for number, (label, size) in enumerate(entries):
        values.allocate("c", (label,), size)[size - 1] = number + 0.1
    expected = {(label,): [*[0.0] * (size - 1), number + 0.1] for number, (label, size) in enumerate(entries)}

    assert ({"c": expected} if entries else {}) == values.read()


def test_full_disk_costs_no_request(tmp_path, monkeypatch, caplog):
    """Counts then stay in the memory of the process, which still reports them, and the log says so."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    values = SharedValues(tmp_path)
    with caplog.at_level(logging.ERROR, "modelgate"):
        cells = values.allocate("c", ())
    cells[0] += 1

    assert {"c": {(): [1]}} == values.read()
    assert "metrics_dir: cannot store values" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"abc", b"another program\n" * 9, b"\x20" + bytes(7) + b"\1\0\0\0" * 2 + b"1" + bytes(15)],
)
def test_file_that_cannot_be_read_is_left_out_and_stays(tmp_path, content, caplog):
    """The files of other programs are not deleted, and the damaged ones cost neither a start nor a request."""
    values = SharedValues(tmp_path)
    (folder(tmp_path) / "foreign.values").write_bytes(content)
    (folder(tmp_path) / "folder.values").mkdir()
    (folder(tmp_path) / "link.values").symlink_to("missing")
    values.allocate("c", ("m",))[0] += 1
    values.read()

    assert 1 == values.read()["c"]["m",][0]
    assert content == (folder(tmp_path) / "foreign.values").read_bytes()
    assert (folder(tmp_path) / "folder.values").is_dir()
    assert 1 == sum("folder.values" in message for message in caplog.messages)


@pytest.mark.parametrize("content", [b"", b"{", b'{"values": [["c", ["m"], ["one"]]]}'])
def test_damaged_collection_is_replaced(tmp_path, content, caplog):
    # Its file is unlocked at once, as if its process had ended.
    SharedValues(tmp_path).allocate("c", ("m",))[0] += 2
    (folder(tmp_path) / "ended.json").write_bytes(content)
    values = SharedValues(tmp_path)
    values.allocate("c", ("m",))[0] += 1

    assert {"c": {("m",): [3]}} == values.read()
    assert "ended.json, which cannot be read" in caplog.text
    assert [{"files", "values"}] == [set(json.loads((folder(tmp_path) / "ended.json").read_bytes()))]


def test_directory_must_be_writable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="metrics_dir must be a directory that can be written"):
        SharedValues(tmp_path / "file")


def test_process_can_change_its_user(tmp_path):
    """Workers of a gunicorn that root started do so after the fork: they read, and open no file again to write."""
    umask = os.umask(0o022)
    try:
        values = SharedValues(tmp_path)
        values.allocate("c", ("before",))[0] += 1
    finally:
        os.umask(umask)
    [path] = folder(tmp_path).glob("*.values")
    renamed = path.rename(folder(tmp_path) / "renamed.values")
    values.allocate("c", ("after",), 5_000)[0] += 1

    assert 0o644 == stat.S_IMODE(renamed.stat().st_mode)
    assert [1, 1] == [counts[0] for counts in values.read()["c"].values()]


def test_versions_share_no_values(tmp_path, monkeypatch):
    """Another version may store another number of values under the same name."""
    values = SharedValues(tmp_path)
    values.allocate("c", ())[0] += 1
    monkeypatch.setattr(metadata, "version", lambda _: "0.0.1")
    older = SharedValues(tmp_path)
    older.allocate("c", (), 2)[1] += 1

    assert [{"c": {(): [1]}}, {"c": {(): [0, 1]}}] == [values.read(), older.read()]


@pytest.mark.parametrize("directory", ["", 7])
def test_directory_must_be_a_path(directory):
    """An empty environment variable does not stand for the working directory."""
    with pytest.raises(ConfigurationError, match="metrics_dir must be the path of a directory"):
        SharedValues(directory)


def test_directory_is_the_same_after_a_change_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = SharedValues("metrics")
    monkeypatch.chdir("/")
    values.allocate("c", ())[0] += 1

    assert {"c": {(): [1]}} == values.read()


@pytest.mark.slow
def test_collected_counters_are_readable_json(tmp_path):
    run(tmp_path)
    SharedValues(tmp_path).allocate("c", ("m",))
    [path] = folder(tmp_path).glob("*.json")

    assert [["c", ["m"], [2.0]]] == json.loads(path.read_text())["values"]


@pytest.mark.slow
def test_deleted_directory_leaves_the_values_of_the_process(tmp_path, caplog):
    """The log says so once."""
    values = SharedValues(tmp_path)
    values.allocate("c", ("m",))[0] += 2
    values.allocate("g", (), gauge=True)[0] = 7
    run(tmp_path)
    shutil.rmtree(tmp_path)
    values.allocate("c", ("n",))[0] += 1
    expected = {"c": {("m",): [2], ("n",): [1]}, "g": {(): [7]}}

    assert [expected, expected] == [values.read(), values.read()]
    assert [(("m",), [2]), (("n",), [1])] == values.read_parts("c")
    assert 1 == caplog.text.count("cannot be read")

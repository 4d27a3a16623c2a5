"""``modelgate score``, against a gate in the same process."""

import asyncio
import bz2
import csv
import errno
import fcntl
import gzip
import io
import json
import lzma
import os
import re
import sys
import zipfile
from functools import partial
from itertools import count

import click.testing
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import ConfigurationError, Deployment, Gate, Output, Prediction, Schema, client, drive, errors
from modelgate.bulk.checkpoint import Checkpoint, checkpoint_path
from modelgate.bulk.output import exclusive_lock
from modelgate.cli import progress
from modelgate.cli.pipes import PIPE, check_streams
from modelgate.cli.root import cli
from modelgate.cli.score_job import exit_code
from modelgate.client.retry import Retry
from modelgate.client.rows import csv_rows
from modelgate.client.score_rows import RejectedRow, score_rows
from modelgate.client.session import Session
from modelgate.testing import FakeClock
from support.marks import slow
from support.waiting import SOON

KEY = "mg_the-key-of-the-score-tests"
URL = "http://app/churn"
SCHEMA = Schema.of(age=float, plan=["free", "pro"], note=str)
HEADER = "age,plan,note\n"
ANSWER = "prediction,probability_no,probability_yes\n"


def predict_churn(table):
    probabilities = np.clip(table["age"] / 100, 0, 1)
    labels = np.where(probabilities > 0.1, "yes", "no").astype(object)
    return Prediction(
        [Output("churn", labels, ["no", "yes"], np.column_stack([1 - probabilities, probabilities]))]
    )


def make_gate(model=predict_churn, schema=SCHEMA, limits="100000/minute", **options):
    return Gate(
        [Deployment("churn", model, schema=schema, target="churn", **options)],
        keys={KEY: "churn"},
        limits=limits,
    )


@pytest.fixture
def to(monkeypatch):
    """Connect the command to a gate or a transport."""
    original = httpx.AsyncClient

    def to(gate):
        transport = httpx.ASGITransport(gate.asgi) if isinstance(gate, Gate) else gate
        monkeypatch.setattr(httpx, "AsyncClient", partial(original, transport=transport))

    return to


@pytest.fixture
def run(tmp_path):
    """Run the command with the text as input; the output is ``out.csv``."""

    def run(text, *arguments, code=0, url=URL, key=KEY):
        (tmp_path / "big.csv").write_text(text, newline="")
        command = [str(tmp_path / "big.csv"), "--url", url, "-o", str(tmp_path / "out.csv"), *arguments]
        environ = {} if key is None else {"CHURN_KEY": key}
        runner = click.testing.CliRunner(env=environ)
        done = runner.invoke(
            cli, ["score", *command, "--key-env", "CHURN_KEY"] if key else ["score", *command]
        )

        assert code == done.exit_code, done.output
        return done

    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.csv"


def make_rows(*ages, note="x"):
    return HEADER + "".join(f"{age},pro,{note}\n" for age in ages)


def expected_output(*ages):
    """Return the output for rows with these ages; None for a rejected row."""
    return ANSWER + "".join(
        f"{'yes' if age > 10 else 'no'},{1 - age / 100},{age / 100}\n" if age is not None else ",,\n"
        for age in ages
    )


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_without_a_finite_prediction_is_rejected_alone(to, run, out, tmp_path, rows):
    """Also more of them than an error names."""

    def predict(table):
        with np.errstate(divide="ignore"):
            return np.log(table["age"])

    to(make_gate(predict))
    ages = [3, 0, 5, *[0] * 8, 7]
    run(make_rows(*ages), "--rows", str(rows), code=1)

    lines = out.read_text().splitlines()[1:]
    assert [repr(float(np.log(age))) if age else '""' for age in ages] == lines
    errors = list(csv.DictReader((tmp_path / "out.errors.csv").read_text().splitlines()))
    assert [str(index + 2) for index, age in enumerate(ages) if not age] == [row["line"] for row in errors]
    assert {"The model failed: its prediction is not a finite number"} == {row["reason"] for row in errors}


class Failing(httpx.AsyncBaseTransport):
    """Pass a number of requests to the gate, then answer with *fault*."""

    def __init__(self, gate, requests, fault):
        self.inner, self.remaining, self.fault = httpx.ASGITransport(gate.asgi), requests, fault

    async def handle_async_request(self, request):
        self.remaining -= 1
        if self.remaining < 0:
            return self.fault(request)
        return await self.inner.handle_async_request(request)


def page(request, status=200, **headers):
    return httpx.Response(status, text="<html>", headers={"content-type": "text/html", **headers})


def test_rows_are_scored_in_order_and_the_checkpoint_is_deleted(to, run, out):
    to(make_gate())
    ages = [index % 100 for index in range(95)]
    done = run(make_rows(*ages), "--rows", "10")

    assert expected_output(*ages) == out.read_text()
    assert f"{out}: 95 rows" in done.stdout
    assert {"big.csv", "out.csv"} == {path.name for path in out.parent.iterdir()}


def test_quoted_cells_may_hold_line_ends(to, run, out):
    """Reported lines are those of the file. Empty lines are not rows."""
    to(make_gate())
    text = HEADER + '1,pro,"a\n\nb, ""c"""\r\n\n2,pro,5" pipe\nold,pro,"x\ny"\n3,pro,x'
    run(text, "--rows", "2", code=1)

    assert expected_output(1, 2, None, 3) == out.read_text()
    assert [["line", "reason", "row"], ["7", "age must be a number", 'old,pro,"x\ny"']] == read_errors(out)


def read_errors(out):
    path = out.with_name("out.errors.csv")
    return list(csv.reader(io.StringIO(path.read_text(), newline="")))


def test_rejected_rows_are_listed_with_line_and_reasons(to, run, out):
    """The other rows of their chunk are scored."""
    to(make_gate())
    text = make_rows(1, "a", 2) + "3,team,x\n4,pro\nb,team,x\n" + "c,pro,x\n" * 40 + "5,pro,x\n"
    done = run(text, "--rows", "20", "--json", code=1)
    summary = json.loads(done.stdout)

    assert expected_output(1, None, 2, *[None] * 43, 5) == out.read_text()
    assert [
        ["line", "reason", "row"],
        ["3", "age must be a number", "a,pro,x"],
        ["5", "plan must be one of free, pro", "3,team,x"],
        ["6", "has 2 cells: send 3, as in the header", "4,pro"],
        ["7", "age must be a number; plan must be one of free, pro", "b,team,x"],
    ] == read_errors(out)[:5]
    assert 1 + 44 == len(read_errors(out))
    assert (47, 3, 44, str(out.with_name("out.errors.csv"))) == (
        summary["rows"],
        summary["scored"],
        summary["refused"],
        summary["errors"],
    )


def test_first_rows_rejected(to, run, out):
    """Their empty lines are written once the number of cells is known."""
    to(make_gate())
    run(make_rows("a", "b", "c", 1), "--rows", "2", code=1)

    assert expected_output(None, None, None, 1) == out.read_text()


def test_all_rows_rejected(to, run, out):
    to(make_gate())
    run(make_rows("a", "b"), "--rows", "1", code=1)

    assert ("", 3) == (out.read_text(), len(read_errors(out)))


def test_single_empty_cell_is_quoted(to, run, out):
    """Most CSV readers skip an empty line."""
    to(make_gate(lambda table: table["age"] * 2))
    run(make_rows(1, "a", 2), code=1)

    assert 'prediction\n2.0\n""\n4.0\n' == out.read_text()


class TestKeptColumns:
    def test_stand_before_the_predictions(self, to, run, out):
        """Also for rejected rows, with quotes where they are needed."""
        to(make_gate(lambda table: table["age"] * 2))
        text = HEADER + '1,pro,"a, ""b"""\nold,pro,c\n3,free,"d\ne"\n4,free,"f\rg"\n5,free,"h\r\ni"\n'
        run(text, "--keep", "note", "--keep", "age", "--rows", "1", code=1)

        assert [
            ["note", "age", "prediction"],
            ['a, "b"', "1", "2.0"],
            ["c", "old", ""],
            ["d\ne", "3", "6.0"],
            ["f\rg", "4", "8.0"],
            ["h\r\ni", "5", "10.0"],
        ] == list(csv.reader(io.StringIO(out.read_bytes().decode(), newline="")))

    def test_of_rows_rejected_before_the_first_prediction(self, to, run, out):
        to(make_gate(lambda table: table["age"] * 2))
        run(make_rows("old", "older", 3), "--keep", "age", "--rows", "1", code=1)

        assert 'age,prediction\nold,""\nolder,""\n3,6.0\n' == out.read_text()

    def test_may_be_other_than_utf8_in_rejected_rows(self, to, run, out, tmp_path):
        to(make_gate(lambda table: table["age"] * 2))
        (tmp_path / "big.csv").write_bytes(HEADER.encode() + b"1,pro,x\n2,pro,\xff\n")
        runner = click.testing.CliRunner(env={"CHURN_KEY": KEY})
        command = [str(tmp_path / "big.csv"), "--url", URL, "-o", str(out), "--key-env", "CHURN_KEY"]
        runner.invoke(cli, ["score", *command, "--keep", "note", "--rows", "1"])

        assert b'note,prediction\nx,2.0\n\xff,""\n' == out.read_bytes()

    @pytest.mark.parametrize(
        ("name", "hint"), [("Age", "did you mean age?"), ("id", "choose from age, plan, note")]
    )
    def test_must_exist(self, to, run, name, hint):
        to(make_gate())
        done = run(make_rows(1), "--keep", name, code=2)

        assert f"--keep must be a column of the file (got '{name}'): {hint}" in done.stderr

    def test_survive_a_stop(self, to, run, out):
        """A run that stops before the first prediction starts over."""
        gate = make_gate(lambda table: table["age"] * 2)
        for ages in (["old", 2, 3], [1, "old", 3]):
            to(Failing(gate, 2 if ages[0] == "old" else 1, partial(page, status=404)))
            run(make_rows(*ages), "--keep", "age", "--rows", "1", "--overwrite", code=2)
            to(gate)
            run(make_rows(*ages), "--keep", "age", "--rows", "1", code=1)
            lines = [f"{age},{age * 2.0}" if age != "old" else 'old,""' for age in ages]

            assert ["age,prediction", *lines] == out.read_text().splitlines()

    def test_must_be_the_same_to_resume(self, to, run):
        gate = make_gate()
        to(Failing(gate, 1, partial(page, status=404)))
        run(make_rows(1, 2), "--keep", "age", "--rows", "1", code=2)
        to(gate)

        assert "--rows 1 --keep age: resume with these" in run(make_rows(1, 2), "--rows", "1", code=2).stderr


def test_labels_may_hold_line_ends(to, run, out):
    to(make_gate(lambda table: np.array(["a\nb" if age > 1 else 'c"' for age in table["age"]], dtype=object)))
    run(make_rows(1, 2, 3), "--rows", "2")

    assert 'prediction\n"c"""\n"a\nb"\n"a\nb"\n' == out.read_text()


def test_rejected_rows_of_a_hidden_schema_are_found_by_halving(to, run, out):
    to(make_gate(schema=SCHEMA.with_options(show_schema=False)))
    run(make_rows(*[1] * 9, "a", *[2] * 9), code=1)

    assert expected_output(*[1] * 9, None, *[2] * 9) == out.read_text()
    assert ["11", "Invalid input data", "a,pro,x"] == read_errors(out)[1]


def test_chunks_that_are_too_large_are_split(to, run, out):
    """A single row that is too large is rejected."""
    to(make_gate(max_rows=3))
    run(make_rows(*range(10)))
    assert expected_output(*range(10)) == out.read_text()

    out.unlink()
    to(
        Failing(
            make_gate(),
            0,
            lambda request: httpx.Response(413, text="") if len(request.content) > 60 else page(request, 500),
        )
    )
    run(make_rows(1, note="x" * 60), code=1)
    assert "app returned 413" == read_errors(out)[1][1]


GATE = make_gate()


@given(
    st.lists(st.sampled_from(["1", "2.5", "a", "", "3,pro"]), min_size=1, max_size=40),
    st.sampled_from(["x", '"\n"', '"\r"', '"\r\n\r"']),
)
def test_only_invalid_rows_are_rejected(ages, note):
    http = httpx.Client(transport=httpx.WSGITransport(GATE.wsgi))
    session = Session(URL, KEY, Retry(), http, batch_rows=1000, batch_bytes=10**9)
    rows = csv_rows(HEADER.encode(), [f"{age},pro,{note}\n".encode() for age in ages])
    scored = drive(score_rows(session, rows))

    assert [age not in ("1", "2.5") for age in ages] == [
        isinstance(result, RejectedRow) for result in scored.results
    ]
    assert [float(age) / 100 for age in ages if age in ("1", "2.5")] == [
        float(result.split(b",")[2]) for result in scored.results if not isinstance(result, RejectedRow)
    ]


# ---- resumed runs


AGES = [index % 50 if index % 7 else "a" for index in range(60)]
DONE = [age if age != "a" else None for age in AGES]


@pytest.mark.slow
@pytest.mark.parametrize("requests", [3, 9, 15])
def test_resumed_run_gives_the_same_output(to, run, out, requests):
    """Byte for byte."""
    to(make_gate())
    run(make_rows(*AGES), "--rows", "5", code=1)
    output, errors_file = out.read_bytes(), out.with_name("out.errors.csv").read_bytes()
    to(Failing(make_gate(), requests, partial(page, status=500)))
    stopped = run(make_rows(*AGES), "--rows", "5", "--overwrite", code=4)
    # A killed run may have written more than its checkpoint says.
    with out.open("ab") as more:
        more.write(b"0.1,0.")
    to(make_gate())
    done = run(make_rows(*AGES), "--rows", "5", "--json", code=1)

    assert expected_output(*DONE).encode() == output == out.read_bytes()
    assert errors_file == out.with_name("out.errors.csv").read_bytes()
    assert "rows are done: run the same command without --overwrite to continue" in stopped.stderr
    assert "100 %  60 rows" in done.stderr
    assert 0 < json.loads(done.stdout)["resumed_at"] < 60
    assert not checkpoint_path(out).exists()


@pytest.fixture
def stopped(to, run):
    """Stop a run after two chunks."""
    to(Failing(make_gate(), 2, partial(page, status=500)))
    run(make_rows(*range(30)), "--rows", "5", code=4)
    to(make_gate())


@pytest.mark.parametrize(
    ("ages", "arguments", "message"),
    [
        ([9, *range(1, 30)], ["--rows", "5"], "has changed since scoring started"),
        (range(3), ["--rows", "5"], "has changed since scoring started"),
        (range(30), ["--rows", "6"], "was started with --url http://app/churn --rows 5"),
        (range(30), ["--rows", "5", "--url", "http://app/price"], "was started with --url"),
    ],
)
def test_changed_input_or_options_cannot_be_resumed(stopped, run, out, ages, arguments, message):
    before = out.read_bytes()

    assert message in run(make_rows(*ages), *arguments, code=2).stderr
    assert before == out.read_bytes()
    run(make_rows(*ages), "--overwrite")
    assert expected_output(*ages) == out.read_text()


def test_remaining_input_may_change(stopped, run, out):
    run(make_rows(*range(10), *range(50, 60)), "--rows", "5")

    assert expected_output(*range(10), *range(50, 60)) == out.read_text()


def test_damaged_output_or_checkpoint_cannot_be_resumed(stopped, run, out):
    out.write_text("")
    assert "is shorter than" in run(make_rows(*range(30)), "--rows", "5", code=2).stderr

    checkpoint_path(out).write_text("{")
    assert "start over with --overwrite" in run(make_rows(*range(30)), "--rows", "5", code=2).stderr


def test_existing_output_needs_overwrite(to, run, out):
    to(make_gate())
    run(make_rows(1, "a"), code=1)

    assert "already exists" in run(make_rows(1), code=2).stderr
    run(make_rows(1), "--overwrite")
    assert not out.with_name("out.errors.csv").exists()


def test_overwrite_changes_nothing_before_the_first_rows_are_scored(stopped, to, run, out):
    to(Failing(make_gate(), 0, partial(page, status=500)))
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    run(make_rows(*range(30)), "--rows", "5", "--overwrite", code=4)

    assert before == {path.name: path.read_bytes() for path in out.parent.iterdir()}
    to(make_gate())
    run(make_rows(*range(30)), "--rows", "5")
    assert expected_output(*range(30)) == out.read_text()


def test_second_run_on_one_output_is_rejected(to, run, out):
    second_runs = []

    class Meanwhile(httpx.ASGITransport):
        async def handle_async_request(self, request):
            if len(second_runs) < 2:
                second_runs.append(None)
                more = [] if len(second_runs) == 1 else ["--overwrite"]
                second_runs[-1] = await asyncio.to_thread(
                    run, make_rows(*range(10)), "--rows", "5", *more, code=2
                )
            return await super().handle_async_request(request)

    to(Meanwhile(make_gate().asgi))
    run(make_rows(*range(10)), "--rows", "5", "--in-flight", "1")

    assert ["another run" in done.stderr for done in second_runs] == [True, True]
    assert expected_output(*range(10)) == out.read_text()
    assert {"big.csv", "out.csv"} == {path.name for path in out.parent.iterdir()}


@pytest.mark.parametrize("name", ["big.csv", "out.errors.csv", "out.csv.checkpoint"])
def test_input_is_never_overwritten(to, out, name):
    """Neither by the output nor by its companion files, nor through a link."""
    to(make_gate())
    source = out.with_name(name)
    source.write_text(make_rows(1))
    output = out if name.startswith("out") else out.with_name("link.csv")
    if output != out:
        output.symlink_to(source)
    command = ["score", str(source), "--url", URL, "-o", str(output), "--overwrite"]
    done = click.testing.CliRunner().invoke(cli, command)

    assert 2 == done.exit_code
    assert "is the input and would be overwritten: choose another --output" in done.stderr
    assert make_rows(1) == source.read_text()


def test_existing_errors_file_needs_overwrite(to, run, out):
    to(make_gate())
    errors_file = out.with_name("out.errors.csv")
    errors_file.write_text("mine")

    assert "out.errors.csv already exists" in run(make_rows(1), code=2).stderr
    assert "mine" == errors_file.read_text()


def test_overwrite_with_a_wrong_key_keeps_the_output(to, run, out):
    to(make_gate())
    run(make_rows(1, "a"), code=1)
    run(make_rows(2), "--overwrite", key="mg_another-key", code=3)

    assert expected_output(1, None) == out.read_text()
    assert 2 == len(read_errors(out))


@pytest.mark.parametrize("arguments", [[], ["--overwrite"]])
def test_header_without_rows_is_an_error(to, run, out, arguments):
    to(make_gate())
    if arguments:
        run(make_rows(1))
    error = run(HEADER, *arguments, code=2).stderr

    assert "big.csv has column names but no rows: nothing was scored" in error
    assert (expected_output(1) if arguments else None) == (out.read_text() if out.exists() else None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("age,note", "missing input columns: plan"),
        ("age;plan;note", "The separator of the CSV body is a semicolon"),
        ("age\tplan\tnote", "The separator of the CSV body is a tab"),
        ("age,plan,note,age", "Line 1 of the CSV body names the column 'age' twice"),
        ("age,plan,note,pr\xe9", "Line 1 of the CSV body is not UTF-8"),
        ("some text", "missing input columns: age, plan, note"),
        ("1,pro,x", "Line 1 of the CSV body was read as the header, but looks like data"),
    ],
)
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_invalid_header_ends_the_command_at_the_first_request(to, run, out, header, message, rows):
    gate = Failing(make_gate(), 1, page)
    to(gate)
    text = "\n".join([header, *[header.replace("age", "1")] * rows])
    out.with_name("latin.csv").write_bytes(text.encode("latin-1"))
    done = score(out.with_name("latin.csv"), "-o", str(out), "--rows", "2", code=2)

    assert message in done.stderr
    assert 0 == gate.remaining
    assert not out.exists()


@pytest.mark.parametrize("row", ["1,x", "a,x"])
def test_header_rejected_by_a_hidden_schema(to, run, out, row):
    """It is checked separately if an error names no row."""
    gate = Failing(make_gate(schema=SCHEMA.with_options(show_schema=False)), 2, page)
    to(gate)
    run("age,note\n" + f"{row}\n" * 7, code=2)

    assert gate.remaining >= 0
    assert not out.with_name("out.errors.csv").exists()


# ---- file formats


def score(path, *arguments, code=0):
    """Run the command with an existing file."""
    command = ["score", str(path), "--url", URL, "--key-env", "CHURN_KEY", *arguments]
    done = click.testing.CliRunner(env={"CHURN_KEY": KEY}).invoke(cli, command)

    assert code == done.exit_code, done.output
    return done


COMPRESSIONS = {"gz": gzip, "bz2": bz2, "xz": lzma}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", ["big.csv", None])
def test_compressed_input(to, out, suffix, name):
    """Recognized by its content. The predictions are plain CSV."""
    to(make_gate())
    path = out.with_name(f"big.csv.{suffix}" if name is None else name)
    path.write_bytes(COMPRESSIONS[suffix].compress(make_rows(*AGES).encode()))
    done = score(path, "--rows", "5", code=1)

    assert expected_output(*DONE) == out.with_name("big.predictions.csv").read_text()
    assert "rows/s" in done.stderr


def test_concatenated_gzip_files_are_one_file(to, out):
    to(make_gate())
    path = out.with_name("big.csv.gz")
    path.write_bytes(gzip.compress(make_rows(1).encode()) + gzip.compress(b"2,pro,x\n"))
    score(path)

    assert expected_output(1, 2) == out.with_name("big.predictions.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_compressed_input_is_resumed(to, out, suffix):
    """Even if it was compressed again in another format."""
    path = out.with_name(f"big.csv.{suffix}")
    path.write_bytes(COMPRESSIONS[suffix].compress(make_rows(*AGES).encode()))
    to(Failing(make_gate(), 9, partial(page, status=500)))
    score(path, "-o", str(out), "--rows", "5", code=4)
    to(make_gate())
    path.write_bytes(gzip.compress(make_rows(*AGES).encode(), 1))
    done = score(path, "-o", str(out), "--rows", "5", "--json", code=1)

    assert expected_output(*DONE) == out.read_text()
    assert 0 < json.loads(done.stdout)["resumed_at"] < 60


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["gz", *slow("bz2", "xz")])
@pytest.mark.parametrize("size", [25_000, *slow(10)])
def test_truncated_compressed_input_can_be_resumed_once_complete(to, out, suffix, size):
    to(make_gate())
    rng = np.random.default_rng(0)
    ages = rng.random(20_000).round(5).tolist()
    content = COMPRESSIONS[suffix].compress(make_rows(*ages).encode())
    path = out.with_name(f"big.csv.{suffix}")
    path.write_bytes(content[:size])
    done = score(path, "--rows", "100", code=2)

    assert f"big.csv.{suffix} is damaged or incomplete: " in done.stderr
    path.write_bytes(content)
    score(path, "--rows", "100")
    assert 20_001 == len(out.with_name("big.predictions.csv").read_text().splitlines())


def test_damaged_compressed_input_is_reported(to, out):
    to(make_gate())
    for suffix, module in COMPRESSIONS.items():
        content = bytearray(module.compress(make_rows(*range(5000)).encode()))
        content[20:60] = b"?" * 40
        path = out.with_name(f"big.csv.{suffix}")
        path.write_bytes(content)

        assert "is damaged or incomplete" in score(path, code=2).stderr


def test_io_errors_are_not_reported_as_damage(to, out, monkeypatch):
    to(make_gate())
    path = out.with_name("big.csv")
    path.write_text(make_rows(1))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("modelgate.bulk.csv_file._check_format", fail)
    error = score(path, code=2).stderr

    assert "Input/output error" in error
    assert "damaged" not in error


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="zstd can be read here")
def test_unsupported_compression_is_reported(to, out):
    path = out.with_name("big.csv.zst")
    path.write_bytes(b"\x28\xb5\x2f\xfd\x04\x00\x19\x00\x00abc\x01")

    assert "no module compression.zstd to read it: decompress it first" in score(path, code=2).stderr


def make_parquet():
    # The first bytes as pyarrow writes them.
    return b"PAR1\x15\x04\x15\x20\x15\x24L\x15\x04\x15\x00\x12\x00\x00" + b"PAR1"


def make_workbook():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            make_workbook(),
            "is a zip archive, such as an Excel workbook, and the rows must be CSV: pandas.read_excel",
        ),
        (make_rows(1).encode("utf-16"), "is UTF-16, and the rows must be UTF-8: iconv -f UTF-16 -t UTF-8"),
        (make_rows(1).encode("utf-32"), "is UTF-32, and"),
        (make_rows(1).encode("utf-16-le"), "is not a text file"),
        (gzip.compress(gzip.compress(make_rows(1).encode())), "is not a text file"),
        (gzip.compress(make_parquet()), "is a compressed Parquet file, and the rows must be CSV: pandas"),
        (gzip.compress(b""), "is empty: it must begin with a header line"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "cannot be read"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", "is not a text file"),
        (b'[\n  {"age": 1}\n]', "is JSON, and the rows must be CSV: pandas.read_json(…).to_csv"),
        (b'{"age": 1}\n{"age": 2}\n', "is JSON, and"),
    ],
    # Ids made from the content would differ between pytest workers: zip files hold the time.
    ids=[
        "workbook",
        "utf-16",
        "utf-32",
        "utf-16 unmarked",
        "compressed twice",
        "compressed parquet",
        "compressed nothing",
        "image",
        "program",
        "json",
        "json lines",
    ],
)
def test_other_formats_are_named_with_a_remedy(to, out, content, message):
    to(make_gate())
    path = out.with_name("rows.data")
    path.write_bytes(content)

    assert message in score(path, code=2).stderr


def test_column_names_may_look_like_magic_bytes(to, out):
    schema = Schema.of(PAR1=float, ORC=float)
    to(make_gate(lambda table: table["PAR1"] + table["ORC"], schema))
    for header in ("PAR1,ORC", "ORC,PAR1"):
        path = out.with_name("rows.csv")
        path.write_text(f"{header}\n1,2\n")
        score(path, "--overwrite")

        assert "prediction\n3.0\n" == out.with_name("rows.predictions.csv").read_text()


def test_compression_suffix_in_capitals(to, out):
    to(make_gate())
    path = out.with_name("big.csv.GZ")
    path.write_bytes(gzip.compress(make_rows(*AGES).encode()))
    score(path, code=1)

    assert expected_output(*DONE) == out.with_name("big.predictions.csv").read_text()


def test_output_must_not_have_a_compression_suffix(to, run):
    assert (
        "--output must not end in .gz (got out.csv.gz)"
        in run(make_rows(1), "-o", "out.csv.gz", code=2).stderr
    )


def test_several_model_versions_are_reported(to, run):
    to(Failing(make_gate(version="3"), 2, partial(page, status=500)))
    run(make_rows(*range(30)), "--rows", "5", code=4)
    to(make_gate(version="4"))
    output = run(make_rows(*range(30)), "--rows", "5").stdout
    alone = json.loads(run(make_rows(1, "a"), "--json", "--overwrite", code=1).stdout)

    assert "scored by model versions 3, 4" in output
    assert ["4"] == alone["versions"]


def test_special_files_are_rejected(to, run, out, tmp_path):
    """A pipe cannot be read again, and a device stores nothing."""
    to(make_gate())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    runner = click.testing.CliRunner()
    source = runner.invoke(cli, ["score", str(pipe), "--url", URL, "-o", str(out)])

    assert (2, True) == (source.exit_code, "run modelgate score - and connect the pipe" in source.stderr)
    assert "/dev/full must be a regular file" in run(make_rows(1), "-o", "/dev/full", code=2).stderr


def run_in_pipe(text, *arguments, code=0, **environ):
    """Run the command with *text* as standard input."""
    runner = click.testing.CliRunner(env={"CHURN_KEY": KEY, **environ})
    done = runner.invoke(cli, ["score", *arguments, "--url", URL, "--key-env", "CHURN_KEY"], input=text)

    assert code == done.exit_code, done.output
    return done


@pytest.mark.parametrize(
    "arguments", [["-"], ["-", "-o", "-"], ["-", "--rows", "2"], ["-", "--json"]], ids=str
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_rows_are_scored_in_a_pipe(to, arguments, compress):
    """The summary goes to standard error."""
    to(make_gate())
    done = run_in_pipe(compress(make_rows(1, 2, 30).encode()), *arguments)

    assert expected_output(1, 2, 30) == done.stdout
    assert ('"rows": 3' if "--json" in arguments else "standard output: 3 rows") in done.stderr


def test_rejected_rows_of_a_pipe_go_to_standard_error(to):
    to(make_gate())
    done = run_in_pipe(make_rows(1, "old", 30), "-", code=1)

    assert expected_output(1, None, 30) == done.stdout
    assert 'line,reason,row\n3,age must be a number,"old,pro,x"\n' in done.stderr
    assert "1 rejected: standard error" in done.stderr


def test_file_is_scored_to_standard_output(to, tmp_path):
    to(make_gate())
    (tmp_path / "big.csv").write_text(make_rows(1, 2))

    assert expected_output(1, 2) == run_in_pipe("", str(tmp_path / "big.csv"), "-o", "-").stdout
    assert ["big.csv"] == [path.name for path in tmp_path.iterdir()]


def test_pipe_is_scored_to_a_file_and_can_be_resumed(to, out):
    gate = Failing(make_gate(), 1, page)
    to(gate)
    stopped = run_in_pipe(make_rows(*range(6)), "-", "-o", str(out), "--rows", "2", code=2)
    assert "2 rows are done: run the same command to continue" in stopped.stderr
    to(make_gate())
    run_in_pipe(make_rows(*range(6)), "-", "-o", str(out), "--rows", "2")

    assert expected_output(*range(6)) == out.read_text()


@pytest.mark.parametrize(
    ("text", "output", "message"),
    [
        (
            make_rows(*range(6)),
            expected_output(0, 1),
            "A run that writes to standard output cannot be resumed: pass -o FILE",
        ),
        ("", "", "Error: standard input is empty"),
        (b"ORC\0", "", "Error: standard input is an ORC file"),
    ],
    ids=["server", "empty", "format"],
)
def test_failed_run_in_a_pipe_writes_what_was_scored_before(to, text, output, message):
    to(Failing(make_gate(), 1, page))
    done = run_in_pipe(text, "-", "--rows", "2", code=2)

    assert (output, True) == (done.stdout, message in done.stderr)


def test_standard_input_is_never_overwritten(to, tmp_path, monkeypatch):
    to(make_gate())
    source = tmp_path / "big.csv"
    source.write_text(make_rows(1))
    with source.open() as file:
        monkeypatch.setattr("modelgate.cli.pipes.stdin_descriptor", file.fileno)
        done = run_in_pipe("", "-", "-o", str(source), "--overwrite", code=2)

    assert "is the input and would be overwritten" in done.stderr
    assert make_rows(1) == source.read_text()


def test_unknown_size_of_a_pipe_has_no_percentage(monkeypatch, capsys):
    clock = FakeClock(5.0)
    monkeypatch.setattr("time.monotonic", clock)
    with progress.show_progress("standard input") as show:
        for _ in range(25):
            clock.advance(1)
            show(None, progress.format_progress(None, 1500, 500, 5.0, 0.0, 15.0))

    assert ["standard input  1,500 rows  100 rows/s"] * 2 == capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("name", ["input", "output"])
def test_closed_standard_stream_is_rejected(monkeypatch, name):
    """Python sets it to None if a shell has closed it with <&- or >&-."""
    monkeypatch.setattr(sys, {"input": "stdin", "output": "stdout"}[name], None)
    message = f"standard {name} must be open (got a closed one): pass a file instead of -"
    with pytest.raises(errors.ConfigurationError, match=re.escape(message)):
        check_streams(PIPE, PIPE)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere/out.csv", "nowhere does not exist: create it, or choose another --output"),
        (f"{'x' * 300}.csv", "x.csv' cannot be used: File name too long"),
        ("big.csv/out.csv", "out.csv cannot be written (Not a directory): choose another --output"),
    ],
)
def test_output_that_cannot_be_opened(to, run, tmp_path, path, message):
    to(make_gate())
    error = run(make_rows(1), "-o", str(tmp_path / path), code=2).stderr

    assert error.startswith("Error: ")
    assert error.endswith(message + "\n")
    assert 1 == error.count("\n")


@pytest.mark.parametrize("existed", [False, True])
def test_failure_before_the_first_rows_leaves_no_new_file(to, run, out, tmp_path, existed):
    """An empty file that existed stays."""
    to(make_gate())
    if existed:
        out.touch()
    run(make_rows(1), key="mg_another-key", code=3)

    assert existed == out.exists()
    assert {"big.csv", *(["out.csv"] if existed else [])} == {path.name for path in tmp_path.iterdir()}


def test_output_file_deleted_by_a_failed_run_is_not_locked(tmp_path, monkeypatch):
    """Another run opened it before it was deleted."""
    lock = fcntl.flock

    def delete_first(file, operation):
        (tmp_path / "out.csv").unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with (
        pytest.raises(ConfigurationError, match=r"out\.csv is being written by another run"),
        exclusive_lock(tmp_path / "out.csv"),
    ):
        pass


def test_full_disk_stops_the_run_and_can_be_resumed(to, run, out, monkeypatch):
    to(make_gate())
    saved = Checkpoint.save

    def save(self, path):
        if self.scored > 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        saved(self, path)

    monkeypatch.setattr(Checkpoint, "save", save)
    assert "No space left" in run(make_rows(*range(10)), "--rows", "5", code=2).stderr
    monkeypatch.undo()
    to(make_gate())
    run(make_rows(*range(10)), "--rows", "5")
    assert expected_output(*range(10)) == out.read_text()


# ---- errors


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        (make_rows(1), {"key": "mg_another-key"}, 3, "Invalid API key. Check that the key is complete"),
        (make_rows(1), {"key": None}, 3, "No key was sent: pass key=…, or --key-env VARIABLE"),
        (make_rows(1), {"url": "http://app/price"}, 3, "has no access to this deployment"),
        (make_rows(1), {"url": "http://app/x/y/churn"}, 2, "https://host/ml/churn"),
        (
            make_rows(1),
            {"url": "app/churn"},
            2,
            "url must be the URL of a deployment, such as https://host/ml/churn (got 'app/churn')",
        ),
        ("age,note\n1,x\n", {}, 2, "missing input columns: plan"),
        ("", {}, 2, "is empty: it must begin with a header line"),
        (HEADER + '1,pro,"x\n' + "1,pro,x\n" * 20_000, {}, 2, "Line 2 of the CSV cannot be read"),
    ],
)
def test_caller_errors_and_exit_codes(to, run, text, options, code, message):
    to(make_gate())
    done = run(text, code=code, **options)

    assert message in done.stderr
    assert "Traceback" not in done.output
    assert KEY not in done.output


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (page, 2, "not a response of a gate"),
        (partial(page, status=302, location="https://else.where/"), 2, "It was not followed"),
        (partial(page, status=429, **{"retry-after": "90000"}), 3, "returned 429"),
        (partial(page, status=504, **{"retry-after": "90000"}), 4, "returned 504"),
    ],
)
def test_server_errors_and_exit_codes(to, run, fault, code, message):
    to(Failing(make_gate(), 0, fault))

    assert message in run(make_rows(1), code=code).stderr


def test_server_messages_are_escaped(to, run):
    def hostile(request):
        text = json.dumps({"message": "\x1b[2J\nbig.csv: 1 rows", "code": "invalid_input"})
        return httpx.Response(
            422, text=text, headers={"content-type": "application/json", "x-request-id": "1"}
        )

    to(Failing(make_gate(), 0, hostile))

    assert "Error: \\x1b[2J\\nbig.csv: 1 rows" in run(make_rows(1), code=2).stderr


def raise_error(table):
    raise ValueError


def test_model_errors_show_the_request_id(to, run):
    to(make_gate(raise_error))

    assert "request id" in run(make_rows(1), code=4).stderr


def test_exit_codes_of_other_errors():
    assert [130, 4, 4, 3, 2] == [
        exit_code(error)
        for error in (
            KeyboardInterrupt(),
            client.ConnectionFailed("cut", retried=True),
            client.UnexpectedResponse(502, "x"),
            errors.KeyInactive("k", "expired", "x"),
            client.UnexpectedResponse(404, "x"),
        )
    ]


def test_interrupt_exits_with_130_and_explains_how_to_resume(to, run):
    def interrupt(request):
        raise KeyboardInterrupt

    to(Failing(make_gate(), 2, interrupt))
    done = run(make_rows(*range(30)), "--rows", "5", "--in-flight", "1", code=130)

    assert [
        "Stopped",
        "10 rows are done: run the same command to continue",
    ] == done.stderr.splitlines()[-2:]


def test_model_replaced_during_the_run_is_detected(to, run):
    calls = count()
    to(make_gate(lambda table: {f"churn_{next(calls)}": table["age"], "other": table["age"]}))

    assert (
        "the model was replaced"
        in run(make_rows(*range(4)), "--rows", "2", "--in-flight", "1", code=2).stderr
    )


def test_answer_with_too_few_rows_is_rejected(to, run):
    def short(request):
        return httpx.Response(200, text="a\n1\n", headers={"content-type": "text/csv"})

    to(Failing(make_gate(), 0, short))

    assert "The response to 2 rows has 1 predictions" in run(make_rows(1, 2), code=2).stderr


def test_unset_key_variable_is_named(run):
    done = click.testing.CliRunner().invoke(cli, ["score", __file__, "--url", URL, "--key-env", "NO_SUCH"])

    assert 2 == done.exit_code
    assert "the environment variable NO_SUCH is not set" in done.stderr


def test_waits_are_reported_and_counted(to, run, monkeypatch):
    def sleep(seconds):
        assert seconds >= 5
        yield from ()

    monkeypatch.setattr("modelgate.client.session.sleep", sleep)
    gate, answers = make_gate(), iter([429, 503])

    class Busy(httpx.ASGITransport):
        async def handle_async_request(self, request):
            status = next(answers, None)
            if status is not None:
                return page(request, status, **{"retry-after": "5"})
            return await super().handle_async_request(request)

    to(Busy(gate.asgi))

    done = run(make_rows(1))
    assert "2 waits for the server" in done.stdout
    assert 1 == done.stderr.count("waiting ")
    assert "s for the server: app returned 429" in done.stderr


def no_sleep(_seconds):
    yield from ()


def test_unreachable_server_is_abandoned_soon(to, run, monkeypatch):
    """Its address is probably wrong."""
    monkeypatch.setattr("modelgate.client.session.sleep", no_sleep)
    requests = count()

    def refuse(request):
        next(requests)
        raise httpx.ConnectError("refused")

    to(Failing(make_gate(), 0, refuse))
    done = run(make_rows(1), code=4)

    assert "app cannot be reached (refused)" in done.stderr
    assert "gave up after 5 attempts without a response of a gate" in done.stderr
    assert 5 == next(requests)


@pytest.mark.parametrize("status", [502, 504])
def test_proxy_without_a_server_is_abandoned_soon(to, run, monkeypatch, status):
    """It answers every request, and no gate ever did."""
    monkeypatch.setattr("modelgate.client.session.sleep", no_sleep)
    to(Failing(make_gate(), 0, partial(page, status=status)))
    done = run(make_rows(1), code=4)

    assert f"returned {status} with text/html, which is not a response of a gate: a proxy did" in done.stderr
    assert "gave up after 5 attempts without a response of a gate" in done.stderr


def test_restarting_server_is_waited_for(to, run, out, monkeypatch):
    monkeypatch.setattr("modelgate.client.session.sleep", no_sleep)
    gate, calls = make_gate(), count()

    class Restarting(httpx.ASGITransport):
        async def handle_async_request(self, request):
            if next(calls) in range(1, 12):
                raise httpx.ConnectError("refused")
            return await super().handle_async_request(request)

    to(Restarting(gate.asgi))
    run(make_rows(1, 2), "--rows", "1", "--in-flight", "1")

    assert expected_output(1, 2) == out.read_text()


def test_concurrent_requests_keep_their_order(to, run, out):
    """The first is sent alone."""

    class Counting(httpx.ASGITransport):
        in_flight = most = seen = 0

        async def handle_async_request(self, request):
            Counting.seen += 1
            Counting.in_flight += 1
            Counting.most = max(Counting.most, Counting.in_flight)
            if Counting.seen == 1:
                assert await asyncio.wait_for(alone(), SOON)
            elif Counting.seen <= 4:
                # Wait until three are in flight, and answer the last of them first.
                async with asyncio.timeout(SOON):
                    while Counting.seen < 4 or (Counting.in_flight > 1 and b"\n2" in request.content[:20]):
                        await asyncio.sleep(0)
            answer = await super().handle_async_request(request)
            Counting.in_flight -= 1
            return answer

    async def alone():
        for _ in range(20):
            await asyncio.sleep(0)
        return Counting.seen == 1

    to(Counting(make_gate().asgi))
    run(make_rows(*range(20)), "--rows", "2", "--in-flight", "3")

    assert 3 == Counting.most
    assert expected_output(*range(20)) == out.read_text()


# ---- progress


@pytest.mark.slow
def test_progress_lines_without_a_terminal(to, run):
    to(make_gate())
    progress_lines = run(make_rows(*[10] * 100), "--rows", "1").stderr.splitlines()

    assert 10 == len(progress_lines)
    assert all("rows/s" in line and line.endswith("left") for line in progress_lines)
    assert "100 rows" in progress_lines[-1]


def test_progress_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.show_progress("big.csv") as show:
        show(0.5, " 50 %  5 rows")

    assert "big.csv" in capsys.readouterr().err


def test_progress_text():
    """Rows are those of all runs; rate and remaining time those of this run."""

    assert " 50 %  1,500 rows  100 rows/s  0:00:20 left" == progress.format_progress(
        0.5, 1500, 500, 5.0, 0.25, 15.0
    )
    assert "  0 %  0 rows  0 rows/s  - left" == progress.format_progress(0.0, 0, 0, 5.0, 0.0, 5.0)

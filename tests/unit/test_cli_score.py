"""``modelgate score``, against a gate in the same process."""

import asyncio
import bz2
import csv
import errno
import gzip
import io
import json
import lzma
import os
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

from modelgate import Deployment, Gate, Output, Prediction, Schema, client, drive, errors
from modelgate.cli import progress
from modelgate.cli.checkpoint import Checkpoint, checkpoint_path
from modelgate.cli.root import cli
from modelgate.cli.score import code_of
from modelgate.client.retry import Retry
from modelgate.client.rows import csv_rows
from modelgate.client.scored import Refused, scored
from modelgate.client.session import Session
from waiting import SOON

KEY = "mg_the-key-of-the-score-tests"
URL = "http://app/churn"
SCHEMA = Schema.of(age=float, plan=["free", "pro"], note=str)
HEADER = "age,plan,note\n"
ANSWER = "churn_yes_PREDICTION,churn_no_PREDICTION,churn_PREDICTION,THRESHOLD,POSITIVE_CLASS\n"


def churn(table):
    likely = np.clip(table["age"] / 100, 0, 1)
    labels = np.where(likely > 0.1, "yes", "no").astype(object)
    return Prediction([Output("churn", labels, ["no", "yes"], np.column_stack([1 - likely, likely]))])


def gate_of(model=churn, schema=SCHEMA, limits="100000/minute", **options):
    return Gate(
        [Deployment("churn", model, schema=schema, target="churn", **options)],
        keys={KEY: "churn"},
        limits=limits,
    )


@pytest.fixture
def to(monkeypatch):
    """Has the command ask a gate, or whatever transport is given."""
    made = httpx.AsyncClient

    def to(gate):
        transport = httpx.ASGITransport(gate.asgi) if isinstance(gate, Gate) else gate
        monkeypatch.setattr(httpx, "AsyncClient", partial(made, transport=transport))

    return to


@pytest.fixture
def run(tmp_path):
    """Runs the command over a text of rows; its output is ``out.csv``."""

    def run(text, *arguments, code=0, url=URL, key=KEY):
        (tmp_path / "big.csv").write_text(text, newline="")
        told = [str(tmp_path / "big.csv"), "--to", url, "-o", str(tmp_path / "out.csv"), *arguments]
        environ = {} if key is None else {"CHURN_KEY": key}
        runner = click.testing.CliRunner(env=environ)
        done = runner.invoke(cli, ["score", *told, "--key-env", "CHURN_KEY"] if key else ["score", *told])

        assert code == done.exit_code, done.output
        return done

    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.csv"


def rows_of(*ages, note="x"):
    return HEADER + "".join(f"{age},pro,{note}\n" for age in ages)


def lines(*ages):
    """What the gate answers of these ages; of None, of a row it refuses."""
    return ANSWER + "".join(
        f"{age / 100},{1 - age / 100},{'yes' if age > 10 else 'no'},0.5,yes\n"
        if age is not None
        else ",,,,\n"
        for age in ages
    )


class Failing(httpx.AsyncBaseTransport):
    """The gate, until a number of requests; then what *fault* makes of one."""

    def __init__(self, gate, requests, fault):
        self.inner, self.left, self.fault = httpx.ASGITransport(gate.asgi), requests, fault

    async def handle_async_request(self, request):
        self.left -= 1
        if self.left < 0:
            return self.fault(request)
        return await self.inner.handle_async_request(request)


def page(request, status=200, **headers):
    return httpx.Response(status, text="<html>", headers={"content-type": "text/html", **headers})


def test_every_row_is_scored_in_order(to, run, out):
    """Chunk by chunk, several at once; what is done leaves no checkpoint."""
    to(gate_of())
    ages = [at % 100 for at in range(95)]
    done = run(rows_of(*ages), "--rows", "10")

    assert lines(*ages) == out.read_text()
    assert f"{out}: 95 rows" in done.stdout
    assert {"big.csv", "out.csv"} == {path.name for path in out.parent.iterdir()}


def test_quoted_line_ends(to, run, out):
    """A row of three lines is one row; lines are those of the file; empty ones are no rows."""
    to(gate_of())
    text = HEADER + '1,pro,"a\n\nb, ""c"""\r\n\n2,pro,5" pipe\nold,pro,"x\ny"\n3,pro,x'
    run(text, "--rows", "2", code=1)

    assert lines(1, 2, None, 3) == out.read_text()
    assert [["line", "reason", "row"], ["7", "age must be a number", 'old,pro,"x\ny"']] == refused(out)


def refused(out):
    path = out.with_name("out.errors.csv")
    return list(csv.reader(io.StringIO(path.read_text(), newline="")))


def test_rows_that_are_refused(to, run, out):
    """Keep none of the others back; each stands with its line and all that is wrong with it, in order."""
    to(gate_of())
    text = rows_of(1, "a", 2) + "3,team,x\n4,pro\nb,team,x\n" + "c,pro,x\n" * 40 + "5,pro,x\n"
    done = run(text, "--rows", "20", "--json", code=1)
    told = json.loads(done.stdout)

    assert lines(1, None, 2, *[None] * 43, 5) == out.read_text()
    assert [
        ["line", "reason", "row"],
        ["3", "age must be a number", "a,pro,x"],
        ["5", "plan must be one of free, pro", "3,team,x"],
        ["6", "has 2 cells, and the header 3", "4,pro"],
        ["7", "age must be a number; plan must be one of free, pro", "b,team,x"],
    ] == refused(out)[:5]
    assert 1 + 44 == len(refused(out))
    assert (47, 3, 44, str(out.with_name("out.errors.csv"))) == (
        told["rows"],
        told["scored"],
        told["refused"],
        told["errors"],
    )


def test_the_first_rows_are_refused(to, run, out):
    """They have their empty lines once it is known how many cells a line has."""
    to(gate_of())
    run(rows_of("a", "b", "c", 1), "--rows", "2", code=1)

    assert lines(None, None, None, 1) == out.read_text()


def test_every_row_is_refused(to, run, out):
    """Nothing is written but why."""
    to(gate_of())
    run(rows_of("a", "b"), "--rows", "1", code=1)

    assert ("", 3) == (out.read_text(), len(refused(out)))


def test_one_column(to, run, out):
    """An empty cell alone is written so that it is a row."""
    to(gate_of(lambda table: table["age"] * 2))
    run(rows_of(1, "a", 2), code=1)

    assert 'churn_PREDICTION\n2.0\n""\n4.0\n' == out.read_text()


def test_labels_with_line_ends(to, run, out):
    """The lines of an answer are its records."""
    to(gate_of(lambda table: np.array(["a\nb" if age > 1 else 'c"' for age in table["age"]], dtype=object)))
    run(rows_of(1, 2, 3), "--rows", "2")

    assert 'churn_PREDICTION\n"c"""\n"a\nb"\n"a\nb"\n' == out.read_text()


def test_a_hidden_schema(to, run, out):
    """Names no rows: they are found by halving."""
    to(gate_of(schema=SCHEMA.reading(reveal=False)))
    run(rows_of(*[1] * 9, "a", *[2] * 9), code=1)

    assert lines(*[1] * 9, None, *[2] * 9) == out.read_text()
    assert ["11", "Invalid input data", "a,pro,x"] == refused(out)[1]


def test_a_chunk_too_large(to, run, out):
    """Is sent in halves; a row that is too large alone is refused."""
    to(gate_of(max_rows=3))
    run(rows_of(*range(10)))
    assert lines(*range(10)) == out.read_text()

    out.unlink()
    to(
        Failing(
            gate_of(),
            0,
            lambda request: httpx.Response(413, text="") if len(request.content) > 60 else page(request, 500),
        )
    )
    run(rows_of(1, note="x" * 60), code=1)
    assert "app answered 413" == refused(out)[1][1]


GATE = gate_of()


@given(st.lists(st.sampled_from(["1", "2.5", "a", "", "3,pro"]), min_size=1, max_size=40))
def test_exactly_the_bad_rows_are_refused(ages):
    """Wherever they stand, and however many there are."""
    http = httpx.Client(transport=httpx.WSGITransport(GATE.wsgi))
    session = Session(URL, KEY, Retry(), http, batch_rows=1000, batch_bytes=10**9)
    rows = csv_rows(HEADER.encode(), [f"{age},pro,x\n".encode() for age in ages])
    told = drive(scored(session, rows))

    assert [age not in ("1", "2.5") for age in ages] == [
        isinstance(result, Refused) for result in told.results
    ]
    assert [float(age) / 100 for age in ages if age in ("1", "2.5")] == [
        float(result.split(b",")[0]) for result in told.results if not isinstance(result, Refused)
    ]


# ---- stopped and gone on with


AGES = [at % 50 if at % 7 else "a" for at in range(60)]
DONE = [age if age != "a" else None for age in AGES]


@pytest.mark.parametrize("requests", [3, 9, 15])
def test_resumed(to, run, out, requests):
    """What was stopped and gone on with is what it would have been, byte for byte."""
    to(gate_of())
    run(rows_of(*AGES), "--rows", "5", code=1)
    whole, faults = out.read_bytes(), out.with_name("out.errors.csv").read_bytes()
    to(Failing(gate_of(), requests, partial(page, status=500)))
    stopped = run(rows_of(*AGES), "--rows", "5", "--overwrite", code=4)
    # What a killed run had written beyond its checkpoint.
    with out.open("ab") as more:
        more.write(b"0.1,0.")
    to(gate_of())
    done = run(rows_of(*AGES), "--rows", "5", "--json", code=1)

    assert lines(*DONE).encode() == whole == out.read_bytes()
    assert faults == out.with_name("out.errors.csv").read_bytes()
    assert "rows are done: the same command, without --overwrite, goes on" in stopped.stderr
    assert "100 %  60 rows" in done.stderr
    assert 0 < json.loads(done.stdout)["resumed_at"] < 60
    assert not checkpoint_path(out).exists()


@pytest.fixture
def stopped(to, run):
    """A run that was stopped after two chunks; the gate is there again."""
    to(Failing(gate_of(), 2, partial(page, status=502)))
    run(rows_of(*range(30)), "--rows", "5", code=4)
    to(gate_of())


@pytest.mark.parametrize(
    ("ages", "arguments", "told"),
    [
        ([9, *range(1, 30)], ["--rows", "5"], "no longer what it was when scoring began"),
        (range(3), ["--rows", "5"], "no longer what it was"),
        (range(30), ["--rows", "6"], "was begun with --to http://app/churn --rows 5"),
        (range(30), ["--rows", "5", "--to", "http://app/price"], "was begun with --to"),
    ],
)
def test_what_cannot_be_gone_on_with(stopped, run, out, ages, arguments, told):
    """Is told, and changes nothing; --overwrite begins anew."""
    before = out.read_bytes()

    assert told in run(rows_of(*ages), *arguments, code=2).stderr
    assert before == out.read_bytes()
    run(rows_of(*ages), "--overwrite")
    assert lines(*ages) == out.read_text()


def test_the_rest_of_the_input_may_change(stopped, run, out):
    """What was not scored yet is scored as it is now."""
    run(rows_of(*range(10), *range(50, 60)), "--rows", "5")

    assert lines(*range(10), *range(50, 60)) == out.read_text()


def test_an_output_that_lost_rows(stopped, run, out):
    """Is no output to go on with; a checkpoint that cannot be read is none either."""
    out.write_text("")
    assert "has lost rows" in run(rows_of(*range(30)), "--rows", "5", code=2).stderr

    checkpoint_path(out).write_text("{")
    assert "--overwrite begins anew" in run(rows_of(*range(30)), "--rows", "5", code=2).stderr


def test_an_output_that_is_done(to, run, out):
    """Is not written over unless that is asked for; refused rows of another time do not stay."""
    to(gate_of())
    run(rows_of(1, "a"), code=1)

    assert "is there already" in run(rows_of(1), code=2).stderr
    run(rows_of(1), "--overwrite")
    assert not out.with_name("out.errors.csv").exists()


def test_begun_anew_and_stopped_at_once(stopped, to, run, out):
    """Leaves what was there until the first rows are answered: it can be gone on with."""
    to(Failing(gate_of(), 0, partial(page, status=502)))
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    run(rows_of(*range(30)), "--rows", "5", "--overwrite", code=4)

    assert before == {path.name: path.read_bytes() for path in out.parent.iterdir()}
    to(gate_of())
    run(rows_of(*range(30)), "--rows", "5")
    assert lines(*range(30)) == out.read_text()


def test_two_runs_on_one_output(to, run, out):
    """The second is told, and changes nothing: the first ends as if it were alone."""
    told = []

    class Meanwhile(httpx.ASGITransport):
        async def handle_async_request(self, request):
            if len(told) < 2:
                told.append(None)
                more = [] if len(told) == 1 else ["--overwrite"]
                told[-1] = await asyncio.to_thread(run, rows_of(*range(10)), "--rows", "5", *more, code=2)
            return await super().handle_async_request(request)

    to(Meanwhile(gate_of().asgi))
    run(rows_of(*range(10)), "--rows", "5", "--in-flight", "1")

    assert ["another run" in done.stderr for done in told] == [True, True]
    assert lines(*range(10)) == out.read_text()
    assert {"big.csv", "out.csv"} == {path.name for path in out.parent.iterdir()}


@pytest.mark.parametrize("name", ["big.csv", "out.errors.csv", "out.csv.checkpoint"])
def test_an_output_that_is_the_input(to, out, name):
    """Or whose errors or checkpoint are: is refused, also with --overwrite, and by another name of the file."""
    to(gate_of())
    source = out.with_name(name)
    source.write_text(rows_of(1))
    output = out if name.startswith("out") else out.with_name("link.csv")
    if output != out:
        output.symlink_to(source)
    told = ["score", str(source), "--to", URL, "-o", str(output), "--overwrite"]
    done = click.testing.CliRunner().invoke(cli, told)

    assert 2 == done.exit_code
    assert "is what is scored: take another --output" in done.stderr
    assert rows_of(1) == source.read_text()


def test_an_errors_file_of_another(to, run, out):
    """Is not taken for that of this work, and stays."""
    to(gate_of())
    errors_file = out.with_name("out.errors.csv")
    errors_file.write_text("mine")

    assert "out.errors.csv is there already" in run(rows_of(1), code=2).stderr
    assert "mine" == errors_file.read_text()


def test_begun_anew_with_a_wrong_key(to, run, out):
    """Takes nothing of what is done."""
    to(gate_of())
    run(rows_of(1, "a"), code=1)
    run(rows_of(2), "--overwrite", key="mg_another-key", code=3)

    assert lines(1, None) == out.read_text()
    assert 2 == len(refused(out))


@pytest.mark.parametrize("arguments", [[], ["--overwrite"]])
def test_a_header_without_rows(to, run, out, arguments):
    """Nothing scored is no success; what was there stays."""
    to(gate_of())
    if arguments:
        run(rows_of(1))
    told = run(HEADER, *arguments, code=2).stderr

    assert "big.csv has a header line and no rows: nothing was scored" in told
    assert (lines(1) if arguments else "") == out.read_text()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("age,note", "missing input columns: plan"),
        ("age;plan;note", "The separator of the CSV body is a semicolon"),
        ("age\tplan\tnote", "The separator of the CSV body is a tab"),
        ("age,plan,note,age", "Line 1 of the CSV body names the column 'age' twice"),
        ("age,plan,note,pr\xe9", "Line 1 of the CSV body is not UTF-8"),
        ("some text", "missing input columns: age, plan, note"),
    ],
)
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_header_that_cannot_work(to, run, out, header, told, rows):
    """It ends the command at the first request, and not each of the rows."""
    gate = Failing(gate_of(), 1, page)
    to(gate)
    text = "\n".join([header, *[header.replace("age", "1")] * rows])
    out.with_name("latin.csv").write_bytes(text.encode("latin-1"))
    done = score(out.with_name("latin.csv"), "-o", str(out), "--rows", "2", code=2)

    assert told in done.stderr
    assert 0 == gate.left
    assert "" == out.read_text()


@pytest.mark.parametrize("row", ["1,x", "a,x"])
def test_a_header_that_a_hidden_schema_rejects(to, run, out, row):
    """It is checked by itself when a rejection names no row: the rows are not tried one by one."""
    gate = Failing(gate_of(schema=SCHEMA.reading(reveal=False)), 2, page)
    to(gate)
    run("age,note\n" + f"{row}\n" * 7, code=2)

    assert gate.left >= 0
    assert not out.with_name("out.errors.csv").exists()


# ---- formats of the file


def score(path, *arguments, code=0):
    """Run the command over a file that is there."""
    told = ["score", str(path), "--to", URL, "--key-env", "CHURN_KEY", *arguments]
    done = click.testing.CliRunner(env={"CHURN_KEY": KEY}).invoke(cli, told)

    assert code == done.exit_code, done.output
    return done


COMPRESSIONS = {"gz": gzip, "bz2": bz2, "xz": lzma}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", ["big.csv", None])
def test_a_compressed_file(to, out, suffix, name):
    """It is read whatever it is called; its predictions are plain CSV, and called so."""
    to(gate_of())
    path = out.with_name(f"big.csv.{suffix}" if name is None else name)
    path.write_bytes(COMPRESSIONS[suffix].compress(rows_of(*AGES).encode()))
    done = score(path, "--rows", "5", code=1)

    assert lines(*DONE) == out.with_name("big.predictions.csv").read_text()
    assert "rows/s" in done.stderr


def test_several_compressed_files_in_one(to, out):
    """Joined gzip files are one file."""
    to(gate_of())
    path = out.with_name("big.csv.gz")
    path.write_bytes(gzip.compress(rows_of(1).encode()) + gzip.compress(b"2,pro,x\n"))
    score(path)

    assert lines(1, 2) == out.with_name("big.predictions.csv").read_text()


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_compressed_file_is_resumed(to, out, suffix):
    """By what is in it, so that it may be compressed again in another way meanwhile."""
    path = out.with_name(f"big.csv.{suffix}")
    path.write_bytes(COMPRESSIONS[suffix].compress(rows_of(*AGES).encode()))
    to(Failing(gate_of(), 9, partial(page, status=500)))
    score(path, "-o", str(out), "--rows", "5", code=4)
    to(gate_of())
    path.write_bytes(gzip.compress(rows_of(*AGES).encode(), 1))
    done = score(path, "-o", str(out), "--rows", "5", "--json", code=1)

    assert lines(*DONE) == out.read_text()
    assert 0 < json.loads(done.stdout)["resumed_at"] < 60


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("left", [10, 25_000])
def test_a_compressed_file_that_is_cut_off(to, out, suffix, left):
    """Its rows are not taken for all there are; once it is whole, the command goes on."""
    to(gate_of())
    rng = np.random.default_rng(0)
    ages = rng.random(20_000).round(5).tolist()
    whole = COMPRESSIONS[suffix].compress(rows_of(*ages).encode())
    path = out.with_name(f"big.csv.{suffix}")
    path.write_bytes(whole[:left])
    done = score(path, "--rows", "100", code=2)

    assert f"big.csv.{suffix} is damaged or incomplete: " in done.stderr
    path.write_bytes(whole)
    score(path, "--rows", "100")
    assert 20_001 == len(out.with_name("big.predictions.csv").read_text().splitlines())


def test_a_compressed_file_that_is_damaged(to, out):
    """It is told as one, by any of the errors that the modules raise."""
    to(gate_of())
    for suffix, module in COMPRESSIONS.items():
        content = bytearray(module.compress(rows_of(*range(5000)).encode()))
        content[20:60] = b"?" * 40
        path = out.with_name(f"big.csv.{suffix}")
        path.write_bytes(content)

        assert "is damaged or incomplete" in score(path, code=2).stderr


def test_a_disk_that_cannot_be_read(to, out, monkeypatch):
    """It is told as the disk's error, and not as one of the file."""
    to(gate_of())
    path = out.with_name("big.csv")
    path.write_text(rows_of(1))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("modelgate.cli.csv_file._check_format", fail)
    told = score(path, code=2).stderr

    assert "Input/output error" in told
    assert "damaged" not in told


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="zstd can be read here")
def test_a_compression_that_cannot_be_read(to, out):
    """It is named, with the remedy."""
    path = out.with_name("big.csv.zst")
    path.write_bytes(b"\x28\xb5\x2f\xfd\x04\x00\x19\x00\x00abc\x01")

    assert "no module compression.zstd to read it: decompress it first" in score(path, code=2).stderr


def parquet():
    # Its first bytes are those that pyarrow writes.
    return b"PAR1\x15\x04\x15\x20\x15\x24L\x15\x04\x15\x00\x12\x00\x00" + b"PAR1"


def workbook():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (parquet(), "is a Parquet file, and the rows must be CSV: pandas.read_parquet(…).to_csv"),
        (
            workbook(),
            "is a zip archive, such as an Excel workbook, and the rows must be CSV: pandas.read_excel",
        ),
        (rows_of(1).encode("utf-16"), "is UTF-16, and the rows must be UTF-8: iconv -f UTF-16 -t UTF-8"),
        (rows_of(1).encode("utf-32"), "is UTF-32, and"),
        (rows_of(1).encode("utf-16-le"), "is no text file"),
        (gzip.compress(gzip.compress(rows_of(1).encode())), "is no text file"),
        (gzip.compress(parquet()), "is a Parquet file"),
        (gzip.compress(b""), "is empty: a header line"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not readable"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", "is no text file"),
        (b'[\n  {"age": 1}\n]', "is JSON, and the rows must be CSV: pandas.read_json(…).to_csv"),
        (b'{"age": 1}\n{"age": 2}\n', "is JSON, and"),
    ],
    # Not of the content: the time is in it, and every worker of pytest names tests alike.
    ids=[
        "parquet",
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
def test_a_file_of_another_format(to, out, content, told):
    """It is named, and what to do; nothing is ever "0 rows" and a success."""
    to(gate_of())
    path = out.with_name("rows.data")
    path.write_bytes(content)

    assert told in score(path, code=2).stderr


def test_columns_called_as_formats_begin(to, out):
    """Text is text: PAR1 may be a column."""
    schema = Schema.of(PAR1=float, ORC=float)
    to(gate_of(lambda table: table["PAR1"] + table["ORC"], schema))
    for header in ("PAR1,ORC", "ORC,PAR1"):
        path = out.with_name("rows.csv")
        path.write_text(f"{header}\n1,2\n")
        score(path, "--overwrite")

        assert "churn_PREDICTION\n3.0\n" == out.with_name("rows.predictions.csv").read_text()


def test_a_compression_in_capitals(to, out):
    """Some programs write it so: its predictions are plain CSV all the same."""
    to(gate_of())
    path = out.with_name("big.csv.GZ")
    path.write_bytes(gzip.compress(rows_of(*AGES).encode()))
    score(path, code=1)

    assert lines(*DONE) == out.with_name("big.predictions.csv").read_text()


def test_a_compressed_output(to, run):
    """Is not written, and not called so either."""
    assert (
        "--output must not end in .gz (got out.csv.gz)" in run(rows_of(1), "-o", "out.csv.gz", code=2).stderr
    )


def test_versions_of_the_model(to, run):
    """Are told where there was more than one: gone on with later, or replaced meanwhile."""
    to(Failing(gate_of(version="3"), 2, partial(page, status=502)))
    run(rows_of(*range(30)), "--rows", "5", code=4)
    to(gate_of(version="4"))
    told = run(rows_of(*range(30)), "--rows", "5").stdout
    alone = json.loads(run(rows_of(1, "a"), "--json", "--overwrite", code=1).stdout)

    assert "by the versions 3, 4 of the model" in told
    assert ["4"] == alone["versions"]


def test_what_is_no_regular_file(to, run, out, tmp_path):
    """A pipe cannot be gone on with, and a device keeps nothing."""
    to(gate_of())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    runner = click.testing.CliRunner()
    source = runner.invoke(cli, ["score", str(pipe), "--to", URL, "-o", str(out)])

    assert (2, True) == (source.exit_code, "pipe is no regular file" in source.stderr)
    assert "/dev/full is no regular file" in run(rows_of(1), "-o", "/dev/full", code=2).stderr


def test_an_output_in_no_folder(to, run, tmp_path):
    """Is told by its path, without a traceback."""
    to(gate_of())

    assert "nowhere/out.csv" in run(rows_of(1), "-o", str(tmp_path / "nowhere/out.csv"), code=2).stderr


def test_a_disk_that_is_full(to, run, out, monkeypatch):
    """Stops the command, which can be gone on with."""
    to(gate_of())
    saved = Checkpoint.save

    def save(self, path):
        if self.scored > 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        saved(self, path)

    monkeypatch.setattr(Checkpoint, "save", save)
    assert "No space left" in run(rows_of(*range(10)), "--rows", "5", code=2).stderr
    monkeypatch.undo()
    to(gate_of())
    run(rows_of(*range(10)), "--rows", "5")
    assert lines(*range(10)) == out.read_text()


# ---- what goes wrong


@pytest.mark.parametrize(
    ("text", "options", "code", "told"),
    [
        (rows_of(1), {"key": "mg_another-key"}, 3, "Invalid API token. See that the key is whole"),
        (rows_of(1), {"key": None}, 3, "No key was sent: give key=…, or --key-env VARIABLE"),
        (rows_of(1), {"url": "http://app/price"}, 3, "does not serve this deployment"),
        (rows_of(1), {"url": "http://app/x/y/churn"}, 2, "https://host/ml/churn"),
        (rows_of(1), {"url": "app/churn"}, 2, "url='app/churn': accepts that of a deployment"),
        ("age,note\n1,x\n", {}, 2, "missing input columns: plan"),
        ("", {}, 2, "is empty: a header line"),
        (HEADER + '1,pro,"x\n' + "1,pro,x\n" * 20_000, {}, 2, "Line 2 of the CSV is not readable"),
    ],
)
def test_what_is_told_and_the_exit_code(to, run, text, options, code, told):
    """2 what cannot work, 3 what is not allowed; and what to do."""
    to(gate_of())
    done = run(text, code=code, **options)

    assert told in done.stderr
    assert "Traceback" not in done.output
    assert KEY not in done.output


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (page, 2, "no answer of a gate"),
        (partial(page, status=302, location="https://else.where/"), 2, "The key is not sent there"),
        (partial(page, status=429, **{"retry-after": "90000"}), 3, "answered 429"),
        (partial(page, status=504), 4, "answered 504"),
    ],
)
def test_a_server_that_refuses(to, run, fault, code, told):
    """3 a limit that is reached for longer than one waits; 4 a server that fails."""
    to(Failing(gate_of(), 0, fault))

    assert told in run(rows_of(1), code=code).stderr


def test_what_a_server_says_stays_in_its_line(to, run):
    """Its message moves no cursor and forges no line."""

    def hostile(request):
        told = json.dumps({"message": "\x1b[2J\nbig.csv: 1 rows", "code": "invalid_input"})
        return httpx.Response(
            422, text=told, headers={"content-type": "application/json", "x-request-id": "1"}
        )

    to(Failing(gate_of(), 0, hostile))

    assert "Error: \\x1b[2J\\nbig.csv: 1 rows" in run(rows_of(1), code=2).stderr


def raising(table):
    raise ValueError


def test_a_failing_model(to, run):
    """Is the server's fault, and its log has more."""
    to(gate_of(raising))

    assert "request id" in run(rows_of(1), code=4).stderr


def test_codes():
    """Whatever else may be raised has its code too."""

    assert [130, 4, 4, 3, 2] == [
        code_of(error)
        for error in (
            KeyboardInterrupt(),
            client.ConnectionFailed("cut", retried=True),
            client.UnexpectedAnswer(502, "x"),
            errors.KeyInactive("k", "expired", "x"),
            client.UnexpectedAnswer(404, "x"),
        )
    ]


def test_an_interrupt(to, run):
    """Ends as interrupted commands do, and says that one can go on."""

    def interrupt(request):
        raise KeyboardInterrupt

    to(Failing(gate_of(), 2, interrupt))
    done = run(rows_of(*range(30)), "--rows", "5", "--in-flight", "1", code=130)

    assert [
        "Stopped",
        "10 rows are done: the same command goes on with the next",
    ] == done.stderr.splitlines()[-2:]


def test_columns_that_change(to, run):
    """A model replaced by another one meanwhile is noticed."""
    calls = count()
    to(gate_of(lambda table: {f"churn_{next(calls)}": table["age"]}))

    assert (
        "the model was replaced" in run(rows_of(*range(4)), "--rows", "2", "--in-flight", "1", code=2).stderr
    )


def test_an_answer_of_another_length(to, run):
    """Is no answer."""

    def short(request):
        return httpx.Response(200, text="a\n1\n", headers={"content-type": "text/csv"})

    to(Failing(gate_of(), 0, short))

    assert "2 rows were answered with 1 predictions" in run(rows_of(1, 2), code=2).stderr


def test_a_key_that_is_not_set(run):
    """Is told by the name of the variable."""
    done = click.testing.CliRunner().invoke(cli, ["score", __file__, "--to", URL, "--key-env", "NO_SUCH"])

    assert 2 == done.exit_code
    assert "the environment variable NO_SUCH is not set" in done.stderr


def test_waits_are_told(to, run, monkeypatch):
    """How often the server said to wait."""

    def sleep(seconds):
        assert seconds >= 5
        yield from ()

    monkeypatch.setattr("modelgate.client.session.sleep", sleep)
    gate, answers = gate_of(), iter([429, 503])

    class Busy(httpx.ASGITransport):
        async def handle_async_request(self, request):
            status = next(answers, None)
            if status is not None:
                return page(request, status, **{"retry-after": "5"})
            return await super().handle_async_request(request)

    to(Busy(gate.asgi))

    done = run(rows_of(1))
    assert "2 waits for the server" in done.stdout
    assert 1 == done.stderr.count("waiting ")
    assert "s for the server: app answered 429" in done.stderr


def no_sleep(_seconds):
    yield from ()


def test_a_server_that_is_not_there(to, run, monkeypatch):
    """Is given up soon, with the reason: the address is wrong, mostly."""
    monkeypatch.setattr("modelgate.client.session.sleep", no_sleep)
    asked = count()

    def refuse(request):
        next(asked)
        raise httpx.ConnectError("refused")

    to(Failing(gate_of(), 0, refuse))
    done = run(rows_of(1), code=4)

    assert "app cannot be reached (refused)" in done.stderr
    assert "given up after 5 attempts: it has never answered" in done.stderr
    assert 5 == next(asked)


def test_a_server_that_starts_anew(to, run, out, monkeypatch):
    """Is waited for, once it has answered."""
    monkeypatch.setattr("modelgate.client.session.sleep", no_sleep)
    gate, calls = gate_of(), count()

    class Restarting(httpx.ASGITransport):
        async def handle_async_request(self, request):
            if next(calls) in range(1, 12):
                raise httpx.ConnectError("refused")
            return await super().handle_async_request(request)

    to(Restarting(gate.asgi))
    run(rows_of(1, 2), "--rows", "1", "--in-flight", "1")

    assert lines(1, 2) == out.read_text()


def test_requests_in_flight(to, run, out):
    """After the first, as many at once as is said, and no more; their answers keep their order."""

    class Counting(httpx.ASGITransport):
        flying = most = seen = 0

        async def handle_async_request(self, request):
            Counting.seen += 1
            Counting.flying += 1
            Counting.most = max(Counting.most, Counting.flying)
            if Counting.seen == 1:
                assert await asyncio.wait_for(alone(), SOON)
            elif Counting.seen <= 4:
                # Not before three are there; and the last of them first.
                async with asyncio.timeout(SOON):
                    while Counting.seen < 4 or (Counting.flying > 1 and b"\n2" in request.content[:20]):
                        await asyncio.sleep(0)
            answer = await super().handle_async_request(request)
            Counting.flying -= 1
            return answer

    async def alone():
        for _ in range(20):
            await asyncio.sleep(0)
        return Counting.seen == 1

    to(Counting(gate_of().asgi))
    run(rows_of(*range(20)), "--rows", "2", "--in-flight", "3")

    assert 3 == Counting.most
    assert lines(*range(20)) == out.read_text()


# ---- progress


def test_progress_in_lines(to, run):
    """Where there is no terminal: one for every tenth, with rows, rate and the time left."""
    to(gate_of())
    told = run(rows_of(*[10] * 100), "--rows", "1").stderr.splitlines()

    assert 10 == len(told)
    assert all("rows/s" in line and line.endswith("left") for line in told)
    assert "100 rows" in told[-1]


def test_progress_in_a_terminal(monkeypatch, capsys):
    """A bar that moves."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.progress("big.csv") as show:
        show(0.5, " 50 %  5 rows")

    assert "big.csv" in capsys.readouterr().err


def test_progress_told():
    """Rows are those of all runs; their rate, and the time left, that of this one."""

    assert " 50 %  1,500 rows  100 rows/s  0:00:20 left" == progress.told(0.5, 1500, 500, 5.0, 0.25, 15.0)
    assert "  0 %  0 rows  0 rows/s  - left" == progress.told(0.0, 0, 0, 5.0, 0.0, 5.0)

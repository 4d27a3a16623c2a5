"""Parts of scoring runs: chunks of the input, and scoring without a server."""

import hashlib
import io
from functools import partial
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import (
    Deployment,
    Explanations,
    Gate,
    MissingColumns,
    Schema,
    drive,
    errors,
    humility,
)
from modelgate.bulk import input as bulk_input
from modelgate.bulk.checkpoint import Checkpoint
from modelgate.bulk.csv_file import open_csv
from modelgate.bulk.gate_source import GateSource
from modelgate.bulk.input import Chunk, Input
from modelgate.bulk.local_session import LocalSession
from modelgate.bulk.output import FileOutput, Passthrough
from modelgate.bulk.worker import score_chunk
from modelgate.client.retry import Retry
from modelgate.client.rows import Lines, csv_rows
from modelgate.client.score_rows import RejectedRow, ScoredRows, score_rows
from modelgate.client.session import Session

SCHEMA = Schema.of(age=float, plan=["free", "pro"])


def read_chunks(content, rows, done=None):
    """Return the chunks of a file, with their records as lists."""
    with open_csv(io.BytesIO(content), "rows.csv", len(content)) as opened:
        source = Input(opened, "rows.csv")
        chunks = list(source.chunks(rows, done or Checkpoint(target={}, chunk=rows)))
    return [
        (list(chunk.rows.data), list(chunk.lines), chunk.offset, chunk.digest, chunk.line) for chunk in chunks
    ]


@given(st.text(alphabet='a,\n\r"é', max_size=60), st.integers(1, 5))
def test_plain_lines_give_the_chunks_that_the_parser_gives(text, rows):
    content = b"a,b\n" + text.encode()
    try:
        chunks = read_chunks(content, rows)
    except errors.MalformedBody:
        chunks = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_input, "_is_plain", lambda raw: False)
        try:
            expected = read_chunks(content, rows)
        except errors.MalformedBody:
            expected = None

    assert expected == chunks


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("scan", [1, 7, 1 << 16])
def test_input_continues_at_any_chunk(monkeypatch, end, scan):
    monkeypatch.setattr(bulk_input, "_SCAN_BYTES", scan)
    monkeypatch.setattr(bulk_input, "_BLOCK_BYTES", 11)
    content = ("a,b" + "".join(f"\n{row},x" for row in range(20)) + end).encode()
    chunks = read_chunks(content, 3)

    assert 7 == len(chunks)
    assert (len(content), hashlib.sha256(content).hexdigest()) == chunks[-1][2:4]
    assert [*range(2, 22)] == [line for chunk in chunks for line in chunk[1]]
    for index, (_, _, offset, digest, line) in enumerate(chunks):
        done = Checkpoint(target={}, chunk=3, offset=offset, digest=digest, line=line)
        assert chunks[index + 1 :] == read_chunks(content, 3, done)


def test_overlong_cell_is_rejected_as_by_the_parser():
    with pytest.raises(errors.MalformedBody, match=r"^Line 3 of the CSV cannot be read: field larger"):
        read_chunks(b"a,b\n1,2\n" + b"x" * 140_000 + b",2\n", 10)


def test_chunk_has_at_most_four_mebibytes():
    chunks = read_chunks(b"a\n" + (b"x" * 99_999 + b"\n") * 100, 1000)

    assert [41, 41, 18] == [len(chunk[0]) for chunk in chunks]


class UnsplittableLines(Lines):
    def __iter__(self):
        raise AssertionError("lines are split only to copy columns")


def test_output_without_passthrough_columns_does_not_split_chunks(tmp_path):
    path = tmp_path / "scored.csv"
    chunk = Chunk(csv_rows(b"a\n", UnsplittableLines(b"1\n2\n", 2)), range(2, 4), 6, "", 4, None)
    done = Checkpoint(target={}, chunk=2)
    with path.open("ab") as file, FileOutput(file, path, done, Passthrough(b"a\n", [])) as output:
        output.add(chunk, ScoredRows(b"prediction\n", Lines(b"3\n4\n", 2)))

    assert b"prediction\n3\n4\n" == path.read_bytes()


def predict(table):
    return table["age"] / 2


def make_gate(**options):
    deployment = Deployment("churn", predict, schema=SCHEMA, target="churn", **options)
    return Gate([deployment], keys={"mg_a-key-that-a-local-run-does-not-need": "churn"}, limits="1/day")


def score_over_http(gate, rows, query=""):
    """Return the results of a client, without the limits of the gate."""
    gate = Gate([gate.deployments["churn"]], keys="open")
    http = httpx.Client(transport=httpx.WSGITransport(gate.wsgi))
    options = {"batch_rows": 100, "batch_bytes": 1 << 20, "query": query}
    return drive(score_rows(Session("http://app/churn", None, Retry(1, 60, 60), http, **options), rows))


ROWS = csv_rows(
    b"age,plan\n",
    [b"41,pro\n", b"old,pro\n", b"20,none\n", b'"20",free\n', b"3\n", b"1e999,pro\n", b"99,pro\n"],
)
BLOCKED = [humility.OutlyingInput("age", upper=90, action=humility.ThrowError())]


EXPLAINED = Explanations("permutation", background=[{"age": 5.0, "plan": "free"}] * 5)


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({}, ""),
        ({}, "passthrough=age"),
        ({"humility": BLOCKED}, ""),
        ({"decimals": 1}, ""),
        ({"explanations": EXPLAINED}, "explain=1"),
    ],
)
def test_local_session_gives_the_results_of_a_server(options, query):
    """Reports of rejected rows, too. A gate's keys and limits do not apply."""
    gate = make_gate(**options)
    local = drive(score_rows(LocalSession(gate, "churn", query), ROWS))

    assert score_over_http(gate, ROWS, query) == local
    assert 4 <= sum(isinstance(result, RejectedRow) for result in local.results)


def test_local_session_needs_a_deployment_of_the_gate():
    with pytest.raises(errors.NotFound, match="no deployment 'chrun': did you mean"):
        LocalSession(make_gate(), "chrun")


def fail(table):
    raise ZeroDivisionError("no rows today")


def test_local_session_names_the_cause_of_a_failed_prediction():
    gate = Gate([Deployment("churn", fail, schema=SCHEMA)], keys="open")
    with pytest.raises(errors.PredictionError) as raised:
        drive(score_rows(LocalSession(gate, "churn"), csv_rows(b"age,plan\n", [b"1,pro\n"])))

    assert ["cause: ZeroDivisionError: no rows today"] == raised.value.__notes__


def test_worker_scores_and_checks_headers():
    source = GateSource(make_gate)
    scored = score_chunk(source, b"age,plan\n", Lines(b"41,pro\n", 1), is_first=True)

    assert (b"prediction\n", [b"20.5\n"]) == (scored.header, list(scored.results))
    with pytest.raises(MissingColumns):
        score_chunk(source, b"aeg,plan\n", [], is_first=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (GateSource("nowhere"), "gate must be module:attribute"),
        (GateSource("nowhere:gate"), "nowhere:gate: ModuleNotFoundError"),
        (GateSource(partial(dict)), "gate must be a Gate or a function that returns one .got dict"),
        (GateSource("json:gate"), "json:gate: AttributeError"),
        (GateSource(partial(Gate, keys="open")), "deployment must be one of none .got none"),
        (GateSource(make_gate, query="intervals=80"), "the model of churn is not calibrated"),
        (GateSource(model=Path(__file__)), "test_bulk.py"),
    ],
)
def test_gate_source_rejects_what_gives_no_gate(source, message):
    with pytest.raises(errors.ConfigurationError, match=message):
        source.open_session()

"""Logs of predictions: files, tables, and destinations that fail."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time

import numpy as np
import polars
import pytest
import sqlalchemy as sa
from sklearn.linear_model import LogisticRegression

from modelgate import Column, ConfigurationError, Deployment, Gate, PredictionLog, Schema
from modelgate.testing import Client
from support.databases import DATABASES, make_database
from support.prometheus import read_sample
from support.series import Drift, drift_rows
from support.waiting import SOON, wait_until

SCHEMA = Schema.of(age=float, name=str, visits=Column("visits", "integer", nullable=True))
ROW = {"age": 41.5, "name": "Ada", "visits": 3}
SOON_ENOUGH = 0.001


class Destination:
    """Writer that hangs or fails until a test lets it succeed."""

    def __init__(self):
        self.rows, self.error, self.calls = 0, None, 0
        self.free = threading.Event()
        self.free.set()

    def write(self, records, redact):
        self.calls += 1
        assert self.free.wait(SOON)
        if self.error is not None:
            raise self.error
        self.rows += sum(len(record.table) for record in records)


def visits(table):
    return table["age"] + 0.25


def make_gate(log, model=visits, **options):
    return Gate(
        [Deployment("visits", model, schema=SCHEMA, version="7")], keys="open", on_prediction=log, **options
    )


def send(gate, *rows):
    response = Client(gate.wsgi).post("/simple/visits", json=list(rows))

    assert 200 == response.status
    return response


def read_lines(folder):
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def execute(url, statement):
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        rows = result.mappings().all() if result.returns_rows else []
    engine.dispose()
    return rows


def read_table(url):
    return execute(url, "select * from modelgate_predictions order by id")


def lost(gate, reason, name="predictions"):
    return read_sample(
        gate.metrics.render(), "modelgate_prediction_log_lost_rows_total", log=name, reason=reason
    )


def written(gate, name="predictions"):
    return read_sample(gate.metrics.render(), "modelgate_prediction_log_rows_total", log=name)


def test_log_has_a_line_for_each_row(tmp_path):
    log = PredictionLog(tmp_path)
    gate = make_gate(log)
    response = send(gate, ROW, {"age": 1, "name": "Bob", "visits": None})
    log.close()
    [first, second] = read_lines(tmp_path)
    seconds, time = first.pop("seconds"), first.pop("time")

    assert {
        "request_id": response.header("x-request-id"),
        "row": 0,
        "deployment": "visits",
        "version": "7",
        "key_id": None,
        "hypothetical": False,
        "input": ROW,
        "prediction": {"prediction": 41.75},
        "probabilities": {},
    } == first
    assert 0 < seconds
    assert time.endswith("Z")
    assert (1, {"age": 1.0, "name": "Bob", "visits": None}) == (second["row"], second["input"])
    assert 2 == written(gate)


def test_log_has_probabilities_by_class(tmp_path):
    log = PredictionLog(tmp_path)
    model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
    gate = Gate([Deployment("d", model)], keys="open", on_prediction=log)
    send_to = Client(gate.wsgi).post("/simple/d", json=[{"x0": 3}])
    log.close()
    [line] = read_lines(tmp_path)

    assert 200 == send_to.status
    assert {"prediction": "yes"} == line["prediction"]
    assert ["no", "yes"] == list(line["probabilities"]["prediction"])
    assert 1 == pytest.approx(sum(line["probabilities"]["prediction"].values()))


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_redacted_columns_are_not_in_any_file(tmp_path, file_format):
    log = PredictionLog(tmp_path, format=file_format, redact=["name"])
    send(make_gate(log), ROW)
    log.close()
    [path] = tmp_path.iterdir()
    content = path.read_bytes()

    assert b"age" in content
    assert b"Ada" not in content
    assert b"name" not in content


def test_start_deletes_unfinished_files_of_killed_processes(tmp_path):
    """Those that another process may still be writing stay."""
    PredictionLog(tmp_path, format="parquet").close()
    for name, age in (
        ("20260101T000000000000-m-7-0", 3600),
        ("20260101T000000000000-m-7-1", 0),
        ("mine", 3600),
    ):
        path = tmp_path / f"{name}.new"
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    PredictionLog(tmp_path, format="parquet").close()

    assert ["20260101T000000000000-m-7-1.new", "mine.new"] == sorted(path.name for path in tmp_path.iterdir())


def test_misspelled_column_to_redact_is_reported(tmp_path, caplog):
    log = PredictionLog(tmp_path, redact=["nmae", "salary"])
    with caplog.at_level(logging.WARNING, "modelgate"):
        send(make_gate(log), ROW)
        log.close()

    assert [
        "prediction log predictions: deployment visits has no column nmae to redact: did you mean name?"
    ] == [entry.message for entry in caplog.records]


def test_sample_is_a_share_of_the_requests():
    destination = Destination()
    log = PredictionLog(destination, sample=0.3)
    log._random = iter([0.1, 0.3, 0.29, 0.9]).__next__
    gate = make_gate(log)
    for _ in range(4):
        send(gate, ROW)
    log.close()

    assert (2, 0) == (destination.rows, lost(gate, "queue_full"))


def test_files_rotate(tmp_path):
    """A file is full at *max_bytes*, and the oldest are deleted."""
    log = PredictionLog(tmp_path, max_bytes=1, max_files=2)
    gate = make_gate(log)
    for age in range(4):
        send(gate, {**ROW, "age": age})
        assert log.flush(SOON)
    log.close()

    assert [2, 3] == [line["input"]["age"] for line in read_lines(tmp_path)]
    assert 2 == len(list(tmp_path.iterdir()))
    assert {0o600} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}


def test_parquet_has_a_column_for_each_value(tmp_path):
    """With types from the schema, also for a file in which a column is null."""
    log = PredictionLog(tmp_path, format="parquet")
    gate = make_gate(log)
    for row in ROW, {"age": 1.0, "name": "Bob", "visits": None}:
        send(gate, row)
        assert log.flush(SOON)
    log.close()
    frame = polars.read_parquet(sorted(tmp_path.glob("*.parquet")))

    assert 2 == len(list(tmp_path.iterdir()))
    assert [41.5, 1.0] == frame["input.age"].to_list()
    assert [3, None] == frame["input.visits"].to_list()
    assert [41.75, 1.25] == frame["prediction.prediction"].to_list()
    assert {"visits"} == set(frame["deployment"])


def test_sql_table_has_a_row_for_each_row(tmp_path):
    url = f"sqlite:///{tmp_path}/log.db"
    log = PredictionLog(url, redact=["name"])
    response = send(make_gate(log), ROW, ROW)
    log.close()
    rows = read_table(url)

    assert [0, 1] == [row["row"] for row in rows]
    assert {(response.header("x-request-id"), "visits", "7")} == {
        (row["request_id"], row["deployment"], row["version"]) for row in rows
    }
    assert {"age": 41.5, "visits": 3} == json.loads(rows[0]["input"])
    assert {"prediction": 41.75} == json.loads(rows[0]["prediction"])


@pytest.mark.parametrize("destination", ["jsonl", "parquet", *DATABASES])
def test_many_rows_are_logged_in_batches(tmp_path, request, destination, monkeypatch):
    """All entries of a large request would take twenty times the memory of the request."""
    from modelgate.monitoring import log_rows

    monkeypatch.setattr(log_rows, "_BATCH", 2)
    url = make_database(destination, request) if destination in DATABASES else None
    log = PredictionLog(url) if url else PredictionLog(tmp_path, format=destination)
    records = []
    send(make_gate([log, records.append]), *({**ROW, "age": float(age)} for age in range(5)))
    log.close()
    if url:
        predictions = [json.loads(row["prediction"])["prediction"] for row in read_table(url)]
    elif destination == "jsonl":
        predictions = [line["prediction"]["prediction"] for line in read_lines(tmp_path)]
    else:
        predictions = polars.read_parquet(tmp_path / "*.parquet")["prediction.prediction"].to_list()

    assert [2, 2, 1] == [len(batch) for batch in log_rows.entry_batches(records, ())]
    assert [0.25, 1.25, 2.25, 3.25, 4.25] == predictions


@pytest.mark.parametrize("destination", ["jsonl", "parquet", *DATABASES])
def test_hypothetical_rows_are_marked(tmp_path, request, destination):
    url = make_database(destination, request) if destination in DATABASES else None
    log = PredictionLog(url) if url else PredictionLog(tmp_path, format=destination)
    client = Client(make_gate(log).wsgi)
    for flag in "true", "false":
        client.post(f"/deployments/visits/predict?hypothetical={flag}", json=ROW)
    log.close()
    if url:
        rows = read_table(url)
    elif destination == "jsonl":
        rows = read_lines(tmp_path)
    else:
        rows = polars.read_parquet(tmp_path / "*.parquet").to_dicts()

    assert [True, False] == [row["hypothetical"] for row in rows]


@pytest.mark.parametrize("database", DATABASES)
def test_sql_table_of_an_earlier_version_gets_its_missing_column(request, database):
    """Its rows stay, and count as real. A process of the earlier version can still write."""
    url = make_database(database, request)
    log = PredictionLog(url)
    send(make_gate(log), ROW)
    log.close()
    execute(url, "alter table modelgate_predictions drop column hypothetical")
    logs = [PredictionLog(url) for _ in range(2)]
    for log in logs:
        send(make_gate(log), ROW)
        log.close()
    names = "request_id, row, deployment, version, time, seconds, prediction"
    execute(url, f"insert into modelgate_predictions ({names}) select {names} from modelgate_predictions")

    assert [False] * 6 == [row["hypothetical"] for row in read_table(url)]


def test_hanging_destination_delays_no_request():
    """What does not fit into the queue is lost and counted; the rest is written once it is back."""
    destination = Destination()
    destination.free.clear()
    log = PredictionLog(destination, max_queued_rows=10, flush_interval=SOON_ENOUGH)
    gate = make_gate(log)
    for _ in range(30):
        send(gate, ROW)
    seen = lost(gate, "queue_full"), destination.rows
    destination.free.set()

    assert log.flush(SOON)
    assert ((20, 0), 10) == (seen, destination.rows)
    wait_until(lambda: written(gate) == 10)


def test_hanging_destination_does_not_hang_the_end():
    destination = Destination()
    destination.free.clear()
    log = PredictionLog(destination, flush_interval=SOON_ENOUGH)
    gate = make_gate(log)
    send(gate, ROW, ROW)
    log.close(timeout=0.01)
    send(gate, ROW)
    destination.free.set()

    assert 3 == lost(gate, "closed")


def test_failing_destination_gets_each_record_later(caplog):
    """And the log says so once."""
    destination = Destination()
    destination.error = OSError(28, "No space left on device")
    log = PredictionLog(destination, flush_interval=SOON_ENOUGH)
    gate = make_gate(log)
    with caplog.at_level(logging.WARNING, "modelgate"):
        for _ in range(3):
            send(gate, ROW)
        wait_until(lambda: destination.calls > 2)
        destination.error = None
        assert log.flush(SOON)
        wait_until(lambda: written(gate) == 3)

    assert 3 == destination.rows
    assert ["cannot write", "can write again"] == [entry.message.split(": ")[1] for entry in caplog.records]


@pytest.mark.parametrize("batch", [1, 2], ids=["second batch", "first batch"])
def test_full_disk_leaves_no_part_of_the_records(tmp_path, monkeypatch, batch):
    """All records are retried."""
    from modelgate.monitoring import log_files, log_rows

    monkeypatch.setattr(log_rows, "_BATCH", batch)
    log, write, failed = PredictionLog(tmp_path, flush_interval=SOON_ENOUGH), log_files.os.write, []

    def write_a_part(file, data):
        if failed == [1] and b'"row":1' in data:
            failed.append(2)
            raise OSError(28, "No space left on device")
        if not failed:
            failed.append(1)
            return write(file, data[:20])
        return write(file, data)

    monkeypatch.setattr(log_files.os, "write", write_a_part)
    send(make_gate(log), ROW, ROW)

    assert log.flush(SOON)
    assert ([1, 2], [ROW, ROW]) == (failed, [line["input"] for line in read_lines(tmp_path)])


def test_dead_database_costs_no_request(caplog):
    """Nobody listens on the port."""
    log = PredictionLog(
        "postgresql://user:secret@127.0.0.1:1/log", max_queued_rows=5, flush_interval=SOON_ENOUGH
    )
    gate = make_gate(log)
    with caplog.at_level(logging.ERROR, "modelgate"):
        for _ in range(8):
            send(gate, ROW)
        wait_until(lambda: "cannot write" in caplog.text)
        log.close(timeout=0.01)

    assert (3, 5) == (lost(gate, "queue_full"), lost(gate, "closed"))
    assert "secret" not in caplog.text


def test_lifespan_of_asgi_server_ends_with_a_written_log(tmp_path):
    """uvicorn ends with a signal, so that Python's exit handlers do not run."""
    gate = make_gate(PredictionLog(tmp_path, flush_interval=1000))
    send(gate, ROW)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(messages)

    async def ignore(message):
        pass

    asyncio.run(gate.asgi({"type": "lifespan"}, receive, ignore))

    assert [ROW] == [line["input"] for line in read_lines(tmp_path)]


def test_record_that_cannot_be_encoded_does_not_stop_the_others(caplog):
    class Picky(Destination):
        def write(self, records, redact):
            if any(record.table["age"][0] == 2 for record in records):
                raise ValueError("two")
            super().write(records, redact)

    destination = Picky()
    log = PredictionLog(destination)
    gate = make_gate(log)
    for age in range(4):
        send(gate, {**ROW, "age": age})
    log.close()

    assert (3, 1, 3) == (destination.rows, lost(gate, "invalid"), written(gate))


def test_thread_survives_every_error_of_a_destination():
    """Errors of extension modules, such as polars, may derive from BaseException."""

    class Destination:
        calls = 0

        def write(self, records, redact):
            self.calls += 1
            if self.calls == 1:
                raise SystemExit

    destination = Destination()
    log = PredictionLog(destination, flush_interval=0.01)
    send(make_gate(log), ROW)

    assert log.flush(SOON)
    assert 2 == destination.calls


@pytest.mark.slow
def test_forked_child_writes_its_own_records(tmp_path):
    """Not those of the parent, in a file of its own, when it exits."""
    script = """
import os, sys
from modelgate import Deployment, Gate, PredictionLog, Schema
from modelgate.testing import Client
log = PredictionLog(sys.argv[1], flush_interval=100)
gate = Gate([Deployment("d", lambda table: table["a"], schema=Schema.of(a=float))], keys="open", on_prediction=log)
send = lambda a: Client(gate.wsgi).post("/simple/d", json=[{"a": a}])
send(1)
if child := os.fork():
    assert 0 == os.waitpid(child, 0)[1]
    send(2)
else:
    send(3)
sys.exit()
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=SOON)
    ages = [
        [json.loads(line)["input"]["a"] for line in path.read_text().splitlines()]
        for path in tmp_path.iterdir()
    ]

    assert [[1, 2], [3]] == sorted(ages)


def test_arrays_are_not_logged(tmp_path):
    log = PredictionLog(tmp_path)
    schema = Schema([Column("a", "number"), Column("window", "tensor", shape=(2,))])
    gate = Gate(
        [Deployment("d", lambda table: np.zeros(len(table)), schema=schema)], keys="open", on_prediction=log
    )
    response = Client(gate.wsgi).post("/simple/d", json=[{"a": 1, "window": [1, 2]}])
    log.close()

    assert (200, [{"a": 1.0}]) == (response.status, [line["input"] for line in read_lines(tmp_path)])


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_forecasts_are_logged_by_series_and_time(tmp_path, file_format):
    """Without the input, whose rows are others."""
    log = PredictionLog(tmp_path, format=file_format)
    gate = Gate([Deployment("sales", Drift())], keys="open", on_prediction=log)
    response = Client(gate.wsgi).post("/deployments/sales/predict", json=drift_rows())
    log.close()
    [path] = tmp_path.iterdir()
    lines = read_lines(tmp_path) if file_format == "jsonl" else polars.read_parquet(path).to_dicts()

    assert 200 == response.status
    fields = ("timestamp", "series", "prediction")
    predicted = [tuple(str(row[name]) for name in fields) for row in response.json()["forecast"]]
    assert predicted == [
        (
            line["timestamp"],
            str(line["series"]),
            str(line["prediction"]["sales"] if file_format == "jsonl" else line["prediction.sales"]),
        )
        for line in lines
    ]
    assert file_format == "parquet" or {None} == {line["input"] for line in lines}


def test_forecasts_hide_a_redacted_series(tmp_path):
    log = PredictionLog(tmp_path, redact=["store"])
    gate = Gate([Deployment("sales", Drift())], keys="open", on_prediction=log)
    Client(gate.wsgi).post("/deployments/sales/predict", json=drift_rows())
    log.close()

    assert {None} == {line["series"] for line in read_lines(tmp_path)}


def test_log_without_records_has_no_thread(tmp_path):
    before = set(threading.enumerate())
    make_gate(PredictionLog(tmp_path))

    assert set() == set(threading.enumerate()) - before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 2}, "sample must be a number from 0 to 1"),
        ({"redact": "name"}, "redact must be a list of column names"),
        ({"redact": 7}, "redact must be a list of column names"),
        ({"redact": [7]}, "redact must be a list of column names"),
        ({"max_queued_rows": 0}, "max_queued_rows must be a whole number"),
        ({"flush_interval": 0}, "flush_interval must be a number of seconds"),
        ({"format": "csv"}, 'format must be "jsonl" or "parquet"'),
        ({"max_files": 0}, "max_files must be a whole number"),
        ({"destination": ""}, "destination must be a folder, the URL of a database, or a PredictionWriter"),
        ({"destination": 7}, "destination must be a folder, the URL of a database, or a PredictionWriter"),
        ({"destination": "mysql://host/db"}, "destination must be sqlite:///path"),
    ],
)
def test_log_rejects_options(tmp_path, options, message):
    with pytest.raises(ConfigurationError, match=message):
        PredictionLog(**{"destination": tmp_path, **options})


def test_no_record_is_written_twice():
    """Also if the destination fails while it gets the records of a failed batch one by one."""
    errors = iter([None, TypeError("a cell"), None, OSError("down")])
    is_writing, may_write, ages = threading.Event(), threading.Event(), []

    class Writer:
        def write(self, records, redact):
            is_writing.set()
            assert may_write.wait(SOON)
            error = next(errors, None)
            if error is not None:
                raise error
            ages.extend(record.table["age"][0] for record in records)

    log = PredictionLog(Writer(), flush_interval=SOON_ENOUGH)
    gate = make_gate(log)
    send(gate, {**ROW, "age": 0})
    assert is_writing.wait(SOON)
    for age in (1, 2, 3):
        send(gate, {**ROW, "age": age})
    may_write.set()

    assert log.flush(SOON)
    assert [0, 1, 2, 3] == ages
    assert 4 == written(gate)

"""``modelgate score`` with predictions in a database table."""

import contextlib
import math
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from modelgate import ConfigurationError, Deployment, Gate, Output, Prediction, Schema
from modelgate.backends.sql import parse_url
from modelgate.bulk import score_file
from modelgate.bulk.checkpoint import Checkpoint
from modelgate.bulk.column_type import infer_types
from modelgate.bulk.database_table import DatabaseTable
from modelgate.bulk.staged_records import StagedRecords
from modelgate.codecs.csv_records import format_records
from support.databases import DATABASES, make_database
from support.scoring import score_command
from support.waiting import SOON, wait_until

ROWS = "id,age\n1,1\n2,old\n3,30\n4,0.5\n"
PREDICTIONS = [(1, "no", 0.01), (2, None, None), (3, "yes", 0.3), (4, "no", 0.005)]
REJECTED = [(3, "age must be a number", "2,old")]


def predict(table):
    probabilities = table["age"] / 100
    labels = np.where(probabilities > 0.1, "yes", "no").astype(object)
    return Prediction(
        [Output("d", labels, ["no", "yes"], np.column_stack([1 - probabilities, probabilities]))]
    )


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("rows.csv").write_text(ROWS)
    deployment = Deployment("d", predict, schema=Schema.of(age=float), target="d")
    return score_command(monkeypatch, Gate([deployment], keys="open"))


@pytest.fixture(params=DATABASES)
def url(request):
    """The URL of an empty database."""
    return make_database(request.param, request)


def execute(url, *statements):
    engine = sa.create_engine(parse_url(url, "url"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


def read(url, table="scores", columns="id, prediction, probability_yes"):
    return execute(url, f"SELECT {columns} FROM {table} ORDER BY 1")


def list_tables(url):
    return sorted(
        sa.inspect(sa.create_engine(parse_url(url, "url"), poolclass=sa.NullPool)).get_table_names()
    )


@pytest.fixture
def command(url):
    """Arguments of a run that writes the table *scores*."""
    return ["rows.csv", "-o", url, "--table", "scores", "--keep", "id"]


def test_predictions_are_written_to_a_new_table(url, command, run, tmp_path):
    """Rejected rows have nulls, and are listed in a second table."""
    run(*command, "--rows", "2")

    assert PREDICTIONS == read(url)
    assert REJECTED == execute(url, "SELECT line, reason, row FROM scores_errors")
    assert ["scores", "scores_errors"] == list_tables(url)
    assert {"rows.csv"} == {path.name for path in tmp_path.iterdir()} - {"database.db"}


def test_types_of_a_new_table(url, run, tmp_path):
    """Leading zeros are not lost."""
    cells = ["7", "007", "12345678901234567890", "1.50", "True", "x", "", "1e-300"]
    names = ["int", "zip", "long", "price", "flag", "text", "none", "tiny"]
    tmp_path.joinpath("rows.csv").write_text(
        format_records([[*names, "age"], [*cells, "1"], [""] * 8 + ["2"]])
    )
    run(
        *("rows.csv", "-o", url, "--table", "scores"),
        *(option for name in names for option in ("--keep", name)),
        code=0,
    )
    values = (7, "007", "12345678901234567890", 1.5, True, "x", None, 1e-300)
    inspector = sa.inspect(sa.create_engine(parse_url(url, "url"), poolclass=sa.NullPool))
    types = {column["name"]: str(column["type"]) for column in inspector.get_columns("scores")}

    assert [values, (None,) * 8] == sorted(
        read(url, columns='"int", zip, long, price, flag, text, none, tiny'), key=str
    )
    assert ["BIGINT", "TEXT", "TEXT", "BOOLEAN", "TEXT", "TEXT"] == [
        types[name] for name in ("int", "zip", "long", "flag", "text", "none")
    ]
    assert {"DOUBLE"} == {types[name].split()[0] for name in ("price", "tiny", "probability_yes")}


def test_existing_table_decides_the_types(url, command, run):
    """It may have other columns."""
    execute(
        url,
        "CREATE TABLE scores (id TEXT, prediction VARCHAR(9), probability_yes NUMERIC(6, 2), probability_no REAL,"
        " note TEXT)",
    )
    run(*command)

    assert [("1", "no", None), ("2", None, None), ("3", "yes", None), ("4", "no", None)] == read(
        url, columns="id, prediction, note"
    )


def test_table_with_rows_needs_append_or_overwrite(url, command, run, tmp_path):
    run(*command)
    error = run(*command, code=2)
    assert "scores already has rows: choose another --table, or pass --append or --overwrite" in error
    assert PREDICTIONS == read(url)
    assert 1 == error.count("\n")

    run(*command, "--append")
    assert sorted(2 * PREDICTIONS, key=str) == sorted(read(url), key=str)
    assert 2 * REJECTED == execute(url, "SELECT line, reason, row FROM scores_errors")

    tmp_path.joinpath("rows.csv").write_text("id,age\n9,50\n")
    run(*command, "--overwrite", code=0)
    assert [(9, "yes", 0.5)] == read(url)
    assert [] == read(url, "scores_errors", "*")


def test_rejected_rows_of_another_run_are_not_mixed(url, command, run):
    execute(url, "CREATE TABLE scores_errors (line INTEGER)", "INSERT INTO scores_errors VALUES (1)")

    assert "scores_errors already has rows" in run(*command, code=2)
    assert "scores" not in list_tables(url)


def test_replaced_rows_are_visible_until_the_end(url, command, run, tmp_path):
    """A stopped run with --overwrite is resumed without it."""
    run(*command)
    stopped = run(*command, "--overwrite", "--rows", "2", "--in-flight", "1", answers=2, code=2)
    assert "run the same command without --overwrite to continue" in stopped
    assert PREDICTIONS == read(url)
    tmp_path.joinpath("rows.csv").write_text(ROWS + "5,20\n")
    run(*command, "--rows", "2")

    assert [*PREDICTIONS, (5, "yes", 0.2)] == read(url)


def test_run_with_other_options_is_not_resumed(url, command, run):
    run(*command, "--rows", "1", "--in-flight", "1", answers=1, code=2)

    assert "was started with --url http://app/d --table scores --rows 1 --keep id" in run(
        *command, "--rows", "1", "--append", code=2
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--append"], ["--overwrite"]])
@pytest.mark.parametrize("stop", ["before", "after"])
def test_rows_are_written_once_if_a_run_is_killed(url, command, run, monkeypatch, options, stop):
    """Immediately before or after its commit. The second run scores nothing."""
    execute(
        url, "CREATE TABLE scores (id BIGINT, prediction TEXT, probability_yes FLOAT, probability_no FLOAT)"
    )
    commit = sa.Connection.commit

    def kill(connection):
        if stop == "after":
            commit(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sa.Connection, "commit", kill)
        run(*command, *options, code=130)
    assert (PREDICTIONS if stop == "after" else []) == read(url)
    run(*command, *(["--append"] if "--append" in options else []), answers=0)

    assert (PREDICTIONS, REJECTED) == (read(url), read(url, "scores_errors", "*"))
    assert ["scores", "scores_errors"] == list_tables(url)


def test_rejected_rows_are_written_once_if_no_row_was_scored(url, command, run, monkeypatch, tmp_path):
    tmp_path.joinpath("rows.csv").write_text("id,age\n1,old\n")
    commit = sa.Connection.commit

    def kill(connection):
        commit(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sa.Connection, "commit", kill)
        run(*command, "--append", code=130)
    run(*command, "--append")

    assert (["scores_errors"], [(2, "age must be a number", "1,old")]) == (
        list_tables(url),
        read(url, "scores_errors", "*"),
    )


def test_table_that_does_not_fit_is_reported_before_the_second_chunk(url, command, run, tmp_path):
    execute(url, "CREATE TABLE scores (id BIGINT)")
    error = run(*command, "--rows", "1", "--in-flight", "1", answers=1, code=2)

    assert "The table scores cannot be written to " in error
    assert "prediction" in error
    assert "gate:" not in error
    assert 1 == error.count("\n")
    assert {"rows.csv"} == {path.name for path in tmp_path.iterdir()} - {"database.db"}


@pytest.mark.parametrize("keep", [["id", "id"], ["prediction"], ["PREDICTION"]])
def test_columns_must_differ(url, run, keep, tmp_path):
    """In SQLite, also without regard to case."""
    tmp_path.joinpath("rows.csv").write_text("id,age,prediction,PREDICTION\n1,2,3,4\n")
    options = [option for name in keep for option in ("--keep", name)]
    command = ["rows.csv", "-o", url, "--table", "scores", *options]
    if keep == ["PREDICTION"] and url.startswith("postgresql"):
        run(*command, code=0)
        assert [(4, "no")] == read(url, columns='"PREDICTION", prediction')
    else:
        assert "The table scores cannot have two columns " in run(*command, code=2)


def test_identifiers_are_quoted(url, run, tmp_path):
    tmp_path.joinpath("rows.csv").write_text('"a ""%s"" %(b)s, :c ?",age\n1,2\n')
    table = 'select "; DROP % é'
    run("rows.csv", "-o", url, "--table", table, "--keep", 'a "%s" %(b)s, :c ?', code=0)

    assert [table] == list_tables(url)
    engine = sa.create_engine(parse_url(url, "url"), poolclass=sa.NullPool)
    assert 'a "%s" %(b)s, :c ?' == sa.inspect(engine).get_columns(table)[0]["name"]


def test_table_may_be_in_a_schema(url, command, run, request):
    schema = "main" if url.startswith("sqlite") else "shop"
    if schema == "shop":
        execute(url, "DROP SCHEMA IF EXISTS shop CASCADE", "CREATE SCHEMA shop")
        request.addfinalizer(lambda: execute(url, "DROP SCHEMA shop CASCADE"))
    command[command.index("scores")] = f"{schema}.scores"
    run(*command)

    assert (PREDICTIONS, REJECTED) == (
        read(url, f"{schema}.scores"),
        read(url, f"{schema}.scores_errors", "*"),
    )


def test_rows_of_a_query_are_scored_into_the_same_database(url, run):
    execute(url, "CREATE TABLE customers (id INTEGER, age TEXT)")
    execute(url, "INSERT INTO customers VALUES (1, '1'), (2, 'old'), (3, '30'), (4, '0.5')")
    query = ["--query", "SELECT id, age FROM customers ORDER BY id"]
    run(url, *query, "-o", url, "--table", "scores", "--keep", "id", "--rows", "1")

    assert PREDICTIONS == read(url)


def test_cells_of_any_text_are_written(url, run, tmp_path):
    """Bytes that a database does not store as text are replaced."""
    texts = ['a,"b"', "c\nd", "e\r\nf\r", "\\.", "\\N", "\t", " ", "NULL", "é"]
    rows = [[str(index), text, "1"] for index, text in enumerate(texts)]
    content = format_records([["id", "note", "age"], *rows]).encode() + b"9,\xff,1\n10,\0,1\n"
    tmp_path.joinpath("rows.csv").write_bytes(content)
    run("rows.csv", "-o", url, "--table", "scores", "--keep", "id", "--keep", "note")

    assert [*enumerate(texts), (9, "\ufffd"), (10, "\ufffd")] == read(url, columns="id, note")


def test_rejected_row_may_be_long(url, run, tmp_path):
    row = f"1,{'x' * 100_000},{'y' * 100_000},old"
    tmp_path.joinpath("rows.csv").write_text(f"id,a,b,age\n{row}\n2,,,3\n")
    run("rows.csv", "-o", url, "--table", "scores", "--keep", "id")

    assert [(row,)] == read(url, "scores_errors", "row")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "sqlite:///x.db"], "--table must be set to write predictions to a database"),
        (["-o", "out.csv", "--table", "t"], "--table needs the URL of a database as --output"),
        (["--table", "t"], "--table needs the URL of a database as --output"),
        (["-o", "mysql://u:secret@h/db", "--table", "t"], "(got mysql://h/db)"),
        (["-o", "out.csv", "--append"], "--append needs --table"),
        (["-o", "sqlite:///x.db", "--table", "t"], "--keep must name columns that identify a row"),
        (["-o", "sqlite:///x.db", "--table", "s.", "--keep", "id"], "must be the name of a table (got 's.')"),
        (
            ["-o", "sqlite:///x.db", "--table", "t", "--keep", "id", "--append", "--overwrite"],
            "--append must not be set with --overwrite",
        ),
        (["-o", "sqlite:///none/x.db", "--table", "t", "--keep", "id"], "unable to open database file"),
        (
            ["-o", "sqlite://", "--table", "t", "--keep", "id"],
            "--output must be the URL of a SQLite file or a PostgreSQL server: sqlite:///path",
        ),
    ],
)
def test_options_that_cannot_be_used_are_reported(run, arguments, message, tmp_path):
    error = run("rows.csv", *arguments, code=2)

    assert message in error
    assert "secret" not in error
    assert 1 == error.count("\n")
    assert ["rows.csv"] == [path.name for path in tmp_path.iterdir()]


def test_unavailable_database_is_reported_without_its_password(run):
    url = "postgresql://u:se/c?ret@127.0.0.1:1/db?password=secret"
    error = run("rows.csv", "-o", url, "--table", "t", "--keep", "id", code=4)

    assert "postgresql://127.0.0.1:1/db: the database failed: " in error
    assert "cret" not in error
    error = run("rows.csv", "-o", url.replace("/c?", "@c"), "--table", "t", "--keep", "id", code=2)
    assert "--output must be the URL of a SQLite file or a PostgreSQL server" in error
    assert "cret" not in error


def test_value_that_a_table_rejects_is_reported_and_loaded_after_a_change(url, command, run):
    """Without scoring the rows again."""
    execute(
        url,
        "CREATE TABLE scores (id BIGINT CHECK (id < 4), prediction TEXT, probability_yes FLOAT,"
        " probability_no FLOAT)",
    )
    error = run(*command, code=2)
    assert "The table scores cannot be written to " in error
    assert [] == read(url)
    execute(url, "DROP TABLE scores")
    run(*command, answers=0)

    assert PREDICTIONS == read(url)


def test_locked_database_is_reported_and_loaded_later(run, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/shop.db"
    command = ["rows.csv", "-o", url, "--table", "scores", "--keep", "id"]
    monkeypatch.setattr("modelgate.bulk.database_table.DatabaseTable.check_columns", lambda *_: None)
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "the database failed: database is locked" in run(*command, code=4)
    run(*command, answers=0)

    assert PREDICTIONS == read(url)


def test_unknown_transaction_is_not_repeated(postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = DatabaseTable(postgres.clear_tables(), "scores", appends=True)
    done = Checkpoint(target={}, chunk=1, transaction="3")
    with pytest.raises(
        ConfigurationError, match=r"delete the folder scores\.unfinished-.*repeat the run if the table"
    ):
        table.upload(done, lambda: None, lambda _: None)


NUMERALS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
    st.booleans().map(str),
    st.sampled_from(
        ["", "007", "-0", "1e999", "1e-400", "0e5", "1.50", "1\n2", "٣", " 1", "1_0", "NaN", "True "]
    ),
    st.from_regex(r"\A-?[0-9]{1,25}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?\Z"),
)


@given(st.lists(NUMERALS, min_size=1, max_size=5))
@example(["5e-324", "1.7976931348623157e308"])
@example(["1" * 300 + ".5"])
def test_inferred_type_represents_all_cells(cells):
    (kind,) = infer_types(1, [[cell] for cell in cells])
    values = [kind.convert(cell) for cell in cells if cell]

    if kind.sql is sa.Text:
        assert values == [cell for cell in cells if cell]
    elif kind.sql is sa.Boolean:
        assert [str(value) for value in values] == [cell for cell in cells if cell]
    elif kind.sql is sa.BigInteger:
        assert [str(value) for value in values] == [cell.replace("-0", "0") for cell in cells if cell]
        assert all(-(2**63) <= value < 2**63 for value in values)
    else:
        numerals = [cell for cell in cells if cell]
        assert all(map(math.isfinite, values))
        assert [cell.strip("-0.") != "" for cell in numerals] == [value != 0 for value in values]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_become_double_precision(values):
    """Whatever digits they have."""
    (kind,) = infer_types(1, [[repr(value)] for value in values])

    assert (sa.Double, values) == (kind.sql, [kind.convert(repr(value)) for value in values])


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=3
        )
    )
)
def test_records_are_read_as_they_were_written(tmp_path_factory, records):
    path = tmp_path_factory.getbasetemp() / "records.csv"
    path.write_text(format_records([["a", "b"], *records]), newline="")
    staged = StagedRecords(path)

    assert (["a", "b"], records) == (staged.names, list(staged))
    assert records == list(staged)


APP = """
from modelgate import Deployment, Gate, Schema
gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
"""


@pytest.mark.slow
def test_score_file_writes_a_table(url, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("table_app.py").write_text(APP)
    tmp_path.joinpath("rows.csv").write_text(ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    options = {"workers": 1, "table": "scores", "passthrough": ["id"], "batch_rows": 2}
    scored = score_file("rows.csv", url, "table_app:gate", **options)
    score_file("rows.csv", url, "table_app:gate", **options, append=True)
    score_file("rows.csv", url, "table_app:gate", **options, overwrite=True)

    assert ("scores", "scores_errors", 3, 1) == (scored.output, scored.errors, scored.scored, scored.rejected)
    assert [(1, 2.0), (2, None), (3, 60.0), (4, 1.0)] == read(url, columns="id, prediction")
    assert REJECTED == read(url, "scores_errors", "*")


WAIT = """
CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF NEW.id = 7 THEN PERFORM pg_advisory_xact_lock(42); END IF; RETURN NEW; END $$
"""
TRIGGER = "CREATE TRIGGER wait BEFORE INSERT ON scores FOR EACH ROW EXECUTE FUNCTION wait()"


@pytest.mark.slow
def test_killed_process_leaves_no_rows_and_is_resumed(postgres, monkeypatch, tmp_path):
    """It is killed while PostgreSQL inserts rows, of which one waits for a lock of the test."""
    monkeypatch.chdir(tmp_path)
    url = postgres.clear_tables()
    execute(url, "CREATE TABLE scores (id BIGINT, prediction FLOAT)", WAIT, TRIGGER)
    tmp_path.joinpath("table_app.py").write_text(APP)
    tmp_path.joinpath("rows.csv").write_text("id,age\n" + "".join(f"{row},{row}\n" for row in range(9)))
    command = [sys.executable, "-c", "from modelgate.cli import main; main()", "score", "rows.csv", "-o", url]
    command += ["--gate", "table_app:gate", "--workers", "1", "--table", "scores", "--keep", "id", "--append"]
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(42)")
        run = subprocess.Popen(
            command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: execute(url, waiting))
        run.send_signal(signal.SIGKILL)
        _, errors = run.communicate(timeout=SOON)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SOON)

    assert (-signal.SIGKILL, 0) == (run.returncode, done.returncode), errors + done.stderr
    assert [(row, 2.0 * row) for row in range(9)] == read(url, columns="id, prediction")


def test_user_may_only_insert_rows(postgres, run):
    """A table to which rows are appended need not be readable."""
    url = postgres.clear_tables()
    columns = "(id BIGINT, prediction TEXT, probability_yes FLOAT, probability_no FLOAT)"
    execute(
        url,
        f"CREATE TABLE scores {columns}",
        "CREATE TABLE scores_errors (line BIGINT, reason TEXT, row TEXT)",
        "DROP ROLE IF EXISTS writer",
        "CREATE ROLE writer LOGIN PASSWORD 'a-password'",
        "GRANT INSERT ON scores, scores_errors TO writer",
    )
    writer = str(sa.make_url(url).set(username="writer", password="a-password").render_as_string(False))
    command = ["rows.csv", "-o", writer, "--table", "scores", "--keep", "id"]
    error = run(*command, code=2)
    assert "permission denied for table scores" in error
    assert 1 == error.count("\n")
    run(*command, "--append")

    assert (PREDICTIONS, REJECTED) == (read(url), read(url, "scores_errors", "*"))
    execute(url, "DROP TABLE scores, scores_errors", "DROP ROLE writer")


def test_progress_of_loading_is_shown(command, run):
    assert "rows.csv  100 % of the results written to scores\n" in run(*command)


def test_progress_of_loading_counts_all_passes(url, monkeypatch, tmp_path):
    """New tables are read twice, because the types of their columns are inferred first."""
    monkeypatch.chdir(tmp_path)
    done, table = Checkpoint(target={}, chunk=1, scored=25_000), DatabaseTable(url, "scores", appends=True)
    table.staging.parent.mkdir()
    table.staging.write_text("id\n" + "1\n" * 25_000)
    fractions = []
    table.upload(done, lambda: None, fractions.append)

    assert [0.2, 0.4, 0.6, 0.8] == fractions

"""``modelgate score`` with the rows of database queries."""

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from modelgate import ConfigurationError, Deployment, Gate, Schema, StoreError
from modelgate.backends.sql import parse_url
from modelgate.bulk import score_file
from modelgate.bulk.query import open_query
from support.databases import DATABASES, make_database
from support.scoring import score_command
from support.waiting import SOON

AGES = [*range(1, 30)]
TABLE = [{"id": row, "age": age if age != 4 else None} for row, age in enumerate(AGES)]
OUTPUT = [
    "id,prediction",
    *(f"{row},{2.0 * age}" if age != 4 else f'{row},""' for row, age in enumerate(AGES)),
]
QUERY = "SELECT * FROM customers ORDER BY id"


@pytest.fixture(params=DATABASES)
def url(request):
    """The URL of an empty database, which exists."""
    url = make_database(request.param, request)
    execute(url, "SELECT 1")
    return url


def execute(url, statement, rows=None):
    engine = sa.create_engine(parse_url(url, "url"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), rows)


@pytest.fixture
def customers(url, tmp_path, monkeypatch):
    """Create the table *customers*, and return the URL of its database."""
    monkeypatch.chdir(tmp_path)
    execute(url, "DROP TABLE IF EXISTS customers")
    execute(url, "CREATE TABLE customers (id INTEGER, age NUMERIC)")
    execute(url, "INSERT INTO customers VALUES (:id, :age)", TABLE)
    return url


@pytest.fixture
def run(monkeypatch):
    gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
    return score_command(monkeypatch, gate)


def read(url, query):
    """Return the names and the cells of the rows."""
    with open_query(url, query) as rows:
        return list(csv.reader(io.StringIO(rows.content.read().decode(), newline="")))


def test_rows_of_a_query_are_scored(customers, run, tmp_path):
    """A stopped run is resumed by the same query."""
    command = [customers, "--query", QUERY, "--keep", "id", "--rows", "5"]
    stopped = run(*command, "--in-flight", "1", answers=2, code=2)
    run(*command)

    assert "run the same command to continue" in stopped
    assert OUTPUT == tmp_path.joinpath("predictions.csv").read_text().splitlines()
    rejected = tmp_path.joinpath("predictions.errors.csv").read_text().splitlines()
    assert ["line,reason,row", '5,age must not be null,"3,"'] == rejected


def test_query_with_another_order_cannot_be_resumed(customers, run):
    command = [customers, "--rows", "5", "--query"]
    run(*command, QUERY, "--in-flight", "1", answers=2, code=2)
    error = run(*command, f"{QUERY} DESC", code=2)

    assert (
        "has changed since scoring started: start over with --overwrite, with a query that has ORDER BY"
        in error
    )


def test_cells_of_a_query(url):
    """SQLite has no types for dates and booleans."""
    assert [["a", "b", "c"], ["1", "", 'x, "y"'], ["-2.5", "", "100 %"]] == read(
        url, """SELECT 1 AS a, NULL AS b, 'x, "y"' AS c UNION ALL SELECT -2.5, NULL, '100 %'"""
    )
    assert [["a"], ["x\ry"], ["x\r\ny"]] == read(url, "SELECT 'x\ry' AS a UNION ALL SELECT 'x\r\ny'")
    assert [["a"], [""]] == read(url, "SELECT NULL AS a")
    assert [["a"]] == read(url, "SELECT 1 AS a WHERE 1 = 0")


def test_cells_of_postgresql(postgres):
    texts = {
        "date '2024-02-29'": "2024-02-29",
        "timestamp '2024-02-29 01:02:03.5'": "2024-02-29 01:02:03.500000",
        "timestamptz '2024-02-29 01:02:03+05:30'": "2024-02-28 19:32:03+00:00",
        "time '01:02'": "01:02:00",
        "true": "True",
        "0.1::float8": "0.1",
        "'NaN'::float8": "",
        "'NaN'::numeric": "",
        "1234567890.12345678901234567890": "1234567890.12345678901234567890",
        "'6b7a4f2e-0000-0000-0000-000000000001'::uuid": "6b7a4f2e-0000-0000-0000-000000000001",
    }
    values = ", ".join(f"{value} AS v{index}" for index, value in enumerate(texts))

    assert list(texts.values()) == read(postgres.url, f"SELECT {values}")[1]


@pytest.mark.parametrize(
    ("value", "kind"), [("'\\x00'::bytea", "bytes"), ("ARRAY[1]", "list"), ("interval '1 s'", "timedelta")]
)
def test_values_without_a_cell_are_rejected(postgres, value, kind):
    with pytest.raises(ConfigurationError, match=rf"got tags: {kind}.: convert or drop the column"):
        read(postgres.url, f"SELECT 1 AS id, {value} AS tags")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM none", r"The query cannot be run by \w+://.*/.*: .*none"),
        ("SELECT 1; SELECT 2", "The query cannot be run by .*: "),
        ("DELETE FROM customers", "query "),
        ("DROP TABLE customers", "query "),
    ],
)
def test_statement_that_is_not_a_query_is_rejected(customers, statement, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        read(customers, statement)

    assert "gate:" not in str(raised.value)
    assert 1 + len(TABLE) == len(read(customers, QUERY))


def test_functions_of_a_query_cannot_write(postgres):
    assert [["a"], ["on"]] == read(postgres.url, "SELECT current_setting('transaction_read_only') AS a")


def test_unreachable_database_is_reported(tmp_path):
    with pytest.raises(StoreError, match=r"^postgresql://127\.0\.0\.1:1/db: the database failed: "):
        read("postgresql://user:se/c?ret@127.0.0.1:1/db?password=secret", "SELECT 1")
    with pytest.raises(
        ConfigurationError, match=r"path must be a database that exists \(got sqlite:///.*none.db\)"
    ):
        read(f"sqlite:///{tmp_path}/none.db", "SELECT 1")


ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 2",
    "postgresql": "SELECT CASE WHEN i > 20000 THEN pg_sleep(3600)::text END FROM generate_series(1, 30000) AS i",
}


def test_query_is_cancelled_when_the_run_stops(url):
    """Although a thread waits for its next rows."""
    with open_query(url, ENDLESS[url.partition(":")[0]]) as rows:
        rows.content.read1(1)
        waiting = ThreadPoolExecutor(1).submit(rows.content.read)
        time.sleep(0.1)

    assert waiting.exception(SOON) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sqlite:///shop.db"], "--query must be set to score rows of a database"),
        (["s3://bucket/big.csv", "--query", "SELECT 1"], "--query needs the URL of a database"),
        (["mysql://u:secret@host/db", "--query", "SELECT 1"], "--query needs the URL of a database"),
    ],
)
def test_query_belongs_to_a_database(run, arguments, message):
    error = run(*arguments, code=2)

    assert message in error
    assert "secret" not in error


def test_database_is_never_overwritten(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("shop.db").touch()
    command = ["sqlite:///shop.db", "--query", "SELECT 1 AS age", "--overwrite", "-o"]
    for output in ("shop.db", f"file://{tmp_path}/shop.db"):
        assert "is the input and would be overwritten" in run(*command, output, code=2)


APP = """
from modelgate import Deployment, Gate, Schema
gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
"""


@pytest.mark.slow
def test_score_file_takes_a_query(customers, monkeypatch, tmp_path):
    tmp_path.joinpath("query_app.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    options = {"query": QUERY, "passthrough": ["id"], "workers": 1}
    scored = score_file(customers, "out.csv", "query_app:gate", **options)

    assert (28, 1) == (scored.scored, scored.rejected)
    assert OUTPUT == tmp_path.joinpath("out.csv").read_text().splitlines()

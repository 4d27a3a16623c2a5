"""Tables of large CSV bodies, whose rows are decoded again whenever a model is called."""

import asyncio
import threading
import tracemalloc

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from modelgate import Column, InvalidInput, InvalidValues, Schema, Table, Validate, adrive, stack
from modelgate.inference import Predictor
from modelgate.inference import estimator as estimator_module
from modelgate.schema import CSV, LazyTable, csv_decoder
from modelgate.schema.csv_decoder import CSVDecoder
from modelgate.scoring import Query
from modelgate.scoring.score import predict as score_query

SCHEMA = Schema.of(a=float, count=Column("count", "integer", nullable=True), plan=str)
BODY = b"a,count,plan\n" + b"".join(b"%d.5,%d,p%d\n" % (row, row, row % 3) for row in range(50))


@pytest.fixture
def small_parts(monkeypatch):
    """Let a body of 50 rows be a large one."""
    monkeypatch.setattr(csv_decoder, "_JOINED_SIZE", 0)
    monkeypatch.setattr(csv_decoder, "_FEW_ROWS", 0)
    monkeypatch.setattr(csv_decoder, "_PART_ROWS", 20)
    monkeypatch.setattr(csv_decoder, "ROWS", 8)


@pytest.mark.usefixtures("small_parts")
def test_lazy_table_has_the_rows_of_the_body():
    table, expected = SCHEMA.read(CSV(BODY)), Table.concat(list(SCHEMA.iter_csv(BODY))).rows()
    slices = list(table.slices(5))

    assert 50 == len(table)
    assert {5, 3, 2} == {len(part) for part in slices}
    assert expected == [row for part in slices for row in part.rows()]
    assert expected == table.rows()
    assert expected[7:9] == table.slice(7, 9).rows()
    assert list(range(50)) == table["count"].tolist()
    with pytest.raises(AttributeError, match="shape"):
        _ = table.shape


@pytest.mark.usefixtures("small_parts")
def test_lazy_table_is_not_decoded_again_once_it_is_loaded(monkeypatch):
    table = SCHEMA.read(CSV(BODY))
    assert 50 == len(table.rows())
    monkeypatch.setattr(CSVDecoder, "iter_tables", None)

    assert [20, 20, 10] == [len(part) for part in table.slices(20)]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "header", [b"a,count,plan\n", b'a,"count",plan,",,,,,,,,,,,,,,,\n,,,,,,,"\n', b"a,count,plan\r"]
)
def test_size_of_parts_depends_on_the_number_of_columns(monkeypatch, header):
    monkeypatch.setattr(csv_decoder, "_PART_CELLS", 16)
    end = b"\r" if header.endswith(b"\r") else b"\n"
    more = b",x" if header.count(b"x") or header.count(b'"') else b""
    body = header + b"".join(b"%d,%d,p%s%s" % (row, row, more, end) for row in range(50))
    sizes = {len(part) for part in SCHEMA.read(CSV(body)).slices(50)}

    assert sizes <= ({4, 2} if more else {5})


@pytest.mark.usefixtures("small_parts")
def test_few_rows_are_stored(monkeypatch):
    monkeypatch.setattr(csv_decoder, "_FEW_ROWS", 100)

    assert type(SCHEMA.read(CSV(BODY))) is Table


@pytest.mark.usefixtures("small_parts")
def test_async_function_gets_rows_that_were_decoded_in_a_worker_thread(monkeypatch):
    load, threads = LazyTable.load, []

    def record_thread(table):
        threads.append(threading.get_ident())
        load(table)

    async def predict(table):
        return table["a"]

    monkeypatch.setattr(LazyTable, "load", record_thread)
    score = stack([Validate(SCHEMA)], score_query)
    flow = score(Query(CSV(BODY), predictor=Predictor(predict, SCHEMA)))
    prediction = asyncio.run(adrive(flow))

    assert (50, 0.5) == (len(prediction), prediction.values[0])
    assert 1 == len(threads)
    assert threading.get_ident() not in threads


@pytest.mark.usefixtures("small_parts")
def test_lazy_table_has_the_rows_of_a_body_without_header_line():
    table = SCHEMA.read(CSV(BODY.partition(b"\n")[2], SCHEMA.names))

    assert list(range(50)) == [row["count"] for part in table.slices(50) for row in part.rows()]


@pytest.mark.usefixtures("small_parts")
def test_all_rows_of_a_large_body_are_validated():
    with pytest.raises(InvalidValues, match="a must be a number"):
        SCHEMA.read(CSV(BODY + b"x,1,p\n"))
    with pytest.raises(InvalidInput, match="more than the 49 rows"):
        SCHEMA.read(CSV(BODY), 49)
    assert 50 == len(SCHEMA.read(CSV(BODY), 50))


@pytest.mark.usefixtures("small_parts")
def test_warnings_of_a_large_body_are_reported_once():
    schema = Schema.of(a=float, plan=["free"]).with_options(unknown_levels="warn")
    table = schema.read(CSV(b"a,plan\n" + b"1,pro\n" * 50))

    assert ("plan has values the model was not trained with",) == table.warnings


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("last", [b"50", b""])
@pytest.mark.parametrize("model", [LogisticRegression(), ExtraTreesClassifier(2, random_state=0)])
def test_predictions_do_not_depend_on_the_size_of_the_body(monkeypatch, model, last):
    """For a DataFrame, a null in the last row changes the dtype of the column in all rows."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(estimator_module, "_CHUNK_ROWS", 4)
    rows = np.random.default_rng(0).normal(size=(40, 2))
    model.fit(pandas.DataFrame(rows, columns=["a", "count"]), rows[:, 0] > 0)
    schema = Schema.of(a=float, count=Column("count", "integer", nullable=True))
    body = b"a,count\n" + b"".join(b"%d.5,%d\n" % (row - 25, row) for row in range(50)) + b"1," + last + b"\n"
    predictor = Predictor(model, schema)
    try:
        expected = predictor.score(Table.concat(list(schema.iter_csv(body))))
    except ValueError as error:
        with pytest.raises(type(error)):
            predictor.score(schema.read(CSV(body)))
        return

    assert expected.probabilities.tolist() == predictor.score(schema.read(CSV(body))).probabilities.tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rows"), [(float, 600_000), (str, 150_000)])
def test_large_table_takes_the_memory_of_its_parts(kind, rows):
    """As a whole, either table would take ten megabytes."""
    schema = Schema.of(a=kind, b=kind)
    body = CSV(b"a,b\n" + b"".join(b"%d,1\n" % row for row in range(rows)))
    schema.read(CSV(b"a,b\n1,1\n"))
    tracemalloc.start()
    try:
        table = schema.read(body)
        after_reading = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        count = sum(map(len, table.slices(8192)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert rows == count == len(table)
    assert after_reading < 500_000
    assert peak < 6_000_000

"""Scoring of Ray datasets, without Ray: `tests/hosts/test_ray.py` has a cluster."""

import csv
import io
import pickle

import numpy as np
import pandas
import pyarrow
import pytest
from sklearn.linear_model import LogisticRegression

from modelgate import (
    Column,
    ConfigurationError,
    Deployment,
    Gate,
    MissingColumns,
    ModelPackage,
    Schema,
    drive,
)
from modelgate.bulk import score_dataset
from modelgate.bulk.dataset import BatchScorer
from modelgate.bulk.gate_source import GateSource
from modelgate.bulk.local_session import LocalSession
from modelgate.humility import OutlyingInput

AGE = Schema.of(age=float)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The path of a package."""
    rows = pandas.DataFrame({"age": np.arange(40.0), "income": np.arange(40.0) % 7})
    model = LogisticRegression().fit(rows, np.where(rows["age"] > 20, "yes", "no"))
    path = tmp_path_factory.mktemp("models") / "churn.mgpkg"
    ModelPackage.from_estimator(model, rows, name="churn").save(path)
    return path


def make_scorer(predict, passthrough=(), schema=AGE):
    gate = Gate([Deployment("d", predict, schema=schema)], keys="open")
    return BatchScorer(GateSource(lambda: gate), passthrough)


def score(predict, ages=(1, 2)):
    """Return the column of the predictions of a function."""
    return make_scorer(predict)(pyarrow.table({"age": ages}))["prediction"]


def test_predictions_are_those_of_a_request(package):
    humility = [OutlyingInput("age", 0, 30)]
    gate = Gate([Deployment("churn", str(package), explanations="auto", humility=humility)], keys="open")
    scored = BatchScorer(GateSource(lambda: gate, query="explain=1"), None)(
        pyarrow.table({"age": [25.5, 35.5, 3.25], "income": [1, 2, 3]})
    )
    answer = drive(
        LocalSession(gate, "churn", "explain=1").post(
            b"age,income\n25.5,1\n35.5,2\n3.25,3\n", "text/csv", "text/csv"
        )
    )
    expected = list(csv.DictReader(io.StringIO(answer.content.decode())))

    assert "humility" in expected[0]
    assert ["age", "income", *expected[0], "error"] == scored.column_names
    assert expected == [{name: str(row[name]) for name in expected[0]} for row in scored.to_pylist()]


def test_rejected_rows_have_a_reason_and_nulls(package):
    scorer = BatchScorer(GateSource(model=package), ["id"])
    scored = scorer(
        pyarrow.table({"id": [1, 2, 3, 4], "age": ["9", "old", None, "30"], "income": [1, 2, 3, 4]})
    )

    assert [1, 2, 3, 4] == scored["id"].to_pylist()
    assert ["no", None, None, "yes"] == scored["prediction"].to_pylist()
    assert [False, True, True, False] == scored["probability_yes"].is_null().to_pylist()
    assert [None, "age must be a number", "age must not be null", None] == scored["error"].to_pylist()


@pytest.mark.parametrize("ages", [["old", "older"], []])
def test_batch_without_a_scored_row_has_the_same_columns(package, ages):
    """The columns of its predictions have the type null if no row was scored before."""
    scored = BatchScorer(GateSource(model=package), [])(
        pyarrow.table({"age": pyarrow.array(ages, pyarrow.string()), "income": [1] * len(ages)})
    )

    assert ["prediction", "probability_no", "probability_yes", "error"] == scored.column_names
    assert [pyarrow.null()] * 3 + [pyarrow.string()] == scored.schema.types
    assert len(ages) == len(scored)


def test_types_of_later_batches_without_a_scored_row_are_known(package):
    scorer = BatchScorer(GateSource(model=package), [])
    scored = [scorer(pyarrow.table({"age": [age], "income": [1]})) for age in ("1", "old")]

    assert scored[0].schema == scored[1].schema
    assert [None] == scored[1]["prediction"].to_pylist()


def test_block_without_a_schema_is_returned(package):
    empty = pyarrow.table({})

    assert empty is BatchScorer(GateSource(model=package), ["id"])(empty)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1.5, 2.5], pyarrow.float64(), [1.5, 2.5]),
        (np.array([0.1, 2], np.float32), pyarrow.float64(), [float(np.float32(0.1)), 2.0]),
        ([1, 2], pyarrow.int64(), [1, 2]),
        ([True, False], pyarrow.bool_(), [True, False]),
        (["1", "x"], pyarrow.string(), ["1", "x"]),
    ],
)
def test_types_of_predictions(values, kind, expected):
    scored = score(lambda table: np.asarray(values)[: len(table["age"])])

    assert (kind, expected) == (scored.type, scored.to_pylist())


def test_prediction_that_is_not_finite_is_null():
    deployment = Deployment("d", lambda table: np.log(table["age"] - 1), schema=AGE, nonfinite="null")
    gate = Gate([deployment], keys="open")
    with np.errstate(divide="ignore"):
        scored = BatchScorer(GateSource(lambda: gate), [])(pyarrow.table({"age": [1, 2]}))

    assert [None, 0.0] == scored["prediction"].to_pylist()


def test_values_of_explanations_are_texts(package):
    """Their type must not depend on the features that happen to be strongest."""
    scored = BatchScorer(GateSource(model=package, query="explain=2"), [])(
        pyarrow.table({"age": [25], "income": [1.5]})
    )

    assert ["25", "1.5"] == [scored[f"explanation_{index}_value"][0].as_py() for index in (1, 2)]


def test_cells_with_line_breaks_and_quotes():
    notes = ['x"y', "a\nb", "c\rd", ""]
    scored = make_scorer(lambda table: table["age"], None)(
        pyarrow.table({"note": notes, "age": [1, 2, 3, 4]})
    )

    assert (notes, [1.0, 2.0, 3.0, 4.0]) == (scored["note"].to_pylist(), scored["prediction"].to_pylist())


def test_columns_without_cells_are_kept_but_not_passed_to_the_model():
    lists = [[1], [2]]
    scored = make_scorer(lambda table: table["age"], ["v"])(pyarrow.table({"v": lists, "age": [1, 2]}))
    assert lists == scored["v"].to_pylist()

    with pytest.raises(MissingColumns) as raised:
        make_scorer(lambda table: table["age"])(pyarrow.table({"age": lists, "b": [1, 2]}))
    assert [
        "age was not passed to the model: list<item: int64> cannot be written as CSV"
    ] == raised.value.__notes__
    with pytest.raises(ConfigurationError, match="must have columns of numbers"):
        make_scorer(lambda table: table["age"])(pyarrow.table({"age": lists}))


def test_empty_chunks_have_no_rows():
    """As they are left by a filter."""
    ages = pyarrow.chunked_array([pyarrow.array([], pyarrow.string()), ["old", "9"]])
    scored = make_scorer(lambda table: table["age"])(pyarrow.table({"age": ages}))

    assert [None, 9.0] == scored["prediction"].to_pylist()
    assert [False, True] == [error is None for error in scored["error"].to_pylist()]


@pytest.mark.parametrize("is_encoded", [False, True])
def test_floats_have_their_exact_value(is_encoded):
    values = pyarrow.array([0.1, float("nan")], pyarrow.float32())
    values = values.dictionary_encode() if is_encoded else values
    schema = Schema.of(age=Column("age", nullable=True))
    scored = make_scorer(lambda table: np.nan_to_num(table["age"], nan=-1), schema=schema)(
        pyarrow.table({"age": values})
    )

    assert [float(np.float32(0.1)), -1.0] == scored["prediction"].to_pylist()


def test_kept_column_must_exist():
    with pytest.raises(ConfigurationError, match=r"passthrough must be columns of the dataset \(got 'idd'\)"):
        make_scorer(lambda table: table["age"], ["idd"])(pyarrow.table({"age": [1], "id": [1]}))


def test_kept_column_must_not_have_the_name_of_a_prediction():
    with pytest.raises(ConfigurationError, match="passthrough must not contain error, the name of a column"):
        make_scorer(lambda table: table["age"], ["error"])(pyarrow.table({"age": [1], "error": ["x"]}))


@pytest.mark.parametrize("values", [[1, 2], []])
def test_missing_column_is_an_error(values):
    with pytest.raises(MissingColumns, match="missing input columns: age"):
        make_scorer(lambda table: table["age"])(
            pyarrow.table({"eag": pyarrow.array(values, pyarrow.int64())})
        )


def test_model_of_a_url(package):
    scored = BatchScorer(GateSource(model=package.as_uri()), [])(pyarrow.table({"age": [30], "income": [1]}))

    assert ["yes"] == scored["prediction"].to_pylist()


def test_query_of_a_url_is_not_a_part_of_the_file_name(package):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/churn.mgpkg?versionId=1", package.read_bytes())
    scorer = BatchScorer(GateSource(model="memory://churn.mgpkg?versionId=1"), [])

    assert ["yes"] == scorer(pyarrow.table({"age": [30], "income": [1]}))["prediction"].to_pylist()


class Recorder:
    """Dataset that records the arguments of `map_batches`."""

    def map_batches(self, *args, **options):
        self.args, self.options = args, options
        return self


def test_options_of_map_batches(package, monkeypatch):
    monkeypatch.chdir(package.parent)
    dataset = score_dataset(
        Recorder(), model="churn.mgpkg", passthrough=["id"], num_cpus=2, intervals=[80, 90]
    )
    source, passthrough = pickle.loads(pickle.dumps(dataset.options.pop("fn_constructor_args")))

    assert (BatchScorer,) == dataset.args
    assert {"batch_size": 10_000, "batch_format": "pyarrow", "num_cpus": 2} == dataset.options
    assert (package, "intervals=80%2C90", ["id"]) == (source.model, source.query, passthrough)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "pass exactly one of model and gate"),
        ({"model": "churn.mgpkg", "gate": "app:gate"}, "pass exactly one of model and gate"),
        ({"gate": Gate(keys="open")}, "gate must be an import path"),
        ({"model": "churn.mgpkg", "deployment": "d"}, "deployment must be None if model is set"),
        (
            {"gate": "app:gate", "passthrough": "id"},
            r"passthrough must be a list of columns, such as \['id'\]",
        ),
        ({"gate": "app:gate", "batch_rows": 0}, r"batch_rows must be a whole number of at least 1 \(got 0\)"),
    ],
)
def test_options_that_cannot_be_used_are_reported(options, message):
    with pytest.raises(ConfigurationError, match=message):
        score_dataset(Recorder(), **options)

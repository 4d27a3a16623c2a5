"""Schemas from sample data, MLflow signatures and pandera schemas."""

import datetime
import decimal
import json
from types import SimpleNamespace

import numpy as np
import pandas
import polars
import pytest

from modelgate.errors import ConfigurationError
from modelgate.schema import Column, Schema

PLANS = ["free", "pro"] * 5
DATES = [datetime.date(2026, 1, 1)] * 10


def infer_sample(frame, **options):
    return list(Schema.from_sample(frame, **options).columns)


EXPECTED = [
    Column("age", "number", typical_value=4.5, observed_range=(0.5, 9.0)),
    Column("size", "integer", typical_value=2, observed_range=(1.0, 3.0)),
    Column("active", "boolean", typical_value=True),
    Column("plan", "text", ("free", "pro"), typical_value="free"),
    Column("note", "text", typical_value="n0"),
    Column("income", "number", nullable=True, typical_value=2.0, observed_range=(2.0, 2.0)),
    Column("born", "datetime", typical_value="2026-01-01"),
]
DATA = {
    "age": [0.5, *np.arange(1.0, 10.0).tolist()],
    "size": [1, 2, 3, 2, 1, 2, 3, 2, 1, 3],
    "active": [True, True, False, True, True] * 2,
    "plan": PLANS,
    "note": [f"n{index}" for index in range(10)],
    "income": [None, 2.0] * 5,
    "born": DATES,
}


@pytest.mark.parametrize("library", [pandas, polars], ids=lambda library: library.__name__)
def test_from_sample_infers_kinds_levels_nulls_and_statistics(library):
    """The same for pandas and polars."""
    actual = infer_sample(library.DataFrame(DATA))
    plain = {float, int, bool, str, type(None)}

    assert EXPECTED == actual
    assert plain >= {type(column.typical_value) for column in actual}


@pytest.mark.parametrize(
    ("dtype", "kind", "nullable", "value"),
    [
        ("float32", "number", False, 1.0),
        ("Float64", "number", True, 1.0),
        ("int8", "integer", False, 1),
        ("Int64", "integer", True, 1),
        ("uint8", "integer", False, 1),
        ("bool", "boolean", False, True),
        ("boolean", "boolean", True, True),
        ("object", "integer", True, 1),
    ],
)
def test_from_sample_supports_pandas_dtypes(dtype, kind, nullable, value):
    values = [1, None if nullable else 1]
    [column] = infer_sample(pandas.DataFrame({"a": pandas.Series(values, dtype=dtype)}))

    assert (kind, nullable, value) == (column.kind, column.nullable, column.typical_value)


@pytest.mark.parametrize(
    "series",
    [
        pandas.Series(["b", "a"], dtype=pandas.CategoricalDtype(["b", "a", "c"])),
        polars.Series(["b", "a"], dtype=polars.Enum(["b", "a", "c"])),
    ],
    ids=["pandas", "polars"],
)
def test_from_sample_uses_all_categories_of_a_dtype(series):
    """In their order, whether they occur or not, in any number of rows."""
    frame = series.to_frame("a")

    assert [Column("a", "text", ("b", "a", "c"), typical_value="b")] == infer_sample(frame, max_levels=0)


def test_from_sample_uses_the_values_of_a_polars_categorical():
    """Its dtype does not list the categories."""
    frame = polars.DataFrame({"a": polars.Series(["b", "a", None], dtype=polars.Categorical)})

    assert [Column("a", "text", ("a", "b"), nullable=True, typical_value="b")] == infer_sample(frame)


def test_from_sample_with_numeric_categories():
    """The typical value is one of them."""
    frame = pandas.DataFrame({"a": pandas.Categorical([1, 4, 1, 4])})

    assert [Column("a", "integer", (1, 4), typical_value=1, observed_range=(1.0, 4.0))] == infer_sample(frame)


@pytest.mark.parametrize(
    ("values", "options", "levels"),
    [
        (["a", "b"] * 5, {}, ("a", "b")),
        (["a", "b"] * 5, {"max_levels": 2}, ("a", "b")),
        (["a", "b"] * 5, {"max_levels": 1}, None),
        (["a", "b"] * 4, {}, None),
        (["a", None] * 5, {}, ("a",)),
        (["a", None] * 4, {}, None),
    ],
)
def test_from_sample_finds_levels_of_text(values, options, levels):
    """At most max_levels distinct values, with five rows for each on average."""
    for library in (pandas, polars):
        [column] = infer_sample(library.DataFrame({"a": values}), **options)

        assert levels == column.levels


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", 1], "any"),
        ([True, 1], "any"),
        ([1, 2.5], "number"),
        ([2**53 + 1, 1], "any"),
        ([decimal.Decimal("1.5"), decimal.Decimal(2)], "number"),
        ([datetime.time(1, 2), datetime.datetime(2026, 1, 1)], "text"),
        ([datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, 9)], "datetime"),
    ],
    ids=repr,
)
def test_from_sample_infers_the_kind_of_object_columns(values, kind):
    """Mixed types, and integers that float64 cannot represent, have the kind any."""
    frame = pandas.DataFrame({"a": pandas.Series(values, dtype=object)})
    [column] = infer_sample(frame)

    assert kind == column.kind
    assert len(values) == len(Schema([column]).read(frame))


@pytest.mark.parametrize("library", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_from_sample_schema_accepts_its_own_dates_and_decimals(library):
    moment = datetime.datetime(2026, 1, 2, 3, 4)
    frame = library({"d": [moment.date(), None], "m": [moment, None], "n": [decimal.Decimal("1.5"), None]})

    midnight = datetime.datetime(2026, 1, 2)
    rows = [{"d": midnight, "m": moment, "n": 1.5}, {"d": None, "m": None, "n": None}]
    assert rows == Schema.from_sample(frame).read(frame).rows()


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (pandas.DataFrame({"a": pandas.Series([], dtype=float)}), "number"),
        (pandas.DataFrame({"a": pandas.Series([], dtype="datetime64[ns]")}), "datetime"),
        (pandas.DataFrame({"a": pandas.Series([None], dtype=object)}), "any"),
        (polars.DataFrame({"a": polars.Series([None], dtype=polars.UInt8)}), "integer"),
        (polars.DataFrame({"a": polars.Series([], dtype=polars.Boolean)}), "boolean"),
        (polars.DataFrame({"a": polars.Series([None], dtype=polars.String)}), "text"),
        (polars.DataFrame({"a": [None]}), "any"),
    ],
)
def test_from_sample_uses_the_dtype_of_an_empty_column(frame, kind):
    [column] = infer_sample(frame)

    assert (kind, None, len(frame) > 0) == (column.kind, column.typical_value, column.nullable)


@pytest.mark.parametrize(
    "frame",
    [pandas.DataFrame({"a": [np.nan, np.inf]}), polars.DataFrame({"a": [float("nan"), float("inf")]})],
    ids=["pandas", "polars"],
)
def test_from_sample_ignores_nan_and_infinity(frame):
    assert [Column("a", nullable=True)] == infer_sample(frame)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pandas.DataFrame({"a": [[1], [2]]}), "'a'.*list"),
        (pandas.DataFrame({"a": [b"x"]}), "'a'.*bytes"),
        (pandas.DataFrame({"a": pandas.to_timedelta([1])}), "'a'.*imedelta"),
        (polars.DataFrame({"a": polars.Series([], dtype=polars.List(polars.Int8))}), r"'a'.*List"),
        (pandas.DataFrame({"a": pandas.Series([], dtype="timedelta64[ns]")}), "'a'.*timedelta"),
        (pandas.DataFrame({0.5: [1]}), "name must be text.*got 0.5"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "different names.*'a' twice"),
        (polars.LazyFrame({"a": [1]}), "LazyFrame"),
        ({"a": [1]}, r"DataFrame \(got dict\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_from_sample_rejects_unsupported_values(frame, message):
    """The message names the column."""
    with pytest.raises(ConfigurationError, match=message):
        Schema.from_sample(frame)


@pytest.mark.parametrize("max_levels", [-1, 1.5, True, None])
def test_from_sample_rejects_an_invalid_max_levels(max_levels):
    with pytest.raises(ConfigurationError, match="max_levels"):
        Schema.from_sample(pandas.DataFrame({"a": [1]}), max_levels=max_levels)


# Objects of MLflow 3.17.2: ModelSignature(.inputs) -> Schema(.inputs, iterable) -> ColSpec, whose type
# is a DataType with a name (an Array or an AnyType has none), or TensorSpec, which has a shape.


class Inputs(list):
    @property
    def inputs(self):
        return list(self)


def spec(name, kind, required=True):
    return SimpleNamespace(name=name, type=SimpleNamespace(name=kind), required=required)


SPECS = [
    ("active", "boolean", True, Column("active", "boolean")),
    ("size", "integer", True, Column("size", "integer")),
    ("count", "long", True, Column("count", "integer")),
    ("height", "float", True, Column("height")),
    ("age", "double", False, Column("age", required=False, nullable=True)),
    ("note", "string", True, Column("note", "text")),
    ("born", "datetime", True, Column("born", "datetime", resolution="ns")),
    ("else", "any", True, Column("else", "any", nullable=True)),
]
OBJECTS = Inputs(spec(name, kind, required) for name, kind, required, _ in SPECS)
DICTS = [{"type": kind, "name": name, "required": required} for name, kind, required, _ in SPECS]


@pytest.mark.parametrize(
    "signature",
    [
        SimpleNamespace(inputs=OBJECTS, outputs=None, params=None),
        OBJECTS,
        {"inputs": json.dumps(DICTS), "outputs": None, "params": None},
        {"inputs": DICTS},
        json.dumps(DICTS),
        DICTS,
    ],
    ids=["signature", "inputs", "dict", "dict of list", "text", "list"],
)
def test_from_signature_reads_names_types_and_optional_columns(signature):
    """As an object, or as in an MLmodel file."""

    assert [column for *_, column in SPECS] == list(Schema.from_signature(signature).columns)


def test_from_signature_numbers_unnamed_columns():
    signature = [{"type": "double", "required": True}, {"type": "long"}]

    assert [Column("x0"), Column("x1", "integer")] == list(Schema.from_signature(signature).columns)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ([spec("picture", "binary")], "'picture'.*binary"),
        ([{"type": "array", "items": {"type": "string"}, "name": "tags", "required": True}], "'tags'.*array"),
        ([SimpleNamespace(name="tags", type="Array(string)", required=True)], r"'tags'.*array\(string\)"),
        ([SimpleNamespace(name=None, type=np.dtype("float32"), shape=(-1, 3))], "tensors"),
        ([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}], "tensors"),
        (SimpleNamespace(inputs=None), "must have inputs"),
        ({"inputs": None}, "must have inputs"),
        ("[]", "must have inputs"),
        (None, "must have inputs"),
        ("{", "must be valid JSON"),
        ("{}", "must be an MLflow ModelSignature"),
        (3, "must be an MLflow ModelSignature"),
    ],
    ids=repr,
)
def test_from_signature_rejects_unsupported_signatures(signature, message):
    with pytest.raises(ConfigurationError, match=message):
        Schema.from_signature(signature)


# Objects of pandera 0.35.0: DataFrameSchema(.columns: name -> Column, .checks, .unique); Column(.dtype,
# .nullable, .required, .default, .description, .regex, .unique, .checks); Check(.name, .statistics,
# .raise_warning). str(dtype) is the name used here.


class Dtype(SimpleNamespace):
    def __str__(self):
        return self.name


def check(name, raise_warning=False, **statistics):
    return SimpleNamespace(name=name, statistics=statistics, raise_warning=raise_warning)


def column(dtype, *checks, categories=None, **options):
    defaults = {"nullable": False, "required": True, "default": None, "description": None, "regex": False}
    kind = None if dtype is None else Dtype(name=dtype, categories=categories)
    return SimpleNamespace(dtype=kind, checks=list(checks), unique=False, **{**defaults, **options})


def schema(columns, checks=(), unique=None):
    return SimpleNamespace(columns=columns, checks=list(checks), unique=unique)


def read_column(spec):
    [actual] = Schema.from_pandera(schema({"a": spec})).columns
    return actual


LENGTH = {"min_value": None, "exact_value": None}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (column("float64"), Column("a")),
        (column("Float32", nullable=True, required=False), Column("a", required=False, nullable=True)),
        (column("int64"), Column("a", "integer")),
        (column("UInt8"), Column("a", "integer")),
        (column("boolean"), Column("a", "boolean")),
        (column("string[python]"), Column("a", "text")),
        (column("datetime64[ns]"), Column("a", "datetime")),
        (column("time"), Column("a", "text")),
        (column("object"), Column("a", "any")),
        (column(None), Column("a", "any")),
        (column("category"), Column("a", "any")),
        (column("category", categories=("x", "y")), Column("a", "text", ("x", "y"))),
        (
            column("category", check("isin", allowed_values=["y", "z"]), categories=("x", "y")),
            Column("a", "text", ("y",)),
        ),
        (column("str", default="x", description="d"), Column("a", "text", default="x", description="d")),
        (
            column(
                "float64",
                check("greater_than_or_equal_to", min_value=np.int64(0)),
                check("less_than_or_equal_to", max_value=9),
                check("in_range", min_value=-5, max_value=5, include_min=True, include_max=True),
            ),
            Column("a", minimum=0, maximum=5),
        ),
        (column("int64", check("isin", allowed_values={3, 1})), Column("a", "integer", (1, 3))),
        (column("object", check("isin", allowed_values=["x"])), Column("a", "text", ("x",))),
        (
            column("str", check("str_matches", pattern="a|b"), check("str_length", max_value=5, **LENGTH)),
            Column("a", "text", pattern="^(?:a|b)", max_length=5),
        ),
        (column("float64", check("greater_than", raise_warning=True, min_value=0)), Column("a")),
    ],
)
def test_from_pandera_reads_columns(spec, expected):
    """A check that only warns is ignored."""

    assert expected == read_column(spec)


def test_from_pandera_anchors_patterns():
    """pandera matches at the start of the text, a Column anywhere."""
    anchored = read_column(column("str", check("str_matches", pattern="a|b")))

    assert [True, True, False] == [anchored.allows(text) for text in ("ax", "bx", "xb")]


@pytest.mark.parametrize(
    "unsupported",
    [
        check("greater_than", min_value=0),
        check("less_than", max_value=0),
        check("in_range", min_value=0, max_value=5, include_min=False, include_max=True),
        check("in_range", min_value=0, max_value=5, include_min=True, include_max=False),
        check("not_equal_to", value=1),
        check("str_length", min_value=1, max_value=5, exact_value=None),
        check("str_length", min_value=None, max_value=None, exact_value=5),
        check("notin", forbidden_values=["x"]),
        check("<lambda>"),
    ],
    ids=lambda spec: spec.name,
)
def test_from_pandera_rejects_unsupported_checks(unsupported):
    """Ignoring them would accept values that the pandera schema rejects."""
    with pytest.raises(ConfigurationError, match=f"'a'.*{unsupported.name}.*by hand"):
        read_column(column("float64", unsupported))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (schema({"a": column("timedelta64[ns]")}), "'a'.*timedelta64"),
        (schema({"a": column("complex128")}), "'a'.*complex128"),
        (schema({"a.*": column("int64", regex=True)}), r"'a\.\*'.*regex"),
        (schema({"a": column("str", *[check("str_matches", pattern="a")] * 2)}), "'a'.*check of its pattern"),
        (schema({"a": column("int64", check("isin", allowed_values=[b"x"]))}), "'a'.*bytes"),
        (schema({"a": column("int64")}, checks=[check("together")]), "together"),
        (schema({"a": column("int64")}, unique=["a"]), "unique"),
        (schema({}), "at least one Column"),
        (object(), r"must be a DataFrameSchema \(got object\)"),
    ],
)
def test_from_pandera_rejects_unsupported_schemas(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        Schema.from_pandera(spec)


def test_from_pandera_ignores_row_checks_that_only_warn():
    assert 1 == len(
        Schema.from_pandera(schema({"a": column("int64")}, checks=[check("c", raise_warning=True)]))
    )

"""Names that callers write differently from the schema."""

import lightgbm
import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from modelgate import (
    CSV,
    Column,
    ConfigurationError,
    Deployment,
    Gate,
    InvalidInput,
    InvalidValues,
    MissingColumns,
    ModelPackage,
    Schema,
    score,
)
from modelgate.schema import SplitRows
from modelgate.schema.names import find_labels, find_similar, match_names, normalize_name
from modelgate.testing import Client

COMPOSED, DECOMPOSED = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
PAIRS = {
    "decomposed": (COMPOSED, DECOMPOSED),
    "composed": (DECOMPOSED, COMPOSED),
    "space": ("body_mass", "body mass"),
    "underscore": ("body mass", "body_mass"),
    "spaces around it": ("age", " age "),
    "number": ("x0", "0"),
}
FRAME = pandas.DataFrame({"a b": np.arange(40.0) % 7, "c": np.arange(40.0)})


def bodies_of(name, value="1.5"):
    return {
        "json": f'{{"{name}": {value}}}'.encode(),
        "json array": f'[{{"{name}": {value}, "other": [1]}}]'.encode(),
        "csv": CSV(f"{name}\n{value}\n".encode()),
        "quoted csv": CSV(f'"{name}"\n"{value}"\n'.encode()),
        "split": SplitRows([name], [[float(value)]]),
        "split with another": SplitRows([name, "other"], [[float(value), 1]]),
        "python": {name: float(value)},
        "frame": pandas.DataFrame({name: [float(value)]}),
    }


@pytest.mark.slow
@pytest.mark.parametrize("body", bodies_of("a"))
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("required", [True, False])
def test_name_that_can_only_mean_one_column_is_accepted(pair, body, required):
    """Also for an optional column, whose value would be ignored otherwise."""
    column, sent = PAIRS[pair]
    schema = Schema([Column(column, required=required, nullable=True)])

    assert [{column: 1.5}] == schema.read(bodies_of(sent)[body]).rows()


@pytest.mark.parametrize("pair", PAIRS)
def test_accepted_name_is_not_unexpected(pair):
    column, sent = PAIRS[pair]
    schema = Schema.of(**{column: float}).with_options(extra_columns="forbid")

    for body in ({sent: 1.0}, CSV(f"{sent}\n1\n".encode()), f'{{"{sent}": 1}}'.encode()):
        assert [{column: 1.0}] == schema.read(body).rows()
    with pytest.raises(InvalidValues, match="must be a number"):
        schema.read({sent: "x"})


@pytest.mark.parametrize(
    ("name", "normalized"),
    [
        ("\tbody  mass \t", "body__mass"),
        ("\u00a0age\u00a0", "\u00a0age\u00a0"),
        ("age\n", "age\n"),
        ("X axis X", "X_axis_X"),
    ],
)
def test_spaces_and_tabs_around_a_name_do_not_matter(name, normalized):
    assert normalized == normalize_name(name)


def test_labels_of_other_types_stand_for_no_column():
    labels = ["a", 1, 1.5, None, "other", ("b",)]

    assert {"a": "a", "1": 1, "other": "other"} == find_labels(labels, ["a", "b"])
    assert {"x0": 0, "x1": 1} == find_labels([0, 1], ["x0", "x1"])


def test_own_name_has_priority():
    schema = Schema.of(body_mass=float)

    assert [{"body_mass": 1.0}] == schema.read({"body mass": 2.0, "body_mass": 1.0}).rows()


def test_similar_names_do_not_matter():
    row = {"a b": 1.0, "a\u00a0b": 2.0, "a_ b": 3.0, "A_b": 4.0}

    assert [{"a_b": 1.0}] == Schema.of(a_b=float).read(row).rows()


@pytest.mark.parametrize(
    ("columns", "row", "suggestions"),
    [
        (
            [COMPOSED + " x"],
            {DECOMPOSED + " x": 1, DECOMPOSED + "_x": 2},
            {DECOMPOSED + " x": COMPOSED + " x"},
        ),
        (["a b", "a_b"], {"a\u0308": 1, "A_B": 2}, {"A_B": "a_b"}),
        (["x0", "x1"], {"1": 1, "2": 2}, {}),
        (["x0", "y"], {"0": 1, "y": 2}, {}),
        (["x0", "x1"], {"00": 1, "1": 2}, {}),
    ],
    ids=["two names", "no match", "from one", "other names", "zeros"],
)
def test_other_names_are_rejected(columns, row, suggestions):
    """With a suggestion, if they are similar."""
    schema = Schema([Column(name) for name in columns])
    with pytest.raises(MissingColumns) as info:
        schema.read(row)
    assert suggestions == info.value.details.get("did_you_mean", {})


def test_name_that_could_mean_two_columns_is_rejected():
    schema = Schema([Column(f"{COMPOSED} x"), Column(f"{COMPOSED}_x")])

    with pytest.raises(MissingColumns) as info:
        schema.read({f"{DECOMPOSED} x": 1.0})
    assert [f"{COMPOSED} x", f"{COMPOSED}_x"] == info.value.missing_columns
    assert [f"{DECOMPOSED} x"] == list(info.value.details["did_you_mean"])


NAMES = st.lists(
    st.sampled_from(["a b", "a_b", "a  b", COMPOSED, DECOMPOSED, "x0", "x1", "0", "1"]), unique=True
)


def test_similar_names_are_those_of_no_column():
    assert ["a_b", " c "] == find_similar(["a b", "c"], ["a b", "a_b", "c", " c ", "d"])
    assert ["1"] == find_similar(["x0", "x1"], ["x0", "1", "2"])


@given(NAMES, NAMES)
def test_matching_is_unambiguous(columns, sent):
    """Each name gets at most one column, each column one name, and no column that was sent by its own name."""
    aliases = match_names(columns, sent)

    assert len(aliases) == len(set(aliases.values()))
    assert set(aliases) <= set(sent) - set(columns)
    assert set(aliases.values()) <= set(columns) - set(sent)


def test_lightgbm_takes_the_names_of_its_training_data():
    """It stores ``a b`` as ``a_b``."""
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(FRAME, FRAME["c"])
    gate = Gate([Deployment("m", model)], keys="open")
    body = {"deployment": "m", "input_data": FRAME[:3].to_dict("records")}

    np.testing.assert_allclose(model.predict(FRAME), gate.score("m", FRAME).values, rtol=1e-12)
    np.testing.assert_allclose(
        model.predict(FRAME[:3]).round(2),
        Client(gate.wsgi).post("/api/predict", json=body).json()["predictions"],
    )


@pytest.fixture
def numbered():
    frame = pandas.DataFrame(FRAME.to_numpy())
    return frame, LinearRegression().fit(frame, frame[1] * 3)


def test_frame_with_numbers_as_names(numbered):
    """As training data, as input, and as the JSON that pandas writes."""
    frame, model = numbered
    package = ModelPackage.from_estimator(model, frame, frame[1] * 3)
    bodies = [frame, frame.to_json(orient="records").encode(), CSV(frame.to_csv(index=False).encode())]

    assert ("x0", "x1") == package.schema.names
    assert {"x0", "x1"} == set(package.statistics["columns"])
    for body in bodies:
        np.testing.assert_allclose(model.predict(frame), score(model, body).values, rtol=1e-12)
        np.testing.assert_allclose(
            model.predict(frame), score(model, body, schema=Schema.from_sample(frame)).values, rtol=1e-12
        )
    assert 0 == len(Schema.from_model(model).read(frame[:0]))


def test_training_frame_with_numbers_as_names_provides_kinds(numbered):
    frame, _ = numbered
    flags = frame.astype({0: bool})
    model = LinearRegression().fit(flags, frame[1])

    assert ["boolean", "number"] == [column.kind for column in Schema.from_model(model, flags)]


def test_number_and_the_same_text_are_different_names():
    with pytest.raises(InvalidInput, match="a number and the same number as text"):
        Schema.of(x0=float).read({0: 1.0, "0": 2.0})


@pytest.mark.parametrize("name", [1.5, ("a", "b"), True, None], ids=repr)
def test_other_labels_are_rejected(name):
    with pytest.raises(InvalidInput, match="rename the column, or send an array"):
        Schema.of(x0=float).read({name: 1.0})
    with pytest.raises(ConfigurationError, match="column name must be text"):
        Schema.from_sample(pandas.DataFrame([[1.0]], columns=pandas.Index([name], tupleize_cols=False)))

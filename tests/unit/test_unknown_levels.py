"""Values that are not among a column's levels, where the model would accept them."""

import json
import logging

import click.testing
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from modelgate import ConfigurationError, Deployment, Gate, InvalidValues, ModelPackage, Schema
from modelgate.cli.root import cli
from modelgate.testing import Client
from support.marks import slow
from support.versions import SKLEARN

FRAME = pd.DataFrame({"age": np.arange(60.0), "plan": ["free", "pro", "team"] * 20})
LABELS = (FRAME["age"] % 7 > 2).astype(int)
NEW = pd.DataFrame({"age": [3.0, 4.0], "plan": ["gold", "pro"]})
ADVICE = (
    "unknown values of plan are rejected, although the model would accept them:"
    ' set unknown_levels="warn" on the deployment to accept them, or "reject" to keep rejecting them'
)


def fit(*encoders):
    columns = make_column_transformer(
        (StandardScaler(), ["age"]), *((encoder, ["plan"]) for encoder in encoders)
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, LABELS)


IGNORING = {
    "one-hot": lambda: fit(OneHotEncoder(handle_unknown="ignore")),
    "infrequent": lambda: fit(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2)),
    "ordinal": lambda: fit(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
    "target": lambda: fit(TargetEncoder()),
}
if SKLEARN >= (1, 4):  # before, boosting takes no text
    IGNORING["boosting"] = lambda: HistGradientBoostingClassifier(
        categorical_features=["plan"], max_iter=5
    ).fit(FRAME, LABELS)

REJECTING = {
    "one-hot": lambda: fit(OneHotEncoder()),
    "one of two": lambda: fit(OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()),
}


@pytest.fixture(params=["one-hot", *slow(*sorted(IGNORING.keys() - {"one-hot"}))])
def model(request):
    return IGNORING[request.param]()


@pytest.mark.slow
def test_unknown_levels_are_rejected_by_default(model, caplog):
    """The log says that the model would accept them, and how."""
    gate = Gate([Deployment("m", model)], keys="open")

    assert [f"deployment m: {ADVICE}"] == [record.getMessage() for record in caplog.records]
    with pytest.raises(InvalidValues, match="plan must be one of free, pro, team"):
        gate.score("m", NEW)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "warnings"),
    [("warn", ["plan has values the model was not trained with"]), ("accept", None)],
)
def test_unknown_levels_are_predicted_as_by_the_model(model, caplog, option, warnings):
    gate = Gate([Deployment("m", model, unknown_levels=option)], keys="open")
    response = Client(gate.wsgi).post("/deployments/m/predict", json={"rows": NEW.to_dict("records")})
    expected = model.predict_proba(NEW)

    assert np.allclose(expected, gate.score("m", NEW).outputs[0].probabilities, rtol=1e-12, atol=0)
    assert 200 == response.status
    assert warnings == response.json().get("warnings")
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
@pytest.mark.parametrize("name", REJECTING)
def test_no_advice_if_the_model_rejects_them_too(name, caplog):
    """An encoder without an option for unknown values raises an error."""
    Gate([Deployment("m", REJECTING[name]())], keys="open")

    assert not caplog.records


@pytest.mark.slow
def test_option_that_is_set_is_not_discussed(caplog):
    gate = Gate([Deployment("m", IGNORING["one-hot"](), unknown_levels="reject")], keys="open")

    assert not caplog.records
    with pytest.raises(InvalidValues):
        gate.score("m", NEW)


@pytest.mark.slow
def test_option_applies_to_any_schema(tmp_path):
    """To one by hand, and to that of a package, also before it is loaded."""
    model = IGNORING["one-hot"]()
    schema = Schema.of(age=float, plan=["free", "pro", "team"])
    ModelPackage.from_estimator(model, FRAME, name="packed").save(tmp_path / "packed.mgpkg")
    gate = Gate(
        [
            Deployment("hand", model, schema, unknown_levels="warn"),
            Deployment("packed", tmp_path / "packed.mgpkg", unknown_levels="warn"),
        ],
        keys="open",
    )

    for name in ("packed", "hand"):
        assert np.array_equal(model.predict(NEW), gate.score(name, NEW).values)


def test_invalid_option_is_rejected():
    with pytest.raises(ConfigurationError, match="unknown_levels must be one of reject, warn, accept"):
        Deployment("m", IGNORING["one-hot"](), unknown_levels="refuse")


def run(*arguments):
    result = click.testing.CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code in (0, 1), result.output
    return result


@pytest.mark.slow
def test_command_line_gives_the_advice(tmp_path, monkeypatch):
    """pack, inspect and doctor."""
    model = IGNORING["one-hot"]()
    ModelPackage.from_estimator(model, FRAME, name="plain").save(tmp_path / "plain.mgpkg")
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "levels_app.py").write_text(
        "from modelgate import Deployment, Gate\n"
        f"path = {str(tmp_path / 'plain.mgpkg')!r}\n"
        "gate = Gate([Deployment('silent', path), Deployment('chosen', path, unknown_levels='reject')], keys='open')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    packed = run(
        "pack", tmp_path / "plain.mgpkg", "--sample", tmp_path / "rows.csv", "-o", tmp_path / "b.mgpkg"
    )
    findings = json.loads(run("doctor", "levels_app:gate", "--json").stdout)

    assert ADVICE in packed.stderr.splitlines()
    assert f"warning    {ADVICE}" in run("inspect", tmp_path / "plain.mgpkg").stdout
    assert ["silent"] == [finding["about"] for finding in findings if "are rejected" in finding["what"]]

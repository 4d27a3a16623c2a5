"""``modelgate inspect`` and ``modelgate pack``, as people and programs call them."""

import dataclasses
import hashlib
import json
import os
import pickle

import click.testing
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelgate import ModelPackage, Schema
from modelgate.cli.root import cli
from modelgate.models.report import report_on
from releases import broken

KEY = "a-secret-that-is-kept-elsewhere"
FRAME = pd.DataFrame({"age": np.arange(100.0), "plan": ["free", "pro"] * 50})
CHURNED = (FRAME["age"] > 60).astype(int)


def mapped(frame):
    return frame.assign(plan=frame["plan"].map({"free": 0, "pro": 1}))


def run(*arguments, code=0, **options):
    done = click.testing.CliRunner(env={"MODELS_KEY": KEY}).invoke(cli, list(map(str, arguments)), **options)

    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def pipeline():
    columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["plan"]))
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, CHURNED)


@pytest.fixture
def sample(tmp_path):
    FRAME.assign(churned=CHURNED).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


@pytest.fixture
def joblib_file(tmp_path, pipeline):
    joblib.dump(pipeline, tmp_path / "churn.joblib")
    return tmp_path / "churn.joblib"


@pytest.fixture
def packed(joblib_file, sample):
    done = run(
        *("pack", joblib_file, "--sample", sample, "--trusted", "--version", "7", "--key-env", "MODELS_KEY"),
        *("--target", "churned", "--positive-class", "1", "--threshold", "0.3"),
    )
    return joblib_file.with_suffix(".mgpkg"), done


def test_a_model_is_packed(packed, pipeline):
    """The digest alone on standard output; how to serve it beside it."""
    path, done = packed
    digest = done.stdout.removesuffix("\n")
    package = ModelPackage.load(path, sha256=digest, key=KEY)
    told = package.manifest

    assert f'sha256="{digest}"' in done.stderr
    assert ("churn", "7", "churned", 1, 0.3) == (
        told.name,
        told.version,
        told.target,
        told.positive_class,
        told.threshold,
    )
    assert [[0, 61], [1, 39]] == package.statistics["target"][0]["levels"]
    assert np.array_equal(pipeline.predict_proba(FRAME), package.model.predict_proba(FRAME))


def test_a_file_that_is_there_is_kept(packed, joblib_file, sample):
    """Another one is replaced by --force; that of the model never."""
    path, content = packed[0], packed[0].read_bytes()
    arguments = ("pack", joblib_file, "--sample", sample, "--trusted", "--version", "8")
    for again, told in (
        (("pack", path, "--sample", sample, "--force"), "takes another --output"),
        (arguments, "or --force"),
    ):
        assert told in run(*again, code=2).stderr
        assert content == path.read_bytes()
    run(*arguments, "--force")

    assert "8" == ModelPackage.load(path).manifest.version


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_package_is_packed_again(packed, sample, tmp_path, folder):
    """What no option says is as it was, the schema too."""
    before = ModelPackage.load(packed[0])
    schema = before.schema.reading(extra="forbid")
    path, other = tmp_path / "before.mgpkg", tmp_path / "other.mgpkg"
    dataclasses.replace(before, schema=schema).save(path, folder=folder)
    run("pack", path, "--sample", sample, "-o", other, "--threshold", "0.4")
    again = ModelPackage.load(other)
    kept = ("name", "version", "target", "positive_class")

    assert [getattr(before.manifest, each) for each in kept] == [
        getattr(again.manifest, each) for each in kept
    ]
    assert (0.4, schema.policy) == (again.manifest.threshold, again.schema.policy)
    assert before.statistics["target"] == again.statistics["target"]


def test_a_regressor_on_an_array(tmp_path):
    """Packed as a pickle by choice, under another name, with a schema of its own."""
    rows = np.random.default_rng(0).normal(size=(30, 2))
    skops.io.dump(LinearRegression().fit(rows, rows[:, 0]), tmp_path / "m.skops")
    Schema.of(a=float, b=float).save(tmp_path / "schema.toml")
    pd.DataFrame(rows, columns=["a", "b"]).assign(price=rows[:, 0]).to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "price.mgpkg"
    digest = run(
        *(
            "pack",
            tmp_path / "m.skops",
            "--sample",
            tmp_path / "rows.csv",
            "--schema",
            tmp_path / "schema.toml",
        ),
        *("--format", "joblib", "--name", "price", "--target", "price", "-o", out),
    ).stdout.strip()
    package = ModelPackage.load(out, sha256=digest, allow_pickle=True)

    assert ("price", ("a", "b")) == (package.manifest.name, package.schema.names)
    assert rows[:, 0].mean() == pytest.approx(package.statistics["target"][0]["mean"])
    assert "target" not in ModelPackage.from_estimator(package.model, rows).statistics


def test_what_cannot_be_packed(tmp_path, joblib_file, sample):
    """A pickle nobody trusts, rows of something else, a target that is none."""
    other = tmp_path / "other.csv"
    other.write_text("shoe\n1\n")
    words = tmp_path / "words.csv"
    words.write_text("x0,y\n1,many\n")
    skops.io.dump(LinearRegression().fit([[1], [2]], [1, 2]), tmp_path / "m.skops")
    for arguments, told in (
        ((joblib_file, "--sample", sample), "--trusted"),
        ((joblib_file, "--sample", other, "--trusted"), "missing input columns: age, plan"),
        ((tmp_path / "m.skops", "--sample", words, "--target", "y"), "many"),
        ((joblib_file, "--sample", sample, "--trusted", "--positive-class", "9"), "positive_class='9'"),
        ((tmp_path / "none.skops", "--sample", sample), "does not exist"),
        ((joblib_file, "--sample", sample, "--key-env", "NONE"), "NONE is not set"),
    ):
        done = run("pack", *arguments, code=2)

        assert told in done.stderr
        assert "" == done.stdout


def test_a_package_is_inspected(packed):
    """For people lines, for programs JSON."""
    path, done = packed
    shown = run("inspect", path, "--key-env", "MODELS_KEY").stdout
    told = json.loads(run("inspect", path, "--json").stdout)

    assert f"sha256     {done.stdout}" in shown
    for line in (
        "model      ColumnTransformer > LogisticRegression",
        "plan       exact",
        "package    churn 7  signed",
        "task       binary of churned",
        "classes    0, 1",
        "threshold  0.3 for 1",
        "age\tnumber\tyes\tno\t-",
        "plan\ttext\tyes\tno\tfree | pro",
    ):
        assert line in shown
    assert "warning" not in shown
    assert (True, "skops", [], []) == (told["signed"], told["format"], told["runs"], told["warnings"])
    assert "exact" == told["plan"]
    assert ("churn", ["age", "plan"]) == (
        told["package"]["name"],
        [column["name"] for column in told["schema"]["column"]],
    )


def test_a_folder_is_inspected(packed, tmp_path):
    """As a file is."""
    folder = tmp_path / "folder.mgpkg"
    digest = ModelPackage.load(packed[0]).save(folder, folder=True)

    assert digest in run("inspect", folder).stdout


def test_a_bare_file_is_inspected(tmp_path, pipeline):
    """It tells its columns once it is loaded; a schema file to edit is written where it is asked for."""
    skops.io.dump(pipeline, tmp_path / "m.skops")
    shown = run("inspect", tmp_path / "m.skops", "--schema", tmp_path / "m.toml").stdout

    assert "model      ColumnTransformer > LogisticRegression" in shown
    assert ("age", "plan") == Schema.load(tmp_path / "m.toml").names


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_a_pickle_would_run(tmp_path, protocol):
    """Is told without running it."""
    path = tmp_path / "m.joblib"
    path.write_bytes(pickle.dumps([LinearRegression(), Bomb(tmp_path / "crater"), Bomb("b")], protocol))
    shown = run("inspect", path).stdout

    assert f"runs       {os.mkdir.__module__}.mkdir" in shown
    assert "runs       sklearn.linear_model._base.LinearRegression" in shown
    assert "warning    it is a pickle" in shown
    assert not (tmp_path / "crater").exists()


def test_a_model_that_cannot_answer(tmp_path):
    """Is told as what a gate would refuse, and why; one of which that is not known is told too."""
    joblib.dump(broken(), tmp_path / "broken.joblib")
    doubtful = make_pipeline(FunctionTransformer(mapped), LogisticRegression()).fit(FRAME, CHURNED)
    joblib.dump(doubtful, tmp_path / "doubtful.joblib")
    refused = run("inspect", tmp_path / "broken.joblib", "--trusted").stdout
    doubted = run("inspect", tmp_path / "doubtful.joblib", "--trusted").stdout

    assert "a gate would refuse it: model must answer a row of its schema" in refused
    assert "no answer" in refused
    assert "not known whether it can answer: no synthetic row was answered" in doubted


def test_a_pickle_that_is_trusted(joblib_file):
    """Is loaded; one that is not tells what it holds as far as that can be read."""
    joblib.dump(1, joblib_file.with_name("compressed.joblib"), compress=3)
    for path in (joblib_file, joblib_file.with_name("compressed.joblib")):
        assert "cannot be told" in run("inspect", path).stdout
    assert "age\tnumber" not in run("inspect", joblib_file).stdout
    assert "age\tnumber" in run("inspect", joblib_file, "--trusted").stdout
    assert "plan       exact" in run("inspect", joblib_file, "--trusted").stdout


def test_a_bare_file_is_not_asked_for_its_plan(tmp_path):
    """Its model would predict, and what somebody else's takes for that nobody knows."""
    skops.io.dump(
        make_pipeline(StandardScaler(), LinearRegression()).fit(FRAME[["age"]], FRAME["age"]),
        tmp_path / "m.skops",
    )

    assert "plan " not in run("inspect", tmp_path / "m.skops").stdout
    assert "plan       exact" in run("inspect", tmp_path / "m.skops", "--trusted").stdout


def test_what_a_gate_would_refuse(tmp_path, packed):
    """Types that are not trusted, a tampered member, another key: each is told."""
    skops.io.dump(make_pipeline(FunctionTransformer(os.mkdir), LinearRegression()), tmp_path / "m.skops")
    shown = run("inspect", tmp_path / "m.skops").stdout

    assert f"runs       {os.mkdir.__module__}.mkdir" in shown
    assert "a gate would refuse it" in shown
    assert "plan " not in shown
    skops.io.dump(StandardScaler().fit(FRAME[["age"]]), tmp_path / "m.skops")
    assert "a gate would refuse it: model=" in run("inspect", tmp_path / "m.skops", "--trusted").stdout
    path = packed[0]
    content = path.read_bytes()
    at = content.index(b"predict_proba")
    path.write_bytes(content[:at] + b"P" + content[at + 1 :])
    assert "a gate would refuse it" in run("inspect", path).stdout
    done = click.testing.CliRunner(env={"OTHER": "a-secret-of-somebody"}).invoke(
        cli, ["inspect", str(path), "--key-env", "OTHER"]
    )
    assert (2, True) == (done.exit_code, "signature" in done.stderr)


@pytest.mark.parametrize("name", ["m.txt", "m.mgpkg", "m.skops"])
def test_what_is_no_model_file(tmp_path, name):
    """Is told in a line."""
    (tmp_path / name).write_bytes(b"no model")
    done = run("inspect", tmp_path / name, code=2)

    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_many_levels_and_figures(tmp_path, monkeypatch):
    """Are shown in part, also in a terminal."""
    frame = pd.DataFrame({"town": [f"town {at % 8}" for at in range(80)], "age": np.arange(80.0)})
    schema = Schema.from_sample(frame)
    columns = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(frame, frame["age"])
    ModelPackage.from_estimator(model, frame, schema=schema, target=["age"]).save(tmp_path / "m.mgpkg")
    plain = run("inspect", tmp_path / "m.mgpkg").stdout
    monkeypatch.setattr("modelgate.cli.tables.is_terminal", lambda: True)

    assert "town 0 | town 1 | town 2 | town 3 | town 4 | … (8)" in plain
    assert "0 to 79 in training" in plain
    assert "town 0" in run("inspect", tmp_path / "m.mgpkg").stdout


def test_a_report_is_of_the_very_bytes(joblib_file):
    """Its digest pins the file."""

    assert hashlib.sha256(joblib_file.read_bytes()).hexdigest() == report_on(joblib_file).sha256

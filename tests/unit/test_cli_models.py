"""``modelgate inspect`` and ``modelgate pack``."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import zipfile

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

from modelgate import Deployment, Gate, ModelPackage, Schema
from modelgate.cli.root import cli
from modelgate.models.inspection import report_on
from support.packages import fit_broken_model
from support.signing import write_key_pair

FRAME = pd.DataFrame({"age": np.arange(100.0), "plan": ["free", "pro"] * 50})
CHURNED = (FRAME["age"] > 60).astype(int)


def mapped(frame):
    return frame.assign(plan=frame["plan"].map({"free": 0, "pro": 1}))


def run(*arguments, code=0, **options):
    done = click.testing.CliRunner().invoke(cli, list(map(str, arguments)), **options)

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
def packed(joblib_file, sample, key_pair):
    done = run(
        *("pack", joblib_file, "--sample", sample, "--load-pickle", "--version", "7"),
        *("--sign-key", key_pair.private),
        *("--target", "churned", "--positive-class", "1", "--threshold", "0.3"),
    )
    return joblib_file.with_suffix(".mgpkg"), done


@pytest.mark.slow
def test_pack_writes_a_package_and_prints_its_digest(packed, pipeline, key_pair):
    """Standard output holds only the digest."""
    path, done = packed
    digest = done.stdout.removesuffix("\n")
    package = ModelPackage.load(path, sha256=digest, public_keys=[key_pair.public])
    manifest = package.manifest

    assert f'sha256="{digest}"' in done.stderr
    assert ("churn", "7", "churned", 1, 0.3) == (
        manifest.name,
        manifest.version,
        manifest.target,
        manifest.positive_class,
        manifest.threshold,
    )
    assert [[0, 61], [1, 39]] == package.statistics["target"][0]["levels"]
    assert np.array_equal(pipeline.predict_proba(FRAME), package.model.predict_proba(FRAME))


@pytest.mark.slow
def test_pack_replaces_files_only_with_force(packed, joblib_file, sample):
    """It never replaces its input."""
    path, content = packed[0], packed[0].read_bytes()
    arguments = ("pack", joblib_file, "--sample", sample, "--load-pickle", "--version", "8")
    for again, message in (
        (("pack", path, "--sample", sample, "--force"), "choose another --output"),
        (arguments, "or pass --force"),
    ):
        assert message in run(*again, code=2).stderr
        assert content == path.read_bytes()
    run(*arguments, "--force")

    assert "8" == ModelPackage.load(path).manifest.version


@pytest.mark.slow
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_pack_takes_missing_options_from_a_package(packed, sample, tmp_path, folder):
    before = ModelPackage.load(packed[0])
    schema = before.schema.with_options(extra_columns="forbid")
    path, other = tmp_path / "before.mgpkg", tmp_path / "other.mgpkg"
    dataclasses.replace(before, schema=schema).save(path, folder=folder)
    run("pack", path, "--sample", sample, "-o", other, "--threshold", "0.4")
    again = ModelPackage.load(other)
    inherited = ("name", "version", "target", "positive_class")

    assert [getattr(before.manifest, name) for name in inherited] == [
        getattr(again.manifest, name) for name in inherited
    ]
    assert (0.4, schema.options) == (again.manifest.threshold, again.schema.options)
    assert before.statistics["target"] == again.statistics["target"]


def test_pack_regressor_fitted_on_an_array(tmp_path):
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


def test_pack_reports_unusable_input(tmp_path, joblib_file, sample):
    other = tmp_path / "other.csv"
    other.write_text("shoe\n1\n")
    words = tmp_path / "words.csv"
    words.write_text("x0,y\n1,many\n")
    skops.io.dump(LinearRegression().fit([[1], [2]], [1, 2]), tmp_path / "m.skops")
    for arguments, message in (
        ((joblib_file, "--sample", sample), "--load-pickle"),
        ((joblib_file, "--sample", other, "--load-pickle"), "missing input columns: age, plan"),
        ((tmp_path / "m.skops", "--sample", words, "--target", "y"), "many"),
        (
            (joblib_file, "--sample", sample, "--load-pickle", "--positive-class", "9"),
            "positive_class must be one of",
        ),
        ((tmp_path / "none.skops", "--sample", sample), "does not exist"),
    ):
        done = run("pack", *arguments, code=2)

        assert message in done.stderr
        assert "" == done.stdout


@pytest.mark.slow
def test_inspect_package(packed, key_pair):
    path, done = packed
    shown = run("inspect", path, "--public-key", key_pair.public).stdout
    report = json.loads(run("inspect", path, "--json").stdout)

    assert f"sha256     {done.stdout}" in shown
    for line in (
        "model      ColumnTransformer > LogisticRegression",
        "plan       exact",
        "package    churn 7  signed by Ed25519 key ",
        "task       binary of churned",
        "classes    0, 1",
        "threshold  0.3 for 1",
        "age\tnumber\tyes\tno\t-",
        "plan\ttext\tyes\tno\tfree | pro",
    ):
        assert line in shown
    assert "warning" not in shown
    assert ("skops", [], []) == (report["format"], report["runs"], report["warnings"])
    assert f"signed by Ed25519 key {report['signer']}\n" in shown
    assert "exact" == report["plan"]
    assert ("churn", ["age", "plan"]) == (
        report["package"]["name"],
        [column["name"] for column in report["schema"]["column"]],
    )


@pytest.mark.slow
def test_inspect_folder(packed, tmp_path):
    folder = tmp_path / "folder.mgpkg"
    digest = ModelPackage.load(packed[0]).save(folder, folder=True)

    assert digest in run("inspect", folder).stdout


def test_inspect_bare_file_and_write_its_schema(tmp_path, pipeline):
    skops.io.dump(pipeline, tmp_path / "m.skops")
    shown = run("inspect", tmp_path / "m.skops", "--schema", tmp_path / "m.toml").stdout

    assert "model      ColumnTransformer > LogisticRegression" in shown
    assert ("age", "plan") == Schema.load(tmp_path / "m.toml").names


class Bomb:
    """Create a folder when unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_inspect_lists_pickle_imports_without_running_them(tmp_path, protocol):
    path = tmp_path / "m.joblib"
    path.write_bytes(pickle.dumps([LinearRegression(), Bomb(tmp_path / "crater"), Bomb("b")], protocol))
    shown = run("inspect", path).stdout

    assert f"runs       {os.mkdir.__module__}.mkdir" in shown
    assert "runs       sklearn.linear_model._base.LinearRegression" in shown
    assert "warning    the model is a pickle" in shown
    assert not (tmp_path / "crater").exists()


@pytest.mark.slow
def test_inspect_warns_if_the_model_cannot_predict(tmp_path):
    joblib.dump(fit_broken_model(), tmp_path / "broken.joblib")
    doubtful = make_pipeline(FunctionTransformer(mapped), LogisticRegression()).fit(FRAME, CHURNED)
    joblib.dump(doubtful, tmp_path / "doubtful.joblib")
    rejected = run("inspect", tmp_path / "broken.joblib", "--load-pickle").stdout
    doubted = run("inspect", tmp_path / "doubtful.joblib", "--load-pickle").stdout

    assert "a gate would reject the file: model must be able to score a row of its schema" in rejected
    assert "no answer" in rejected
    assert "unknown whether the model can make predictions: the model scored no synthetic row" in doubted


@pytest.mark.slow
def test_inspect_loads_pickles_only_with_the_option(joblib_file):
    assert "list of imports may be incomplete" in run("inspect", joblib_file).stdout
    assert "age\tnumber" not in run("inspect", joblib_file).stdout
    assert "age\tnumber" in run("inspect", joblib_file, "--load-pickle").stdout
    assert "plan       exact" in run("inspect", joblib_file, "--load-pickle").stdout


def test_inspect_does_not_call_the_model_of_a_bare_file(tmp_path):
    """A plan can only be found by a prediction, which may run untrusted code."""
    skops.io.dump(
        make_pipeline(StandardScaler(), LinearRegression()).fit(FRAME[["age"]], FRAME["age"]),
        tmp_path / "m.skops",
    )

    assert "plan " not in run("inspect", tmp_path / "m.skops").stdout
    assert "plan       exact" in run("inspect", tmp_path / "m.skops", "--load-pickle").stdout


def test_inspect_warns_of_what_a_gate_would_reject(tmp_path, packed):
    """Untrusted types, a tampered member, and a signature by another key."""
    skops.io.dump(make_pipeline(FunctionTransformer(os.mkdir), LinearRegression()), tmp_path / "m.skops")
    shown = run("inspect", tmp_path / "m.skops").stdout

    assert f"runs       {os.mkdir.__module__}.mkdir" in shown
    assert "a gate would reject the file" in shown
    assert "plan " not in shown
    skops.io.dump(StandardScaler().fit(FRAME[["age"]]), tmp_path / "m.skops")
    assert (
        "a gate would reject the file: model must be"
        in run("inspect", tmp_path / "m.skops", "--load-pickle").stdout
    )
    path = packed[0]
    content = path.read_bytes()
    position = content.index(b"predict_proba")
    path.write_bytes(content[:position] + b"P" + content[position + 1 :])
    assert "a gate would reject the file" in run("inspect", path).stdout
    other = write_key_pair(tmp_path, "other")
    done = run("inspect", path, "--public-key", other.public, code=2)
    assert "which is not one of public_keys" in done.stderr
    assert 1 == done.stderr.count("model=")


@pytest.mark.parametrize("name", ["m.md", "m.mgpkg", "m.skops"])
def test_inspect_rejects_other_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"no model")
    done = run("inspect", tmp_path / name, code=2)

    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_inspect_shortens_long_lists_of_levels(tmp_path, monkeypatch):
    frame = pd.DataFrame({"town": [f"town {index % 8}" for index in range(80)], "age": np.arange(80.0)})
    schema = Schema.from_sample(frame)
    columns = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(frame, frame["age"])
    ModelPackage.from_estimator(model, frame, schema=schema, target=["age"]).save(tmp_path / "m.mgpkg")
    plain = run("inspect", tmp_path / "m.mgpkg").stdout
    monkeypatch.setattr("modelgate.cli.output_tables.is_terminal", lambda: True)

    assert "town 0 | town 1 | town 2 | town 3 | town 4 | … (8)" in plain
    assert "0 to 79 in training" in plain
    assert "town 0" in run("inspect", tmp_path / "m.mgpkg").stdout


HOSTILE = "\x1b[2J\r\nplan       exact\x9b1m\x07\u202e"


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [False, True])
def test_inspect_escapes_control_characters(tmp_path, monkeypatch, terminal):
    """Nothing in a file may move the cursor, forge a line or reverse the text."""
    frame = pd.DataFrame({f"größe{HOSTILE}": ["a", f"b{HOSTILE}"] * 10})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, [f"no{HOSTILE}", "yes"] * 10)
    package = ModelPackage.from_estimator(model, frame, target=f"churned{HOSTILE}")
    package.save(tmp_path / "m.mgpkg")
    monkeypatch.setattr("modelgate.cli.output_tables.is_terminal", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "400")
    shown = run("inspect", tmp_path / "m.mgpkg").stdout
    as_json = run("inspect", tmp_path / "m.mgpkg", "--json").stdout

    for text in (shown, as_json):
        assert all(character.isprintable() or character in "\t\n" for character in text)
        assert "größe" in text
    assert 1 == sum(line.startswith("plan ") for line in shown.splitlines())
    assert f"größe{HOSTILE}" == json.loads(as_json)["schema"]["column"][0]["name"]


def test_pack_escapes_control_characters_in_errors(tmp_path, sample):
    """The message quotes the file's type names."""
    content = skops.io.dumps(LinearRegression().fit([[1.0]], [1.0]))
    with zipfile.ZipFile(io.BytesIO(content)) as good, zipfile.ZipFile(tmp_path / "m.skops", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name).replace(b'"LinearRegression"', json.dumps(HOSTILE).encode()))
    error = run("pack", tmp_path / "m.skops", "--sample", sample, code=2).stderr

    assert "contains types that are not trusted" in error
    assert all(character.isprintable() for character in error.removesuffix("\n"))


def test_report_digest_is_that_of_the_file(joblib_file):
    assert hashlib.sha256(joblib_file.read_bytes()).hexdigest() == report_on(joblib_file).sha256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cells", "kinds"),
    [
        (["10115", "2A"], ["text", "boolean"]),
        (["10115", "20"], ["any", "boolean"]),
    ],
)
def test_pack_infers_text_and_boolean_columns_from_the_sample(tmp_path, cells, kinds):
    """Used where the model does not store the column type. Digits may be a number or a code."""
    frame = pd.DataFrame({"zip": cells * 20, "on": [True, False] * 20})
    zips = make_column_transformer(
        (FunctionTransformer(pd.DataFrame.isin, kw_args={"values": ["10115"]}), ["zip"]),
        (StandardScaler(), ["on"]),
    )
    joblib.dump(make_pipeline(zips, LogisticRegression()).fit(frame, [1, 0] * 20), tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    run(
        *(
            "pack",
            tmp_path / "m.joblib",
            "--sample",
            tmp_path / "rows.csv",
            "--load-pickle",
            "--format",
            "joblib",
        ),
    )
    digest = hashlib.sha256((tmp_path / "m.mgpkg").read_bytes()).hexdigest()
    package = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest, allow_pickle=True)

    assert kinds == [column.kind for column in package.schema]


@pytest.fixture
def dates(tmp_path):
    """Model that was trained on dates, and its training rows as CSV."""
    frame = pd.DataFrame({"when": pd.date_range("2024-01-06", periods=40), "load": range(40)})
    to_numbers = FunctionTransformer(pd.DataFrame.astype, kw_args={"dtype": "int64"})
    model = make_pipeline(to_numbers, StandardScaler(), LogisticRegression()).fit(frame, [1, 0] * 20)
    joblib.dump(model, tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    options = ("--sample", tmp_path / "rows.csv", "--load-pickle", "--format", "joblib")
    return model, frame, ("pack", tmp_path / "m.joblib", *options)


@pytest.mark.slow
def test_pack_reads_datetimes_if_told(tmp_path, dates):
    model, frame, command = dates
    digest = run(*command, "--datetime", "when").stdout.strip()
    package = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest, allow_pickle=True)
    gate = Gate([Deployment("m", package)], keys="open")

    assert ["datetime", "any"] == [column.kind for column in package.schema]
    np.testing.assert_allclose(model.predict_proba(frame), gate.score("m", frame).probabilities)


def test_pack_advises_about_dates(tmp_path):
    """CSV does not tell dates from texts, and the model may have been trained on either."""
    frame = pd.DataFrame({"when": ["2024-01-06", "2024-02-07 10:00"] * 20, "note": ["2024", "a"] * 20})
    shape = FunctionTransformer(pd.DataFrame.isna)
    joblib.dump(make_pipeline(shape, LogisticRegression()).fit(frame, [1, 0] * 20), tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    command = ("pack", tmp_path / "m.joblib", "--sample", tmp_path / "rows.csv", "--load-pickle")
    advice = run(*command, "--format", "joblib").stderr.splitlines()[:-1]

    assert [
        "when contains dates, which are packed as text: pass --datetime when if the model was trained on dates"
    ] == advice


def test_pack_rejects_an_unknown_datetime_column(dates):
    error = run(*dates[2], "--datetime", "wen", code=2).stderr

    assert (
        "--datetime: columns must be names of the schema's columns (got 'wen'): did you mean 'when'?" in error
    )


def test_pack_rejects_a_sample_that_is_not_utf8(tmp_path, joblib_file):
    (tmp_path / "rows.csv").write_bytes(b"age,plan\n\xff,free\n")

    assert (
        "rows.csv"
        in run("pack", joblib_file, "--sample", tmp_path / "rows.csv", "--load-pickle", code=2).stderr
    )

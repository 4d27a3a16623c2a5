"""Paths that the system rejects, passed to each option that takes one."""

import pytest

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, ModelPackage, Schema
from modelgate.bulk import score_file
from modelgate.humility import HumilityRules
from modelgate.monitoring import PredictionLog
from support.packages import make_package

PATHS = {
    "long name": "x" * 300,
    "long path": "d/" * 3000 + "x",
    "file as folder": "rows.csv/x",
    "loop": "loop/x",
    "nul": "nul\0x",
}
SCHEMA = Schema.of(age=float)


def make_gate(**options):
    return Gate([Deployment("churn", lambda table: table["age"], schema=SCHEMA)], keys="open", **options)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize(
    "use",
    [
        lambda path: Gate([Deployment("churn", path + ".mgpkg")], keys="open"),
        lambda path: ModelPackage.load(path + ".mgpkg"),
        lambda path: ModelPackage.load("churn.mgpkg", public_keys=[path]),
        lambda path: make_package(1).save(path + ".mgpkg"),
        lambda path: make_package(1).save(path + ".mgpkg", folder=True),
        lambda path: make_package(1).save("churn.mgpkg", sign_key=path),
        FolderStore,
        lambda path: make_gate(metrics_dir=path),
        lambda path: make_gate(array_dir=path),
        PredictionLog,
        lambda path: Schema.load(path + ".toml"),
        lambda path: SCHEMA.save(path + ".toml"),
        lambda path: HumilityRules.load(path + ".json"),
        lambda path: score_file(path, "scored.csv", "app:create_gate"),
        lambda path: score_file("rows.csv", path, "app:create_gate"),
        lambda path: score_file(f"sqlite:///{path}", "scored.csv", "app:create_gate", query="SELECT 1"),
    ],
    ids=[
        *(
            "deployment",
            "load",
            "public key",
            "save",
            "save folder",
            "sign key",
            "store",
            "metrics",
            "arrays",
        ),
        *("log", "schema", "save schema", "rules", "input", "output", "database"),
    ],
)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_unusable_path_is_a_configuration_error(use, path):
    with pytest.raises(ConfigurationError):
        use(path)


def test_output_url_with_a_long_name():
    """The predictions are written to a local file before they are uploaded."""
    with pytest.raises(ConfigurationError, match="x' cannot be used: File name too long"):
        score_file("rows.csv", f"file:///{'x' * 300}", "app:create_gate")


def test_output_without_a_name():
    with pytest.raises(ConfigurationError, match=r"^output must be a file \(got '.'\)"):
        score_file("rows.csv", "", "app:create_gate")

"""``modelgate doctor``: each check with made-up facts, and the command with real gates."""

import json
from datetime import UTC, datetime, timedelta

import click.testing
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate import Column, Deployment, KeyAuth, RateLimit, Schema, TrustedProxies
from modelgate.cli import checks
from modelgate.cli.checks import CHECKS, Facts, Finding, LoadedModel
from modelgate.cli.gate_import import import_gate
from modelgate.cli.root import cli
from modelgate.errors import ConfigurationError
from modelgate.keys import SqlKeyStore
from modelgate.keys.key_record import KeyRecord
from modelgate.models.cache import CacheInfo

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SCHEMA = Schema.of(age=float)
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def run_check(check, **facts):
    """Return the level and the text of each finding of *check*."""
    return [(finding.level, f"{finding.about}: {finding.what}") for finding in check(Facts(now=NOW, **facts))]


def make_record(**options):
    members = {"id": "k_1", "counted_as": "k_1", "prefix": "mg_live_abcd", "owner": "sales", "scopes": ("*",)}
    return KeyRecord(**{**members, "limits": None, "created": NOW, **options})


@pytest.fixture
def sqlite(tmp_path):
    store = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db")
    yield store
    store.close()


def test_keys_for_unknown_deployments_are_found(sqlite):
    """In a mapping; a database can have keys for other gates."""
    layers = [KeyAuth({"k" * 16: ["prise", "churn:read", "*"]}), KeyAuth(sqlite)]
    findings = run_check(checks.check_key_deployments, layers=layers, deployments=dict.fromkeys(["churn"]))

    assert [("wrong", "keys: there are keys for prise, which the gate does not have")] == findings


@pytest.mark.parametrize(
    ("scopes", "count"),
    [(("*", "*:operate"), 1), (("churn:predict", "churn:operate"), 1), (("*:operate",), 0), (("churn",), 0)],
)
def test_key_that_operates_and_calls_deployments_is_found(scopes, count):
    """Unless it has been revoked."""
    records = [make_record(scopes=scopes), make_record(scopes=scopes, revoked=NOW)]
    findings = run_check(checks.check_operator_keys, records=records)

    assert [("note", "keys: k_1 of sales can operate deployments as well as call them")] * count == findings


def test_limit_storage_is_checked_for_several_processes():
    alone, shared = RateLimit("5/minute"), RateLimit("5/minute", storage="redis://127.0.0.1:1")
    findings = run_check(checks.check_limit_storage, layers=[alone, shared], workers=4)

    assert [
        (
            "wrong",
            "limits: 5/minute: counted in memory by each of 4 processes: a caller gets up to 4 times as much",
        )
    ] == findings
    assert "10000000/day (the default): counted" in str(
        run_check(checks.check_limit_storage, layers=[RateLimit()], workers=4)
    )
    assert [] == run_check(checks.check_limit_storage, layers=[alone], workers=1)
    assert [] == run_check(checks.check_limit_storage, layers=[shared], workers=4)


@pytest.mark.parametrize(("workers", "levels"), [("abc", ["wrong"]), ("-1", ["wrong"]), ("4", []), ("", [])])
def test_worker_count_must_be_a_number(workers, levels):
    assert levels == [
        level for level, _ in run_check(checks.check_worker_count, environ={"WEB_CONCURRENCY": workers})
    ]


def test_proxies_are_wrong_on_a_platform_and_a_note_elsewhere():
    assert "Kubernetes" in run_check(checks.check_proxies, environ=KUBERNETES)[0][1]
    assert [["wrong"], ["wrong"], ["note"], []] == [
        [level for level, _ in run_check(checks.check_proxies, environ=environ, layers=layers)]
        for environ, layers in (
            (KUBERNETES, []),
            ({"FORWARDED_ALLOW_IPS": "*"}, []),
            ({}, []),
            (KUBERNETES, [TrustedProxies([])]),
        )
    ]


def test_missing_key_auth_is_found():
    assert [("wrong", "keys: are not required: anyone can call the gate")] == run_check(
        checks.check_keys_required
    )
    assert [] == run_check(checks.check_keys_required, layers=[KeyAuth({"mg_a-key-of-the-doctor": "*"})])


def test_keys_in_sqlite_are_wrong_on_a_platform(sqlite):
    layers = [KeyAuth(sqlite)]

    assert ["note"] == [level for level, _ in run_check(checks.check_key_storage, layers=layers)]
    assert ["wrong"] == [
        level for level, _ in run_check(checks.check_key_storage, layers=layers, environ=KUBERNETES)
    ]
    assert [] == run_check(checks.check_key_storage, layers=[KeyAuth({"mg_a-key-of-the-doctor": "*"})])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (None, []),
        (OSError("refused"), [("wrong", "keys: database unavailable: refused")]),
        ([], [("wrong", "keys: none is active")]),
        ([make_record()], []),
        ([make_record(), make_record(expires=NOW)], [("note", "keys: 1 expired")]),
        ([make_record(expires=NOW + timedelta(days=3))], [("wrong", "keys: k_1 of sales expires in 3 d")]),
        ([make_record(revoked=NOW)], [("wrong", "keys: none is active")]),
    ],
    ids=str,
)
def test_key_expiry_is_checked(records, expected):
    assert expected == run_check(checks.check_key_expiry, records=records)


def test_models_that_cannot_be_loaded_are_found():
    models = {"churn": ValueError("no such file"), "price": LoadedModel(None, SCHEMA, None)}

    assert [("wrong", "churn: cannot be loaded: no such file")] == run_check(
        checks.check_model_loading, models=models
    )


def test_cache_size_counts_deployments_that_load_a_model(tmp_path, diabetes):
    skops.io.dump(diabetes[0], tmp_path / "d.skops")
    deployments = {name: Deployment(name, tmp_path / "d.skops") for name in "abc"}
    deployments["in_memory"] = Deployment("in_memory", diabetes[0])
    small, sufficient = CacheInfo(0, 0, 2, 0, None, 0), CacheInfo(0, 0, 3, 0, None, 0)

    assert ["wrong"] == [
        level for level, _ in run_check(checks.check_cache_size, deployments=deployments, cache=small)
    ]
    assert [] == run_check(checks.check_cache_size, deployments=deployments, cache=sufficient)


def test_pickles_are_noted(tmp_path):
    (tmp_path / "p.joblib").write_bytes(b"")
    deployments = {"p": Deployment("p", tmp_path / "p.joblib", sha256="0" * 64), "f": Deployment("f", len)}

    assert ["p: is a pickle: loading it runs the code in it; its digest is pinned"] == [
        what for _, what in run_check(checks.check_pickles, deployments=deployments)
    ]


def test_missing_plans_are_noted_for_estimators_only():
    models = {
        "slow": LoadedModel(LogisticRegression(), SCHEMA, "Unplanned is not known"),
        "fast": LoadedModel(LogisticRegression(), SCHEMA, object()),
        "function": LoadedModel(len, SCHEMA, "a function"),
    }

    assert [("note", "slow: has no exact plan: Unplanned is not known")] == run_check(
        checks.check_plans, models=models
    )


def test_unknown_levels_are_found_where_schema_and_encoder_accept_them(wine):
    rows, labels = [["free"], ["pro"], ["free"]], [0, 1, 1]
    ignoring, strict = (
        make_pipeline(OneHotEncoder(handle_unknown=value), LogisticRegression()).fit(rows, labels)
        for value in ("ignore", "error")
    )
    guarded, text = Schema.from_model(ignoring), Schema([Column("x0", "text")])
    models = {
        "text": LoadedModel(ignoring, text, None),
        "accepted": LoadedModel(ignoring, guarded.with_options(unknown_levels="accept"), None),
        "warned": LoadedModel(ignoring, guarded.with_options(unknown_levels="warn"), None),
        "guarded": LoadedModel(ignoring, guarded, None),
        "strict": LoadedModel(strict, text, None),
        "function": LoadedModel(len, text, None),
    }
    findings = run_check(checks.check_unknown_levels, models=models)

    assert [("wrong", "text: unknown values of x0"), ("wrong", "accepted: unknown values of x0")] == [
        (level, what.partition(" are")[0]) for level, what in findings
    ]


def test_problems_come_before_notes():
    findings = checks.run_checks(
        Facts(models={"a": ValueError("x"), "b": LoadedModel(LogisticRegression(), SCHEMA, "no plan")})
    )

    assert ["wrong", "wrong", "note", "note"] == [finding.level for finding in findings]
    assert 14 == len(set(CHECKS))
    assert all(finding.do for finding in findings)


# ---- the command


APP = """
import time

from sklearn.linear_model import LinearRegression
from modelgate import Deployment, Gate, KeyAuth, RateLimit, Schema

class Unplanned(LinearRegression):
    pass

class Slow:
    def load(self, name):
        time.sleep(0.2)
        return LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])

class shop:
    good = Gate([Deployment("twice", lambda table: table["age"] * 2, schema=Schema.of(age=float))],
                keys={"mg_a-key-of-the-doctor": "twice"}, trusted_proxies=[])
    bad = Gate([Deployment("unplanned", Unplanned().fit([[1.0], [2.0]], [1.0, 2.0])),
                Deployment("gone", "store:gone"), Deployment("off", len, schema=Schema.of(a=int), state="paused")],
               keys="sqlite:///keys.db", limits=RateLimit("5/minute"), store=".", cache_size=1)
    broken = Gate([Deployment("broken", "broken.skops")], keys="open")
    slow = Gate([Deployment("slow", "store:slow")], store=Slow(), load_timeout=0.01,
                keys={"mg_a-key-of-the-doctor": "slow"}, trusted_proxies=[])

number = 5
"""


@pytest.fixture
def run(tmp_path, monkeypatch, request):
    """Run the command in a folder with a module of gates, whose name is unique to the test."""
    (tmp_path / "keys.db").touch()
    (tmp_path / "broken.skops").write_bytes(b"no zip")
    module = f"app_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    for variable in (*checks._PLATFORMS, "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(variable, raising=False)

    def run(name, *arguments, code):
        done = click.testing.CliRunner().invoke(cli, ["doctor", f"{module}:{name}", *arguments])

        assert code == done.exit_code, done.output
        return done

    return run


def test_no_problems_exit_with_0(run):
    assert "No problems found\n" == run("shop.good", code=0).stdout


def test_slow_models_are_waited_for(run):
    """Requests to it would time out."""
    assert "No problems found\n" == run("shop.slow", code=0).stdout


def test_problems_exit_with_1_and_consider_the_environment(run, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    lines = [line.split("\t") for line in run("shop.bad", code=1).stdout.splitlines()]
    findings = [
        Finding(**finding)
        for finding in json.loads(run("shop.bad", "--json", "--workers", "1", code=1).stdout)
    ]

    assert ["", "about", "what", "do"] == lines[0]
    assert [
        ["wrong", "gone"],
        ["wrong", "keys"],
        ["wrong", "limits"],
        ["note", "keys"],
        ["note", "trusted_proxies"],
        ["note", "unplanned"],
    ] == [line[:2] for line in lines[1:]]
    assert "limits" not in {finding.about for finding in findings}


def test_broken_models_are_reported_in_one_line(run):
    done = run("shop.broken", code=1)

    assert "broken\tcannot be loaded: " in done.stdout
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "must be a Gate (got int)"),
        ("nothing", "AttributeError"),
        ("", "gate must be module:attribute, such as app:gate"),
    ],
)
def test_invalid_targets_exit_with_2(run, name, message):
    assert message in run(name, code=2).stderr


def test_modules_that_fail_to_import_are_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_app.py").write_text("from modelgate import Gate\ngate = Gate()")

    with pytest.raises(
        ConfigurationError, match=r"failing_app:gate: ConfigurationError: keys must be .* a gate without keys"
    ):
        import_gate("failing_app:gate")
    (tmp_path / "ending_app.py").write_text("import sys\nsys.exit(3)")

    with pytest.raises(ConfigurationError, match="ending_app:gate: SystemExit: 3"):
        import_gate("ending_app:gate")
    with pytest.raises(ConfigurationError, match="no_such_app:gate: ModuleNotFoundError"):
        import_gate("no_such_app:gate")


def test_unavailable_database_is_a_finding(run, tmp_path):
    (tmp_path / "keys.db").write_bytes(b"no database, and long enough to be seen as none" * 9)

    assert "keys\tdatabase unavailable: " in run("shop.bad", code=1).stdout

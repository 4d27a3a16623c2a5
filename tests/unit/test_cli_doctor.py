"""``modelgate doctor``: each check over facts, and the command over gates."""

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
from modelgate.cli.checks import CHECKS, Facts, Finding, Loaded
from modelgate.cli.root import cli
from modelgate.cli.targets import gate_at
from modelgate.errors import ConfigurationError
from modelgate.keys import SqlKeyStore
from modelgate.keys.record import KeyRecord
from modelgate.models.cache import CacheInfo

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SCHEMA = Schema.of(age=float)
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def found(check, **facts):
    """What *check* tells: level and text of each finding."""
    return [(finding.level, f"{finding.about}: {finding.what}") for finding in check(Facts(now=NOW, **facts))]


def record(**options):
    told = {"id": "k_1", "counted_as": "k_1", "prefix": "mg_live_abcd", "owner": "sales", "scopes": ("*",)}
    return KeyRecord(**told, limits=None, created=NOW, **options)


@pytest.fixture
def sqlite(tmp_path):
    store = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db")
    yield store
    store.close()


def test_limits_in_memory():
    """Bite where several processes count, and nowhere else."""
    alone, shared = RateLimit("5/minute"), RateLimit("5/minute", storage="redis://127.0.0.1:1")
    told = found(checks.limits_of_one_process, layers=[alone, shared], workers=4)

    assert [
        (
            "wrong",
            "limits: 5/minute: counted in memory by each of 4 processes: a caller gets up to 4 times as much",
        )
    ] == told
    assert "10000000/day (where nothing is said of limits): counted" in str(
        found(checks.limits_of_one_process, layers=[RateLimit()], workers=4)
    )
    assert [] == found(checks.limits_of_one_process, layers=[alone], workers=1)
    assert [] == found(checks.limits_of_one_process, layers=[shared], workers=4)


@pytest.mark.parametrize(("told", "levels"), [("abc", ["wrong"]), ("-1", ["wrong"]), ("4", []), ("", [])])
def test_a_number_of_workers_that_is_none(told, levels):
    """Is told: what is checked for one process may not hold."""

    assert levels == [level for level, _ in found(checks.workers_not_told, environ={"WEB_CONCURRENCY": told})]


def test_proxies():
    """Are wrong to be unknown where there is one, and otherwise to be known of; to say so ends it."""
    assert "Kubernetes" in found(checks.unknown_proxies, environ=KUBERNETES)[0][1]
    assert [["wrong"], ["wrong"], ["note"], []] == [
        [level for level, _ in found(checks.unknown_proxies, environ=environ, layers=layers)]
        for environ, layers in (
            (KUBERNETES, []),
            ({"FORWARDED_ALLOW_IPS": "*"}, []),
            ({}, []),
            (KUBERNETES, [TrustedProxies([])]),
        )
    ]


def test_no_keys():
    """Anyone may ask."""
    assert [("wrong", "keys: anyone may ask, without a key")] == found(checks.no_keys)
    assert [] == found(checks.no_keys, layers=[KeyAuth({"mg_a-key-of-the-doctor": "*"})])


def test_keys_in_sqlite(sqlite):
    """Are those of one host."""
    layers = [KeyAuth(sqlite)]

    assert ["note"] == [level for level, _ in found(checks.keys_of_one_host, layers=layers)]
    assert ["wrong"] == [
        level for level, _ in found(checks.keys_of_one_host, layers=layers, environ=KUBERNETES)
    ]
    assert [] == found(checks.keys_of_one_host, layers=[KeyAuth({"mg_a-key-of-the-doctor": "*"})])


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (None, []),
        (OSError("refused"), [("wrong", "keys: their database cannot be asked: refused")]),
        ([], [("wrong", "keys: there is none that is active")]),
        ([record()], []),
        ([record(), record(expires=NOW)], [("note", "keys: 1 expired")]),
        ([record(expires=NOW + timedelta(days=3))], [("wrong", "keys: k_1 of sales ends in 3 d")]),
        ([record(revoked=NOW)], [("wrong", "keys: there is none that is active")]),
    ],
    ids=str,
)
def test_keys_that_end(records, told):
    """Those that have ended, those that will, and none that is left."""
    assert told == found(checks.keys_that_end, records=records)


def test_models_that_cannot_be_loaded():
    """Are told with the reason."""
    models = {"churn": ValueError("no such file"), "price": Loaded(None, SCHEMA, None)}

    assert [("wrong", "churn: cannot be loaded: no such file")] == found(
        checks.models_not_loaded, models=models
    )


def test_a_cache_too_small(tmp_path, diabetes):
    """For the deployments that load their models; those in memory for good need none."""
    skops.io.dump(diabetes[0], tmp_path / "d.skops")
    deployments = {name: Deployment(name, tmp_path / "d.skops") for name in "abc"}
    deployments["held"] = Deployment("held", diabetes[0])
    few, enough = CacheInfo(0, 0, 2, 0, None, 0), CacheInfo(0, 0, 3, 0, None, 0)

    assert ["wrong"] == [
        level for level, _ in found(checks.cache_too_small, deployments=deployments, cache=few)
    ]
    assert [] == found(checks.cache_too_small, deployments=deployments, cache=enough)


def test_pickles(tmp_path):
    """Are to be known of."""
    (tmp_path / "p.joblib").write_bytes(b"")
    deployments = {"p": Deployment("p", tmp_path / "p.joblib", sha256="0" * 64), "f": Deployment("f", len)}

    assert ["p: is a pickle, which runs the code in it when it is loaded; its digest is pinned"] == [
        what for _, what in found(checks.pickles, deployments=deployments)
    ]


def test_estimators_without_a_plan():
    """Are told with the reason; a function needs none."""
    models = {
        "slow": Loaded(LogisticRegression(), SCHEMA, "Odd is not known"),
        "fast": Loaded(LogisticRegression(), SCHEMA, object()),
        "function": Loaded(len, SCHEMA, "a function"),
    }

    assert [("note", "slow: has no exact plan: Odd is not known")] == found(checks.no_plans, models=models)


def test_levels_that_are_ignored(wine):
    """Only where the schema lets through what the encoder does not know."""
    rows, labels = [["free"], ["pro"], ["free"]], [0, 1, 1]
    ignoring, strict = (
        make_pipeline(OneHotEncoder(handle_unknown=told), LogisticRegression()).fit(rows, labels)
        for told in ("ignore", "error")
    )
    guarded, text = Schema.from_model(ignoring), Schema([Column("x0", "text")])
    models = {
        "text": Loaded(ignoring, text, None),
        "accepted": Loaded(ignoring, guarded.reading(unknown_levels="accept"), None),
        "warned": Loaded(ignoring, guarded.reading(unknown_levels="warn"), None),
        "guarded": Loaded(ignoring, guarded, None),
        "strict": Loaded(strict, text, None),
        "function": Loaded(len, text, None),
    }
    told = found(checks.levels_ignored, models=models)

    assert [("wrong", "text: values of x0"), ("wrong", "accepted: values of x0")] == [
        (level, what.partition(" that")[0]) for level, what in told
    ]


def test_what_is_wrong_comes_first():
    """And every check is asked."""
    told = checks.findings(
        Facts(models={"a": ValueError("x"), "b": Loaded(LogisticRegression(), SCHEMA, "odd")})
    )

    assert ["wrong", "wrong", "note", "note"] == [finding.level for finding in told]
    assert 11 == len(set(CHECKS))
    assert all(finding.do for finding in told)


# ---- the command


APP = """
import time

from sklearn.linear_model import LinearRegression
from modelgate import Deployment, Gate, KeyAuth, RateLimit, Schema

class Odd(LinearRegression):
    pass

class Slow:
    def load(self, name):
        time.sleep(0.2)
        return LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])

class shop:
    good = Gate([Deployment("twice", lambda table: table["age"] * 2, schema=Schema.of(age=float))],
                keys={"mg_a-key-of-the-doctor": "twice"}, trusted_proxies=[])
    bad = Gate([Deployment("odd", Odd().fit([[1.0], [2.0]], [1.0, 2.0])),
                Deployment("gone", "store:gone"), Deployment("off", len, schema=Schema.of(a=int), state="paused")],
               keys="sqlite:///keys.db", limits=RateLimit("5/minute"), store=".", cache_size=1)
    broken = Gate([Deployment("broken", "broken.skops")], keys="open")
    slow = Gate([Deployment("slow", "store:slow")], store=Slow(), load_timeout=0.01,
                keys={"mg_a-key-of-the-doctor": "slow"}, trusted_proxies=[])

number = 5
"""


@pytest.fixture
def run(tmp_path, monkeypatch, request):
    """Runs the command beside a module with gates, which has a name of its own in each test."""
    (tmp_path / "keys.db").touch()
    (tmp_path / "broken.skops").write_bytes(b"no zip")
    module = f"app_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    for variable in (*checks._HOSTED, "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(variable, raising=False)

    def run(name, *arguments, code):
        done = click.testing.CliRunner().invoke(cli, ["doctor", f"{module}:{name}", *arguments])

        assert code == done.exit_code, done.output
        return done

    return run


def test_nothing_found(run):
    """Exit code 0."""
    assert "Nothing found\n" == run("shop.good", code=0).stdout


def test_a_model_that_takes_long_to_load(run):
    """Is waited for, also where a request would not wait."""
    assert "Nothing found\n" == run("shop.slow", code=0).stdout


def test_what_is_found(run, monkeypatch):
    """Exit code 1; a line each, or JSON; what stands in the environment is taken into account."""
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    lines = [line.split("\t") for line in run("shop.bad", code=1).stdout.splitlines()]
    told = [
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
        ["note", "odd"],
    ] == [line[:2] for line in lines[1:]]
    assert "limits" not in {finding.about for finding in told}


def test_a_model_that_is_broken(run):
    """Is told in one line, with its file; the log stays out of it."""
    done = run("shop.broken", code=1)

    assert "broken\tcannot be loaded: " in done.stdout
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("name", "told"),
    [("number", "is a int, and no Gate"), ("nothing", "AttributeError"), ("", "accepts module:gate")],
)
def test_what_is_no_gate(run, name, told):
    """Exit code 2."""
    assert told in run(name, code=2).stderr


def test_a_module_that_fails(tmp_path, monkeypatch):
    """Is told with what it raised: a gate that cannot be made, for one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_app.py").write_text("from modelgate import Gate\ngate = Gate()")

    with pytest.raises(
        ConfigurationError, match="failing_app:gate: ConfigurationError: keys: a gate without keys"
    ):
        gate_at("failing_app:gate")
    (tmp_path / "ending_app.py").write_text("import sys\nsys.exit(3)")

    with pytest.raises(ConfigurationError, match="ending_app:gate: SystemExit: 3"):
        gate_at("ending_app:gate")
    with pytest.raises(ConfigurationError, match="no_such_app:gate: ModuleNotFoundError"):
        gate_at("no_such_app:gate")


def test_a_database_that_does_not_answer(run, tmp_path):
    """Is a finding, and no failure."""
    (tmp_path / "keys.db").write_bytes(b"no database, and long enough to be seen as none" * 9)

    assert "keys\ttheir database cannot be asked" in run("shop.bad", code=1).stdout

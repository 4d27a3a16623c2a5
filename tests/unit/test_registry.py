"""Several gates follow a deployment registry in a database."""

import json
import logging
import os
import signal
import threading
import time

import click.testing
import pytest

from modelgate import ConfigurationError, Deployment, Gate, MemoryStore, NotFound, Rollout, Schema
from modelgate.backends.sql import sa
from modelgate.cli.root import cli
from modelgate.deployments.sql_registry import _METADATA, DeploymentRecord, SqlRegistry
from modelgate.testing import Client, FakeClock
from support.databases import DATABASES, make_database
from support.marks import slow
from support.packages import make_package
from support.waiting import SOON, wait_until

ROW = {"x0": 1.0}
NEVER = 10_000


GATES = []


@pytest.fixture(params=DATABASES)
def url(request):
    return make_database(request.param, request)


@pytest.fixture
def registry(url):
    registry = SqlRegistry(url, clock=FakeClock())
    yield registry
    while GATES:
        GATES.pop().close()
    registry.close()


class Store(MemoryStore):
    """Counts its loads."""

    def __init__(self):
        super().__init__({f"churn@{version}": make_package(version) for version in (3, 4, 5)})
        self.loads = []

    def load(self, name):
        self.loads.append(name)
        return super().load(name)


def make_gate(registry, *deployments, watch=NEVER, **options):
    gate = Gate(
        deployments, keys="open", store=Store(), deployment_registry=registry, poll_interval=watch, **options
    )
    GATES.append(gate)
    return gate


def predict(gate, name="churn"):
    """Return the predicted value, or the status of an error."""
    answer = Client(gate.wsgi).post(f"/predict/{name}", json=ROW)
    return answer.json()["result"] if answer.status == 200 else answer.status


def poll_and_predict(gate, name="churn"):
    gate._poll_once()
    return predict(gate, name)


OWN = Deployment("churn", "store:churn@3")


def test_registry_stores_models_states_and_times(registry):
    registry.set("churn", "store:churn@3", rollout=Rollout({"store:churn@4": 5.5}, sticky_by="key"))
    registry.set_state("churn", "paused")
    registry.set_state("beta", "draining")
    records = registry.list()

    assert [
        DeploymentRecord("beta", None, "draining"),
        DeploymentRecord("churn", "store:churn@3", "paused", {"store:churn@4": 5.5}, "key"),
    ] == records
    assert 1_700_000_000 == records[0].changed.timestamp()
    registry.set("churn")
    assert DeploymentRecord("churn", "store:churn@3", "paused", {}) == registry.list()[1]
    registry.remove("beta")
    assert ["churn"] == [each.name for each in registry.list()]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (
            lambda it: it.set("churn", "churn.skops/../x"),
            ConfigurationError,
            "model must name models in the store",
        ),
        (
            lambda it: it.set("churn", "/etc/passwd"),
            ConfigurationError,
            "model must name models in the store",
        ),
        (
            lambda it: it.set("churn", rollout=Rollout({"x.mgpkg": 1, "/y.mgpkg": 1})),
            ConfigurationError,
            "percents must name models in the store",
        ),
        (lambda it: it.set("../x", "store:churn"), ConfigurationError, "name must be"),
        (lambda it: it.set_state("../x", "paused"), ConfigurationError, "name must be"),
        (
            lambda it: it.set_state("churn", "off"),
            ConfigurationError,
            "state must be one of active, paused, draining",
        ),
        (lambda it: it.remove("churn"), NotFound, "The registry has no deployment churn"),
    ],
)
def test_registry_rejects_invalid_records(tmp_path, act, error, message):
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    with pytest.raises(error, match=message):
        act(registry)

    assert [] == registry.list()
    registry.close()


@pytest.mark.parametrize("registry", [7, "mysql://x/y", "models.db"])
def test_gate_rejects_an_invalid_registry(registry):
    with pytest.raises(ConfigurationError, match="registry"):
        Gate(keys="open", deployment_registry=registry)


def test_gates_follow_the_registry(registry):
    """Without a restart; no model is loaded twice."""
    gates = [make_gate(registry, OWN) for _ in range(2)]
    seen = [[predict(gate) for gate in gates]]
    for act in (
        lambda: registry.set("churn", "store:churn@4"),
        lambda: registry.set("churn", rollout=Rollout({"store:churn@5": 100})),
        lambda: registry.set("churn", "store:churn@5"),
        lambda: registry.set_state("churn", "paused"),
        lambda: registry.set_state("churn", "active"),
        lambda: registry.remove("churn"),
    ):
        act()
        seen.append([poll_and_predict(gate) for gate in gates])

    assert [[expected] * 2 for expected in (3, 4, 5, 5, 503, 5, 3)] == seen
    assert ["churn@3", "churn@4", "churn@5", "churn@3"] == gates[0].deployments.loader._store.loads


def test_registry_may_add_and_remove_a_deployment(registry):
    """Without a model it is not served."""
    gate = make_gate(registry, OWN)
    seen = [predict(gate), predict(gate, "new")]
    registry.set_state("new", "active")
    seen.append(poll_and_predict(gate, "new"))
    registry.set("new", "store:churn@4")
    registry.set_state("new", "draining")
    seen.append(poll_and_predict(gate, "new"))
    registry.set_state("new", "active")
    seen.append(poll_and_predict(gate, "new"))
    cached = gate.deployments.cache.cache_info().currsize
    registry.remove("new")
    seen.append(poll_and_predict(gate, "new"))

    assert [3, 404, 404, 503, 4, 404] == seen
    assert (2, 1) == (cached, gate.deployments.cache.cache_info().currsize)
    assert {"churn": "active"} == gate.deployments.states()
    assert 'deployment="new"' not in gate.metrics.render()
    assert [("churn", "3", "serving")] == list(gate.deployments.loader.model_metrics)


def test_registry_keeps_other_options_of_the_app(registry):
    """A state alone keeps the rollout of the app, and setting no rollout ends it."""
    own = Deployment(
        "churn",
        "store:churn@3",
        model_id="m",
        schema=Schema.of(x0=float),
        rollout=Rollout({"store:churn@5": 100}),
    )
    gate = make_gate(registry, own)
    registry.set_state("churn", "active")
    seen = [poll_and_predict(gate)]
    registry.set("churn")
    seen.append(poll_and_predict(gate))
    registry.set("churn", "store:churn@4")
    seen.append(poll_and_predict(gate))

    assert [5, 3, 4] == seen
    assert "m" == Client(gate.wsgi).post("/predict/churn", json=ROW).json()["model_id"]


def test_first_request_waits_for_the_registry(registry):
    """So does a score without a server. Models that are not needed are not loaded."""
    registry.set("churn", "store:churn@4")
    registry.set_state("price", "paused")
    for ask in (predict, lambda gate: gate.score("churn", ROW).values.tolist()[0]):
        gate = make_gate(registry, OWN, Deployment("price", "store:churn@3"))

        assert 4 == ask(gate)
        assert ["churn@4"] == gate.deployments.loader._store.loads
        assert {"churn": "active", "price": "paused"} == gate.deployments.states()


def test_failing_record_keeps_the_current_model(registry, caplog):
    """It is logged once, and tried again."""
    gate = make_gate(registry, OWN)
    predict(gate)
    registry.set("churn", "store:churn@6")
    registry.set_state("churn", "draining")
    seen = [poll_and_predict(gate) for _ in range(3)]
    registry.set_state("churn", "active")
    seen.append(poll_and_predict(gate))
    once = [record.getMessage() for record in caplog.records]
    gate.deployments.loader._store._models["churn@6"] = make_package(6)
    seen.append(poll_and_predict(gate))

    assert [503, 503, 503, 3, 6] == seen
    assert 2 == len(once)
    assert "deployment churn: cannot apply registry state" in once[0]


@pytest.mark.parametrize("rollout", [None, Rollout({"store:churn@6": 100})], ids=["own", "canary"])
def test_failing_record_at_start_keeps_the_app_model(registry, caplog, rollout):
    """It is logged once, and tried again."""
    registry.set("churn", "store:churn@4" if rollout else "store:churn@6", rollout=rollout)
    gate = make_gate(registry, OWN)
    seen = [predict(gate), poll_and_predict(gate), poll_and_predict(gate)]
    log_lines = [line for line in caplog.messages if "cannot apply registry state" in line]
    gate.deployments.loader._store._models["churn@6"] = make_package(6)
    gate.deployments.cache._failures.clear()
    seen.append(poll_and_predict(gate))
    registry.remove("churn")
    seen.append(poll_and_predict(gate))

    assert [3, 3, 3, 6, 3] == seen
    assert 1 == len(log_lines)


def test_failing_record_leaves_nothing_when_removed(registry):
    registry.set("churn", "store:churn@4")
    gate = make_gate(registry, OWN)
    seen = [predict(gate)]
    for act in (
        lambda: registry.set("churn", "store:churn@6"),
        lambda: registry.set_state("churn", "paused"),
        lambda: registry.set("churn", "store:churn@4"),
        lambda: registry.set_state("churn", "active"),
        lambda: registry.set("churn", "store:churn@6"),
        lambda: registry.set_state("churn", "paused"),
        lambda: registry.remove("churn"),
    ):
        act()
        seen.append(poll_and_predict(gate))

    assert [4, 4, 503, 503, 4, 4, 503, 3] == seen


def write_row(registry, name="churn", **values):
    """Change a row like another program."""
    with registry._db.transaction() as connection:
        table = _METADATA.tables["modelgate_deployments"]
        connection.execute(sa.update(table).where(table.c.name == name).values(**values))


@pytest.fixture
def foreign_package(tmp_path):
    """Path of a package outside the store, which predicts 9."""
    path = tmp_path / "upload.mgpkg"
    make_package(9).save(path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        lambda foreign_package: {"model": foreign_package},
        lambda foreign_package: {"model": f"store:{foreign_package}"},
        lambda foreign_package: {"model": "store:../churn@4"},
        lambda foreign_package: {"percents": json.dumps({foreign_package: 100})},
        lambda foreign_package: {
            "percents": json.dumps({"store:churn@4": 100, f"store:{foreign_package}": 0})
        },
        lambda foreign_package: {"percents": '{"store:churn@4": 200}'},
        lambda foreign_package: {"percents": '{"store:churn@4": 100}', "by": "chance"},
        lambda foreign_package: {"percents": '["store:churn@4"]'},
        lambda foreign_package: {"percents": "{"},
        lambda foreign_package: {"percents": "[" * 100_000},
    ],
    ids=lambda values: "",
)
@pytest.mark.parametrize("running", [True, *slow(False)])
def test_invalid_row_is_rejected_and_logged_once(registry, caplog, foreign_package, values, running):
    """Its state and all other rows are applied."""
    registry.set("churn", "store:churn@3")
    registry.set("price", "store:churn@3")
    gate = make_gate(registry, OWN, Deployment("price", "store:churn@3"))
    seen = [predict(gate)] if running else []
    write_row(registry, **values(foreign_package))
    registry.set("price", "store:churn@5")
    seen += [poll_and_predict(gate), poll_and_predict(gate), predict(gate, "price")]
    registry.set_state("churn", "paused")
    seen.append(poll_and_predict(gate))
    logged = [line for line in caplog.messages if "cannot apply registry state" in line]
    registry.remove("churn")
    seen.append(poll_and_predict(gate))

    assert [3, 3, 5, 503, 3] == seen[-5:]
    assert ["deployment churn"] * 2 == [line[:16] for line in logged]


def test_model_that_exits_does_not_block_other_rows(registry, monkeypatch):
    registry.set("churn", "store:churn@3")
    registry.set("price", "store:churn@3")
    gate = make_gate(registry, OWN, Deployment("price", "store:churn@3"))
    seen = [predict(gate), predict(gate, "price")]
    load, exits = Store.load, iter([SystemExit])

    def leave_once(store, name):
        for error in exits:
            raise error
        return load(store, name)

    monkeypatch.setattr(Store, "load", leave_once)
    registry.set("churn", "store:churn@4")
    registry.set("price", "store:churn@5")
    seen += [poll_and_predict(gate), predict(gate, "price"), poll_and_predict(gate)]

    assert [3, 3, 3, 5, 4] == seen


def test_row_of_an_unknown_deployment_must_not_name_a_file(registry, foreign_package):
    registry.set("new", "store:churn@4")
    write_row(registry, "new", model=foreign_package)

    assert 404 == predict(make_gate(registry, OWN), "new")


def test_unknown_state_pauses_the_deployment(registry, caplog):
    gate = make_gate(registry, OWN)
    registry.set("churn", "store:churn@4")
    seen = [predict(gate)]
    write_row(registry, state="Paused")
    seen += [poll_and_predict(gate), poll_and_predict(gate), gate.deployments.states()["churn"]]
    late = make_gate(registry, OWN)
    seen.append(predict(late))
    registry.set_state("churn", "active")
    seen += [poll_and_predict(gate), poll_and_predict(late)]

    assert [4, 503, 503, "paused", 503, 4, 4] == seen
    assert 2 == caplog.text.count("state must be one of active, paused, draining (got 'Paused')")


def test_unreadable_time_does_not_reject_the_row(tmp_path):
    """SQLite stores any value in the column."""
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    registry.set("churn", "store:churn@4")
    with registry._db.transaction() as connection:
        connection.execute(sa.text("update modelgate_deployments set changed = datetime('now')"))
    records = registry.list()
    registry.close()

    assert [DeploymentRecord("churn", "store:churn@4", percents={})] == records
    assert None is records[0].changed


@pytest.mark.parametrize("column", ["model", "state", "percents", "by", "changed"])
def test_text_that_is_not_utf_8_does_not_hide_other_rows(tmp_path, column):
    """SQLite stores any bytes as text."""
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    registry.set("churn", "store:churn@4")
    registry.set("price", "store:price@1")
    with registry._db.transaction() as connection:
        spoil = f"update modelgate_deployments set \"{column}\" = cast(x'ff41' as text) where name = 'price'"
        connection.execute(sa.text(spoil))
    records = registry.list()
    registry.close()

    assert [DeploymentRecord("churn", "store:churn@4", percents={}), "price"] == [records[0], records[1].name]


@pytest.mark.slow
def test_pin_of_the_app_holds_whenever_its_own_model_is_registered(registry, tmp_path):
    digests = {version: make_package(version).save(tmp_path / f"churn@{version}.mgpkg") for version in (3, 4)}
    own = Deployment("churn", "store:churn@3", sha256=digests[3], version="three")
    gates = [
        Gate([own], keys="open", store=tmp_path, deployment_registry=registry, poll_interval=NEVER)
        for _ in range(2)
    ]
    GATES.extend(gates)
    original = (tmp_path / "churn@3.mgpkg").read_bytes()
    seen = [predict(gates[0])]
    registry.set("churn", "store:churn@4", rollout=Rollout({"store:churn@3": 1}, "key"))
    gates[0]._poll_once()
    seen.append(gates[0].deployments.describe("churn").version)
    make_package(9).save(tmp_path / "churn@3.mgpkg")
    registry.set("churn", "store:churn@3")
    seen += [poll_and_predict(gate) for gate in gates]

    assert [3, "4", 4, 503] == seen
    (tmp_path / "churn@3.mgpkg").write_bytes(original)
    for gate in gates:
        gate.deployments.cache._failures.clear()
    assert [3, 3] == [poll_and_predict(gate) for gate in gates]
    assert ["three"] * 2 == [gate.deployments.describe("churn").version for gate in gates]


def test_states_report_broken_models_at_start(registry):
    registry.set("churn", "store:churn@6")
    registry.set("price", "store:churn@4")
    gate = make_gate(registry, OWN)
    gate.deployments.loader._store.load = lambda name: 1 / 0

    assert (503, "failed") == (predict(gate), gate.deployments.states()["churn"])


def test_local_changes_last_until_the_record_changes(registry):
    registry.set("churn", "store:churn@4")
    gate = make_gate(registry, OWN)
    predict(gate)
    gate.deployments.swap("churn", "store:churn@5")
    stays = poll_and_predict(gate)
    registry.set_state("churn", "paused")

    assert (5, 503) == (stays, poll_and_predict(gate))


def test_polling_applies_changes(registry, url):
    followed = SqlRegistry(url)
    gate = make_gate(followed, OWN, watch=0.05)
    before = predict(gate)
    registry.set("churn", "store:churn@4")
    wait_until(lambda: predict(gate) == 4)
    after = predict(gate)
    gate.close()
    followed.close()

    assert (3, 4) == (before, after)


def test_unreachable_database_keeps_the_last_state(postgres, caplog):
    """It is logged once."""
    registry = SqlRegistry(postgres.clear_tables())
    registry.set("churn", "store:churn@4")
    gate = make_gate(registry, OWN)
    seen = [predict(gate)]
    postgres.stop()
    try:
        with caplog.at_level(logging.WARNING, "modelgate"):
            seen += [poll_and_predict(gate), poll_and_predict(gate)]
            late = make_gate(registry, OWN)
            seen.append(predict(late))
    finally:
        postgres.start()
    registry.set("churn", "store:churn@5")
    seen += [poll_and_predict(gate), poll_and_predict(late)]
    for each in (gate, late):
        each.close()
    registry.close()

    assert [4, 4, 4, 3, 5, 5] == seen
    log_lines = [record.getMessage() for record in caplog.records]
    assert ["deployment registry: unreachable, keeping the current deployments"] * 2 == log_lines
    assert postgres.password not in caplog.text


def test_hanging_database_does_not_delay_requests(postgres):
    registry = SqlRegistry(postgres.clear_tables())
    registry.set("churn", "store:churn@4")
    gate = make_gate(registry, OWN, watch=0.01)
    seen = [predict(gate)]
    with postgres.suspend():
        seen += [predict(gate) for _ in range(100)]
    gate.close()
    registry.close()

    assert [4] * 101 == seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_polls_with_its_own_thread(registry):
    gate = make_gate(registry, OWN, watch=0.05)
    predict(gate)
    child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            while predict(gate) != 4:
                time.sleep(0.01)
            os._exit(0)
        finally:
            os._exit(1)
    registry.set("churn", "store:churn@4")

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_changes_under_load_fail_no_request(registry):
    gate, over, answers = make_gate(registry, OWN, watch=0.02), threading.Event(), []

    def asking():
        client = Client(gate.wsgi)
        while not over.is_set():
            answer = client.post("/predict/churn", json=[ROW] * 2)
            answers.append(
                (answer.status, answer.json().get("model_version"), *answer.json().get("result", ()))
            )

    threads = [threading.Thread(target=asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(10):
            version = 3 + turn % 3
            registry.set("churn", f"store:churn@{version}", rollout=Rollout({"store:churn@5": 5 * turn}))
            seen = len(answers)
            wait_until(
                lambda seen=seen, version=str(version): any(answer[1] == version for answer in answers[seen:])
            )
    finally:
        over.set()
        for thread in threads:
            thread.join(SOON)

    assert {(200, str(version), version, version) for version in (3, 4, 5)} == set(answers)


@pytest.fixture
def run_cli(tmp_path):
    """Run ``modelgate deployments …``."""
    environ = {"MODELGATE_REGISTRY_URL": f"sqlite:///{tmp_path}/models.db"}

    def run_cli(*arguments, code=0):
        done = click.testing.CliRunner(env=environ).invoke(cli, ["deployments", *arguments])

        assert code == done.exit_code, done.output
        return done

    return run_cli


def test_cli_lists_the_registry(run_cli):
    run_cli("set", "churn", "store:churn@7", "--weight", "store:churn@8=5", "--sticky-by", "key")
    run_cli("set", "price", "store:price")
    for act, name in (("pause", "churn"), ("drain", "price"), ("resume", "price")):
        run_cli(act, name)
    lines = run_cli("list").stdout.splitlines()
    records = json.loads(run_cli("list", "--json").stdout)

    assert [
        "name\tmodel\tstate\trollout",
        "churn\tstore:churn@7\tpaused\tstore:churn@8 5 % by key",
        "price\tstore:price\tactive\t-",
    ] == lines
    assert {"store:churn@8": 5} == records[0]["percents"]
    run_cli("remove", "churn")
    assert "churn" not in run_cli("list").stdout


def test_cli_accepts_unregistered_names(run_cli):
    """They may be deployments of the apps; the command says so."""
    result = run_cli("pause", "chrun")
    again = run_cli("resume", "chrun")

    assert "chrun was not registered" in result.stderr
    assert "" == again.stderr
    assert "chrun\t-\tactive\t-" in run_cli("list").stdout


def test_cli_lists_rejected_rows(run_cli, tmp_path):
    run_cli("set", "churn", "store:churn@7", "--weight", "store:churn@8=5")
    run_cli("set", "price", "store:price")
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    write_row(registry, percents="{")
    registry.close()
    lines = run_cli("list").stdout.splitlines()

    assert "churn\tstore:churn@7\tactive\trejected by every gate: weights must be" in lines[1]
    assert "price\tstore:price\tactive\t-" == lines[2]
    assert "{" == json.loads(run_cli("list", "--json").stdout)[0]["percents"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["remove", "churn"], 3, "The registry has no deployment churn"),
        (["set", "churn", "churn.skops"], 2, "model must name models in the store"),
        (["set", "churn", "--weight", "store:churn@8"], 2, "must be MODEL=PERCENT"),
        (
            ["set", "churn", "--weight", "store:c@8=5", "--weight", "store:c@8=7"],
            2,
            "must name each model once (got store:c@8 twice)",
        ),
        (["set", "churn", "--weight", "store:churn@8=105"], 2, "weights must be numbers from 0 to 100"),
    ],
)
def test_cli_rejects_invalid_arguments(run_cli, arguments, code, message):
    done = run_cli(*arguments, code=code)

    assert message in done.stderr

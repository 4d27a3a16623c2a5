"""Many gates serve what a database says."""

import json
import logging
import os
import signal
import threading
import time

import click.testing
import pytest

from modelgate import ConfigurationError, Deployment, Gate, MemoryStore, NotFound, Rollout, Schema
from modelgate.cli.root import cli
from modelgate.database import sa
from modelgate.gate.registry import _METADATA, Registered, SqlRegistry
from modelgate.testing import Client, Clock
from releases import release
from waiting import SOON, wait_until

ROW = {"x0": 1.0}
NEVER = 10_000


GATES = []


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/models.db"
    return request.getfixturevalue("postgres").emptied()


@pytest.fixture
def registry(url):
    registry = SqlRegistry(url, clock=Clock())
    yield registry
    while GATES:
        GATES.pop().close()
    registry.close()


class Store(MemoryStore):
    """Counts its loads."""

    def __init__(self):
        super().__init__({f"churn@{version}": release(version) for version in (3, 4, 5)})
        self.loads = []

    def load(self, name):
        self.loads.append(name)
        return super().load(name)


def gate_of(registry, *deployments, watch=NEVER, **options):
    gate = Gate(deployments, keys="open", store=Store(), registry=registry, watch=watch, **options)
    GATES.append(gate)
    return gate


def said(gate, name="churn"):
    """What is predicted, or else the status."""
    answer = Client(gate.wsgi).post(f"/predict/{name}", json=ROW)
    return answer.json()["result"] if answer.status == 200 else answer.status


def look(gate, name="churn"):
    gate._look()
    return said(gate, name)


OWN = Deployment("churn", "store:churn@3")


def test_what_is_kept(registry):
    """All that was set, and when; a state alone, too."""
    registry.set("churn", "store:churn@3", rollout=Rollout({"store:churn@4": 5.5}, by="key"))
    registry.set_state("churn", "paused")
    registry.set_state("beta", "draining")
    kept = registry.list()

    assert [
        Registered("beta", None, "draining"),
        Registered("churn", "store:churn@3", "paused", {"store:churn@4": 5.5}, "key"),
    ] == kept
    assert 1_700_000_000 == kept[0].changed.timestamp()
    registry.set("churn")
    assert Registered("churn", "store:churn@3", "paused", {}) == registry.list()[1]
    registry.remove("beta")
    assert ["churn"] == [each.name for each in registry.list()]


@pytest.mark.parametrize(
    ("act", "error", "told"),
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
        (lambda it: it.set("../x", "store:churn"), ConfigurationError, "name="),
        (lambda it: it.set_state("../x", "paused"), ConfigurationError, "name="),
        (
            lambda it: it.set_state("churn", "off"),
            ConfigurationError,
            "state must be one of active, paused, draining",
        ),
        (lambda it: it.remove("churn"), NotFound, "Nothing is registered of churn"),
    ],
)
def test_what_cannot_be(tmp_path, act, error, told):
    """Nothing is kept of it."""
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    with pytest.raises(error, match=told):
        act(registry)

    assert [] == registry.list()
    registry.close()


@pytest.mark.parametrize("registry", [7, "mysql://x/y", "models.db"])
def test_what_is_no_registry(registry):
    """The option is named."""
    with pytest.raises(ConfigurationError, match="registry"):
        Gate(keys="open", registry=registry)


def test_gates_agree(registry):
    """A model, a state, and back to what the app says; nobody restarts, and what is loaded is loaded once."""
    gates = [gate_of(registry, OWN) for _ in range(2)]
    seen = [[said(gate) for gate in gates]]
    for act in (
        lambda: registry.set("churn", "store:churn@4"),
        lambda: registry.set("churn", rollout=Rollout({"store:churn@5": 100})),
        lambda: registry.set("churn", "store:churn@5"),
        lambda: registry.set_state("churn", "paused"),
        lambda: registry.set_state("churn", "active"),
        lambda: registry.remove("churn"),
    ):
        act()
        seen.append([look(gate) for gate in gates])

    assert [[told] * 2 for told in (3, 4, 5, 5, 503, 5, 3)] == seen
    assert ["churn@3", "churn@4", "churn@5", "churn@3"] == gates[0]._loader._store.loads


def test_a_deployment_no_app_knows(registry):
    """Is served once it is registered, and no longer when it is not; one without a model is not."""
    gate = gate_of(registry, OWN)
    seen = [said(gate), said(gate, "new")]
    registry.set_state("new", "active")
    seen.append(look(gate, "new"))
    registry.set("new", "store:churn@4")
    registry.set_state("new", "draining")
    seen.append(look(gate, "new"))
    registry.set_state("new", "active")
    seen.append(look(gate, "new"))
    kept = gate.cache.cache_info().currsize
    registry.remove("new")
    seen.append(look(gate, "new"))

    assert [3, 404, 404, 503, 4, 404] == seen
    assert (2, 1) == (kept, gate.cache.cache_info().currsize)
    assert {"churn": "active"} == gate.states()
    assert 'deployment="new"' not in gate.metrics.text()
    assert ["churn"] == list(gate._loader.tallies)


def test_all_else_the_app_says_stays(registry):
    """As with a swap; a state alone leaves the rollout that the app says, and no rollout ends it."""
    own = Deployment(
        "churn",
        "store:churn@3",
        model_id="m",
        schema=Schema.of(x0=float),
        rollout=Rollout({"store:churn@5": 100}),
    )
    gate = gate_of(registry, own)
    registry.set_state("churn", "active")
    seen = [look(gate)]
    registry.set("churn")
    seen.append(look(gate))
    registry.set("churn", "store:churn@4")
    seen.append(look(gate))

    assert [5, 3, 4] == seen
    assert "m" == Client(gate.wsgi).post("/predict/churn", json=ROW).json()["model_id"]


def test_the_first_request_is_served_as_is_registered(registry):
    """It waits for the first look; so does a score without a server. Nothing that was told is loaded before."""
    registry.set("churn", "store:churn@4")
    registry.set_state("price", "paused")
    for ask in (said, lambda gate: gate.score("churn", ROW).values.tolist()[0]):
        gate = gate_of(registry, OWN, Deployment("price", "store:churn@3"))

        assert 4 == ask(gate)
        assert ["churn@4"] == gate._loader._store.loads
        assert {"churn": "active", "price": "paused"} == gate.states()


def test_what_cannot_be_served(registry, caplog):
    """What serves goes on; it is told once, and tried again."""
    gate = gate_of(registry, OWN)
    said(gate)
    registry.set("churn", "store:churn@6")
    registry.set_state("churn", "draining")
    seen = [look(gate) for _ in range(3)]
    registry.set_state("churn", "active")
    seen.append(look(gate))
    once = [record.getMessage() for record in caplog.records]
    gate._loader._store._models["churn@6"] = release(6)
    seen.append(look(gate))

    assert [503, 503, 503, 3, 6] == seen
    assert 2 == len(once)
    assert "deployment churn does not become what the registry says" in once[0]


@pytest.mark.parametrize("rollout", [None, Rollout({"store:churn@6": 100})], ids=["own", "canary"])
def test_what_cannot_be_served_from_the_start(registry, caplog, rollout):
    """What the app says goes on, as in a process that is running; it is told once, and tried again."""
    registry.set("churn", "store:churn@4" if rollout else "store:churn@6", rollout=rollout)
    gate = gate_of(registry, OWN)
    seen = [said(gate), look(gate), look(gate)]
    told = [line for line in caplog.messages if "does not become what the registry says" in line]
    gate._loader._store._models["churn@6"] = release(6)
    gate.cache._failures.clear()
    seen.append(look(gate))
    registry.remove("churn")
    seen.append(look(gate))

    assert [3, 3, 3, 6, 3] == seen
    assert 1 == len(told)


def test_what_could_not_be_served_and_is_taken_back(registry):
    """Leaves nothing, its state neither; so does what is made right again."""
    registry.set("churn", "store:churn@4")
    gate = gate_of(registry, OWN)
    seen = [said(gate)]
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
        seen.append(look(gate))

    assert [4, 4, 503, 503, 4, 4, 503, 3] == seen


def write(registry, name="churn", **values):
    """Change a row as another program would."""
    with registry._transaction() as connection:
        table = _METADATA.tables["modelgate_deployments"]
        connection.execute(sa.update(table).where(table.c.name == name).values(**values))


@pytest.fixture
def upload(tmp_path):
    """A package outside the store, which says 9."""
    path = tmp_path / "upload.mgpkg"
    release(9).save(path)
    return str(path)


@pytest.mark.parametrize(
    "values",
    [
        lambda upload: {"model": upload},
        lambda upload: {"model": f"store:{upload}"},
        lambda upload: {"model": "store:../churn@4"},
        lambda upload: {"percents": json.dumps({upload: 100})},
        lambda upload: {"percents": json.dumps({"store:churn@4": 100, f"store:{upload}": 0})},
        lambda upload: {"percents": '{"store:churn@4": 200}'},
        lambda upload: {"percents": '{"store:churn@4": 100}', "by": "chance"},
        lambda upload: {"percents": '["store:churn@4"]'},
        lambda upload: {"percents": "{"},
        lambda upload: {"percents": "[" * 100_000},
    ],
    ids=lambda values: "",
)
@pytest.mark.parametrize("running", [True, False])
def test_a_row_that_another_program_wrote(registry, caplog, upload, values, running):
    """It is rejected and logged once; its state and all other rows are followed."""
    registry.set("churn", "store:churn@3")
    registry.set("price", "store:churn@3")
    gate = gate_of(registry, OWN, Deployment("price", "store:churn@3"))
    seen = [said(gate)] if running else []
    write(registry, **values(upload))
    registry.set("price", "store:churn@5")
    seen += [look(gate), look(gate), said(gate, "price")]
    registry.set_state("churn", "paused")
    seen.append(look(gate))
    told = [line for line in caplog.messages if "does not become what the registry says" in line]
    registry.remove("churn")
    seen.append(look(gate))

    assert [3, 3, 5, 503, 3] == seen[-5:]
    assert ["deployment churn"] * 2 == [line[:16] for line in told]


def test_a_model_that_exits_blocks_no_other_row(registry, monkeypatch):
    """Its `SystemExit` is a failure of that row."""
    registry.set("churn", "store:churn@3")
    registry.set("price", "store:churn@3")
    gate = gate_of(registry, OWN, Deployment("price", "store:churn@3"))
    seen = [said(gate), said(gate, "price")]
    load, exits = Store.load, iter([SystemExit])

    def leave_once(store, name):
        for error in exits:
            raise error
        return load(store, name)

    monkeypatch.setattr(Store, "load", leave_once)
    registry.set("churn", "store:churn@4")
    registry.set("price", "store:churn@5")
    seen += [look(gate), said(gate, "price"), look(gate)]

    assert [3, 3, 3, 5, 4] == seen


def test_a_row_for_an_unknown_name_cannot_name_a_file(registry, upload):
    """No deployment is served for it."""
    registry.set("new", "store:churn@4")
    write(registry, "new", model=upload)

    assert 404 == said(gate_of(registry, OWN), "new")


def test_an_unknown_state_serves_nothing(registry, caplog):
    """The deployment is paused, as far as this version of the gate can tell, and the log says why."""
    gate = gate_of(registry, OWN)
    registry.set("churn", "store:churn@4")
    seen = [said(gate)]
    write(registry, state="Paused")
    seen += [look(gate), look(gate), gate.states()["churn"]]
    late = gate_of(registry, OWN)
    seen.append(said(late))
    registry.set_state("churn", "active")
    seen += [look(gate), look(late)]

    assert [4, 503, 503, "paused", 503, 4, 4] == seen
    assert 2 == caplog.text.count("state must be one of active, paused, draining (got 'Paused')")


def test_a_time_that_cannot_be_read(tmp_path):
    """SQLite stores what is written by hand: the row is followed all the same."""
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    registry.set("churn", "store:churn@4")
    with registry._transaction() as connection:
        connection.execute(sa.text("update modelgate_deployments set changed = datetime('now')"))
    kept = registry.list()
    registry.close()

    assert [Registered("churn", "store:churn@4", percents={})] == kept
    assert None is kept[0].changed


@pytest.mark.parametrize("column", ["model", "state", "percents", "by", "changed"])
def test_text_that_is_not_utf_8_hides_no_other_row(tmp_path, column):
    """SQLite stores any bytes as text."""
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    registry.set("churn", "store:churn@4")
    registry.set("price", "store:price@1")
    with registry._transaction() as connection:
        spoil = f"update modelgate_deployments set \"{column}\" = cast(x'ff41' as text) where name = 'price'"
        connection.execute(sa.text(spoil))
    kept = registry.list()
    registry.close()

    assert [Registered("churn", "store:churn@4", percents={}), "price"] == [kept[0], kept[1].name]


def test_a_pin_survives_there_and_back(registry, tmp_path):
    """The digest and the version in the app hold whenever the registry names the app's own model."""
    digests = {version: release(version).save(tmp_path / f"churn@{version}.mgpkg") for version in (3, 4)}
    own = Deployment("churn", "store:churn@3", sha256=digests[3], version="three")
    gates = [Gate([own], keys="open", store=tmp_path, registry=registry, watch=NEVER) for _ in range(2)]
    GATES.extend(gates)
    original = (tmp_path / "churn@3.mgpkg").read_bytes()
    seen = [said(gates[0])]
    registry.set("churn", "store:churn@4", rollout=Rollout({"store:churn@3": 1}))
    gates[0]._look()
    seen.append(gates[0].describe("churn").version)
    release(9).save(tmp_path / "churn@3.mgpkg")
    registry.set("churn", "store:churn@3")
    seen += [look(gate) for gate in gates]

    assert [3, "4", 4, 503] == seen
    (tmp_path / "churn@3.mgpkg").write_bytes(original)
    for gate in gates:
        gate.cache._failures.clear()
    assert [3, 3] == [look(gate) for gate in gates]
    assert ["three"] * 2 == [gate.describe("churn").version for gate in gates]


def test_models_that_are_registered_and_broken_from_the_start(registry):
    """Are failed, where what the app says is too."""
    registry.set("churn", "store:churn@6")
    registry.set("price", "store:churn@4")
    gate = gate_of(registry, OWN)
    gate._loader._store.load = lambda name: 1 / 0

    assert (503, "failed") == (said(gate), gate.states()["churn"])


def test_what_was_done_in_the_process_stays(registry):
    """Until the registry says something else."""
    registry.set("churn", "store:churn@4")
    gate = gate_of(registry, OWN)
    said(gate)
    gate.swap("churn", "store:churn@5")
    stays = look(gate)
    registry.set_state("churn", "paused")

    assert (5, 503) == (stays, look(gate))


def test_workers_hear_of_it_by_themselves(registry, url):
    """Within the time they look in."""
    followed = SqlRegistry(url)
    gate = gate_of(followed, OWN, watch=0.05)
    before = said(gate)
    registry.set("churn", "store:churn@4")
    wait_until(lambda: said(gate) == 4)
    after = said(gate)
    gate.close()
    followed.close()

    assert (3, 4) == (before, after)


def test_a_database_that_goes_and_comes_back(postgres, caplog):
    """What it said last is served, also by a gate that begins then; it is told once, and heard again."""
    registry = SqlRegistry(postgres.emptied())
    registry.set("churn", "store:churn@4")
    gate = gate_of(registry, OWN)
    seen = [said(gate)]
    postgres.stop()
    try:
        with caplog.at_level(logging.WARNING, "modelgate"):
            seen += [look(gate), look(gate)]
            late = gate_of(registry, OWN)
            seen.append(said(late))
    finally:
        postgres.start()
    registry.set("churn", "store:churn@5")
    seen += [look(gate), look(late)]
    for each in (gate, late):
        each.close()
    registry.close()

    assert [4, 4, 4, 3, 5, 5] == seen
    told = [record.getMessage() for record in caplog.records]
    assert ["the registry cannot be asked: what it said last holds"] * 2 == told
    assert postgres.password not in caplog.text


def test_a_database_that_hangs(postgres):
    """Holds up nobody."""
    registry = SqlRegistry(postgres.emptied())
    registry.set("churn", "store:churn@4")
    gate = gate_of(registry, OWN, watch=0.01)
    seen = [said(gate)]
    with postgres.hanging():
        seen += [said(gate) for _ in range(100)]
    gate.close()
    registry.close()

    assert [4] * 101 == seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_follows_too(registry):
    """With connections and a thread of its own."""
    gate = gate_of(registry, OWN, watch=0.05)
    said(gate)
    child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            while said(gate) != 4:
                time.sleep(0.01)
            os._exit(0)
        finally:
            os._exit(1)
    registry.set("churn", "store:churn@4")

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_changes_under_load(registry):
    """No request fails while models and shares change."""
    gate, over, answers = gate_of(registry, OWN, watch=0.02), threading.Event(), []

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
                lambda told=(seen, str(version)): any(answer[1] == told[1] for answer in answers[told[0] :])
            )
    finally:
        over.set()
        for thread in threads:
            thread.join(SOON)

    assert {(200, str(version), version, version) for version in (3, 4, 5)} == set(answers)


@pytest.fixture
def run(tmp_path):
    """Runs ``modelgate deployments …``."""
    environ = {"MODELGATE_REGISTRY_URL": f"sqlite:///{tmp_path}/models.db"}

    def run(*arguments, code=0):
        done = click.testing.CliRunner(env=environ).invoke(cli, ["deployments", *arguments])

        assert code == done.exit_code, done.output
        return done

    return run


def test_the_command(run):
    """What is set is listed, for people and for programs."""
    run("set", "churn", "store:churn@7", "--percent", "store:churn@8=5", "--by", "key")
    run("set", "price", "store:price")
    for act, name in (("pause", "churn"), ("drain", "price"), ("resume", "price")):
        run(act, name)
    told = run("list").stdout.splitlines()
    kept = json.loads(run("list", "--json").stdout)

    assert [
        "name\tmodel\tstate\trollout",
        "churn\tstore:churn@7\tpaused\tstore:churn@8 5 % by key",
        "price\tstore:price\tactive\t-",
    ] == told
    assert {"store:churn@8": 5} == kept[0]["percents"]
    run("remove", "churn")
    assert "churn" not in run("list").stdout


def test_a_name_that_is_not_registered(run):
    """May be one that the apps have of their own: it is taken, and that is told."""
    told = run("pause", "chrun")
    again = run("resume", "chrun")

    assert "chrun was not registered" in told.stderr
    assert "" == again.stderr
    assert "chrun\t-\tactive\t-" in run("list").stdout


def test_a_rejected_row_is_listed(run, tmp_path):
    """The command says that no gate follows the row, and why."""
    run("set", "churn", "store:churn@7", "--percent", "store:churn@8=5")
    run("set", "price", "store:price")
    registry = SqlRegistry(f"sqlite:///{tmp_path}/models.db")
    write(registry, percents="{")
    registry.close()
    told = run("list").stdout.splitlines()

    assert "churn\tstore:churn@7\tactive\trejected by every gate: percents='{': accepts" in told[1]
    assert "price\tstore:price\tactive\t-" == told[2]
    assert "{" == json.loads(run("list", "--json").stdout)[0]["percents"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["remove", "churn"], 3, "Nothing is registered of churn"),
        (["set", "churn", "churn.skops"], 2, "model must name models in the store"),
        (["set", "churn", "--percent", "store:churn@8"], 2, "accepts store:name@version=5"),
        (
            ["set", "churn", "--percent", "store:c@8=5", "--percent", "store:c@8=7"],
            2,
            "store:c@8 is given twice",
        ),
        (["set", "churn", "--percent", "store:churn@8=105"], 2, "accepts numbers from 0 to 100"),
    ],
)
def test_what_the_command_refuses(run, arguments, code, told):
    """In a line, with a code for programs."""
    done = run(*arguments, code=code)

    assert told in done.stderr

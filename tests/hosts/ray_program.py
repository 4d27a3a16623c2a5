"""Gates on Ray Serve, and a file and a dataset scored on Ray: prints what was observed as JSON. Runs in an environment with Ray.

All of it is observed on one cluster, with as few replicas as possible: starting one takes seconds of CPU.
"""

import collections
import contextlib
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import ray
from ray import serve
from ray.data import ActorPoolStrategy

from modelgate import Deployment, Gate, RateLimit, Schema
from modelgate.bulk import score_dataset, score_file
from modelgate.deployments.sql_registry import SqlRegistry
from modelgate.keys import SqlKeyStore, sql_store
from modelgate.mount.ray import create_application

# Read here, because replicas have other arguments.
PORT, STORAGE, DATABASE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
LOADS = Path("loads").absolute()
"""Process id and model of each load."""
BROKEN = Path("broken").absolute()
"""Process ids of the replicas that cannot load models any more."""
TIMEOUT = 240
OPTIONS = {
    "autoscaling_config": {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 2,
        "metrics_interval_s": 0.2,
        "look_back_period_s": 1,
        "upscale_delay_s": 0,
        "downscale_delay_s": 1,
    },
    # A replica with many requests still gets those for its models.
    "max_ongoing_requests": 100,
    "max_surge_percent": 1,
    "max_constructor_retry_count": 1,
    "health_check_period_s": 0.5,
    "health_check_timeout_s": TIMEOUT,
    "graceful_shutdown_wait_loop_s": 0.1,
    "ray_actor_options": {"num_cpus": 0.1},
}
"""Options of Serve, some of which have longer defaults than a test needs."""


class Multiplier:
    """Model that multiplies by the version in its name."""

    def __init__(self, name):
        self.factor = float(name.partition("@")[2])

    def predict(self, rows):
        return [self.factor * age for (age,) in rows]


class Store:
    """Store of all `Multiplier` models except ``missing``."""

    def load(self, name):
        if name == "missing" or (BROKEN.exists() and str(os.getpid()) in BROKEN.read_text().split()):
            raise OSError(name)
        with LOADS.open("a") as loads:
            loads.write(f"{os.getpid()} {name}\n")
        return Multiplier(name)


def double(table):
    time.sleep(0.4)  # so that few requests are a burst
    return table["age"] * 2


def create_gate(version="1", more=()):
    sql_store._TIMEOUT = TIMEOUT
    models = {"a": "store:a@1", "b": "store:b@1", **dict(more)}
    stored = [Deployment(name, model, schema=Schema.of(age=float)) for name, model in models.items()]
    return Gate(
        [Deployment("churn", double, schema=Schema.of(age=float), version=version), *stored],
        keys=DATABASE,
        limits=RateLimit("1000000/day", storage=STORAGE),
        store=Store(),
        cache_size=1,
        deadline=None,
        load_timeout=TIMEOUT,
        deployment_registry=DATABASE,
        poll_interval=0.5,
    )


def create_second_gate():
    return create_gate("2")


def create_broken_gate():
    return create_gate("3", {"c": "store:missing"})


def create_scoring_gate():
    churn = Deployment("churn", lambda table: table["age"] * 2, schema=Schema.of(age=float))
    return Gate([churn], keys="open")


def post(name="churn", key=None, **headers):
    """Return the status, the version of the model, and the prediction."""
    headers = {"authorization": f"Bearer {key or KEY}", "content-type": "application/json", **headers}
    url = f"http://127.0.0.1:{PORT}/ml/deployments/{name}/predict"
    request = urllib.request.Request(url, b'[{"age": 21}]', headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            prediction = json.load(response)["predictions"][0]["prediction"]
            return response.status, response.headers["x-model-version"], prediction
    except urllib.error.HTTPError as error:
        return error.code, None, None


def deploy(gate, **options):
    """Deploy *gate* with one or two replicas, and wait until it serves."""
    serve.run(create_application(gate, **OPTIONS, **options), name="gate", route_prefix="/ml")


def count_replicas():
    return serve.status().applications["gate"].deployments["modelgate"].replica_states.get("RUNNING", 0)


def read_loads():
    return [line.split() for line in LOADS.read_text().splitlines()]


def wait_until(condition):
    until = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(condition)
        time.sleep(0.2)


@contextlib.contextmanager
def load(answers, threads, pause=0.0):
    """Count the status and version of the answers to requests that *threads* threads send meanwhile."""
    stopped = threading.Event()

    def send():
        while not stopped.wait(pause):
            answers[post()[:2]] += 1

    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        stopped.set()
        for sender in senders:
            sender.join()


def alternate(pairs):
    """Send requests to two deployments in turn, with their names for Serve. Return the number of loads."""
    before = len(read_loads())
    for _ in range(pairs):
        post("a", **{"serve-multiplexed-model-id": "a"})
        post("b", **{"serve-multiplexed-model-id": "b"})
    return len(read_loads()) - before


seen = {}
keys, registry = SqlKeyStore(DATABASE), SqlRegistry(DATABASE)
KEY = keys.create(owner="test", scopes="*").key
limited = keys.create(owner="test", scopes="*", limits="25/day")
LOADS.touch()
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
serve.start(http_options={"port": PORT})
try:
    deploy(create_gate, multiplexed=True)
    seen["predicts"] = post()
    seen["without a key"] = post(key="mg_another-key-that-is-unknown")[0]
    seen["loads at the start"] = len(read_loads())

    answers = collections.Counter()
    with load(answers, 6):
        # A burst adds a replica.
        wait_until(lambda: count_replicas() == 2)

        # Each replica has one of two models in memory, and gets its requests.
        wait_until(lambda: alternate(5) == 0)
        seen["loads of models that replicas have"] = alternate(20)

        # Limits, keys and deployments are shared.
        seen["limited"] = sorted(collections.Counter(post("a", limited.key)[0] for _ in range(40)).items())
        keys.revoke(limited.record.id)
        wait_until(lambda: {post("a", limited.key)[0] for _ in range(10)} == {403})
        registry.set("a", "store:a@2")
        wait_until(lambda: len({replica for replica, model in read_loads() if model == "a@2"}) == 2)
        wait_until(lambda: {post("a")[2] for _ in range(10)} == {42.0})
    with load(answers, 1, pause=0.5):
        # A replica with little to do is removed.
        wait_until(lambda: count_replicas() == 1)

        # An update.
        before = len(read_loads())
        deploy(create_second_gate, models={"b": "store:b@3"})
        seen["loads of the update"] = sorted({model for _, model in read_loads()[before:]})
        seen["after the update"] = [*post()[:2], post("a")[2], post("b")[2]]
    seen["statuses"] = sorted({status for status, _ in answers})
    seen["versions"] = sorted({version for _, version in answers})

    # A replica that can no longer load its models is replaced by one that can.
    BROKEN.write_text(" ".join({replica for replica, _ in read_loads()}))
    seen["not ready"] = post("a")[0]
    wait_until(lambda: post("a")[0] == 200)

    # An update to a model that cannot be loaded.
    try:
        deploy(create_broken_gate)
        seen["broken update"] = "deployed"
    except RuntimeError:
        seen["broken update"] = "failed"
    seen["after the broken update"] = post()[:2]
    serve.shutdown()

    scored = score_file("big.csv", "out.csv", create_scoring_gate, engine="ray", batch_rows=100)
    seen["scored"] = [scored.scored, scored.rejected]

    # No row of the first batches can be scored.
    items = [{"id": row, "age": str(row) if row >= 100 else "old"} for row in range(200)]
    rows = ray.data.from_items(items, override_num_blocks=4)
    options = {"batch_rows": 20, "compute": ActorPoolStrategy(size=1), "num_cpus": 0.1}
    dataset = score_dataset(rows, gate=create_scoring_gate, passthrough=["id"], **options).materialize()
    seen["dataset"] = sorted(list(row.values()) for row in dataset.take_all())
    schema = dataset.schema()
    seen["schema"] = [[name, str(kind)] for name, kind in zip(schema.names, schema.types, strict=True)]
    try:
        score_dataset(rows.drop_columns(["age"]), gate=create_scoring_gate, **options).materialize()
    except ray.exceptions.RayTaskError as error:
        seen["missing column"] = str(error)
finally:
    ray.shutdown()
sys.stdout.write(json.dumps(seen) + "\n")

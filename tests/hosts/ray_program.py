"""Gate on Ray Serve with two replicas: prints what was observed as JSON. Runs in an environment with Ray."""

import collections
import json
import sys
import threading
import urllib.error
import urllib.request

import ray
from ray import serve

from modelgate import Deployment, Gate, RateLimit, Schema
from modelgate.mount.ray import create_application

KEY = "mg_the-key-of-the-ray-tests"
# Read here, because replicas have other arguments.
PORT, STORAGE = int(sys.argv[1]), sys.argv[2]


def double(table):
    return table["age"] * 2


def create_gate(version="1", limit="1000000/day", model=double):
    return Gate(
        [Deployment("churn", model, schema=Schema.of(age=float), version=version)],
        keys={KEY: "churn"},
        limits=RateLimit(limit, storage=STORAGE),
    )


def create_limited_gate():
    return create_gate(limit="25/day")


def create_second_gate():
    return create_gate("2")


def create_broken_gate():
    return create_gate("3", model="store:missing")


def post(path="/ml/deployments/churn/predict", key=KEY, **headers):
    """Return the status, the version of the model, and the body of the response."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", b'[{"age": 21}]', headers)
    try:
        with urllib.request.urlopen(request, timeout=240) as response:
            return response.status, response.headers["x-model-version"], response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, None, error.read().decode()


def deploy(gate, **options):
    """Deploy *gate* with two replicas, and wait until they serve."""
    health = {"health_check_timeout_s": 240, "max_constructor_retry_count": 2}
    actor = {"ray_actor_options": {"num_cpus": 0.1}}
    app = create_application(gate, num_replicas=2, **health, **actor, **options)
    serve.run(app, name="gate", route_prefix="/ml")


seen = {}
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
serve.start(http_options={"port": PORT})
try:
    deploy(create_gate, models_per_replica=4)
    seen["predicts"] = post(serve_multiplexed_model_id="churn")
    seen["without a key"] = post(key="mg_another-key-that-is-unknown")[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/ml/v2/health/ready", timeout=240) as response:
        seen["ready"] = json.load(response)

    # A rolling update under load.
    answers, stopped = collections.Counter(), threading.Event()

    def send():
        while not stopped.is_set():
            answers[post()[:2]] += 1

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    deploy(create_second_gate)
    seen["after the update"] = post()[:2]
    stopped.set()
    for sender in senders:
        sender.join()
    seen["statuses during the update"] = sorted({status for status, _ in answers})
    seen["versions during the update"] = sorted({version for _, version in answers})

    # An update to a model that cannot be loaded.
    try:
        deploy(create_broken_gate)
        seen["broken update"] = "deployed"
    except RuntimeError:
        seen["broken update"] = "failed"
    seen["after the broken update"] = post()[:2]

    # Limits are shared.
    deploy(create_limited_gate)
    seen["limited"] = sorted(collections.Counter(post()[0] for _ in range(40)).items())
finally:
    serve.shutdown()
    ray.shutdown()
sys.stdout.write(json.dumps(seen) + "\n")

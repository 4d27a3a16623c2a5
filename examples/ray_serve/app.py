"""Ray Serve application with a gate in each replica: ``serve run app:application`` in this folder."""

import os

from modelgate import Deployment, Gate, RateLimit, Schema, Table
from modelgate.mount.ray import create_application

SCHEMA = Schema.of(age=float, plan=["free", "pro"])


def predict_churn(table: Table) -> list[bool]:
    """Return whether each customer will leave. A real app serves a model of its store instead."""
    return [age < 30 and plan == "free" for age, plan in zip(table["age"], table["plan"], strict=True)]


def create_gate() -> Gate:
    """Create the gate of one replica. All replicas share the keys and the limits through REDIS_URL."""
    storage = os.environ.get("REDIS_URL")
    limit = RateLimit("60/minute", storage=storage) if storage else "60/minute"
    return Gate(
        [
            Deployment(
                "churn", predict_churn, schema=SCHEMA, target="churn", version=os.environ.get("VERSION", "1")
            )
        ],
        keys=os.environ.get("KEYS", "env:CHURN_KEYS"),
        limits=limit,
    )


application = create_application(
    create_gate,
    autoscaling_config={"min_replicas": 2, "max_replicas": 8, "target_ongoing_requests": 16},
    max_ongoing_requests=64,
    graceful_shutdown_timeout_s=30,
)

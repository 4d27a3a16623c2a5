"""FastAPI app of the container, with a gate at ``/ml``."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from modelgate import Deployment, Gate

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

gate = Gate(
    [Deployment("churn", "models/churn.skops")],
    keys="env:MODELGATE_KEYS",
    limits="60/minute; 10000/day",
    trusted_proxies=os.environ.get("TRUSTED_PROXIES", "").split(),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Load the models before the first request."""
    gate.deployments.warm()
    yield


app = FastAPI(lifespan=lifespan)
app.mount("/ml", gate.asgi)

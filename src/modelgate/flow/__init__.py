"""Flows, the two drivers that run them, and the thread pool for blocking calls."""

from .event_loop import run_coroutine
from .flow import Flow, Handler, Layer, Wait, adrive, drive, stack, validate_layers
from .futures import wait_for
from .isolation import in_main_thread, isolate_error, isolate_errors
from .worker_pool import WorkerPool, run, run_long

__all__ = [
    "Flow",
    "Handler",
    "Layer",
    "Wait",
    "WorkerPool",
    "adrive",
    "drive",
    "in_main_thread",
    "isolate_error",
    "isolate_errors",
    "run",
    "run_coroutine",
    "run_long",
    "stack",
    "validate_layers",
    "wait_for",
]

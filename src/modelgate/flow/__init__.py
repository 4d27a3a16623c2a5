"""How everything that may wait is written once and run twice: the contract, the two drivers, the threads."""

from .flow import (
    Flow,
    Handler,
    Layer,
    Wait,
    Workers,
    adrive,
    checked_layers,
    contained,
    drive,
    in_main_thread,
    run,
    run_coroutine,
    stack,
    wait_for,
)

__all__ = [
    "Flow",
    "Handler",
    "Layer",
    "Wait",
    "Workers",
    "adrive",
    "checked_layers",
    "contained",
    "drive",
    "in_main_thread",
    "run",
    "run_coroutine",
    "stack",
    "wait_for",
]

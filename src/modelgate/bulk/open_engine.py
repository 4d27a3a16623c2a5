"""Open the engine that scores rows without a server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from .engine import Engine
from .gate_source import GateSource
from .processes import ProcessEngine
from .ray_engine import RayEngine

__all__ = ["EngineName", "open_engine"]

EngineName: TypeAlias = Literal["processes", "ray"]


@contextmanager
def open_engine(name: EngineName, source: GateSource, workers: int | None) -> Iterator[Engine]:
    """Open the engine *name*.

    Args:
        name: ``"processes"`` for this machine, ``"ray"`` for a Ray cluster.
        source: Description of the gate and the deployment.
        workers: Number of worker processes; by default one per processor of the machine or the cluster.

    Raises:
        ConfigurationError: Ray is not installed, or the cluster cannot be reached.
    """
    if name == "ray":
        yield RayEngine(source, workers)
    else:
        with ProcessEngine(source, workers or os.cpu_count() or 1) as engine:
            yield engine

"""Describe the state of a gate for operators."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..deployments import Deployment, HTTPLayer
from ..deployments.catalog import LiveDeployment, ModelRevision
from ..flow import drive

__all__ = ["describe_deployment", "describe_process"]

_OTHER_FIELDS = {"name", "model", "state", "rollout", "shadow", "request_schema"}


def describe_deployment(live: LiveDeployment) -> dict[str, Any]:
    """Return the state, the models, the last error and the options of a deployment."""
    rollout, shadow = live.deployment.rollout, live.shadow_revision
    models = [_describe_model(revision) for revision in live.revisions]
    if rollout is not None:
        shares = list(rollout.weights.values())
        for model, share in zip(models, [100 - sum(shares), *shares], strict=True):
            model["percent"] = share
    if shadow is not None:
        models.append({**_describe_model(shadow), "role": "shadow"})
    return {
        "state": live.current_state,
        "in_flight": len(live.in_flight),
        "models": models,
        **({} if live.last_error is None else {"last_error": live.last_error}),
        "options": dict(_changed_options(live.deployment)),
    }


def describe_process(layers: Sequence[HTTPLayer]) -> dict[str, Any]:
    """Return the id and the memory of this process, and the HTTP layers with their settings.

    Args:
        layers: HTTP layers of the gate.
    """
    return {
        "pid": os.getpid(),
        "resident_bytes": _resident_bytes(),
        "layers": list(map(_describe_layer, layers)),
    }


def _describe_model(revision: ModelRevision) -> dict[str, Any]:
    handle, error = revision.handle, revision.model.load_error
    # A model that was passed as an object stays in memory, so the flow does not wait.
    predictor = drive(revision.model.predictor()) if handle is None else handle.loaded
    version = handle.version if handle is not None and predictor is None else predictor and predictor.version
    return {
        "version": version,
        "model": _plain(revision.deployment.model),
        "loaded": predictor is not None,
        "bytes": predictor and predictor.size,
        **({} if error is None else {"load_error": error}),
    }


def _changed_options(deployment: Deployment) -> Iterator[tuple[str, Any]]:
    """Yield the options of *deployment* that differ from their defaults."""
    for option in fields(deployment):
        value = getattr(deployment, option.name)
        default = option.default if option.default_factory is MISSING else option.default_factory()
        if (
            option.name not in _OTHER_FIELDS
            and value != default
            and (isinstance(value, int | float) or value)
        ):
            yield option.name, _plain(value)


def _describe_layer(layer: HTTPLayer) -> dict[str, Any]:
    """Return the name of a layer, and the settings that cannot be secrets."""
    described: dict[str, Any] = {"layer": getattr(layer, "__name__", type(layer).__name__)}
    if type(layer).__module__.startswith("modelgate."):
        values = getattr(layer, "__dict__", {}).items()
        described |= {
            name: value
            for name, value in values
            if not name.startswith("_") and isinstance(value, str | int | float | None)
        }
    return described


def _plain(value: Any) -> Any:
    """Convert a value for JSON.

    Numbers, texts, None and lists of these are unchanged. A path becomes text, and any other object becomes
    the name of its type.
    """
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, str | int | float | None) else type(value).__name__


def _resident_bytes() -> int | None:
    """Return the memory of this process, or None if the system does not report it."""
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return None

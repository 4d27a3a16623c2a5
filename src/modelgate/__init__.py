"""A trained model as a production prediction endpoint inside the web app you already have.

The names of this module are found when they are first asked for: what is not used costs no time to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import keys, mount
    from .errors import (
        BatchTooLarge,
        BodyTooLarge,
        ConfigurationError,
        ConflictingCredentials,
        DeadlineExceeded,
        DeploymentInactive,
        DeploymentLoading,
        DeploymentUnavailable,
        Forbidden,
        InsufficientScope,
        InvalidInput,
        InvalidValues,
        KeyInactive,
        MalformedBody,
        MethodNotAllowed,
        MissingColumns,
        ModelgateError,
        NotFound,
        Overloaded,
        PredictionError,
        RateLimitExceeded,
        RequestError,
        ServingError,
        StoreError,
        Unauthorized,
        UnknownColumns,
        UnsupportedMediaType,
    )
    from .flow import Flow, Handler, Layer, Wait, Workers, adrive, drive, run, stack
    from .gate import Deployment, Gate
    from .http import Request, Response
    from .layers import (
        AccessLog,
        Admission,
        AuthFailures,
        BodyLimit,
        Concurrency,
        Deadline,
        KeyAuth,
        Metrics,
        RateLimit,
        RequestId,
        Scored,
        ServerTiming,
        TrustedProxies,
    )
    from .models import FolderStore, MemoryStore, ModelCache, ModelPackage, ModelStore
    from .schema import CSV, Column, Schema, Split, Table
    from .scoring import (
        Model,
        Output,
        Prediction,
        Predictor,
        Query,
        ResultCache,
        Rollout,
        Round,
        Shadow,
        Threshold,
        Validate,
        score,
    )

__all__ = [
    "CSV",
    "AccessLog",
    "Admission",
    "AuthFailures",
    "BatchTooLarge",
    "BodyLimit",
    "BodyTooLarge",
    "Column",
    "Concurrency",
    "ConfigurationError",
    "ConflictingCredentials",
    "Deadline",
    "DeadlineExceeded",
    "Deployment",
    "DeploymentInactive",
    "DeploymentLoading",
    "DeploymentUnavailable",
    "Flow",
    "FolderStore",
    "Forbidden",
    "Gate",
    "Handler",
    "InsufficientScope",
    "InvalidInput",
    "InvalidValues",
    "KeyAuth",
    "KeyInactive",
    "Layer",
    "MalformedBody",
    "MemoryStore",
    "MethodNotAllowed",
    "Metrics",
    "MissingColumns",
    "Model",
    "ModelCache",
    "ModelPackage",
    "ModelStore",
    "ModelgateError",
    "NotFound",
    "Output",
    "Overloaded",
    "Prediction",
    "PredictionError",
    "Predictor",
    "Query",
    "RateLimit",
    "RateLimitExceeded",
    "Request",
    "RequestError",
    "RequestId",
    "Response",
    "ResultCache",
    "Rollout",
    "Round",
    "Schema",
    "Scored",
    "ServerTiming",
    "ServingError",
    "Shadow",
    "Split",
    "StoreError",
    "Table",
    "Threshold",
    "TrustedProxies",
    "Unauthorized",
    "UnknownColumns",
    "UnsupportedMediaType",
    "Validate",
    "Wait",
    "Workers",
    "adrive",
    "drive",
    "keys",
    "mount",
    "run",
    "score",
    "stack",
]

_ROOMS = ("errors", "flow", "http", "schema", "models", "scoring", "layers", "gate")
"""The modules that have the names, from below: none is imported before those it imports itself."""


if not TYPE_CHECKING:  # A checker that saw it would take any name for one that is here.

    def __getattr__(name: str) -> Any:
        """Find a public name, and keep it (PEP 562)."""
        if name in (*_ROOMS, "dialects", "keys", "mount"):
            return _room(name)
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = next(room for room in map(_room, _ROOMS) if name in room.__all__)
        return globals().setdefault(name, getattr(room, name))


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def _room(name: str) -> Any:
    return import_module(f"{__name__}.{name}")

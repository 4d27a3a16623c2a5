"""Serve trained models as production prediction endpoints inside your existing web app.

The public names are imported on first use, so that unused parts cost no import time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import humility, keys, mount
    from .context import RequestContext
    from .deployments import Deployment, Rollout, Shadow
    from .errors import (
        BatchTooLarge,
        BodyTooLarge,
        ConfigurationError,
        ConflictingCredentials,
        DeadlineExceeded,
        DeploymentInactive,
        DeploymentLoading,
        DeploymentUnavailable,
        ExplanationsUnavailable,
        Forbidden,
        HumilityError,
        IdempotencyKeyReused,
        InsufficientScope,
        InvalidInput,
        InvalidValues,
        KeyInactive,
        LengthRequired,
        MalformedBody,
        MethodNotAllowed,
        MissingColumns,
        ModelgateError,
        NotFound,
        Overloaded,
        PredictionError,
        RateLimitExceeded,
        RequestError,
        RequestInProgress,
        ServingError,
        StoreError,
        Unauthorized,
        UnknownColumns,
        UnsupportedMediaType,
    )
    from .explanations import Contribution, Explain, Explanations, RowExplanation
    from .flow import Flow, Handler, Layer, Wait, WorkerPool, adrive, drive, run, stack
    from .forecasting import (
        DirectForecaster,
        Forecaster,
        ForecastOptions,
        SkforecastForecaster,
        StatsforecastForecaster,
        TimeSeriesSpec,
    )
    from .gate import Gate
    from .http import CallNext, Request, Response
    from .inference import Exposure, Output, Prediction, Predictor
    from .layers import (
        AccessLog,
        Admission,
        AuthFailureLimit,
        BodyLimit,
        ConcurrencyLimit,
        Cors,
        Deadline,
        HttpsOnly,
        Idempotency,
        KeyAuth,
        Metrics,
        RateLimit,
        RequestId,
        ServerTiming,
        Tracing,
        TrustedProxies,
        WithScoring,
    )
    from .models import FolderStore, MemoryStore, ModelCache, ModelPackage, ModelStore, MultiTarget
    from .monitoring import (
        DriftAlarm,
        DriftMonitor,
        JSONFormatter,
        OutcomeLog,
        PredictionHook,
        PredictionLog,
        PredictionRecord,
        PredictionWriter,
    )
    from .schema import CSV, Column, ImageSpec, Schema, SplitRows, Table
    from .scoring import LoadModel, Query, ResultCache, Round, Threshold, Validate, score

__all__ = [
    "CSV",
    "AccessLog",
    "Admission",
    "AuthFailureLimit",
    "BatchTooLarge",
    "BodyLimit",
    "BodyTooLarge",
    "CallNext",
    "Column",
    "ConcurrencyLimit",
    "ConfigurationError",
    "ConflictingCredentials",
    "Contribution",
    "Cors",
    "Deadline",
    "DeadlineExceeded",
    "Deployment",
    "DeploymentInactive",
    "DeploymentLoading",
    "DeploymentUnavailable",
    "DirectForecaster",
    "DriftAlarm",
    "DriftMonitor",
    "Explain",
    "Explanations",
    "ExplanationsUnavailable",
    "Exposure",
    "Flow",
    "FolderStore",
    "Forbidden",
    "ForecastOptions",
    "Forecaster",
    "Gate",
    "Handler",
    "HttpsOnly",
    "HumilityError",
    "Idempotency",
    "IdempotencyKeyReused",
    "ImageSpec",
    "InsufficientScope",
    "InvalidInput",
    "InvalidValues",
    "JSONFormatter",
    "KeyAuth",
    "KeyInactive",
    "Layer",
    "LengthRequired",
    "LoadModel",
    "MalformedBody",
    "MemoryStore",
    "MethodNotAllowed",
    "Metrics",
    "MissingColumns",
    "ModelCache",
    "ModelPackage",
    "ModelStore",
    "ModelgateError",
    "MultiTarget",
    "NotFound",
    "OutcomeLog",
    "Output",
    "Overloaded",
    "Prediction",
    "PredictionError",
    "PredictionHook",
    "PredictionLog",
    "PredictionRecord",
    "PredictionWriter",
    "Predictor",
    "Query",
    "RateLimit",
    "RateLimitExceeded",
    "Request",
    "RequestContext",
    "RequestError",
    "RequestId",
    "RequestInProgress",
    "Response",
    "ResultCache",
    "Rollout",
    "Round",
    "RowExplanation",
    "Schema",
    "ServerTiming",
    "ServingError",
    "Shadow",
    "SkforecastForecaster",
    "SplitRows",
    "StatsforecastForecaster",
    "StoreError",
    "Table",
    "Threshold",
    "TimeSeriesSpec",
    "Tracing",
    "TrustedProxies",
    "Unauthorized",
    "UnknownColumns",
    "UnsupportedMediaType",
    "Validate",
    "Wait",
    "WithScoring",
    "WorkerPool",
    "adrive",
    "drive",
    "humility",
    "keys",
    "mount",
    "run",
    "score",
    "stack",
]

_PACKAGES = (
    "errors",
    "flow",
    "http",
    "schema",
    "forecasting",
    "models",
    "explanations",
    "inference",
    "scoring",
    "context",
    "deployments",
    "monitoring",
    "layers",
    "gate",
)
"""Modules that define the public names. Each is listed after the modules that it imports.

So the search for a name imports no module that its own module would not import."""


if not TYPE_CHECKING:  # With a module __getattr__, type checkers would accept any name.

    def __getattr__(name: str) -> Any:
        """Import and cache a public name (PEP 562)."""
        if name in (*_PACKAGES, "dialects", "humility", "keys", "mount"):
            return _import_package(name)
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        package = next(package for package in map(_import_package, _PACKAGES) if name in package.__all__)
        return globals().setdefault(name, getattr(package, name))


def __dir__() -> list[str]:
    return __all__


def _import_package(name: str) -> Any:
    return import_module(f"{__name__}.{name}")

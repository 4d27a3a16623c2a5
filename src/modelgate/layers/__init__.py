"""HTTP layers, one policy per module. Each layer works in a gate and around any other app."""

from .access_log import AccessLog
from .admission import Admission
from .auth_failure_limit import AuthFailureLimit
from .body_limit import BodyLimit
from .concurrency_limit import ConcurrencyLimit
from .cors import Cors
from .deadline import Deadline
from .https_only import HttpsOnly
from .idempotency import Idempotency
from .key_auth import KeyAuth
from .metrics import Metrics
from .rate_limit import RateLimit
from .request_id import RequestId
from .server_timing import ServerTiming
from .tracing import Tracing
from .trusted_proxies import TrustedProxies
from .with_scoring import WithScoring

__all__ = [
    "AccessLog",
    "Admission",
    "AuthFailureLimit",
    "BodyLimit",
    "ConcurrencyLimit",
    "Cors",
    "Deadline",
    "HttpsOnly",
    "Idempotency",
    "KeyAuth",
    "Metrics",
    "RateLimit",
    "RequestId",
    "ServerTiming",
    "Tracing",
    "TrustedProxies",
    "WithScoring",
]

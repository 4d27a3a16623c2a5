"""HTTP layers: one policy a file. Each works in a gate, and alone around any app."""

from .access_log import AccessLog
from .admission import Admission
from .auth_failures import AuthFailures
from .body_limit import BodyLimit
from .concurrency import Concurrency
from .deadline import Deadline
from .key_auth import KeyAuth
from .metrics import Metrics
from .rate_limit import RateLimit
from .request_id import RequestId
from .scored import Scored
from .server_timing import ServerTiming
from .trusted_proxies import TrustedProxies

__all__ = [
    "AccessLog",
    "Admission",
    "AuthFailures",
    "BodyLimit",
    "Concurrency",
    "Deadline",
    "KeyAuth",
    "Metrics",
    "RateLimit",
    "RequestId",
    "Scored",
    "ServerTiming",
    "TrustedProxies",
]

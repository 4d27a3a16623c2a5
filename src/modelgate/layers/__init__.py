"""HTTP layers: one policy a file. Each works in a gate, and alone around any app."""

from .access_log import AccessLog
from .admission import Admission
from .body_limit import BodyLimit
from .key_auth import KeyAuth
from .rate_limit import RateLimit
from .request_id import RequestId
from .scored import Scored

__all__ = ["AccessLog", "Admission", "BodyLimit", "KeyAuth", "RateLimit", "RequestId", "Scored"]

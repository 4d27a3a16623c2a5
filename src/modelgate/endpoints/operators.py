"""Check the permission to operate a gate."""

from ..errors import Forbidden, InsufficientScope
from ..http import Request
from ..keys import Principal
from ..keys.principal import OPERATE

__all__ = ["require_operator"]


def require_operator(request: Request) -> None:
    """Raise `Forbidden` unless the key of *request* permits operating all deployments."""
    principal: Principal | None = request.context.principal
    if principal is None:
        raise Forbidden("Only a key with the scope *:operate permits this, and this gate has no keys")
    if not principal.can_access("*", OPERATE):
        raise InsufficientScope(
            f"This API key does not permit operating the gate: send one with the scope *:{OPERATE}"
        )

"""Owner and permissions of an API key."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError, InsufficientScope

__all__ = ["ACTIONS", "OPERATE", "Principal", "is_scope", "parse_scopes"]

ACTIONS = ("predict", "explain", "read", "monitor", "outcomes")
"""Actions on a deployment. ``read`` permits reading the deployment's description, but no predictions.
``monitor`` permits reading statistics of the predictions of all callers. ``outcomes`` permits reporting
actual outcomes."""

OPERATE = "operate"
"""Action of operators. Only a scope that names this action permits it: ``"*"`` does not."""

_NAME = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Owner and permissions of an API key.

    Args:
        id: Id of the key in logs and limits. It does not reveal the key.
        deployments: Deployments that the key may use for predictions; None for all.
        owner: Owner of the key.
        limits: Rate limits of this key, which replace the gate's limits.
        limit_bucket: Id under which rate limits count this key, the same for a key and its replacement; None
            for *id*.
        scopes: Permitted actions, as returned by `parse_scopes`; None for all actions on *deployments*.
    """

    id: str
    deployments: tuple[str, ...] | None
    owner: str | None = None
    limits: str | None = None
    limit_bucket: str | None = None
    scopes: tuple[str, ...] | None = None

    @classmethod
    def from_scopes(cls, key_id: str, scopes: tuple[str, ...], **attributes: Any) -> "Principal":
        """Return the principal of a key with *scopes*.

        Args:
            key_id: Id of the key.
            scopes: Scopes of the key, as returned by `parse_scopes`.
            attributes: Other attributes of the principal.
        """
        pairs = [scope.partition(":")[::2] for scope in scopes]
        names = tuple(dict.fromkeys(name for name, action in pairs if action in ("", "predict")))
        all_actions = not any(action for _, action in pairs)
        deployments = None if "*" in names else names
        return cls(key_id, deployments, **attributes, scopes=None if all_actions else scopes)

    def can_access(self, deployment: str, action: str = "predict") -> bool:
        """Return True if the key permits *action* on *deployment*."""
        if action == OPERATE:
            return not {f"{deployment}:{OPERATE}", f"*:{OPERATE}"}.isdisjoint(self.scopes or ())
        if action == "predict" or self.scopes is None:
            return self.deployments is None or deployment in self.deployments
        return not {deployment, "*", f"{deployment}:{action}", f"*:{action}"}.isdisjoint(self.scopes)

    def require(self, deployment: str, action: str = "predict") -> None:
        """Raise `InsufficientScope` unless the key permits *action* on *deployment*."""
        if not self.can_access(deployment, action):
            raise InsufficientScope

    def covers(self, scope: str) -> bool:
        """Return True if the key permits every action in *scope*; see `parse_scopes`."""
        name, _, action = scope.partition(":")
        return all(self.can_access(name, required) for required in ([action] if action else ACTIONS))


def parse_scopes(scopes: str | Iterable[str], *, option: str = "keys") -> tuple[str, ...]:
    """Validate scopes and return them without duplicates.

    A scope is one of the following:

    - ``"churn:predict"`` permits one action on one deployment,
    - ``"churn"`` permits all actions on one deployment,
    - ``"*:read"`` permits one action on all deployments,
    - ``"*"`` permits all actions on all deployments.

    "All actions" excludes ``operate``, which only a scope such as ``"*:operate"`` permits.

    Args:
        scopes: One scope or several.
        option: Name of the option, for the error message.

    Raises:
        ConfigurationError: *scopes* is empty, or a scope is malformed.
    """
    several = isinstance(scopes, Iterable) and not isinstance(scopes, str)
    values: Sequence[Any] = tuple(scopes) if several else (scopes,)
    invalid = [scope for scope in values if not is_scope(scope)]
    if invalid or not values:
        raise ConfigurationError(
            f"{option}: each scope of a key must be DEPLOYMENT or DEPLOYMENT:ACTION, where DEPLOYMENT is a"
            f' name or "*" for all, and ACTION is one of {", ".join((*ACTIONS, OPERATE))} (got {invalid or "none"}):'
            ' for example "churn" or "churn:predict"'
        )
    return tuple(dict.fromkeys(values))


def is_scope(scope: object) -> bool:
    """Return True if *scope* is a deployment name or ``*``, with or without an action."""
    if not isinstance(scope, str):
        return False
    name, colon, action = scope.partition(":")
    return bool(_NAME.fullmatch(name)) and (not colon or action in (*ACTIONS, OPERATE))

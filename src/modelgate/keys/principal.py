"""Whose key it is, and what it may do."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError, InsufficientScope

__all__ = ["ACTIONS", "Principal", "parse_scopes"]

ACTIONS = ("predict", "explain", "read")
"""What can be done with a deployment; to read is to see what it is, not what it predicts."""

_NAME = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose key it is.

    Args:
        id: names the key in logs and limits; it does not give the key away.
        deployments: those the key may predict with; None for every one.
        owner: who has the key.
        limits: rate windows of this key alone, in place of the gate's.
        counted_as: what limits count by, where that is not *id*: a key that replaces another goes on
            with its counts.
        scopes: what the key may do, as `parse_scopes` gives it; None where it may do everything
            with *deployments*.
    """

    id: str
    deployments: tuple[str, ...] | None
    owner: str | None = None
    limits: str | None = None
    counted_as: str | None = None
    scopes: tuple[str, ...] | None = None

    @classmethod
    def of(cls, key_id: str, scopes: tuple[str, ...], **further: Any) -> "Principal":
        """The principal of a key with *scopes*, as `parse_scopes` gives them."""
        apart = [scope.partition(":") for scope in scopes]
        names = tuple(dict.fromkeys(name for name, _, action in apart if action in ("", "predict")))
        whole = not any(action for _, _, action in apart)
        return cls(key_id, None if "*" in names else names, **further, scopes=None if whole else scopes)

    def may_use(self, deployment: str, action: str = "predict") -> bool:
        """Whether the key opens *deployment* for *action*."""
        if action == "predict" or self.scopes is None:
            return self.deployments is None or deployment in self.deployments
        return not {deployment, "*", f"{deployment}:{action}", f"*:{action}"}.isdisjoint(self.scopes)

    def require(self, deployment: str, action: str = "predict") -> None:
        """Raises `InsufficientScope` where the key does not open *deployment* for *action*."""
        if not self.may_use(deployment, action):
            raise InsufficientScope


def parse_scopes(scopes: str | Iterable[str], *, option: str = "keys") -> tuple[str, ...]:
    """The scopes ``"churn"`` (every action), ``"churn:predict"``, ``"*"`` and ``"*:read"``, checked, each once.

    Args:
        scopes: one or several.
        option: what the user calls them.

    Raises:
        ConfigurationError: there are none, or one is of another form.
    """
    several = isinstance(scopes, Iterable) and not isinstance(scopes, str)
    told: Sequence[Any] = tuple(scopes) if several else (scopes,)
    wrong = [scope for scope in told if not _is_scope(scope)]
    if wrong or not told:
        raise ConfigurationError(
            f'{option}: a key opens {wrong or "nothing"}: accepts names of deployments, "*" for every one,'
            f" and either with an action, as churn:predict: {', '.join(ACTIONS)}"
        )
    return tuple(dict.fromkeys(told))


def _is_scope(scope: object) -> bool:
    if not isinstance(scope, str):
        return False
    name, colon, action = scope.partition(":")
    return bool(_NAME.fullmatch(name)) and (not colon or action in ACTIONS)

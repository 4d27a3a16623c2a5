"""Poll model stores and the deployment registry."""

from collections.abc import Callable

from ..deployments import Deployments
from ..deployments.reconciler import Registry, resolve_registry
from ..layers.polling import PollingLayer

__all__ = ["create_poll_callbacks", "create_polling_layer"]

_DEFAULT_INTERVAL = 10.0
_FIRST_POLL_TIMEOUT = 2.0


def create_poll_callbacks(
    deployments: Deployments, interval: float | None, registry: Registry | str | None
) -> list[Callable[[], None]]:
    """Return the functions to call in each poll of the model stores and the deployment registry."""
    follow = [] if registry is None else [deployments.follow(resolve_registry(registry))]
    return follow if interval is None else [*follow, deployments.watch_stores()]


def create_polling_layer(
    poll: Callable[[], None], interval: float | None, registry: object
) -> "PollingLayer | None":
    """Return a layer that calls *poll* periodically, or None if there is nothing to poll."""
    if interval is None and registry is None:
        return None
    # The first requests wait until the registry is read, so that a paused deployment does not answer them.
    timeout = 0 if registry is None else _FIRST_POLL_TIMEOUT
    interval = _DEFAULT_INTERVAL if interval is None else interval
    return PollingLayer(poll, interval, first_poll_timeout=timeout)

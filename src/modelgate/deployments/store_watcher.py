"""Watch files and stores for changed models."""

import logging
import time
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

from ..errors import ConfigurationError, NotFound
from ..flow import isolate_errors
from .catalog import DeploymentCatalog, LiveDeployment, ModelRevision
from .deployment import Deployment
from .loader import Loader

__all__ = ["StoreWatcher"]

logger = logging.getLogger("modelgate")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 600.0
"""Seconds until a failed update is tried again: after the first failure, and at most."""


class InstallFn(Protocol):
    """Protocol with the signature of `DeploymentController.replace`."""

    def __call__(
        self, deployment: Deployment, known: Sequence[ModelRevision], *, instead_of: LiveDeployment
    ) -> None: ...


class _Failure(NamedTuple):
    fingerprints: Hashable
    message: str
    pause: float
    retry_at: float


class StoreWatcher:
    """Watcher that swaps in models that have changed in their file or store.

    If a changed model cannot be loaded, the current model continues to serve. Each distinct failure is logged
    once. The next attempt follows when the stored model changes again, or else after a pause. The pause
    starts at one second and doubles after each failure, up to ten minutes.

    Args:
        catalog: Deployments to watch.
        loader: Loader that detects changes.
        install: Function that swaps in a changed model.
    """

    def __init__(self, catalog: DeploymentCatalog, loader: Loader, install: InstallFn) -> None:
        self._catalog = catalog
        self._loader = loader
        self._install = install
        self._failed: dict[str, _Failure] = {}
        self._unreachable: dict[str, str] = {}

    def poll_once(self) -> None:
        """Check the models of all deployments once."""
        for names in (self._failed, self._unreachable):
            for name in names.keys() - self._catalog.keys():
                del names[name]
        for name, live in list(self._catalog.items()):
            try:
                isolate_errors(self._check, name, live)
            except Exception as error:
                # Logged once; the store is queried again with each poll.
                if self._unreachable.get(name) != repr(error):
                    self._unreachable[name] = repr(error)
                    logger.warning(
                        "deployment %s: update check failed, keeping the current model", name, exc_info=error
                    )
            else:
                self._unreachable.pop(name, None)

    def _check(self, name: str, live: LiveDeployment) -> None:
        fingerprints = {handle: self._loader.changed(handle) for handle in live.model_handles}
        changed = {handle: value for handle, value in fingerprints.items() if value is not None}
        failure = self._failed.get(name)
        if failure is not None and failure.fingerprints != tuple(changed.values()):
            failure = None
        if not changed or (failure is not None and time.monotonic() < failure.retry_at):
            return
        try:
            known = [revision for revision in live.all_revisions if revision.handle not in changed]
            self._install(live.deployment, known, instead_of=live)
        except (ConfigurationError, NotFound) as error:
            if failure is None or failure.message != str(error):
                logger.warning("deployment %s: update failed, keeping the current model: %s", name, error)
            pause = _FIRST_PAUSE if failure is None else min(2 * failure.pause, _LONGEST_PAUSE)
            retry_at = time.monotonic() + pause
            self._failed[name] = _Failure(tuple(changed.values()), str(error), pause, retry_at)
        else:
            self._failed.pop(name, None)
            logger.info("deployment %s: model updated: the stored model has changed", name)

"""Reconcile the deployments of a gate with a registry."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, get_args

from ..errors import ConfigurationError
from ..flow import isolate_errors
from .catalog import DeploymentCatalog, LiveDeployment, State
from .deployment import Deployment

__all__ = ["DesiredDeployment", "Registry", "RegistryReconciler", "resolve_registry"]

logger = logging.getLogger("modelgate")


class DesiredDeployment(Protocol):
    """Protocol of a registry record, which describes one desired deployment.

    Two objects that are read from an unchanged record are equal.
    """

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> State: ...
    def deployment(self, own: Deployment | None) -> Deployment: ...


class Registry(Protocol):
    """Protocol of a registry, which contains the desired deployments of several gates; see `SqlRegistry`."""

    def list(self) -> Sequence[DesiredDeployment]:
        """Return all records. This call may block. It raises `StoreError` if the registry cannot be reached."""


def resolve_registry(registry: Registry | str) -> Registry:
    """Return *registry*, or a `SqlRegistry` if *registry* is the URL of a database.

    Raises:
        ConfigurationError: *registry* is neither a registry nor a URL.
    """
    if isinstance(registry, str):
        from .sql_registry import SqlRegistry

        return SqlRegistry(registry)
    if not hasattr(registry, "list"):
        raise ConfigurationError(
            f"deployment_registry must be a SqlRegistry, or the URL of its database (got {registry!r})"
        )
    return registry


class Controller(Protocol):
    """Protocol with the methods of `DeploymentController` that a reconciler needs."""

    def apply(self, name: str, deployment: Deployment | None, state: State, *, load: bool) -> None: ...
    def warm_up(self, name: str) -> None: ...
    def set_state(self, name: str, state: State) -> LiveDeployment: ...


class RegistryReconciler:
    """Reconciler that applies the records of a registry to the deployments of a gate.

    If a record cannot be applied, the failure is logged once, and each poll tries again. Until then, the
    deployment serves its current models, and only the state in the record is applied. While the registry
    cannot be reached, all deployments stay unchanged. Changes made in this process by other means stay in
    effect until the deployment's record changes.

    Args:
        registry: Registry to follow.
        catalog: Deployments of the gate.
        controller: Controller that changes the deployments.
    """

    def __init__(self, registry: Registry, catalog: DeploymentCatalog, controller: Controller) -> None:
        self._registry = registry
        self._catalog = catalog
        self._controller = controller
        self._own: dict[str, Deployment] = {}
        self._applied: dict[str, DesiredDeployment] = {}
        self._failing: dict[str, DesiredDeployment | None] = {}
        self._unreachable = False
        self._has_polled = False

    def poll_once(self) -> None:
        """Read the registry and apply what has changed."""
        load, self._has_polled = self._has_polled, True
        try:
            records = {record.name: record for record in self._registry.list()}
        except Exception as error:
            if not self._unreachable:
                logger.warning(
                    "deployment registry: unreachable, keeping the current deployments", exc_info=error
                )
            self._unreachable = True
            return
        self._unreachable = False
        self._reconcile(records, load=load)
        if not load:
            # No model of the registry serves yet, so all records are applied before any model is tested.
            for name in self._own.keys() & self._applied.keys():
                self._test_or_revert(name)

    def _reconcile(self, records: Mapping[str, DesiredDeployment], *, load: bool) -> None:
        for name in {**self._applied, **self._failing, **records}:
            record = records.get(name)
            if record == self._applied.get(name) and name not in self._failing:
                continue
            try:
                isolate_errors(self._apply, name, record, load=load)
            except Exception as error:
                self._record_failure(name, record, error)
            else:
                self._failing.pop(name, None)

    def _apply(self, name: str, record: DesiredDeployment | None, *, load: bool) -> None:
        if name not in self._applied and name in self._catalog:
            self._own[name] = self._catalog[name].deployment
        own = self._own.get(name)
        if record is None:
            self._controller.apply(name, own, own.state if own is not None else "active", load=load)
            self._applied.pop(name, None)
            return
        # A deployment in a state that this version does not know must not serve.
        state = record.state if record.state in get_args(State) else "paused"
        if name in self._catalog:
            # Set the state even if the rest of the record is rejected: a pause must reach every gate.
            self._controller.set_state(name, state)
        self._controller.apply(name, record.deployment(own), state, load=load)
        self._applied[name] = record

    def _test_or_revert(self, name: str) -> None:
        """Load the models of an applied record. If loading fails, serve the app's own deployment again."""
        own, record = self._own[name], self._applied[name]
        if self._catalog[name].deployment is own:
            return
        try:
            isolate_errors(self._controller.warm_up, name)
        except Exception as error:
            self._controller.apply(name, own, self._catalog[name].state, load=False)
            del self._applied[name]
            self._record_failure(name, record, error)

    def _record_failure(self, name: str, record: DesiredDeployment | None, error: Exception) -> None:
        if self._failing.get(name, self) != record:
            cause = error.__cause__ or error
            logger.warning("deployment %s: cannot apply registry state: %s", name, cause)
        self._failing[name] = record

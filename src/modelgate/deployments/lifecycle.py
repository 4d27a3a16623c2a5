"""Change deployments while they serve."""

import math
import threading
from collections.abc import Sequence
from dataclasses import replace

from ..errors import ConfigurationError, NotFound
from ..flow import drive
from ..flow.fork_safety import reset_after_fork
from ..inference import Predictor
from ..models import ModelCache
from .builder import DeploymentBuilder, is_same_model
from .catalog import DeploymentCatalog, LiveDeployment, ModelRevision, State
from .deployment import Deployment
from .loader import Loader, prevent_downgrade

__all__ = ["DeploymentController"]


class DeploymentController:
    """Controller that adds, replaces and removes deployments.

    A change first loads models, then takes effect in one step.

    Args:
        catalog: Deployments that serve.
        builder: Builder of the live deployments.
        loader: Loader of the models.
        cache: Cache of the loaded models.
    """

    def __init__(
        self,
        catalog: DeploymentCatalog,
        builder: DeploymentBuilder,
        loader: Loader,
        cache: ModelCache[Predictor],
    ) -> None:
        self._catalog = catalog
        self._builder = builder
        self._loader = loader
        self._cache = cache
        self._previous: dict[str, LiveDeployment] = {}
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        # The lock is held only while a change takes effect, never while a model is loaded.
        self._changing = threading.Lock()

    def add(self, deployment: Deployment) -> None:
        """Serve *deployment*. Raises `ConfigurationError` if its model cannot be used."""
        self._catalog[deployment.name] = self._builder.build(deployment)

    def remove(self, name: str) -> None:
        """Stop serving the deployment *name*, if there is one."""
        with self._changing:
            self._previous.pop(name, None)
            self._cache.rename(name, None)
            self._loader.remove_metrics(name)
            live = self._catalog.pop(name, None)
            for handle in live.model_handles if live is not None else ():
                handle.detach()

    def set_state(self, name: str, state: State) -> LiveDeployment:
        """Change the state of a deployment, and return the deployment.

        Raises `NotFound` if it does not exist.
        """
        with self._changing:
            live = self._catalog[name] = replace(self._catalog.require(name), state=state)
        return live

    def apply(self, name: str, deployment: Deployment | None, state: State, *, load: bool) -> None:
        """Add, change or remove a deployment to match the arguments.

        The state changes immediately, before models are loaded.

        Args:
            name: Deployment name.
            deployment: Deployment to serve; None to remove it.
            state: State of the deployment.
            load: Whether to load and test new models first, while the current ones continue to serve.

        Raises:
            NotFound, ConfigurationError, StoreError: See `replace`.
        """
        if deployment is None:
            self.remove(name)
            return
        current = self._catalog.get(name)
        if current is None:
            self.add(replace(deployment, state="paused"))
        self.set_state(name, state)
        if current is None or _has_same_models(current.deployment, deployment):
            return
        if load:
            self.replace(deployment, current.all_revisions)
        else:
            self._swap_in(self._builder.build(deployment, current.all_revisions), (), keep=True)

    def warm_up(self, name: str) -> None:
        """Load the models that answer requests to *name*.

        Raises:
            NotFound, DeploymentUnavailable: A model cannot be loaded or fails its test.
        """
        for revision in self._catalog.require(name).revisions:
            self._load_and_test(revision, known=True)

    def replace(
        self,
        deployment: Deployment,
        known: Sequence[ModelRevision] = (),
        *,
        keep: bool = True,
        instead_of: LiveDeployment | None = None,
    ) -> None:
        """Load the models of *deployment* that *known* does not contain, then serve *deployment*.

        Args:
            deployment: Deployment to serve.
            known: Revisions to reuse for the models that *deployment* shares with them.
            keep: Whether to keep the replaced deployment for `roll_back`.
            instead_of: Live deployment to replace, whose stored models have changed since they were loaded.
                If other models serve by now, nothing happens. None to replace the deployment in any case.

        Raises:
            NotFound: There is no such deployment, or no such model.
            ConfigurationError: A model cannot be loaded, fails its test, or is older than the model of
                *instead_of* that it would replace.
            StoreError: The store cannot be reached.
        """
        live = self._builder.build(deployment, known)
        known_handles = {revision.handle for revision in known}
        loaded = [
            self._load_and_test(revision, known=revision.handle in known_handles)
            for revision in live.all_revisions
        ]
        if instead_of is not None:
            for revision, predictor, old in zip(
                live.all_revisions, loaded, instead_of.all_revisions, strict=True
            ):
                prevent_downgrade(revision.deployment, predictor.version, drive(old.model.version()))
        self._swap_in(live, loaded, keep=keep, instead_of=instead_of)

    def roll_back(self, name: str) -> None:
        """Restore the models that a deployment served before its last change.

        Raises:
            NotFound: There is no such deployment, or its models have never changed.
            DeploymentUnavailable: A model was not in memory when it was replaced, and cannot be loaded now.
            ConfigurationError: A model was not in memory when it was replaced, and its file or store now has
                a different model.
        """
        current, previous = self._catalog.require(name), self._previous.get(name)
        if previous is None:
            raise NotFound(f"Deployment {name} has no previous models to roll back to")
        try:
            loaded = [_load_unchanged(revision) for revision in previous.all_revisions]
        except ConfigurationError:
            self._previous.pop(name, None)
            raise
        # The store still has the model that the rollback replaces. Record its fingerprint, so that the store
        # watcher does not swap it in again.
        for old in previous.model_handles:
            for new in current.model_handles:
                if is_same_model(old.deployment.model, new.deployment.model):
                    old.fingerprint = new.fingerprint
        # With `instead_of`, only one of two concurrent rollbacks takes effect.
        self._swap_in(previous, loaded, keep=True, instead_of=current)

    def _load_and_test(self, revision: ModelRevision, *, known: bool) -> Predictor:
        if revision.handle is None or known:
            return drive(revision.model.predictor(math.inf))
        # Bypass the cache: a model that may fail its test must not evict a model that serves.
        return self._loader.load(revision.handle.name)

    def _swap_in(
        self,
        live: LiveDeployment,
        loaded: Sequence[Predictor],
        *,
        keep: bool,
        instead_of: LiveDeployment | None = None,
    ) -> None:
        name = live.deployment.name
        with self._changing:
            current = self._catalog.require(name)
            if instead_of is not None and instead_of.revisions is not current.revisions:
                return
            # Remove the old models first, because the cache may not have room for both.
            for handle in set(current.model_handles).difference(live.model_handles):
                handle.detach()
            for revision in set(current.all_revisions).difference(live.all_revisions):
                if revision.handle is None:
                    drive(revision.model.predictor()).set_serving(False)
            for revision, predictor in zip(live.all_revisions, loaded, strict=bool(loaded)):
                if revision.handle is not None:
                    revision.handle.publish(predictor)
                else:
                    predictor.set_serving(True)
            own = live.revisions[0].handle
            self._cache.rename(name, own.name if own is not None else name)
            self._catalog[name] = replace(live, state=current.state, in_flight=current.in_flight)
            self._previous.pop(name, None)
            if keep:
                self._previous[name] = current


def _has_same_models(deployment: Deployment, other: Deployment) -> bool:
    """Return True if both deployments have the same model, version, digest and traffic split."""
    pins = [
        (it.version, it.sha256, it.rollout and (it.rollout.weights, it.rollout.sticky_by))
        for it in (deployment, other)
    ]
    return is_same_model(deployment.model, other.model) and pins[0] == pins[1]


def _load_unchanged(revision: ModelRevision) -> Predictor:
    """Return the model of a revision that served before. The model is loaded if it is not in memory.

    Raises:
        ConfigurationError: The model had to be loaded again, and its file or store now has a different model.
    """
    handle = revision.handle
    before = (handle.version, handle.fingerprint) if handle is not None else (None, None)
    predictor = drive(revision.model.predictor(math.inf))
    if handle is not None and before[0] is not None and before != (handle.version, handle.fingerprint):
        raise ConfigurationError(
            f"model {revision.deployment.model!r}: the previous model, version {before[0]}, is no longer in"
            f" memory, and version {predictor.version} is stored in its place: swap to a stored version"
        )
    return predictor

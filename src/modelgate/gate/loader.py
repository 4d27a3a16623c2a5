"""From where a deployment's model is kept to what predicts."""

import logging
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from ..errors import ConfigurationError
from ..flow import Workers
from ..models import ModelCache, ModelPackage, ModelStore
from ..models.manifest import Manifest, Sidecars
from ..models.model_thread import in_model_thread
from ..models.package import check_file, open_package, sidecars_of
from ..models.rules import Rules
from ..models.store import mark_of
from ..models.versions import LATEST, is_version
from ..scoring import Predictor, Target, Threshold
from ..scoring.model import Known
from ..scoring.query import output_names
from ..scoring.tally import Tally
from ..scoring.threshold import is_for
from .deployment import Deployment
from .supply import Supply

__all__ = ["Loader"]

logger = logging.getLogger("modelgate")


class Loader:
    """Makes the predictors of deployments.

    Args:
        store: where ``"store:name"`` models are, if anywhere.
        workers: the threads in which they predict.
        public_keys: of which one's holder must have signed what is loaded.

    Attributes:
        tallies: what the models of each deployment have done.
        watching: whether to note what is loaded, for `changed`.

    Raises:
        ConfigurationError: one of them is no key, or the store does not ask for signatures.
    """

    def __init__(
        self, store: ModelStore | None, workers: Workers, public_keys: Sequence[str | Path] | None = None
    ) -> None:
        self._rules = Rules(public_keys=public_keys)
        if public_keys is not None and not getattr(store, "demands_signature", store is None):
            raise ConfigurationError("public_keys: the store does not ask for signatures: give it keys too")
        self._store = store
        self._workers = workers
        self.tallies: dict[str, Tally] = {}
        self._admitted: WeakValueDictionary[str, Supply] = WeakValueDictionary()
        self._counts: dict[str, count[int]] = {}
        self.watching = False

    def admit(
        self, deployment: Deployment, cache: ModelCache[Predictor], tally: Tally | None = None
    ) -> Supply:
        """What gives the model of *deployment*; the first of that name is called so for `load` and `describe`."""
        number = next(self._counts.setdefault(deployment.name, count(1)))
        name = deployment.name if number == 1 else f"{deployment.name}#{number}"
        supply = self._admitted[name] = Supply(name, deployment, cache, tally)
        return supply

    def check(self, deployment: Deployment) -> None:
        """Raises `ConfigurationError` where it can be seen already that its model cannot be loaded."""
        if deployment.path is not None and self._rules.demands_signature:
            check_file(deployment.path, self._rules_of(deployment))
        if deployment.stored is None:
            return
        if self._store is None:
            raise ConfigurationError(f"model={deployment.model!r}: needs Gate(store=…)")
        check = getattr(self._store, "check", None)
        if check is not None:
            check(deployment.stored, sha256=deployment.sha256)
        elif deployment.sha256 is not None and not hasattr(self._store, "pins"):
            raise ConfigurationError("sha256: pins a file or a package, and this store has none")

    def load(self, name: str) -> Predictor:
        """What predicts for the deployment admitted as *name*, from its file or the store. It may block."""
        supply, start = self._admitted[name], monotonic()
        deployment = supply.deployment.name
        logger.info("deployment %s: loading model", deployment)
        try:
            predictor = self._load(supply)
        except BaseException:
            logger.info("deployment %s: model not loaded after %.1f s", deployment, monotonic() - start)
            raise
        logger.info("deployment %s: model loaded in %.1f s", deployment, monotonic() - start)
        return predictor

    def _load(self, supply: Supply) -> Predictor:
        # Before it is read: what changes meanwhile is read once more.
        mark = self._mark(supply.deployment) if self.watching or supply.deployment.path is not None else None
        predictor = self.predictor(supply.deployment, self._opened(supply.deployment), supply.tally)
        _warn_of_names(supply.deployment, predictor.version)
        supply.mark, supply.version, supply.schema = mark, predictor.version, predictor.schema
        return predictor

    def _opened(self, deployment: Deployment) -> Any:
        if deployment.stored is not None:
            assert self._store is not None
            pin = {"sha256": deployment.sha256} if deployment.sha256 is not None else {}
            return self._store.load(deployment.stored, **pin)
        assert deployment.path is not None
        return open_package(deployment.path, self._rules_of(deployment))

    def _rules_of(self, deployment: Deployment) -> Rules:
        return replace(self._rules, sha256=deployment.sha256)

    def changed(self, supply: Supply) -> Hashable | None:
        """The mark of what is kept for *supply*, where it is not what was loaded.

        Raises:
            NotFound, ConfigurationError, StoreError, OSError: it cannot be found.
        """
        if supply.mark is None:
            return None
        now = self._mark(supply.deployment)
        return now if now != supply.mark else None

    def _mark(self, deployment: Deployment) -> Hashable | None:
        if deployment.path is not None:
            return mark_of(deployment.path)
        mark = getattr(self._store, "mark", None)
        return mark(deployment.stored) if mark is not None else None

    def describe(self, name: str) -> Known | None:
        """What a package says of itself, read without its model; or else what was loaded, where it is the same."""
        supply = self._admitted[name]
        deployment = supply.deployment
        told = self._sidecars(deployment)
        if told is None:
            if supply.schema is None or supply.version is None or supply.mark is None:
                return None
            return Known(supply.schema, None, supply.version) if self.changed(supply) is None else None
        target, classes = _target(deployment, told.manifest), told.manifest.classes
        names = output_names(target, len(classes))
        schema, version = deployment.schema or told.schema, deployment.version or told.manifest.version
        return Known(schema, list(map(Target, names, classes)), version)

    def _sidecars(self, deployment: Deployment) -> Sidecars | None:
        path = deployment.path
        if deployment.sha256 is not None and (path is None or not path.is_dir()):
            # The digest is that of the whole file, of which that would be a part.
            return None
        if path is not None:
            return sidecars_of(path, self._rules_of(deployment))
        describe = getattr(self._store, "describe", None)
        return describe(deployment.stored) if describe is not None else None

    def predictor(self, deployment: Deployment, model: Any, tally: Tally | None = None) -> Predictor:
        """What predicts with *model*, an estimator, a function or a package, as *deployment* says.

        Its calls are counted by *tally*, or else with those of the deployment.

        Raises:
            ConfigurationError: they do not go together, or the model cannot answer.
        """
        return in_model_thread(self._predictor, deployment, model, tally)

    def _predictor(self, deployment: Deployment, model: Any, tally: Tally | None) -> Predictor:
        package = model if isinstance(model, ModelPackage) else None
        manifest = package.manifest if package is not None else None
        predictor = Predictor(
            package.model if package is not None else model,
            deployment.schema or (package.schema if package is not None else None),
            target=_target(deployment, manifest),
            version=deployment.version or _version(deployment, manifest),
            model_id=deployment.model_id or deployment.name,
            workers=None if deployment.offload is False else self._workers,
            plans=deployment.plans,
            batch=deployment.batch,
            inline=None if deployment.offload is None else False,
            tally=tally or self.tallies.setdefault(deployment.name, Tally()),
            sample=package.sample if package is not None else (),
        )
        try:
            doubt = predictor.warm(deployment.example)
        except ConfigurationError as error:
            raise ConfigurationError(f"deployment {deployment.name}: {error}") from error.__cause__
        if doubt is not None:
            logger.warning(
                "deployment %s: not known whether the model can answer: %s: give example=",
                deployment.name,
                doubt,
            )
        threshold, wanted = deployment.threshold, deployment.positive_class
        if manifest is not None:
            threshold = manifest.threshold if threshold is None else threshold
            wanted = manifest.positive_class if wanted is None else wanted
        _check_decision(predictor, threshold, wanted)
        if package is not None:
            predictor.size = package.size
        if threshold is not None or wanted is not None:
            predictor.decision = Threshold(threshold, wanted)
        return predictor


def _warn_of_names(deployment: Deployment, version: str) -> None:
    """Tell of a model whose name says another *version* than it does itself, as answers then do."""
    named = deployment.stored or (deployment.path.stem if deployment.path is not None else "")
    told = named.partition("@")[2]
    if (
        deployment.version is None
        and is_version(named)
        and told.removeprefix("v") != version.removeprefix("v")
    ):
        logger.warning("the model %s says that it is version %s, and its name says %s", named, version, told)


def _target(deployment: Deployment, manifest: Manifest | None) -> str | Sequence[str]:
    """What the deployment calls what is predicted, or else what its package does."""
    return deployment.target if manifest is None or deployment.target != "prediction" else manifest.target


def _version(deployment: Deployment, manifest: Manifest | None) -> str:
    """What its package says, or else the name in the store."""
    if manifest is not None:
        return manifest.version
    version = (deployment.stored or "").partition("@")[2]
    return version if version not in ("", LATEST) else "1"


def _check_decision(predictor: Predictor, threshold: float | None, wanted: Any) -> None:
    """Raises `ConfigurationError` where the model has no such class, or nothing to hold a threshold against."""
    # What a function gives is known when it has given it.
    if (threshold is None and wanted is None) or not hasattr(predictor.model, "predict"):
        return
    two = [target for target in predictor.targets if target.classes and is_for(wanted, target.classes)]
    if not two:
        classes = [target.classes for target in predictor.targets]
        option = f"positive_class={wanted!r}" if wanted is not None else f"threshold={threshold!r}"
        raise ConfigurationError(f"{option}: the model's classes are {classes}")
    if threshold is not None and not any(target.probabilities for target in two):
        raise ConfigurationError(f"threshold={threshold!r}: the model tells no probabilities")

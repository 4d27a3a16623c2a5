"""Load the models of deployments."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from ..errors import ConfigurationError, error_context
from ..flow import WorkerPool
from ..flow.model_thread import in_model_thread, start_model_thread
from ..flow.sklearn_config import current_sklearn_config, sklearn_config
from ..humility import HumilityRules
from ..inference import Predictor, Target
from ..inference.conversion import output_names
from ..inference.model_metrics import ModelMetrics
from ..inference.training import TrainingData
from ..models import MemoryStore, ModelCache, ModelPackage, ModelStore
from ..models.calibration import CALIBRATION
from ..models.load_policy import LoadPolicy
from ..models.manifest import Manifest, PackageMetadata
from ..models.package import open_package
from ..models.package_files import check_file, read_package_metadata, split_name
from ..models.shared_arrays import SharedArrays
from ..models.store import fingerprint_file
from ..models.versions import LATEST, is_older, is_version
from ..prometheus import Labels, MetricValues
from ..schema.unknown_levels import ALLOW_UNKNOWN_LEVELS, describe_rejected_levels
from ..scoring.layers.load_model import ModelMetadata
from .deployment import Deployment
from .model_handle import ModelHandle, Role
from .scoring_options import enable_scoring_options

__all__ = ["Loader", "prevent_downgrade"]

logger = logging.getLogger("modelgate")

_SLOW_TEST, _TEST_TIMEOUT = 10.0, 300.0
"""Seconds after which the test of a model object is logged as slow, and after which the model is rejected."""


class Loader:
    """Loader that creates the predictors of deployments.

    Args:
        store: Store of ``"store:name"`` models; None if the gate has no store.
        workers: Worker threads that run the models.
        public_keys: Ed25519 public keys. If there are any, models must be signed with one of them.
        values: Storage of the metrics; None for the memory of this process.
        array_dir: See `Gate`.

    Attributes:
        model_metrics: Metrics of the models, by deployment, version and role.
        watching: Whether to record the fingerprint of each stored model when the model is loaded. `changed`
            needs the fingerprint.

    Raises:
        ConfigurationError: A public key or *array_dir* is invalid, or the store does not verify signatures.
    """

    def __init__(
        self,
        store: ModelStore | None,
        workers: WorkerPool,
        public_keys: Sequence[str | Path] | None = None,
        values: MetricValues | None = None,
        array_dir: str | Path | None = None,
    ) -> None:
        self._policy = LoadPolicy(public_keys=public_keys)
        if public_keys is not None and not getattr(store, "requires_signature", store is None):
            raise ConfigurationError(
                "public_keys need a store that verifies signatures: pass public_keys to the store too"
            )
        self._store = store
        self._workers = workers
        # Models are loaded in other threads, where scikit-learn would use its default configuration.
        self._sklearn_config = current_sklearn_config()
        self._values = values
        # A `MemoryStore` has its models in memory. Sharing their arrays would only add copies.
        self._arrays = (
            None if array_dir is None or isinstance(store, MemoryStore) else SharedArrays(array_dir)
        )
        self.model_metrics: dict[Labels, ModelMetrics] = {}
        self._handles: WeakValueDictionary[str, ModelHandle] = WeakValueDictionary()
        self._counts: dict[str, count[int]] = {}
        self.watching = False

    def prepare(
        self, deployment: Deployment, cache: ModelCache[Predictor], role: Role = "serving"
    ) -> ModelHandle:
        """Return a handle to the model of *deployment*. `load` and `describe` accept the handle's name.

        The first handle has the name of the deployment, such as ``churn``. Later handles add a number:
        ``churn#2``.
        """
        number = next(self._counts.setdefault(deployment.name, count(1)))
        name = deployment.name if number == 1 else f"{deployment.name}#{number}"
        handle = self._handles[name] = ModelHandle(name, deployment, cache, role)
        return handle

    def deployment_name(self, name: str) -> str:
        """Return the name of the deployment that the handle *name* was prepared for."""
        return name.partition("#")[0]

    def check(self, deployment: Deployment) -> None:
        """Raise `ConfigurationError` if loading the model is certain to fail. The model is not loaded."""
        if deployment.path is not None and self._policy.requires_signature:
            check_file(deployment.path, self._policy_for(deployment))
        if deployment.stored_name is None:
            return
        if self._store is None:
            raise ConfigurationError(f"model {deployment.model!r} needs a store: Gate(store=…)")
        check = getattr(self._store, "check", None)
        if check is not None:
            check(deployment.stored_name, sha256=deployment.sha256)
        elif deployment.sha256 is not None and not hasattr(self._store, "supports_pinning"):
            raise ConfigurationError(
                "sha256 must be None for this store, which has no files or packages to pin"
            )

    def load(self, name: str) -> Predictor:
        """Load the model of the handle *name* from its file or the store. This call blocks."""
        handle, started_at = self._handles[name], monotonic()
        deployment = handle.deployment.name
        logger.info("deployment %s: loading model", deployment)
        try:
            predictor = self._load(handle)
        except BaseException:
            logger.info("deployment %s: model not loaded after %.1f s", deployment, monotonic() - started_at)
            raise
        logger.info("deployment %s: model loaded in %.1f s", deployment, monotonic() - started_at)
        return predictor

    def _load(self, handle: ModelHandle) -> Predictor:
        deployment = handle.deployment
        # Take the fingerprint before the model is read, so that a change while reading causes another load.
        watched = self.watching or deployment.path is not None
        fingerprint = self._fingerprint(deployment) if watched else None
        with sklearn_config(self._sklearn_config):
            model = self._read_model(deployment)
            if self._arrays is not None:
                model = in_model_thread(self._arrays.share, model)
        # Without a time limit: callers of the cache stop waiting after its *load_timeout*.
        predictor = in_model_thread(self._predictor, deployment, model, handle.role)
        if handle.version is not None:
            prevent_downgrade(deployment, predictor.version, handle.version)
        _warn_of_version_mismatch(deployment, predictor.version)
        handle.fingerprint, handle.version, handle.schema = fingerprint, predictor.version, predictor.schema
        return predictor

    def _read_model(self, deployment: Deployment) -> Any:
        if deployment.stored_name is not None:
            assert self._store is not None
            pin = {"sha256": deployment.sha256} if deployment.sha256 is not None else {}
            return self._store.load(deployment.stored_name, **pin)
        assert deployment.path is not None
        return open_package(deployment.path, self._policy_for(deployment))

    def _policy_for(self, deployment: Deployment) -> LoadPolicy:
        return replace(self._policy, sha256=deployment.sha256)

    def changed(self, handle: ModelHandle) -> Hashable | None:
        """Return the new fingerprint if the stored model differs from the loaded one, else None.

        Raises:
            NotFound, ConfigurationError, StoreError, OSError: The stored model cannot be found.
        """
        if handle.fingerprint is None:
            return None
        fingerprint = self._fingerprint(handle.deployment)
        return fingerprint if fingerprint != handle.fingerprint else None

    def _fingerprint(self, deployment: Deployment) -> Hashable | None:
        if deployment.path is not None:
            return fingerprint_file(deployment.path)
        fingerprint = getattr(self._store, "fingerprint", None)
        return fingerprint(deployment.stored_name) if fingerprint is not None else None

    def describe(self, name: str) -> ModelMetadata | None:
        """Return the metadata of the model of the handle *name* without loading the model.

        The metadata is read from the package. For a model without a package, the metadata of the last load is
        returned, or None if the stored model has changed since then.
        """
        handle = self._handles[name]
        deployment = handle.deployment
        metadata = self._read_metadata(deployment)
        if metadata is None:
            if handle.schema is None or handle.version is None or handle.fingerprint is None:
                return None
            if self.changed(handle) is not None:
                return None
            return ModelMetadata(handle.schema, None, handle.version)
        manifest = metadata.manifest
        names = output_names(_target(deployment, manifest), len(manifest.classes))
        schema = deployment.schema or deployment.adapt_schema(metadata.schema)
        schema = deployment.extend_schema(schema.with_columns(deployment.columns))
        version = deployment.version or manifest.version
        calibrated = CALIBRATION in manifest.members
        targets = [
            Target(name, classes, intervals=calibrated and classes is None)
            for name, classes in zip(names, manifest.classes, strict=True)
        ]
        return ModelMetadata(schema, targets, version, manifest.time_series)

    def _read_metadata(self, deployment: Deployment) -> PackageMetadata | None:
        path = deployment.path
        if deployment.sha256 is not None and (path is None or not path.is_dir()):
            # The digest covers the whole file, so it cannot be verified from a part of the file.
            return None
        if path is not None:
            return read_package_metadata(path, self._policy_for(deployment))
        describe = getattr(self._store, "describe", None)
        return describe(deployment.stored_name) if describe is not None else None

    def predictor(self, deployment: Deployment, model: Any, role: Role = "serving") -> Predictor:
        """Return a tested predictor for *model* with the options of *deployment*.

        Args:
            deployment: Options of the deployment.
            model: Estimator, function or package.
            role: Label of the model's metrics.

        Raises:
            ConfigurationError: The options do not fit the model, or the model fails its test, which may take
                up to five minutes.
        """
        pending = start_model_thread(self._predictor, deployment, model, role)
        wait([pending], _SLOW_TEST)
        if not pending.done():
            logger.warning(
                "deployment %s: slow model test: not finished after %d s", deployment.name, _SLOW_TEST
            )
            wait([pending], _TEST_TIMEOUT - _SLOW_TEST)
        if not pending.done():
            raise ConfigurationError(
                f"deployment {deployment.name}: model must predict a row within {_TEST_TIMEOUT:.0f} s (got no"
                " prediction)"
            )
        return pending.result()

    def _predictor(self, deployment: Deployment, model: Any, role: Role) -> Predictor:
        package = model if isinstance(model, ModelPackage) else None
        manifest = package.manifest if package is not None else None
        version = deployment.version or _version(deployment, manifest)
        metrics = self._metrics(deployment, version, role)
        with sklearn_config(self._sklearn_config):
            predictor = Predictor(
                package.model if package is not None else model,
                deployment.schema or (package.schema if package is not None else None),
                columns=deployment.columns,
                target=_target(deployment, manifest),
                version=version,
                model_id=deployment.model_id or deployment.name,
                workers=None if deployment.offload is False else self._workers,
                plans=deployment.plans,
                batch=deployment.batch,
                inline=None if deployment.offload is None else False,
                metrics=metrics,
                sample=_sample(deployment, package),
                input=deployment.input,
                thread_safe=deployment.thread_safe,
                nonfinite=deployment.nonfinite,
            )
        predictor.schema = deployment.adapt_schema(predictor.schema)
        with error_context(f"deployment {deployment.name}"):
            untested = predictor.warm(_example(deployment, predictor))
        if untested is not None:
            option = "example= on the deployment" if predictor.forecaster is None else "its attribute example"
            logger.warning(
                "deployment %s: model was not tested: %s: set %s", deployment.name, untested, option
            )
        rejected = describe_rejected_levels(predictor.model, predictor.schema)
        if rejected is not None and deployment.unknown_levels is None:
            logger.warning("deployment %s: %s: %s", deployment.name, rejected, ALLOW_UNKNOWN_LEVELS)
        if package is not None:
            predictor.size = package.size
            predictor.training = TrainingData(predictor.schema, package.background, package.statistics)
        enable_scoring_options(predictor, deployment, package)
        return predictor

    def _metrics(self, deployment: Deployment, version: str, role: Role) -> ModelMetrics:
        labels = deployment.name, version, role
        metrics = self.model_metrics.setdefault(labels, ModelMetrics(labels, self._values))
        if role == "serving":
            for rule in HumilityRules(deployment.humility or ()):
                metrics.count_triggered(rule.name, 0)
        return metrics

    def remove_metrics(self, name: str) -> None:
        """Discard the metrics of the deployment *name*."""
        for labels in list(self.model_metrics):
            if labels[0] == name:
                del self.model_metrics[labels]


def prevent_downgrade(deployment: Deployment, version: str, served_version: str) -> None:
    """Raise `ConfigurationError` if a deployment without a fixed version would go back to an older version.

    This could happen when the newest version is deleted from the store.

    Args:
        deployment: Options of the deployment.
        version: Version that was loaded.
        served_version: Version that serves or has served.
    """
    named_version = (deployment.stored_name or "").partition("@")[2]
    if named_version in ("", LATEST) and is_older(version, served_version):
        raise ConfigurationError(
            f"model {deployment.model!r} is now version {version}, older than the served version"
            f" {served_version}: to serve the older version, call swap, or set model to that version"
        )


def _warn_of_version_mismatch(deployment: Deployment, version: str) -> None:
    """Log a warning if the version in the name of a stored model differs from the version in the model."""
    name = deployment.stored_name or (split_name(deployment.path)[0] if deployment.path is not None else "")
    named_version = name.partition("@")[2]
    if (
        deployment.version is None
        and is_version(name)
        and named_version.removeprefix("v") != version.removeprefix("v")
    ):
        logger.warning("model %s: version mismatch: the model has version %s", name, version)


def _example(deployment: Deployment, predictor: Predictor) -> Mapping[str, Any] | None:
    """Return the example of the deployment, without the exposure unless it is an input of the model."""
    example, exposure = deployment.example, deployment.exposure
    if example is None or exposure is None or exposure.column in predictor.schema.names:
        return example
    return {name: value for name, value in example.items() if name != exposure.column}


def _sample(deployment: Deployment, package: ModelPackage | None) -> list[Mapping[str, Any]]:
    """Return rows that the model should be able to score: the deployment's example and the package's rows."""
    example = [] if deployment.example is None else [deployment.example]
    return example if package is None else [*example, *package.sample]


def _target(deployment: Deployment, manifest: Manifest | None) -> str | Sequence[str]:
    """Return the target names that the deployment sets, else the target names of the package."""
    return deployment.target if manifest is None or deployment.target != "prediction" else manifest.target


def _version(deployment: Deployment, manifest: Manifest | None) -> str:
    """Return the version in the package, else the version in the model's name in the store, else ``"1"``."""
    if manifest is not None:
        return manifest.version
    version = (deployment.stored_name or "").partition("@")[2]
    return version if version not in ("", LATEST) else "1"

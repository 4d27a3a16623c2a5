"""Scoring options of a deployment: threshold, intervals, explanations, exposure and humility rules."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigurationError, RequestError, error_context
from ..explanations import Explanations
from ..humility import HumilityRules
from ..inference import Predictor, Target
from ..inference.decision import DecisionRule, is_binary_positive, resolve_threshold
from ..inference.explained import enable_explanations
from ..inference.nonfinite import NullNonFinite
from ..inference.training import read_sample
from ..models import ModelPackage
from ..models.calibration import Calibration
from ..models.training_sample import evenly_spaced_indices
from ..schema import Schema, Table
from ..scoring.layers.rounding import Decimals
from .deployment import Deployment

__all__ = ["enable_scoring_options"]

logger = logging.getLogger("modelgate")


def enable_scoring_options(
    predictor: Predictor, deployment: Deployment, package: ModelPackage | None
) -> None:
    """Enable the scoring options of *deployment* and *package* on *predictor*.

    Raises:
        ConfigurationError: An option does not fit the model.
    """
    if predictor.forecaster is not None:
        _check_forecaster_options(deployment)
    _set_decision(predictor, deployment, package)
    targets = _known_targets(predictor)
    if targets:
        _check_names(targets, deployment.decimals)
    if package is not None and package.calibration is not None:
        _calibrate(predictor, package.calibration)
    explanations = Explanations.from_option(deployment.explanations)
    if explanations is not None:
        with error_context(f"deployment {deployment.name}: explanations"):
            background = _read_background(predictor.schema, explanations, package)
            method = enable_explanations(predictor, background, explanations)
        logger.info("deployment %s: explanations: method %s", deployment.name, method)
    # Last: the schema of requests may have a column that the model does not take.
    _add_exposure(predictor, deployment, targets)
    predictor.public_examples = _read_public_examples(predictor, deployment.public_examples, package)
    if deployment.humility:
        HumilityRules(deployment.humility).check(predictor.schema, targets)


def _check_forecaster_options(deployment: Deployment) -> None:
    """Raise `ConfigurationError` if an option is set that cannot be used with a forecaster."""
    if deployment.example is not None:
        raise ConfigurationError(
            "example must be None for a forecaster, which is tested with the rows in its attribute example"
            f" (got {deployment.example!r})"
        )
    options = ("threshold", "positive_class", "explanations", "exposure", "public_examples")
    values = {option: getattr(deployment, option) for option in options}
    for option, value in {**values, "humility": deployment.humility or None}.items():
        if value is not None:
            raise ConfigurationError(
                f"{option} must be left out for a forecaster, which predicts numbers for dates instead of a value"
                f" per row (got {value!r})"
            )


def _set_decision(predictor: Predictor, deployment: Deployment, package: ModelPackage | None) -> None:
    """Set the threshold and positive class from the deployment, else the package, else the classifier."""
    threshold, positive_class = deployment.threshold, deployment.positive_class
    if package is not None:
        manifest = package.manifest
        threshold = manifest.threshold if threshold is None else threshold
        positive_class = manifest.positive_class if positive_class is None else positive_class
    threshold, positive_class = resolve_threshold(predictor.model, threshold, positive_class)
    _check_decision(predictor, threshold, positive_class)
    if threshold is not None or positive_class is not None:
        rule = DecisionRule(threshold, positive_class)
        predictor.decision = NullNonFinite(rule) if predictor.nullable else rule


def _check_decision(predictor: Predictor, threshold: float | None, positive_class: Any) -> None:
    """Raise `ConfigurationError` if the model cannot have this threshold or this positive class."""
    # The outputs of a function are unknown until it has been called.
    if (threshold is None and positive_class is None) or not hasattr(predictor.model, "predict"):
        return
    binary_targets = [
        target
        for target in predictor.targets
        if target.classes and is_binary_positive(positive_class, target.classes)
    ]
    if not binary_targets:
        classes = [target.classes for target in predictor.targets]
        if positive_class is None:
            raise ConfigurationError(
                f"threshold must be None unless the model has two classes (got {classes})"
            )
        raise ConfigurationError(
            f"positive_class must be one of the model's two classes {classes} (got {positive_class!r})"
        )
    if threshold is not None and not any(target.probabilities for target in binary_targets):
        raise ConfigurationError("threshold must be None for a model that predicts no probabilities")


def _read_background(schema: Schema, options: Explanations, package: ModelPackage | None) -> Table:
    """Return the background rows in *options*, or else the sample in the package."""
    background = None
    if options.background is not None:
        try:
            background = schema.read(options.background)
        except RequestError as error:
            raise ConfigurationError(f"background must have rows that match the schema: {error}") from error
    elif package is not None:
        background = read_sample(schema, package.background)
    if background is None or not len(background):
        raise ConfigurationError(
            "background must have at least one row (got none): serve a ModelPackage, which has a sample of"
            " the training rows, or set explanations=Explanations(background=rows)"
        )
    return background


def _read_public_examples(
    predictor: Predictor, examples: int | Sequence[Mapping[str, Any]] | None, package: ModelPackage | None
) -> Sequence[Mapping[str, Any]]:
    """Return the rows that callers may see. If *examples* is a number, return that many rows of *package*."""
    if isinstance(examples, int):
        if package is None or not package.background:
            raise ConfigurationError(
                "public_examples must be a list of rows unless the model has a package with a sample"
                f" (got {examples!r})"
            )
        indices = evenly_spaced_indices(len(package.background), examples)
        return [package.background[index] for index in indices]
    for row in examples or ():
        try:
            predictor.schema.read([row])
        except RequestError as error:
            raise ConfigurationError(
                f"public_examples must have rows that match the schema: {error} (got {row!r})"
            ) from error
    return examples or ()


def _calibrate(predictor: Predictor, calibration: Calibration) -> None:
    """Enable prediction intervals on *predictor*."""
    if len(calibration.residuals) != len(predictor.targets):
        raise ConfigurationError(
            f"the calibration must have residuals for each of {len(predictor.targets)} outputs"
            f" (got {len(calibration.residuals)}): calibrate the package again"
        )
    predictor.calibration = calibration
    outputs = zip(predictor.targets, calibration.residuals, strict=True)
    predictor.targets = [replace(target, intervals=values is not None) for target, values in outputs]


def _check_names(targets: Sequence[Target], decimals: Decimals) -> None:
    """Check that the names in responses are unambiguous, and that the keys of *decimals* are output names.

    Wire formats join the name of an output with its classes (``datarobot``, CSV) or with ``probabilities``
    (``open_inference``).

    Raises:
        ConfigurationError: A check fails.
    """
    names = [target.name for target in targets]
    for target in targets:
        suffixes = [*(target.classes or ()), *(["probabilities"] if target.probabilities else [])]
        names += [f"{target.name}_{suffix}" for suffix in suffixes]
    if len(targets) > 1 and len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(
            "target must have names that are unambiguous in responses, where values are named <output>,"
            f" <output>_<class> and <output>_probabilities (got {duplicate!r} twice): rename an output"
        )
    unknown = set(decimals if isinstance(decimals, Mapping) else ()).difference(names[: len(targets)])
    if unknown:
        raise ConfigurationError(
            f"decimals must have only output names as keys: {', '.join(names[: len(targets)])}"
            f" (got {', '.join(unknown)})"
        )


def _add_exposure(predictor: Predictor, deployment: Deployment, targets: Sequence[Target]) -> None:
    """Add the exposure column to the request schema, unless the column is an input of the model.

    If the column is an input of the model, leave it out of explanations.

    Raises:
        ConfigurationError: The model cannot have an exposure.
    """
    if deployment.exposure is None:
        return
    deployment.exposure.check(targets)
    if predictor.explainer is not None:
        predictor.explainer.leave_out(deployment.exposure.column)
    schema = deployment.extend_schema(predictor.schema)
    if schema is not predictor.schema:
        predictor.schema, predictor.exposure_column = schema, deployment.exposure.column


def _known_targets(predictor: Predictor) -> Sequence[Target]:
    """Return the outputs of a model; an empty list for a function, whose outputs are not yet known."""
    is_known = hasattr(predictor.model, "predict") or predictor.forecaster is not None
    return predictor.targets if is_known else []

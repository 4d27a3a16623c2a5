"""Build live deployments from deployment options."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..flow import Flow, Handler, drive, stack
from ..http import Request, Response, http_stack
from ..humility import HumilityRules
from ..inference import Prediction, Predictor
from ..models import ModelCache
from ..scoring import LoadModel, ModelMetadata, Query, Round, Validate, add_passthrough_columns
from ..scoring.layers.check_prediction import check_prediction
from ..scoring.layers.explain import add_explanations
from ..scoring.layers.exposure import ApplyExposure
from ..scoring.layers.humility import Humility
from ..scoring.layers.shadow import ShadowLayer
from ..scoring.score import predict
from .catalog import LiveDeployment, ModelRevision
from .deployment import Deployment, ScoringLayer
from .loader import Loader
from .model_handle import Role
from .rollout import TrafficSplitter

__all__ = ["DeploymentBuilder", "is_same_model"]


class DeploymentBuilder:
    """Builder that creates `LiveDeployment` objects, with their layers and model revisions.

    Args:
        loader: Loader that creates predictors.
        cache: Cache of predictors.
        metadata: Cache of model metadata.
        scoring_layers: Scoring layers of the gate; None for the standard ones.
        answer: Function that answers a request. Its arguments are a handler that scores queries, and the
            request.
    """

    def __init__(
        self,
        loader: Loader,
        cache: ModelCache[Predictor],
        metadata: ModelCache[ModelMetadata | None],
        scoring_layers: Sequence[ScoringLayer] | None,
        answer: Callable[[Handler[Query, Prediction], Request], Flow[Response]],
    ) -> None:
        self._loader = loader
        self._cache = cache
        self._metadata = metadata
        self._scoring_layers = scoring_layers
        self._answer = answer

    def build(self, deployment: Deployment, known: Sequence[ModelRevision] = ()) -> LiveDeployment:
        """Return *deployment* as a live deployment. Models from files and stores are not loaded yet.

        Args:
            deployment: Options of the deployment, including its rollout and shadow.
            known: Existing revisions. A revision is reused if its model, version and digest match.

        Raises:
            ConfigurationError: A model cannot be used.
        """
        shadow = shadow_revision = None
        if deployment.shadow is not None:
            candidate = _with_model(deployment, deployment.shadow.model)
            shadow_revision = self._build_revision(candidate, known, serves_callers=False)
            validate = Validate(deployment.request_schema or shadow_revision.model.schema_source)
            score = stack([validate, shadow_revision.model, *_exposure_layers(deployment)], predict)
            shadow = ShadowLayer(deployment.name, deployment.shadow.sample, score)
        own = self._build_revision(deployment, known, [] if shadow is None else [shadow])
        revisions: tuple[ModelRevision, ...] = (own,)
        score, answer = own.score, partial(self._answer, own.score)
        if deployment.rollout is not None:
            candidates = [_with_model(deployment, model) for model in deployment.rollout.weights]
            revisions = (own, *(self._build_revision(candidate, known) for candidate in candidates))
            _require_distinct_versions(revisions)
            schema = deployment.request_schema or own.model.schema_source
            splitter = TrafficSplitter(deployment.rollout, deployment.name, schema)
            score = _ScoreByRollout(revisions, splitter)
            answer = partial(self._answer_with_version, score)
        return LiveDeployment(
            deployment,
            revisions,
            score,
            http_stack(deployment.layers, answer),
            deployment.state,
            shadow=shadow,
            shadow_revision=shadow_revision,
            rounding=Round(deployment.decimals) if self._has_no_other_layers(deployment) else None,
        )

    def _has_no_other_layers(self, deployment: Deployment) -> bool:
        """Return whether *deployment* has no layers of its own, and only rounding changes its predictions."""
        others = (self._scoring_layers, deployment.scoring_layers, deployment.rollout, deployment.shadow)
        options = (*others, deployment.exposure, deployment.explanations)
        return not deployment.layers and not deployment.humility and all(it is None for it in options)

    def _answer_with_version(self, score: Handler[Query, Prediction], request: Request) -> Flow[Response]:
        """Answer a request to a deployment with a rollout.

        The caller is stored in the query, because the rollout may pick the model by caller. The version is
        sent in a response header.
        """
        query, principal = request.context.query, request.context.principal
        assert query is not None
        if principal is not None:
            query.caller = principal.owner or principal.limit_bucket or principal.id
        response = yield from self._answer(score, request)
        assert query.predictor is not None
        response.set("x-model-version", query.predictor.version)
        return response

    def _build_revision(
        self,
        deployment: Deployment,
        known: Sequence[ModelRevision],
        innermost: Sequence[ScoringLayer] = (),
        *,
        serves_callers: bool = True,
    ) -> ModelRevision:
        for revision in known:
            if revision.serves_callers is serves_callers and _has_same_model(revision.deployment, deployment):
                return replace(revision, score=self._stack_scoring(deployment, revision.model, innermost))
        self._loader.check(deployment)
        role: Role = "serving" if serves_callers else "shadow"
        if deployment.is_loaded:
            handle = self._loader.prepare(deployment, self._cache, role)
            model = LoadModel(handle.load, partial(self._metadata.reload, handle.name), handle.peek)
        else:
            handle, model = None, LoadModel(self._loader.predictor(deployment, deployment.model, role))
        score = self._stack_scoring(deployment, model, innermost)
        return ModelRevision(deployment, model, score, handle, serves_callers)

    def _stack_scoring(
        self, deployment: Deployment, model: LoadModel, innermost: Sequence[ScoringLayer]
    ) -> Handler[Query, Prediction]:
        layers = deployment.scoring_layers if deployment.scoring_layers is not None else self._scoring_layers
        inner: list[ScoringLayer] = (
            [Round(deployment.decimals)] if layers is None else [check_prediction, *layers]
        )
        if deployment.humility:
            inner.append(Humility(HumilityRules(deployment.humility)))
        schema = deployment.request_schema or model.schema_source
        validate = Validate(schema, max_rows=deployment.max_rows, columns=True)
        # Explain the model's own prediction, before the exposure changes it. Layers inside the exposure layer
        # get only the columns of the model.
        explain = [] if deployment.explanations is None else [add_explanations]
        inner += [*innermost, *_exposure_layers(deployment), *explain]
        return stack([validate, add_passthrough_columns, model, *inner], predict)


def _exposure_layers(deployment: Deployment) -> list[ScoringLayer]:
    return [] if deployment.exposure is None else [ApplyExposure(deployment.exposure)]


class _ScoreByRollout:
    """Handler that scores a query with the requested version, or else with the one that *splitter* picks."""

    def __init__(self, revisions: Sequence[ModelRevision], splitter: TrafficSplitter) -> None:
        self._revisions = revisions
        self._splitter = splitter

    def __call__(self, query: Query) -> Flow[Prediction]:
        revision = yield from self._pick_revision(query)
        return (yield from revision.score(query))

    def _pick_revision(self, query: Query) -> Flow[ModelRevision]:
        if query.version is not None:
            for revision in self._revisions:
                if (yield from revision.model.version()) == query.version:
                    return revision
        return self._revisions[(yield from self._splitter.pick(query))]


def _require_distinct_versions(revisions: Sequence[ModelRevision]) -> None:
    """Raise `ConfigurationError` if two models in memory have the same version."""
    versions = [drive(revision.model.version()) for revision in revisions if revision.handle is None]
    repeated = [version for version in versions if versions.count(version) > 1]
    if repeated:
        raise ConfigurationError(
            f"rollout: the models must have different versions (got {repeated[0]!r} twice)"
        )


def _with_model(deployment: Deployment, model: Any) -> Deployment:
    """Return a copy of *deployment* with *model* and without version, digest, rollout and shadow."""
    return replace(deployment, model=model, version=None, sha256=None, rollout=None, shadow=None)


def _has_same_model(deployment: Deployment, other: Deployment) -> bool:
    return (deployment.version, deployment.sha256) == (other.version, other.sha256) and is_same_model(
        deployment.model, other.model
    )


def is_same_model(model: Any, other: Any) -> bool:
    """Return whether *model* and *other* are the same object, or the same name or path of a stored model."""
    return model is other or (isinstance(model, str | Path) and model == other)

"""A deployment and its models become what answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..flow import Flow, Handler, drive, stack
from ..http import Request, Response, http_stack
from ..models import ModelCache
from ..scoring import Known, Model, Prediction, Predictor, Query, Round, Validate, decide, held, keep_columns
from ..scoring.query import check_prediction
from ..scoring.rollout import Choice
from ..scoring.score import predict
from ..scoring.shadow import Shadowing
from ..scoring.tally import Tally
from .deployment import Deployment, ScoringLayer
from .entries import Entry, Release
from .loader import Loader

__all__ = ["Assembly", "is_same_model"]


class Assembly:
    """Puts deployments together.

    Args:
        loader: makes predictors.
        cache: keeps them.
        described: tells what is known of them.
        scoring: the gate's scoring layers; None for the standard ones.
        answer: what answers a request, given what scores.
    """

    def __init__(
        self,
        loader: Loader,
        cache: ModelCache[Predictor],
        described: ModelCache[Known | None],
        scoring: Sequence[ScoringLayer] | None,
        answer: Callable[[Handler[Query, Prediction], Request], Flow[Response]],
    ) -> None:
        self._loader = loader
        self._cache = cache
        self._described = described
        self._scoring = scoring
        self._answer = answer

    def entry(self, deployment: Deployment, known: Sequence[Release] = ()) -> Entry:
        """*deployment*, put together.

        Args:
            deployment: with all its models.
            known: releases to take, where they are of these very models.

        Raises:
            ConfigurationError: a model cannot work.
        """
        shadow = shadowed = None
        if deployment.shadow is not None:
            shadowed = self._release(_candidate(deployment, deployment.shadow.model), known, answers=False)
            score = stack(
                [Validate(deployment.schema or shadowed.model.schema), shadowed.model, decide], predict
            )
            shadow = Shadowing(deployment.name, deployment.shadow.sample, score)
        own = self._release(deployment, known, [] if shadow is None else [shadow])
        releases: tuple[Release, ...] = (own,)
        score, answer = own.score, partial(self._answer, own.score)
        if deployment.rollout is not None:
            candidates = [_candidate(deployment, model) for model in deployment.rollout.percents]
            releases = (own, *(self._release(candidate, known) for candidate in candidates))
            _check_versions(releases)
            score = _OneOf(releases, Choice(deployment.rollout, deployment.name))
            answer = partial(self._answer_telling, score)
        return Entry(
            deployment,
            releases,
            score,
            http_stack(deployment.layers, answer),
            deployment.state,
            shadow=shadow,
            shadowed=shadowed,
        )

    def _answer_telling(self, score: Handler[Query, Prediction], request: Request) -> Flow[Response]:
        """Where several models may answer: the query says who asks, and the answer which one it was."""
        query, principal = request.query, request.principal
        assert query is not None
        if principal is not None:
            query.caller = principal.owner or principal.counted_as or principal.id
        response = yield from self._answer(score, request)
        assert query.predictor is not None
        response.set("x-model-version", query.predictor.version)
        return response

    def _release(
        self,
        deployment: Deployment,
        known: Sequence[Release],
        innermost: Sequence[ScoringLayer] = (),
        *,
        answers: bool = True,
    ) -> Release:
        for release in known:
            told = release.deployment
            if release.answers is not answers:
                continue
            if told.version == deployment.version and is_same_model(told.model, deployment.model):
                return replace(release, score=self._scored(deployment, release.model, innermost))
        self._loader.check(deployment)
        tally = None if answers else Tally()
        if deployment.is_loaded:
            supply = self._loader.admit(deployment, self._cache, tally)
            model = Model(supply.get, partial(self._described.reload, supply.name), supply.peek)
        else:
            predictor = self._loader.predictor(deployment, deployment.model, tally)
            supply, model = None, Model(held(predictor), peek=lambda: predictor)
        return Release(deployment, model, self._scored(deployment, model, innermost), supply, answers)

    def _scored(
        self, deployment: Deployment, model: Model, innermost: Sequence[ScoringLayer]
    ) -> Handler[Query, Prediction]:
        scoring = deployment.scoring if deployment.scoring is not None else self._scoring
        inner: list[ScoringLayer] = (
            [Round(deployment.decimals)] if scoring is None else [check_prediction, *scoring]
        )
        validate = Validate(deployment.schema or model.schema, max_rows=deployment.max_rows)
        return stack([validate, keep_columns, model, *inner, *innermost, decide], predict)


class _OneOf:
    """Scores each query by one of several *releases*: the one of the version asked, or the one chosen."""

    def __init__(self, releases: Sequence[Release], choice: Choice) -> None:
        self._releases = releases
        self._choice = choice

    def __call__(self, query: Query) -> Flow[Prediction]:
        release = yield from self._release(query)
        return (yield from release.score(query))

    def _release(self, query: Query) -> Flow[Release]:
        if query.version is not None:
            for release in self._releases:
                if (yield from release.model.version()) == query.version:
                    return release
        return self._releases[(yield from self._choice.pick(query))]


def _check_versions(releases: Sequence[Release]) -> None:
    """Raises `ConfigurationError` where two models in memory cannot be told apart in any answer."""
    told = [drive(release.model.version()) for release in releases if release.supply is None]
    twice = [version for version in told if told.count(version) > 1]
    if twice:
        raise ConfigurationError(
            f"rollout: two of the models are version {twice[0]!r}: give each one of its own"
        )


def _candidate(deployment: Deployment, model: Any) -> Deployment:
    """*deployment* with another model, of which nothing is said but by itself."""
    return replace(deployment, model=model, version=None, sha256=None, rollout=None, shadow=None)


def is_same_model(one: Any, other: Any) -> bool:
    """Whether two deployments are told the same model."""
    return one is other or (isinstance(one, str | Path) and one == other)

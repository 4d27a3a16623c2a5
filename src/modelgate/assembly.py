"""A deployment and its models become what answers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .deployment import Deployment, ScoringLayer
from .entries import Entry, Release
from .flow import Flow, Handler, stack
from .http import Request, Response, http_stack
from .loader import Loader
from .models import ModelCache
from .scoring import Known, Model, Prediction, Predictor, Query, Round, Validate, decide, held, keep_columns
from .scoring.query import check_prediction
from .scoring.score import predict

__all__ = ["Assembly"]


class Assembly:
    """Puts deployments together.

    Args:
        loader: makes predictors.
        cache: keeps them.
        described: keeps what is known of them.
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
        releases = (self._release(deployment, known),)
        score = releases[0].score
        answer = http_stack(deployment.layers, partial(self._answer, score))
        return Entry(deployment, releases, score, answer, deployment.state)

    def _release(self, deployment: Deployment, known: Sequence[Release]) -> Release:
        for release in known:
            if _same(release.deployment.model, deployment.model):
                return release
        self._loader.check(deployment)
        if deployment.is_loaded:
            key = self._loader.admit(deployment)
            model = Model(partial(self._cache.get, key), partial(self._described.get, key))
        else:
            key, model = None, Model(held(self._loader.predictor(deployment, deployment.model)))
        return Release(deployment, model, self._scored(deployment, model), key)

    def _scored(self, deployment: Deployment, model: Model) -> Handler[Query, Prediction]:
        scoring = deployment.scoring if deployment.scoring is not None else self._scoring
        inner: list[ScoringLayer] = (
            [Round(deployment.decimals)] if scoring is None else [check_prediction, *scoring]
        )
        validate = Validate(deployment.schema or model.schema, max_rows=deployment.max_rows)
        return stack([validate, keep_columns, model, *inner, decide], predict)


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and one == other)

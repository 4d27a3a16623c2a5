"""Handle to the model of a revision."""

from collections.abc import Hashable
from typing import Literal, TypeAlias

from ..flow import Flow
from ..inference import Predictor
from ..models import ModelCache
from ..schema import Schema
from .deployment import Deployment

__all__ = ["ModelHandle", "Role"]

Role: TypeAlias = Literal["serving", "shadow"]


class ModelHandle:
    """Handle to the model of a revision.

    A serving model is in the cache, and a replaced model is in the handle.

    A replaced model stays in memory as long as a running request, or the state that `rollback` restores,
    refers to this handle.

    Args:
        name: Name of the model in the cache.
        deployment: Deployment that the model belongs to.
        cache: Cache of the serving models.
        role: Label of the model's metrics.

    Attributes:
        fingerprint: Fingerprint of the stored model at the last load; None if no fingerprint was taken.
        version, schema: Version and schema of the model that was loaded last.
    """

    def __init__(self, name: str, deployment: Deployment, cache: ModelCache[Predictor], role: Role) -> None:
        self.name = name
        self.deployment = deployment
        self.role = role
        self.fingerprint: Hashable | None = None
        self.version: str | None = None
        self.schema: Schema | None = None
        self._cache = cache
        self._detached_predictor: Predictor | None = None
        self._is_detached = False

    @property
    def loaded(self) -> Predictor | None:
        """Model if it is in memory, else None.

        Reading this does not count as a use of the model in the cache.
        """
        return self._detached_predictor or self._cache.get_cached(self.name)

    def peek(self) -> Predictor | None:
        """Return the model if it is in memory, else None. This counts as a use of the model in the cache."""
        if self._detached_predictor is not None:
            return self._detached_predictor
        return self._cache.peek(self.name)

    def load(self, timeout: float | None = None) -> Flow[tuple[Predictor, bool]]:
        """Return the model, and whether it was in memory. Wait and raise errors like `ModelCache.get`."""
        if self._detached_predictor is not None:
            return self._detached_predictor, True
        predictor, hit = yield from self._cache.get(self.name, timeout)
        if self._is_detached:
            self._detach(predictor)
        return predictor, hit

    def publish(self, predictor: Predictor) -> None:
        """Put *predictor* into the cache.

        If this handle has a detached model, the cache is not changed, because the cached model of this name
        may already be another one.
        """
        predictor.set_serving(True)
        if self._detached_predictor is None:
            self._is_detached = False
            self._cache.put(self.name, predictor)

    def detach(self) -> None:
        """Move the model from the cache to this handle, because another model replaces it."""
        self._is_detached = True
        if self._detached_predictor is None:
            self._detach(self._cache.peek(self.name))

    def _detach(self, predictor: Predictor | None) -> None:
        if predictor is not None:
            predictor.set_serving(False)
        # In this order, a concurrent caller finds the model either here or in the cache.
        self._detached_predictor = predictor
        self._cache.drop(self.name)

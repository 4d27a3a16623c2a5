"""From where a release has its model."""

from collections.abc import Hashable

from ..flow import Flow
from ..models import ModelCache
from ..schema import Schema
from ..scoring import Predictor
from ..scoring.tally import Tally
from .deployment import Deployment

__all__ = ["Supply"]


class Supply:
    """Gives a release its model: the cache's, or its own once another release has taken its place.

    What has been replaced is in the cache no more. It lives as long as whoever may still ask for it: a
    request that came before, and whoever may go back to it.

    Args:
        name: of the model in the cache.
        deployment: whose model it is.
        cache: keeps what serves.
        tally: counts its calls; None for that of the deployment.

    Attributes:
        mark: of what was kept when the model was loaded last, where it is a file or somebody watches.
        version, schema: of the model that was loaded last.
    """

    def __init__(
        self, name: str, deployment: Deployment, cache: ModelCache[Predictor], tally: Tally | None
    ) -> None:
        self.name = name
        self.deployment = deployment
        self.tally = tally
        self.mark: Hashable | None = None
        self.version: str | None = None
        self.schema: Schema | None = None
        self._cache = cache
        self._held: Predictor | None = None
        self._retired = False

    def peek(self) -> Predictor | None:
        """The model where it is in memory."""
        return self._cache.peek(self.name) if self._held is None else self._held

    def get(self, timeout: float | None = None) -> Flow[tuple[Predictor, bool]]:
        """The model, and whether it was in memory. Waits and raises as `ModelCache.get`."""
        if self._held is not None:
            return self._held, True
        predictor, hit = yield from self._cache.get(self.name, timeout)
        if self._retired:
            self._hold(predictor)
        return predictor, hit

    def serve(self, predictor: Predictor) -> None:
        """Have the cache keep *predictor*, but one that was replaced before: its name may mean another by now."""
        if self._held is None:
            self._retired = False
            self._cache.put(self.name, predictor)

    def retire(self) -> None:
        """Take the model out of the cache: another one has its place."""
        self._retired = True
        if self._held is None:
            self._hold(self._cache.peek(self.name))

    def _hold(self, predictor: Predictor | None) -> None:
        # In this order: whoever asks meanwhile finds it in one of the two.
        self._held = predictor
        self._cache.drop(self.name)

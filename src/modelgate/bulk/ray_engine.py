"""Engine that scores on a Ray cluster."""

from typing import Any

from ..client.rows import Rows
from ..client.score_rows import ScoredRows
from ..errors import ConfigurationError, ServingError
from .engine import Engine
from .gate_source import GateSource
from .worker import RaisedError, score_chunk

__all__ = ["RayEngine"]


class RayEngine(Engine):
    """Scores rows with tasks of Ray, which run on all nodes of the cluster.

    Each process of Ray creates a gate of its own, so *source* must be available on all nodes. A task whose
    node fails runs again on another node.

    Args:
        source: Gate and deployment.
        workers: Maximum number of chunks to score at once; None for one per CPU of the cluster.

    Raises:
        ConfigurationError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, source: GateSource, workers: int | None) -> None:
        try:
            import ray
        except ImportError:
            raise ConfigurationError('engine ray needs Ray: pip install "modelgate[ray]"') from None
        if not ray.is_initialized():
            try:
                # Connects to the cluster of RAY_ADDRESS or of this machine, or starts one on this machine.
                ray.init(log_to_driver=False)
            except ConnectionError as error:
                raise ConfigurationError(f"engine ray: {error}") from None
        self._ray: Any = ray
        # A second chunk per worker hides the time that chunks are on their way.
        super().__init__(2 * (workers or int(ray.cluster_resources().get("CPU", 1))))
        self._source = ray.put(source)
        # Scoring changes nothing, so a task can be repeated.
        self._task = ray.remote(score_chunk).options(max_retries=-1, retry_exceptions=False)

    async def score(self, rows: Rows, *, is_first: bool) -> ScoredRows:
        return await self._score(rows.header, rows.data, is_first=is_first)

    async def check_header(self, header: bytes) -> None:
        await self._score(header, [], is_first=True)

    async def _score(self, header: bytes, lines: Any, *, is_first: bool) -> ScoredRows:
        try:
            result = await self._task.remote(self._source, header, lines, is_first=is_first)
        except self._ray.exceptions.RayError as error:
            raise ServingError(f"Ray could not score the rows: {str(error).splitlines()[0]}") from error
        if isinstance(result, RaisedError):
            raise result.restore()
        return result  # type: ignore[no-any-return]

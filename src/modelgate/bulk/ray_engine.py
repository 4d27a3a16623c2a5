"""Engine that scores rows on a Ray cluster."""

from typing import Any

from ..client.rows import Rows
from ..client.score_rows import ScoredRows
from ..errors import ConfigurationError, ModelgateError, ServingError
from .engine import Engine
from .gate_source import GateSource
from .worker import score_chunk

__all__ = ["RayEngine"]


class RayEngine(Engine):
    """Engine that scores rows in Ray tasks, on all nodes of the cluster.

    Each Ray worker process creates its own gate, so the gate's code and models must be available on all
    nodes. If a node fails, its tasks run again on another node.

    Args:
        source: Description of the gate and the deployment.
        workers: Number of chunks to score concurrently; None for one per CPU of the cluster.

    Raises:
        ConfigurationError: Ray is not installed, or the cluster cannot be reached.
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
        # A second chunk per worker hides the time for sending chunks and results.
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
            return await self._task.remote(self._source, header, lines, is_first=is_first)  # type: ignore[no-any-return]
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, ModelgateError):
                raise cause from error
            raise ServingError(f"Ray could not score the rows: {str(error).splitlines()[0]}") from error

"""BentoML with adaptive batching of 64 rows; no request is rejected."""

import bentoml
from shared import score


@bentoml.service(workers=1, traffic={"timeout": 60})
class Service:
    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=5_000)
    def predict(self, rows: list[dict]) -> list[dict]:
        return score(rows)

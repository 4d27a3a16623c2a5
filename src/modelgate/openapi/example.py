"""The example of a deployment, scored, and what dialects answer to it."""

from collections.abc import Sequence

from ..dialects import Catalog, Dialect, Sample, filled
from ..errors import RequestError, ServingError
from ..flow import Flow
from ..http import Request, Response
from ..scoring import Description, Prediction, Predictor, Query, Target
from .rows import example_of

__all__ = ["EXAMPLE_ID", "EXAMPLE_KEY", "Example"]

EXAMPLE_ID = "3f2b8c1e-9d4a-4f6b-8a57-0c1d2e3f4a5b"
EXAMPLE_KEY = "YOUR_API_KEY"


class Example:
    """The example row of a deployment. A function is not asked: it may have effects.

    It is scored once for all the dialects that round alike.

    Args:
        told: what is known of the deployment.
        catalog: scores.
    """

    def __init__(self, told: Description, catalog: Catalog) -> None:
        self._told = told
        self._catalog = catalog
        self._row = None if told.function else example_of(told.schema)
        self._scored: dict[int | None, tuple[Prediction, Predictor | None]] = {}

    @property
    def targets(self) -> Sequence[Target]:
        """What the deployment predicts, as its example shows where it was scored."""
        for prediction, _ in self._scored.values():
            return [Target.of(output) for output in prediction.outputs]
        return self._told.targets

    def answer(self, dialect: Dialect) -> Flow[Response | None]:
        """What *dialect* answers to the example; None where there is none, or it cannot be scored."""
        sample: Sample | None = getattr(dialect, "sample", None)
        if sample is None or self._row is None:
            return None
        path, headers, body = filled(sample, self._told.name, EXAMPLE_KEY, self._told.schema, [self._row])
        request = Request("POST", path, {name.lower(): value for name, value in headers.items()})
        request.id, request.deployment, request.wire = EXAMPLE_ID, self._told.name, dialect
        request.body_read = body
        try:
            request.query = yield from dialect.decode(request)
            prediction = yield from self._prediction(request.query)
        except RequestError:
            return None
        except ServingError:
            # No other dialect would fare better.
            self._row = None
            return None
        return dialect.encode(request, request.query, prediction)

    def _prediction(self, query: Query) -> Flow[Prediction]:
        # A document needs no example so much that it would wait for the model.
        query.deployment, query.load_timeout = self._told.name, 0.0
        if query.decimals not in self._scored:
            prediction = yield from self._catalog.score(self._told.name, query)
            self._scored[query.decimals] = prediction, query.predictor
        prediction, query.predictor = self._scored[query.decimals]
        return prediction

"""Predict the example row of a deployment, for the example responses in the OpenAPI document."""

from collections.abc import Sequence
from dataclasses import replace

from ..context import Catalog, RequestContext
from ..dialects import Dialect, RequestTemplate, forecast_encoder, render_request
from ..errors import RequestError, ServingError
from ..flow import Flow
from ..http import Request, Response
from ..inference import Prediction, Predictor, Target
from ..scoring import Description, Query
from .rows import example_rows

__all__ = ["EXAMPLE_ID", "EXAMPLE_KEY", "Example"]

EXAMPLE_ID = "3f2b8c1e-9d4a-4f6b-8a57-0c1d2e3f4a5b"
EXAMPLE_KEY = "YOUR_API_KEY"


class Example:
    """Example rows of a deployment, with predictions that dialects share.

    The rows are scored again only for a dialect that rounds to a different number of decimals. A model that
    is a function is not called, because it may have side effects.

    Args:
        description: Description of the deployment.
        catalog: Deployments of the gate, which score the rows.
    """

    def __init__(self, description: Description, catalog: Catalog) -> None:
        self._description = description
        self._catalog = catalog
        self._rows = None if description.function else example_rows(description)
        self._scored: dict[int | None, tuple[Prediction, Predictor | None]] = {}

    @property
    def targets(self) -> Sequence[Target]:
        """Targets of the prediction, or of the description if the rows have not been scored."""
        for prediction, _ in self._scored.values():
            nullable = any(target.nullable for target in self._description.targets)
            calibrated = {target.name for target in self._description.targets if target.intervals}
            return [
                replace(Target.from_output(output), nullable=nullable, intervals=output.name in calibrated)
                for output in prediction.outputs
            ]
        return self._description.targets

    def respond(self, dialect: Dialect) -> Flow[Response | None]:
        """Return the response of *dialect* to a request with the example rows.

        Return None if there are no example rows, if *dialect* has no request template, or if scoring fails.
        """
        template: RequestTemplate | None = getattr(dialect, "request_template", None)
        if template is None or self._rows is None:
            return None
        name, schema = self._description.name, self._description.schema
        path, headers, body = render_request(template, name, EXAMPLE_KEY, schema, self._rows)
        context = RequestContext(deployment=self._description.name)
        fields = {name.lower(): value for name, value in headers.items()}
        request = Request("POST", path, fields, context=context)
        request.id, request.wire = EXAMPLE_ID, dialect
        request.body_read = body
        try:
            query = context.query = yield from dialect.decode(request)
            prediction = yield from self._score(query)
        except RequestError:
            return None
        except ServingError:
            # The model cannot score at the moment, so do not try the other dialects.
            self._rows = None
            return None
        encode = dialect.encode if prediction.forecast is None else forecast_encoder(dialect)
        return encode(request, query, prediction)

    def _score(self, query: Query) -> Flow[Prediction]:
        # Do not wait for a model that is being loaded: the document would be late.
        query.deployment, query.load_timeout = self._description.name, 0.0
        if query.decimals not in self._scored:
            prediction = yield from self._catalog.score(self._description.name, query)
            self._scored[query.decimals] = prediction, query.predictor
        prediction, query.predictor = self._scored[query.decimals]
        return prediction

"""Score a decoded request, and encode the prediction in the request's wire format."""

from time import perf_counter, time

from ..dialects import Dialect, forecast_encoder
from ..flow import Flow, Handler, run_long
from ..http import Request, Response
from ..http.spooling import spool
from ..inference import Prediction
from ..inference.nonfinite import reject_lone_surrogates
from ..keys import Principal
from ..monitoring import PredictionRecord
from ..monitoring.prediction_hook import PredictionHooks
from ..scoring import Query
from ..scoring.many_rows import MANY_ROWS, is_large

__all__ = ["score_and_encode"]


def score_and_encode(
    score: Handler[Query, Prediction], request: Request, hook: PredictionHooks | None = None
) -> Flow[Response]:
    """Score the query of *request*, encode the prediction, and report it to *hook*."""
    query = request.context.query
    assert query is not None
    query.on_rows, query.timing = request.context.on_rows, request.timing
    prediction = yield from score(query)
    dialect: Dialect = request.wire  # type: ignore[assignment]
    encode = dialect.encode if prediction.forecast is None else forecast_encoder(dialect)
    try:
        if len(prediction.outputs[0].values) > MANY_ROWS or (
            prediction.passthrough_columns and is_large(query.rows)
        ):
            response = yield from run_long(encode, request, query, prediction)
        else:
            response = encode(request, query, prediction)
        if request.body_share is not None:
            request.body_share.limit_sending()
        if not isinstance(response.body, bytes) and request.needs_length:
            response = yield from run_long(spool, response, request.on_close)
    except UnicodeEncodeError:
        reject_lone_surrogates(prediction)
        raise
    if hook is not None and prediction.curve is None:
        principal: Principal | None = request.context.principal
        record = PredictionRecord(
            request.id,  # type: ignore[arg-type]  # set by `RequestId`
            query.deployment,
            query.predictor.version,
            None if principal is None else principal.id,
            time(),
            perf_counter() - request.started,
            query.table,
            prediction,
            query.predictor.training,
            query.hypothetical,
        )
        hook(record)
    return response

"""Catalog of the deployments that a gate serves."""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from ..context import suggest_deployments
from ..errors import DeploymentInactive, DeploymentUnavailable, Forbidden, NotFound
from ..explanations import Explanations
from ..flow import Flow, Handler, drive, run
from ..flow.fork_safety import reset_after_fork
from ..http import Request, Response
from ..inference import Prediction
from ..inference.training_summary import summarize_training
from ..scoring import Description, LoadModel, Query, Round
from ..scoring.error_record import ErrorRecord
from ..scoring.layers.shadow import ShadowLayer
from .deployment import Deployment
from .model_handle import ModelHandle

__all__ = ["DeploymentCatalog", "InFlight", "LiveDeployment", "ModelRevision", "State"]

State: TypeAlias = Literal["active", "paused", "draining"]

_RETRY_DRAINED = 5

_POLL_INTERVAL = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class ModelRevision:
    """One model version of a deployment, with the scoring layers around it. Immutable.

    Args:
        deployment: Options of the deployment. Their *model* is the model of this revision.
        model: Layer that provides the model.
        score: Handler that scores a query: all scoring layers, including *model*.
        handle: Handle of a model that is loaded on demand; None for a model passed as an object.
        serves_callers: False for the revision of a shadow. The calls of a shadow are counted separately.
    """

    deployment: Deployment
    model: LoadModel
    score: Handler[Query, Prediction]
    handle: ModelHandle | None
    serves_callers: bool = True


class InFlight:
    """Requests in flight: the requests to a deployment that are not answered yet.

    Attributes:
        last_error: Error of the last request that failed because of the model or a layer.
        begin: Function that adds a request.
        end: Function that removes a request. Safe to call twice.
    """

    def __init__(self) -> None:
        self.last_error: ErrorRecord | None = None
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start with no requests. After a fork, the parent process answers the earlier requests."""
        self._requests: set[object] = set()
        self.begin, self.end = self._requests.add, self._requests.discard

    def __len__(self) -> int:
        return len(self._requests)

    def wait(self, timeout: float | None) -> bool:
        """Wait until no request is in flight. Return False if this takes longer than *timeout* seconds."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._requests and time.monotonic() < deadline:
            # Polling adds nothing to the cost of a request, and draining takes longer than the interval.
            time.sleep(_POLL_INTERVAL)
        return not self._requests


@dataclass(frozen=True, slots=True, eq=False)
class LiveDeployment:
    """Deployment with its layers and models. Immutable: a change replaces the object in the catalog.

    Args:
        deployment: Options of the deployment.
        revisions: Model revisions that answer requests, the deployment's own model first.
        score: Handler that scores a query with one of the revisions.
        answer: Handler that answers a request: the deployment's HTTP layers around *score*.
        state: Whether the deployment takes requests.
        in_flight: Requests in flight. When a change replaces this object, the new object gets the same
            `InFlight`.
        shadow: Layer that sends queries to the shadow; None without a shadow.
        shadow_revision: Model revision of the shadow; None without a shadow.
        rounding: Layer that rounds predictions, if no other layer can change them and there is neither a
            rollout nor a shadow; otherwise None.
    """

    deployment: Deployment
    revisions: tuple[ModelRevision, ...]
    score: Handler[Query, Prediction]
    answer: Handler[Request, Response]
    state: State = "active"
    in_flight: InFlight = field(default_factory=InFlight)
    shadow: ShadowLayer | None = None
    shadow_revision: ModelRevision | None = None
    rounding: Round | None = None

    def inactive_error(self) -> DeploymentInactive | DeploymentUnavailable:
        """Return the error for requests to a deployment that is not active."""
        if self.state == "draining":
            return DeploymentUnavailable(
                _RETRY_DRAINED, "This deployment takes no new requests at the moment"
            )
        return DeploymentInactive()

    @property
    def current_state(self) -> str:
        """State of the deployment, or ``"failed"`` if it is active and its model could not be loaded."""
        return "failed" if self.state == "active" and self.model.failed else self.state

    @property
    def last_error(self) -> ErrorRecord | None:
        """Error of the last request that failed because of the model or a layer."""
        return self.in_flight.last_error

    @property
    def model(self) -> LoadModel:
        """Layer that provides the deployment's own model."""
        return self.revisions[0].model

    @property
    def all_revisions(self) -> tuple[ModelRevision, ...]:
        """All model revisions. The revision of the shadow is last."""
        return self.revisions if self.shadow_revision is None else (*self.revisions, self.shadow_revision)

    @property
    def model_handles(self) -> list[ModelHandle]:
        """Handles of the models that are loaded on demand."""
        return [revision.handle for revision in self.all_revisions if revision.handle is not None]

    def describe(self) -> Flow[Description]:
        """Return the description of the deployment (see `Catalog.describe`)."""
        deployment = self.deployment
        schema = deployment.request_schema or (yield from self.model.schema(Query(b"")))
        if not schema.options.show_schema:
            raise Forbidden("This deployment does not show its schema")
        targets = yield from self.model.targets()
        explanations = Explanations.from_option(deployment.explanations)
        if deployment.nonfinite == "null":
            targets = [replace(target, nullable=True) for target in targets]
        return Description(
            deployment.name,
            (yield from self.version()),
            deployment.model_id or deployment.name,
            schema,
            targets,
            function=callable(deployment.model) and not hasattr(deployment.model, "predict"),
            endpoint=deployment.endpoint,
            time_series=(yield from self.model.time_series()),
            example=self.model.example_in_memory(),
            max_explanations=None if explanations is None else explanations.limit,
        )

    def summarize_training(self) -> Flow[dict[str, Any]]:
        """Return the summary of the training data for callers (see `Catalog.summarize_training`)."""
        predictor = yield from self.model.predictor()
        if not predictor.schema.options.show_schema:
            raise Forbidden("This deployment does not show its schema")
        return (yield from run(summarize_training, predictor))

    def is_ready(self, timeout: float | None = None) -> Flow[bool]:
        """Load the model if needed, and return whether the deployment can score; see `LoadModel.ready`."""
        try:
            yield from self.model.ready(timeout)
        except (NotFound, DeploymentUnavailable):
            return False
        return True

    def version(self) -> Flow[str]:
        """Return the version of the deployment's own model (see `Catalog.version`)."""
        version = self.deployment.version
        return version if version is not None else (yield from self.model.version())

    def versions(self) -> Flow[list[str]]:
        """Return the versions that answer requests. The version of the deployment's own model is first."""
        versions = [(yield from self.version())]
        for revision in self.revisions[1:]:
            versions += [(yield from revision.model.version())]
        return versions


class DeploymentCatalog(dict[str, LiveDeployment]):
    """Live deployments of a gate by name, as a `Catalog`. Looking up an unknown name raises `NotFound`."""

    _has_started = False

    def __missing__(self, name: str) -> LiveDeployment:
        raise NotFound("The model of this deployment could not be found")

    def require(self, name: str) -> LiveDeployment:
        """Return the deployment *name*.

        Do not use this for a name that a caller sent: the message of `NotFound` suggests similar names, which
        may include deployments that the caller may not use.
        """
        live = self.get(name)
        if live is None:
            message, details = suggest_deployments(name, self)
            raise NotFound(f"There is no deployment {name!r}{message}", details=details)
        return live

    def get_active(self, name: str) -> LiveDeployment:
        """Return the deployment *name* if it takes requests.

        Raises:
            NotFound: There is no such deployment.
            DeploymentInactive: The deployment is paused.
            DeploymentUnavailable: The deployment is being drained.
        """
        live = self[name]
        if live.state != "active":
            raise live.inactive_error()
        return live

    def describe(self, name: str) -> Flow[Description]:
        """Implement `Catalog.describe`."""
        return self.get_active(name).describe()

    def summarize_training(self, name: str) -> Flow[dict[str, Any]]:
        """Implement `Catalog.summarize_training`."""
        return self.get_active(name).summarize_training()

    def score(self, name: str, query: Query) -> Flow[Prediction]:
        """Implement `Catalog.score`."""
        return self.get_active(name).score(query)

    def score_blocking(self, name: str, query: Query) -> Prediction:
        """Score *query* in this thread, and count it as a request in flight. See `Gate.score`."""
        in_flight = self.require(name).in_flight
        try:
            try:
                in_flight.begin(query)
                # After `begin`: a concurrent drain either waits for the query, or is noticed here.
                return drive(self.score(name, query))
            finally:
                in_flight.end(query)
        except BaseException:
            # Call `end` again: an interruption may have ended the first call before it took effect.
            in_flight.end(query)
            raise

    def version(self, name: str) -> Flow[str]:
        """Implement `Catalog.version`."""
        return self.get_active(name).version()

    def record_error(self, name: str, error: BaseException, request_id: str | None) -> None:
        """Implement `Catalog.record_error`."""
        if name in self:
            self[name].in_flight.last_error = ErrorRecord.of_request(error, request_id)

    def has_started(self) -> Flow[bool]:
        """Implement `Catalog.has_started`."""
        if not self._has_started:
            are_ready = True
            for live in self._active():
                # Start every load. A probe has a short timeout of its own, and calls again.
                are_ready = (yield from live.is_ready(timeout=0)) and are_ready
            self._has_started = are_ready
        return self._has_started

    def ready(self, name: str | None = None) -> Flow[bool]:
        """Implement `Catalog.ready`."""
        for live in self._active() if name is None else [self.get_active(name)]:
            if not (yield from live.is_ready()):
                return False
        return True

    def _active(self) -> list[LiveDeployment]:
        return [live for live in list(self.values()) if live.state == "active"]

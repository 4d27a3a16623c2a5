"""State of one request beyond HTTP: its principal, deployment and rows."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from .errors import InsufficientScope, NotFound
from .http import Request
from .spelling import SHOWN_TEXT, closest_match

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .flow import Flow
    from .http import Route
    from .inference import Prediction
    from .keys import Principal
    from .limiting import RateLimitDecision
    from .scoring import Description, Query
    from .scoring.query import RowCheck

__all__ = ["Catalog", "RequestContext", "Settled", "suggest_deployments"]

_SHOWN_DEPLOYMENTS = 10


class Catalog(Protocol):
    """Protocol of the catalog of a gate's deployments."""

    def __len__(self) -> int:
        """Return the number of deployments."""

    def __iter__(self) -> "Iterator[str]":
        """Iterate over the names of the deployments."""

    def __contains__(self, name: object, /) -> bool:
        """Return whether there is a deployment *name*."""

    def describe(self, name: str) -> "Flow[Description]":
        """Return the description of a deployment. This may load the model, to read the schema.

        Raises:
            Forbidden: The deployment hides its schema from callers (`SchemaOptions.show_schema`).
            NotFound, DeploymentInactive, DeploymentUnavailable: See `score`.
        """

    def summarize_training(self, name: str) -> "Flow[dict[str, Any]]":
        """Return aggregates of a deployment's training data, and the example rows that callers may see.

        This loads the model of the deployment.

        Raises:
            Forbidden, NotFound, DeploymentInactive, DeploymentUnavailable: See `describe`.
        """

    def score(self, name: str, query: "Query") -> "Flow[Prediction]":
        """Score *query* with a deployment, without its HTTP layers.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: The deployment does not exist or cannot
                score.
            InvalidInput, PredictionError: The rows cannot be scored.
        """

    def version(self, name: str) -> "Flow[str]":
        """Return the version of a deployment's model.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: See `score`.
        """

    def ready(self, name: str | None = None) -> "Flow[bool]":
        """Return True if the deployment *name* can score. None stands for all active deployments."""

    def record_error(self, name: str, error: BaseException, request_id: str | None) -> None:
        """Record the error of a request to the deployment *name*, for operators."""

    def has_started(self) -> "Flow[bool]":
        """Return True if all active deployments have once been ready together, even if one cannot score now.

        Missing models are loaded in the background.
        """


class FailureCount(Protocol):
    """Protocol of the counter of failed authentications by address; see `AuthFailureLimit`."""

    def remaining(self, request: Request) -> int:
        """Return how many more failed authentications the client address of *request* may have."""

    def check(self, request: Request) -> None:
        """Raise `RateLimitExceeded` if the client address of *request* has reached the limit of failures."""

    def count(self, request: Request) -> None:
        """Count a failed authentication of the client address of *request*.

        Raises:
            RateLimitExceeded: The address had already reached the limit of failures.
        """


class Settled(NamedTuple):
    """Results of authentication and of the rate limit, computed by the quick path (`modelgate.quick_path`).

    If the quick path then hands the request to the layers, they do not compute these results again.

    Attributes:
        principal: Owner and permissions of the request's API key.
        decision: Decision of the rate limit, to which the request has been charged.
    """

    principal: "Principal"
    decision: "RateLimitDecision"


class RequestContext(msgspec.Struct, eq=False):
    """State of one request, which is set by layers, the dialect and the gate.

    Attributes:
        principal: Owner and permissions of the API key, set by `KeyAuth`.
        key_header: Header field in which `KeyAuth` looked for the key; None for the place that the wire
            format defines.
        key_id: Id of a known key that was rejected as inactive, for logs; None otherwise.
        route: Matched route of the gate; None outside of a gate, or if no route matches.
        deployment: Name of the requested deployment; None if the request names none.
        action: Action the key must permit, one of `modelgate.keys.principal.ACTIONS`.
        catalog: Deployments of the gate; None outside of a gate.
        query: Rows to score; None until the dialect has decoded the body.
        envelope: Part of the body that the dialect has already parsed.
        on_rows: Functions called before scoring, with the number of valid rows. If a function raises an
            error, the request is rejected.
        auth_failures: Counter of failed authentications, set by `AuthFailureLimit`.
        failure_counted: Whether this request was counted as a failed authentication.
        settled: Results computed by the quick path; None if there are no such results.
        failure: Query that the quick path could not score, and the error; None if scoring has not failed.
        app_called: Whether the layers have called the app that they wrap.
    """

    principal: "Principal | None" = None
    key_header: str | None = None
    key_id: str | None = None
    route: "Route | None" = None
    deployment: str | None = None
    action: str = "predict"
    catalog: "Catalog | None" = None
    query: "Query | None" = None
    envelope: Any = None
    on_rows: "tuple[RowCheck, ...]" = ()
    auth_failures: "FailureCount | None" = None
    failure_counted: bool = False
    settled: Settled | None = None
    failure: "tuple[Query, BaseException] | None" = None
    app_called: bool = False

    @property
    def work_began(self) -> bool:
        """Whether the request has called the model, or the app that the layers wrap."""
        return self.app_called or (self.query is not None and self.query.model_called)

    def __repr__(self) -> str:
        # Without attributes: a part of the body may contain an API key, and error tracking stores this text.
        return f"<{type(self).__name__}>"

    def take_failure(self) -> BaseException:
        """Return the error of *failure*, and set *query* to the query that failed. *failure* must be set.

        This removes *failure* from the context. Otherwise the error and the context would refer to each
        other, and would stay in memory until the next garbage collection. So would the request, whose body
        may contain an API key.
        """
        assert self.failure is not None
        (self.query, error), self.failure = self.failure, None
        return error

    def require_access(self, name: str) -> None:
        """Raise `InsufficientScope` unless the key permits *action* on the deployment *name*.

        The error is the same whether or not the deployment exists. It names the deployments for which the key
        permits *action*.
        """
        if self.principal is not None and not self.principal.can_access(name, self.action):
            message, details = suggest_deployments(name, self._accessible_deployments())
            raise InsufficientScope(f"{InsufficientScope.default_message}{message}", details=details)

    def suggest_deployment(self, error: NotFound) -> None:
        """If the requested deployment does not exist, say so in *error*, and suggest permitted deployments.

        On a public route, which needs no key, *error* is not changed, so that it reveals no deployment names.
        """
        if self.catalog is None or (self.route is not None and self.route.is_public):
            return
        if self.deployment is not None and self.deployment not in self.catalog:
            message, details = suggest_deployments(self.deployment, self._accessible_deployments())
            error.message = f"Deployment {self.deployment[:SHOWN_TEXT]!r} could not be found"
            error.add_hint(message, **details)

    def readable_deployments(self) -> list[str]:
        """Return the names of the deployments that the caller may read about, sorted."""
        assert self.catalog is not None
        principal = self.principal
        return sorted(
            name
            for name in self.catalog
            if principal is None or principal.can_access(name) or principal.can_access(name, "read")
        )

    def _accessible_deployments(self) -> list[str]:
        """Return the names of the deployments on which the caller may perform *action*."""
        # On a public route, the key is not checked and the caller may be anyone.
        if self.catalog is None or (self.route is not None and self.route.is_public):
            return []
        principal, action = self.principal, self.action
        return [name for name in self.catalog if principal is None or principal.can_access(name, action)]


def suggest_deployments(name: str, known: Iterable[str]) -> tuple[str, dict[str, object]]:
    """Suggest deployments in an error about the unknown deployment *name*.

    Args:
        name: Name that the caller sent.
        known: Names that the caller may know.

    Returns:
        Text to append to the error message, and the details of the error.
    """
    names = sorted(known)
    if not names:
        return "", {}
    match = closest_match(name, names)
    more = len(names) - _SHOWN_DEPLOYMENTS
    listed = ", ".join(names[:_SHOWN_DEPLOYMENTS]) + (f" and {more} more" if more > 0 else "")
    message = f": did you mean {match}?" if match is not None else f": choose from {listed}"
    details: dict[str, object] = {"deployments": names[:100]}
    return message, details if match is None else {**details, "did_you_mean": {name: match}}

"""State of one request beyond HTTP: its principal, deployment and rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .http import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .flow import Flow
    from .http import Route
    from .inference import Prediction
    from .keys import Principal
    from .scoring import Description, Query
    from .scoring.query import RowCheck

__all__ = ["Catalog", "RequestContext"]


class Catalog(Protocol):
    """Deployments of a gate, by name."""

    def __len__(self) -> int:
        """Return the number of deployments."""

    def __iter__(self) -> "Iterator[str]":
        """Iterate over their names."""

    def describe(self, name: str) -> "Flow[Description]":
        """Return the description of a deployment. May load its model to read the schema.

        Raises:
            Forbidden: Its schema is not shown to callers (`SchemaOptions.show_schema`).
            NotFound, DeploymentInactive, DeploymentUnavailable: See `score`.
        """

    def score(self, name: str, query: "Query") -> "Flow[Prediction]":
        """Score *query* with a deployment, without its HTTP layers.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: The deployment does not exist or cannot score.
            InvalidInput, PredictionError: The rows cannot be scored.
        """

    def version(self, name: str) -> "Flow[str]":
        """Return the version of a deployment's model.

        Raises:
            NotFound, DeploymentInactive, DeploymentUnavailable: See `score`.
        """

    def ready(self, name: str | None = None) -> "Flow[bool]":
        """Return True if the deployment *name* can score. If *name* is None, all active deployments must."""


class FailureCount(Protocol):
    """Counter of failed authentications by address, see `AuthFailureLimit`."""

    def remaining(self, request: Request) -> int:
        """Return how many more failures are allowed for the address of *request*."""

    def check(self, request: Request) -> None:
        """Raise `RateLimitExceeded` if the address of *request* has reached the limit of failures."""

    def count(self, request: Request) -> None:
        """Count a failure of the address of *request*.

        Raises:
            RateLimitExceeded: The address had already reached the limit.
        """


@dataclass(slots=True, eq=False)
class RequestContext:
    """State of one request, filled in by layers, the dialect and the gate.

    Attributes:
        principal: Owner and permissions of the API key, set by `KeyAuth`.
        key_id: Id of a known key that was rejected as inactive, for logs; otherwise None.
        route: Matched route of the gate; None outside of a gate, or if none matches.
        deployment: Name of the requested deployment; None if the request names none.
        action: Action the key must permit, one of `modelgate.keys.principal.ACTIONS`.
        catalog: Deployments of the gate; None outside of a gate.
        query: Rows to score; None until the dialect has decoded the body.
        envelope: Part of the body that the dialect has already parsed.
        on_rows: Functions called with the number of valid rows before they are scored. An error that they
            raise rejects the request.
        body_slot: Address of the caller, set only while `KeyAuth` reads the body to find the key. The number
            of such requests per address is limited.
        auth_failures: Counter of failed authentications, set by `AuthFailureLimit`.
        failure_counted: Whether this request was counted as a failed authentication.
    """

    principal: "Principal | None" = None
    key_id: str | None = None
    route: "Route | None" = None
    deployment: str | None = None
    action: str = "predict"
    catalog: "Catalog | None" = None
    query: "Query | None" = None
    envelope: Any = None
    on_rows: "tuple[RowCheck, ...]" = ()
    body_slot: str | None = None
    auth_failures: "FailureCount | None" = None
    failure_counted: bool = False

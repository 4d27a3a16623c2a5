"""Generate OpenAPI documents from the descriptions of dialects and from example responses."""

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..context import Catalog
from ..dialects import Dialect, can_forecast
from ..errors import AnswerableError
from ..flow import Flow, run
from ..http import Response
from ..http.routing import Route
from ..inference import Target
from ..scoring import Description
from .merge import merge_documents
from .operations import OperationBuilder
from .prediction_example import Example

__all__ = ["OpenAPI"]

_MAX_CLASSES = 20


class OpenAPI:
    """Generator of the OpenAPI documents of a gate's deployments.

    Args:
        dialects: Dialects of the gate.
        keyed: Whether requests need an API key.
        key_header: See `Gate`.
        limited: Whether responses have rate limit headers.
        idempotent: Whether requests may have an ``Idempotency-Key``.
    """

    def __init__(
        self,
        dialects: Collection[Dialect],
        *,
        keyed: bool,
        key_header: str | None,
        limited: bool,
        idempotent: bool,
    ) -> None:
        self._dialects = dialects
        self._keyed = keyed
        self._key_header = key_header
        self._limited = limited
        self._idempotent = idempotent
        self._routes: list[Route] = []

    def add(self, *routes: Route) -> None:
        """Add *routes* to each document. Routes without a description (`Route.spec`) are left out."""
        self._routes += (route for route in routes if route.spec is not None)

    def reports(self) -> list[str]:
        """Return the last parts of the paths on which a deployment has reports, such as ``traffic``."""
        return sorted(route.path.rpartition("/")[2] for route in self._routes if route.action == "monitor")

    def document(self, name: str, catalog: Catalog) -> Flow[bytes]:
        """Return the OpenAPI 3.1 document of the deployment *name* as JSON.

        If the model is in memory, the document contains its prediction for an example row. A model that is a
        function is not called, because it may have side effects.

        Raises:
            Forbidden, NotFound, DeploymentInactive, DeploymentUnavailable: See `Catalog.describe`.
        """
        description = yield from catalog.describe(name)
        example = Example(description, catalog)
        responses: dict[str, Response | None] = {}
        for dialect in self._dialects_for(description):
            responses[dialect.name] = yield from example.respond(dialect)
        return (yield from run(self._build, description, example.targets, responses, len(catalog) == 1))

    def merged_document(self, names: Iterable[str], catalog: Catalog) -> Flow[bytes]:
        """Return one document for the deployments *names* as JSON; see `merge_documents`.

        Deployments that are paused or unavailable, or that do not show their schema, are left out.
        """
        documents = {}
        for name in names:
            with contextlib.suppress(AnswerableError):
                documents[name] = msgspec.json.decode((yield from self.document(name, catalog)))
        return (yield from run(_encode_merged, documents))

    def _dialects_for(self, description: Description) -> list[Dialect]:
        """Return the dialects that the deployment supports."""
        forecasts = description.time_series is not None
        return [dialect for dialect in self._dialects if not forecasts or can_forecast(dialect)]

    def _build(
        self,
        description: Description,
        targets: Sequence[Target],
        responses: dict[str, Response | None],
        is_only: bool,
    ) -> bytes:
        operations = OperationBuilder(
            description,
            targets,
            keyed=self._keyed,
            key_header=self._key_header,
            limited=self._limited,
            idempotent=self._idempotent,
            is_only=is_only,
        )
        for dialect in self._dialects_for(description):
            operations.add(dialect, responses[dialect.name])
        for route in self._routes:
            operations.add_route(route)
        document = {
            "openapi": "3.1.0",
            "info": {
                "title": description.name,
                "version": description.version,
                "description": "Predicts " + "; ".join(map(_target_text, targets)) + ".",
            },
            # Mount point of the gate, relative to the document at …/deployments/<name>/openapi.json.
            "servers": [{"url": "../.."}],
            "tags": operations.tags,
            "paths": operations.paths,
            "components": operations.components,
        }
        return msgspec.json.encode(document)


def _encode_merged(documents: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(merge_documents(documents))


def _target_text(target: Target) -> str:
    if target.classes is None:
        return f"{target.name}, a number" if target.number else target.name
    more = len(target.classes) - _MAX_CLASSES
    classes = ", ".join(str(label) for label in target.classes[:_MAX_CLASSES])
    return f"{target.name}, one of {classes}" + (f" and {more} more" if more > 0 else "")

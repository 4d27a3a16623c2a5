"""Documents put together: of what dialects say of themselves, and what they make of an example and of each error."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ..dialects import Catalog, Dialect, Sample, filled
from ..errors import AnswerableError
from ..flow import Flow, run
from ..http import Request, Response
from ..scoring import Description, Prediction, Target
from .operations import EXAMPLE_ID, EXAMPLE_KEY, Operations
from .rows import example_of

__all__ = ["OpenAPI"]

_SHOWN = 20


class _Scored(NamedTuple):
    """The example, scored: what was predicted, and what a dialect answers."""

    prediction: Prediction
    response: Response


class OpenAPI:
    """Writes the documents of a gate's deployments.

    Args:
        dialects: that the gate speaks.
        keyed: whether it asks for a key.
        limited: whether its answers tell of a rate limit.
    """

    def __init__(self, dialects: Collection[Dialect], *, keyed: bool, limited: bool) -> None:
        self._dialects = dialects
        self._keyed = keyed
        self._limited = limited

    def document(self, name: str, catalog: Catalog) -> Flow[dict[str, Any]]:
        """The OpenAPI 3.1 document of a deployment.

        Its example is scored for each dialect, unless a function predicts, which may have effects.

        Raises:
            Forbidden, NotFound, DeploymentInactive, DeploymentUnavailable: see `Catalog.describe`.
        """
        told = yield from catalog.describe(name)
        scored: dict[str, _Scored] = {}
        for dialect in self._dialects:
            answer = yield from self._score(dialect, told, catalog)
            if answer is not None:
                scored[dialect.name] = answer
        return (yield from run(self._written, told, scored))

    def _score(self, dialect: Dialect, told: Description, catalog: Catalog) -> Flow[_Scored | None]:
        sample: Sample | None = getattr(dialect, "sample", None)
        row = example_of(told.schema)
        if sample is None or row is None or told.function:
            return None
        path, headers, body = filled(sample, told.name, EXAMPLE_KEY, told.schema, [row])
        request = Request("POST", path, {name.lower(): value for name, value in headers.items()})
        request.id, request.deployment, request.wire, request.body_read = EXAMPLE_ID, told.name, dialect, body
        try:
            request.query = query = yield from dialect.decode(request)
            query.deployment = told.name
            prediction = yield from catalog.score(told.name, query)
            return _Scored(prediction, dialect.encode(request, query, prediction))
        except AnswerableError:
            # A document without an example is of more use than none.
            return None

    def _written(self, told: Description, scored: dict[str, _Scored]) -> dict[str, Any]:
        targets = told.targets
        if scored:
            targets = [Target.of(output) for output in next(iter(scored.values())).prediction.outputs]
        operations = Operations(told, targets, keyed=self._keyed, limited=self._limited)
        for dialect in self._dialects:
            operations.add(dialect, scored[dialect.name].response if dialect.name in scored else None)
        return {
            "openapi": "3.1.0",
            "info": {"title": told.name, "version": told.version, "description": _description(targets)},
            # Relative to where it is served: below …/deployments/<name>/.
            "servers": [{"url": "../.."}],
            "tags": operations.tags,
            "paths": operations.paths,
            "components": operations.components,
        }


def _description(targets: Sequence[Target]) -> str:
    return "Predicts " + "; ".join(map(_words, targets)) + "."


def _words(target: Target) -> str:
    if target.classes is None:
        return f"{target.name}, a number" if target.number else target.name
    more = len(target.classes) - _SHOWN
    shown = ", ".join(str(label) for label in target.classes[:_SHOWN])
    return f"{target.name}, one of {shown}" + (f" and {more} more" if more > 0 else "")

"""Documents put together: of what dialects say of themselves, and what they make of an example and of each error."""

from collections.abc import Collection, Sequence

import msgspec

from ..dialects import Catalog, Dialect
from ..flow import Flow, run
from ..http import Response
from ..scoring import Description, Target
from .example import Example
from .operations import Operations

__all__ = ["OpenAPI"]

_SHOWN = 20


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

    def document(self, name: str, catalog: Catalog) -> Flow[bytes]:
        """The OpenAPI 3.1 document of a deployment, as JSON.

        Its example is scored where the model is in memory, unless a function predicts, which may have effects.

        Raises:
            Forbidden, NotFound, DeploymentInactive, DeploymentUnavailable: see `Catalog.describe`.
        """
        told = yield from catalog.describe(name)
        example = Example(told, catalog)
        answers: dict[str, Response | None] = {}
        for dialect in self._dialects:
            answers[dialect.name] = yield from example.answer(dialect)
        return (yield from run(self._written, told, example.targets, answers, len(catalog) == 1))

    def _written(
        self, told: Description, targets: Sequence[Target], answers: dict[str, Response | None], alone: bool
    ) -> bytes:
        operations = Operations(told, targets, keyed=self._keyed, limited=self._limited, alone=alone)
        for dialect in self._dialects:
            operations.add(dialect, answers[dialect.name])
        document = {
            "openapi": "3.1.0",
            "info": {"title": told.name, "version": told.version, "description": _description(targets)},
            # Relative to where it is served: below …/deployments/<name>/.
            "servers": [{"url": "../.."}],
            "tags": operations.tags,
            "paths": operations.paths,
            "components": operations.components,
        }
        return msgspec.json.encode(document)


def _description(targets: Sequence[Target]) -> str:
    return "Predicts " + "; ".join(map(_words, targets)) + "."


def _words(target: Target) -> str:
    if target.classes is None:
        return f"{target.name}, a number" if target.number else target.name
    more = len(target.classes) - _SHOWN
    shown = ", ".join(str(label) for label in target.classes[:_SHOWN])
    return f"{target.name}, one of {shown}" + (f" and {more} more" if more > 0 else "")

"""Picklable description of a deployment, from which each worker process creates its own gate."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

from ..gate import Gate
from ..importing import create_gate
from .local_session import LocalSession
from .option_error import OptionError

__all__ = ["GateSource", "format_query"]


def format_query(explain: int | None, intervals: str | None) -> str:
    """Return the query string that requests explanations and prediction intervals.

    Args:
        explain: Number of contributions to return; None for no explanations.
        intervals: Levels of the prediction intervals in percent, such as ``80,90``; None for no intervals.
    """
    return urlencode({k: v for k, v in (("explain", explain), ("intervals", intervals)) if v is not None})


@dataclass(frozen=True, slots=True)
class GateSource:
    """Picklable description of a deployment and its gate.

    Args:
        gate: Import path of a gate or of a function that returns one, such as ``"app:gate"``, or a picklable
            function that returns a gate; None if *model* is set.
        deployment: Name of the deployment; may be None if the gate has only one.
        model: Path of a model file; None if *gate* is set.
        sha256: SHA-256 of the model file in hexadecimal, which allows loading a pickle; None to reject
            pickles.
        query: Query string with prediction options, such as ``intervals=90``.
        key: Key under which a process caches the gate that it has created. Copies of this object have the
            same key.
    """

    gate: str | Callable[[], Gate] | None = field(default=None, compare=False)
    deployment: str | None = field(default=None, compare=False)
    model: Path | None = field(default=None, compare=False)
    sha256: str | None = field(default=None, compare=False)
    query: str = field(default="", compare=False)
    key: str = field(default_factory=lambda: uuid4().hex)

    def open_session(self) -> LocalSession:
        """Create the gate in this process, load the model, and return a session for the deployment.

        Raises:
            ConfigurationError: The gate or the model cannot be loaded, *deployment* is None although the gate
                does not have exactly one deployment, or *query* requests intervals from a model that is not
                calibrated.
            NotFound: The gate has no deployment named *deployment*.
        """
        gate = self._create_gate()
        names = list(gate.deployments)
        if self.deployment is None and len(names) != 1:
            raise OptionError(
                "{deployment} must be one of {names} (got none)", names=", ".join(names) or "none"
            )
        name = names[0] if self.deployment is None else self.deployment
        session = LocalSession(gate, name, self.query)
        predictor = gate.deployments.predictor(name)
        if "intervals=" in self.query and predictor.calibration is None:
            raise OptionError("{intervals} must not be set: the model of {name} is not calibrated", name=name)
        return session

    def _create_gate(self) -> Gate:
        if self.model is not None:
            from ..deployments.deployment import Deployment
            from ..models import ModelPackage

            pickled = self.sha256 is not None
            package = ModelPackage.load(self.model, sha256=self.sha256, allow_pickle=pickled)
            deployment = Deployment(self.model.stem.partition("@")[0], package)
            if "explain=" in self.query:
                deployment = replace(deployment, explanations="auto")
            return Gate([deployment], keys="open")
        gate = create_gate(self.gate)  # type: ignore[arg-type]  # set if there is no model
        if not isinstance(gate, Gate):
            raise OptionError(
                "{gate} must be a Gate or a function that returns one (got {kind})", kind=type(gate).__name__
            )
        return gate

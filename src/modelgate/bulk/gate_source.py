"""Picklable description of a deployment, from which each worker process creates its own gate."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

from ..dialects.native import Native
from ..gate import Gate
from ..importing import create_gate
from .local_session import LocalSession
from .location import is_url
from .option_error import OptionError

if TYPE_CHECKING:
    from ..models import ModelPackage

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
        model: Path or URL of a model file; None if *gate* is set.
        sha256: SHA-256 of the model file in hexadecimal, which allows loading a pickle; None to reject
            pickles.
        query: Query string with prediction options, such as ``intervals=90``.
        key: Key under which a process caches the gate that it has created. Copies of this object have the
            same key.
    """

    gate: str | Callable[[], Gate] | None = field(default=None, compare=False)
    deployment: str | None = field(default=None, compare=False)
    model: Path | str | None = field(default=None, compare=False)
    sha256: str | None = field(default=None, compare=False)
    query: str = field(default="", compare=False)
    key: str = field(default_factory=lambda: uuid4().hex)

    def open_session(self, dialect: Native | None = None) -> LocalSession:
        """Create the gate in this process, load the model, and return a session for the deployment.

        Args:
            dialect: See `LocalSession`.

        Raises:
            ConfigurationError: The gate or the model cannot be loaded, *deployment* is None although the gate
                does not have exactly one deployment, or *query* requests intervals from a model that is not
                calibrated.
            StoreError: The storage of the model failed.
            NotFound: The gate has no deployment named *deployment*.
        """
        gate = self._create_gate()
        names = list(gate.deployments)
        if self.deployment is None and len(names) != 1:
            raise OptionError(
                "{deployment} must be one of {names} (got none)", names=", ".join(names) or "none"
            )
        name = names[0] if self.deployment is None else self.deployment
        session = LocalSession(gate, name, self.query, dialect)
        predictor = gate.deployments.predictor(name)
        if "intervals=" in self.query and predictor.calibration is None:
            raise OptionError("{intervals} must not be set: the model of {name} is not calibrated", name=name)
        return session

    def _load_model(self, model: Path | str) -> "ModelPackage":
        from ..models import ModelPackage

        pickled = self.sha256 is not None
        if not is_url(model):
            return ModelPackage.load(model, sha256=self.sha256, allow_pickle=pickled)
        from .remote_file import RemoteFile

        with TemporaryDirectory() as folder:
            local = Path(folder) / _file_name(model)
            with RemoteFile(str(model)).open() as (remote, _), local.open("wb") as file:
                shutil.copyfileobj(remote, file)
            return ModelPackage.load(local, sha256=self.sha256, allow_pickle=pickled)

    def _create_gate(self) -> Gate:
        if self.model is not None:
            from ..deployments.deployment import Deployment

            name = PurePath(_file_name(self.model)).stem.partition("@")[0]
            deployment = Deployment(name, self._load_model(self.model))
            if "explain=" in self.query:
                deployment = replace(deployment, explanations="auto")
            return Gate([deployment], keys="open")
        gate = create_gate(self.gate)  # type: ignore[arg-type]  # set if there is no model
        if not isinstance(gate, Gate):
            raise OptionError(
                "{gate} must be a Gate or a function that returns one (got {kind})", kind=type(gate).__name__
            )
        return gate


def _file_name(model: Path | str) -> str:
    """Return the last part of a path or URL, without the query of the URL."""
    return PurePath(str(model).partition("?")[0] if is_url(model) else model).name

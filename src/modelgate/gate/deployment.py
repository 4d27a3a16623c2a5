"""A model under a name that callers use."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ..errors import ConfigurationError
from ..flow import Layer
from ..http import Request, Response
from ..models.package import check_file
from ..models.rules import Rules
from ..models.store import TOKEN
from ..schema import Schema
from ..scoring import Prediction, Query, Rollout, Shadow, Threshold

__all__ = ["Deployment", "HTTPLayer", "ScoringLayer"]

HTTPLayer: TypeAlias = Layer[Request, Response]
ScoringLayer: TypeAlias = Layer[Query, Prediction]

_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"[!-.0-~]{1,64}")
_ENDPOINT = re.compile(r"(/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True, eq=False)
class Deployment:
    """A model under a name that callers use.

    Args:
        name: letters, digits, ``_``, ``-`` and single dots; 64 characters at most.
        model: a fitted estimator; a `ModelPackage`; the path of a ``.mgpkg`` package or a ``.skops``,
            ``.onnx`` or ``.joblib`` file, loaded when it is first asked for; ``"store:name"`` for one in the
            gate's store; or a function of a `Table`, see `Gate.handler`. Of a package *schema*,
            *target*, *positive_class* and *threshold* are its own where they are not given here.
        schema: of the input; by default read from the estimator.
        target: the name of what is predicted, or of each output.
        version: of the model, as paths and answers name it; by default as its package, or the name of
            its file in a store, has it, or else ``"1"``.
        model_id: names the model in answers that do so; by default the deployment's name.
        positive_class: of two classes the one that is looked for; by default the second of
            ``classes_``.
        threshold: the probability from which on the positive class is predicted; by default the
            model itself decides.
        endpoint: a path of its own below the gate's mount point, ``"/detect-fraud"``, where the
            dialect ``simple`` is spoken.
        decimals: to which predicted numbers are rounded; None for not at all. By default as the
            service whose wire format is spoken does: two for ``mlclever``, and no other rounds.
        state: ``"active"``, or ``"paused"`` to refuse every request.
        sha256: the digest that pins a model file; a ``.joblib`` file needs one.
        layers: HTTP layers around this deployment alone, inside the gate's.
        scoring: scoring layers around its predictions, in place of the gate's.
        offload: whether the model runs in a thread of the gate's, under ASGI, and under WSGI where
            requests have a deadline. By default a function under ASGI always does, and all else as long
            as it takes more than two milliseconds; True has it run there always, and False on the event
            loop, one request at a time, or in the server's thread: for a function known to take
            microseconds.
        batch: whether an estimator scores in one call what waits for it together. For estimators
            whose answer for a row depends on the rows beside it, False.
        plans: whether an estimator is answered for by its exact plan, where it has one: see
            `Predictor.plan`. ``"onnx"`` has an ONNX graph made of it (extra ``onnx``), which may answer
            a little otherwise: how much is measured at load, and told in the log.
        rollout: other models that answer some of the requests.
        shadow: another model that scores what its own one does, and answers nobody.
        max_rows: the most rows one request may bring; by default as many as the service whose wire
            format is spoken takes, and 10,000 where it names no number.
        example: A row that the model answers, checked when it is loaded. By default that of its package,
            or synthetic rows; a function is called with an example alone.

    Raises:
        ConfigurationError: an option cannot work.
    """

    name: str
    model: Any
    schema: Schema | None = None
    target: str | Sequence[str] = "prediction"
    version: str | None = None
    model_id: str | None = None
    positive_class: Any = None
    threshold: float | None = None
    endpoint: str | None = None
    decimals: int | Literal["service"] | None = "service"
    state: Literal["active", "paused"] = "active"
    sha256: str | None = None
    layers: Sequence[HTTPLayer] = ()
    scoring: Sequence[ScoringLayer] | None = None
    offload: bool | None = None
    batch: bool = True
    plans: bool | Literal["onnx"] = True
    max_rows: int | None = None
    example: Mapping[str, Any] | None = None
    rollout: Rollout | None = None
    shadow: Shadow | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"name={self.name!r}: accepts letters, digits, '_', '-' and single dots")
        if self.state not in ("active", "paused"):
            raise ConfigurationError(f"state={self.state!r}: accepts 'active' or 'paused'")
        _check_plans(self.plans)
        _check_kind("schema", self.schema, Schema, "Schema.of(…), Schema.load(path)")
        _check_kind("rollout", self.rollout, Rollout, 'Rollout({"store:churn@4": 5})')
        _check_kind("shadow", self.shadow, Shadow, 'Shadow("store:churn@4")')
        _check_kind("example", self.example, Mapping, '{"age": 41, "plan": "pro"}')
        names = [self.target] if isinstance(self.target, str) else self.target
        if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
            raise ConfigurationError(f"target={self.target!r}: accepts a name, or one for each output")
        for option in ("version", "model_id"):
            told = getattr(self, option)
            if told is not None and (not isinstance(told, str) or not _VERSION.fullmatch(told)):
                raise ConfigurationError(
                    f"{option}={told!r}: accepts text of letters, digits and punctuation but '/'"
                )
        if self.endpoint is not None and not _ENDPOINT.fullmatch(str(self.endpoint)):
            raise ConfigurationError(f"endpoint={self.endpoint!r}: accepts a path such as '/detect-fraud'")
        # What it does not take is told now, and not by the first request.
        Threshold(self.threshold, self.positive_class)
        _check_model(self)
        if self.path is not None:
            check_file(self.path, Rules(self.sha256))
        elif self.sha256 is not None and self.stored is None:
            raise ConfigurationError("sha256: accepted together with a model file, or with store:name")

    @property
    def stored(self) -> str | None:
        """The name in the gate's store, for a model that is kept there."""
        model = self.model
        return model.removeprefix("store:") if isinstance(model, str) and model.startswith("store:") else None

    @property
    def path(self) -> Path | None:
        """The model's file, for a model that is kept in one."""
        return Path(self.model) if isinstance(self.model, str | Path) and self.stored is None else None

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded when it is needed, from a file or a store."""
        return self.path is not None or self.stored is not None


def _check_model(deployment: Deployment) -> None:
    if deployment.stored is not None and not TOKEN.fullmatch(deployment.stored):
        raise ConfigurationError(f'model={deployment.model!r}: accepts "store:name" or "store:name@version"')
    if deployment.path is not None and isinstance(deployment.model, str) and "://" in deployment.model:
        raise ConfigurationError(
            "model: accepts a path, and no URL: that is for a store, Gate(store=FsspecStore(…))"
        )


def _check_kind(option: str, value: object, kind: type, shown: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{option}={value!r}: accepts a {kind.__name__}: {shown}")


def _check_plans(plans: object) -> None:
    if plans not in (True, False, "onnx"):
        raise ConfigurationError(f"plans={plans!r}: accepts True, False or 'onnx'")

"""Options of a deployment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ..errors import ConfigurationError
from ..explanations import Explanations
from ..explanations.options import ExplanationMethod
from ..flow import Layer
from ..http import Request, Response
from ..humility import HumilityRule, HumilityRules
from ..inference import Exposure, Prediction
from ..models.load_policy import LoadPolicy
from ..models.package_files import check_file
from ..models.store import TOKEN
from ..schema import Schema, SchemaOptions
from ..schema.column_spec import ColumnSpec, create_column
from ..schema.model_input import InputForm
from ..schema.schema_options import UnknownLevels
from ..scoring import Query, Threshold
from ..scoring.layers.rounding import Decimals, Round
from ..spelling import suggest_options
from .rollout import Rollout, Shadow

__all__ = ["Deployment", "HTTPLayer", "ScoringLayer"]

HTTPLayer: TypeAlias = Layer[Request, Response]
ScoringLayer: TypeAlias = Layer[Query, Prediction]

_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"[!-.0-~]{1,64}")
_ENDPOINT = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_CHOICES = {
    "state": ("active", "paused"),
    "plans": (True, False, "onnx"),
    "thread_safe": (True, False),
    "input": (None, *get_args(InputForm)),
    "nonfinite": ("error", "null"),
}


@suggest_options
@dataclass(frozen=True, eq=False)
class Deployment:
    """Model with the name that callers use, and the options of its predictions.

    Args:
        name: Deployment name: at most 64 letters, digits, ``_``, ``-`` and single dots.
        model: A fitted estimator; a `ModelPackage`; the path of a ``.mgpkg`` package, of a ``.skops`` or
            ``.onnx`` file or of a pickle (see `ModelPackage.load`), loaded on the first request;
            ``"store:name"`` for a model in the gate's store; or a function of a `Table` (see
            `Gate.handler`). A package provides *schema*, *target*, *positive_class* and *threshold* unless
            they are set here.
        schema: Schema of the input; by default inferred from the estimator.
        columns: Columns to change in the inferred or packaged schema, as in `Schema.with_columns`:
            ``{"active": "boolean"}``. Cannot be combined with *schema*.
        target: Name of the predicted value, or a list with the name of each output.
        version: Model version in paths and responses. By default the version in the package, else the version
            in the model's name in the store, else ``"1"``.
        model_id: Name of the model in responses that contain a model name; by default the deployment's name.
        positive_class: Positive class of a binary classifier; by default the second of ``classes_``.
        threshold: Minimum probability for predicting the positive class, from 0 to 1; by default the
            threshold in scikit-learn's `FixedThresholdClassifier` or `TunedThresholdClassifierCV`, else the
            model itself decides.
        endpoint: Additional path below the gate's mount point, such as ``"/detect-fraud"``, in the
            wire format of the dialect ``simple``.
        decimals: Number of decimals to round predicted numbers to; None for no rounding. By default the
            dialect decides: two decimals for ``mlclever``, no rounding for the others. If the model
            has several outputs, this may also be a mapping of output names to decimals: ``{"weight": 1}``.
        state: ``"active"``, or ``"paused"`` to reject every request.
        sha256: SHA-256 digest that pins the model file; required for a pickle.
        layers: HTTP layers around this deployment only. They run inside the gate's layers.
        scoring_layers: Scoring layers around this deployment's predictions, instead of the gate's.
        offload: Whether to call the model in a worker thread of the gate. Under WSGI, this option applies
            only to requests with a deadline. By default under ASGI, a function always runs in a worker
            thread, and any other model runs there while its calls take more than two milliseconds. True
            offloads every call. False runs the model on the event loop under ASGI, one request at a time, and
            in the server's thread under WSGI. Use False only for a function that takes microseconds.
        thread_safe: Whether several threads may call the model at once. If False, calls of the model wait
            for each other, even across deployments that share the model. Must be True for an async function.
        batch: Whether an estimator scores waiting requests together in one call. Use False for
            estimators whose prediction for a row depends on the other rows.
        plans: Whether to replace an estimator by its exact plan, if it has one. A plan is faster code
            with the same predictions (see `Predictor.plan`). ``"onnx"`` converts the estimator to an ONNX
            graph (extra ``onnx``), whose predictions may differ slightly. The difference is measured at
            load and logged.
        input: Form of the rows that the estimator takes: ``"frame"`` (a DataFrame), ``"array"``,
            ``"records"`` (a list of dictionaries) or ``"texts"`` (a list of texts). By default the form that
            the estimator's library requires, or else the first of these forms in which the estimator can
            predict a row.
        rollout: Other models that answer some of the requests.
        shadow: Another model that scores the same requests without answering callers.
        csv_header: Whether the first line of CSV has the column names. If False, the cells of every
            line are in the order of the schema.
        na_values: CSV cells that mean null (see `SchemaOptions`); by default the *na_values* of the schema,
            which are ``NA``, ``NaN``, ``null`` and ``NULL`` unless set.
        unknown_levels: How to treat values that are not among a column's levels: ``"reject"``, ``"accept"``,
            or ``"warn"`` to accept them with a warning in the response. By default the option of the schema,
            which is ``"reject"`` unless set. A warning is logged if this default rejects values that the
            model would accept.
        nonfinite: How to treat a prediction of NaN or an infinity: ``"error"`` rejects the request with a
            `PredictionError` that names the row; ``"null"`` returns null for this row and the predictions of
            the other rows.
        exposure: Column with the exposure of each row, for a regression of counts, such as
            ``Exposure("years", model_predicts="rate")``.
        humility: Humility rules, such as ``[OutlyingInput("age", 18, 99)]``, or `HumilityRules`. They report,
            override or reject predictions that are uncertain, or whose input is unlike the training data.
        max_rows: Maximum number of rows in one request. By default the dialect decides: no limit for
            ``datarobot`` and ``native``, 10,000 rows for the others.
        explanations: Method of the explanations that callers can request (see `Explanations`): ``"auto"``,
            ``"linear"``, ``"tree"``, ``"permutation"``, or `Explanations` with more options. None for no
            explanations. Explanations need a sample of the training rows, such as the one in a package.
        example: A row to test the model with when it is loaded. By default the example of the model's
            package, or else synthetic rows. A function is tested only if an example is set.
        public_examples: Example rows that callers may see, for instance in the console: a list of rows, or
            the number of rows to show from the sample in the model's package. The sample is training data, so
            by default (None) no row is shown.

    Attributes:
        request_schema: *schema* with the column of *exposure*; None without *schema*.

    Raises:
        ConfigurationError: An option cannot be used.
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
    decimals: Decimals = "service"
    state: Literal["active", "paused"] = "active"
    sha256: str | None = None
    layers: Sequence[HTTPLayer] = ()
    scoring_layers: Sequence[ScoringLayer] | None = None
    offload: bool | None = None
    thread_safe: bool = True
    batch: bool = True
    plans: bool | Literal["onnx"] = True
    nonfinite: Literal["error", "null"] = "error"
    input: InputForm | None = None
    csv_header: bool = True
    na_values: Sequence[str] | None = None
    unknown_levels: UnknownLevels | None = None
    max_rows: int | None = None
    explanations: ExplanationMethod | Explanations | None = None
    example: Mapping[str, Any] | None = None
    public_examples: int | Sequence[Mapping[str, Any]] | None = None
    rollout: Rollout | None = None
    shadow: Shadow | None = None
    columns: Mapping[str, ColumnSpec] = field(default_factory=dict)
    humility: Sequence[HumilityRule] = ()
    exposure: Exposure | None = None
    request_schema: Schema | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"name must be at most 64 letters, digits, '_', '-' and single dots (got {self.name!r})"
            )
        for option, accepted in _CHOICES.items():
            if getattr(self, option) not in accepted:
                *others, last = map(repr, accepted)
                raise ConfigurationError(
                    f"{option} must be {', '.join(others)} or {last} (got {getattr(self, option)!r})"
                )
        _check_type("schema", self.schema, Schema, "Schema.of(…) or Schema.load(path)")
        SchemaOptions(**self._schema_options)
        object.__setattr__(self, "schema", self.schema and self.adapt_schema(self.schema))
        _check_type("exposure", self.exposure, Exposure, 'Exposure("years", model_predicts="rate")')
        object.__setattr__(self, "request_schema", self.schema and self.extend_schema(self.schema))
        _check_type("rollout", self.rollout, Rollout, 'Rollout({"store:churn@4": 5})')
        _check_type("shadow", self.shadow, Shadow, 'Shadow("store:churn@4")')
        Explanations.from_option(self.explanations)
        _check_type("example", self.example, Mapping, '{"age": 41, "plan": "pro"}')
        self._check_public_examples()
        self._check_columns()
        names = [self.target] if isinstance(self.target, str) else self.target
        if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
            raise ConfigurationError(
                f"target must be a name, or a list with the name of each output (got {self.target!r})"
            )
        for option in ("version", "model_id"):
            value = getattr(self, option)
            if value is not None and (not isinstance(value, str) or not _VERSION.fullmatch(value)):
                raise ConfigurationError(
                    f"{option} must be 1 to 64 letters, digits or punctuation marks except '/' (got {value!r})"
                )
        if self.endpoint is not None and not _ENDPOINT.fullmatch(str(self.endpoint)):
            raise ConfigurationError(
                f"endpoint must be a path such as '/detect-fraud' (got {self.endpoint!r})"
            )
        object.__setattr__(self, "humility", HumilityRules(self.humility))
        # Check these options now instead of with the first request.
        Threshold(self.threshold, self.positive_class)
        Round(self.decimals)
        _check_model(self)
        if self.path is not None:
            check_file(self.path, LoadPolicy(self.sha256))
        elif self.sha256 is not None and self.stored_name is None:
            raise ConfigurationError(
                'sha256 must be None unless the model is the path of a file or "store:name"'
            )

    @property
    def _schema_options(self) -> dict[str, Any]:
        """Schema options that are set on the deployment."""
        options = {"na_values": self.na_values, "unknown_levels": self.unknown_levels}
        options = {option: value for option, value in options.items() if value is not None}
        return options if self.csv_header is True else {**options, "csv_header": self.csv_header}

    def adapt_schema(self, schema: Schema) -> Schema:
        """Return a copy of *schema* with the schema options that are set on the deployment."""
        options = self._schema_options
        return schema.with_options(**options) if options else schema

    def extend_schema(self, schema: Schema) -> Schema:
        """Return the request schema: the model's *schema*, plus the exposure column if one is set."""
        return schema if self.exposure is None else self.exposure.extend(schema)

    def _check_public_examples(self) -> None:
        examples = self.public_examples
        is_count = type(examples) is int and examples > 0
        is_rows = isinstance(examples, list | tuple) and all(isinstance(row, Mapping) for row in examples)
        if examples is not None and not is_count and not is_rows:
            raise ConfigurationError(
                'public_examples must be a list of rows, such as [{"age": 41, "plan": "pro"}], or the number'
                f" of packaged rows to show, at least 1 (got {examples!r})"
            )

    def _check_columns(self) -> None:
        """Check *columns* without the schema, which may be unknown until the model is loaded."""
        if not isinstance(self.columns, Mapping):
            raise ConfigurationError(
                f'columns must be a mapping, for example {{"active": "boolean"}} (got {self.columns!r})'
            )
        for name, spec in self.columns.items():
            create_column(name, spec)
        if self.columns and self.schema is not None:
            raise ConfigurationError(
                "columns must be left out if schema is set: set schema=schema.with_columns(…) instead"
            )

    @property
    def stored_name(self) -> str | None:
        """Name of the model in the gate's store; None for any other model."""
        model = self.model
        return model.removeprefix("store:") if isinstance(model, str) and model.startswith("store:") else None

    @property
    def path(self) -> Path | None:
        """Path of the model file; None for a model that is not loaded from a file."""
        return Path(self.model) if isinstance(self.model, str | Path) and self.stored_name is None else None

    @property
    def is_loaded(self) -> bool:
        """True if the model is loaded on demand from a file or a store."""
        return self.path is not None or self.stored_name is not None


def _check_model(deployment: Deployment) -> None:
    if deployment.stored_name is not None and not TOKEN.fullmatch(deployment.stored_name):
        raise ConfigurationError(
            f'model must be "store:name" or "store:name@version" (got {deployment.model!r})'
        )
    if deployment.path is not None and isinstance(deployment.model, str) and "://" in deployment.model:
        raise ConfigurationError(
            "model must be a path and not a URL: for a URL, set Gate(store=FsspecStore(…))"
            ' and model="store:name"'
        )


def _check_type(option: str, value: object, expected: type, example: str) -> None:
    if value is not None and not isinstance(value, expected):
        article = "an" if expected is Exposure else "a"
        raise ConfigurationError(
            f"{option} must be {article} {expected.__name__}, for example {example} (got {value!r})"
        )

"""Functions that score with a model: with a fitted estimator, a forecaster, or a function of the user."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..errors import ConfigurationError
from ..flow.sklearn_config import Config, current_sklearn_config
from ..forecasting.forecaster import Forecaster, is_forecaster
from ..models.file_readers import check_opens_no_files
from ..models.multi_target import target_names
from ..schema import Schema, Table
from ..schema.column_spec import ColumnSpec
from ..schema.model_input import InputForm
from .async_calls import is_async
from .forecast import ForecastFunction, check_forecaster_options
from .multi_target import create_estimator
from .training import read_sample

__all__ = ["ModelFunction", "create_model_function"]


class ModelFunction(NamedTuple):
    """Function that scores with a model.

    Attributes:
        call: Function of a `Table`, or of a `ForecastRequest` for a forecaster. An `Estimator` and a
            `ForecastFunction` return a `Prediction`.
        model: The model. It may be a copy of the argument with other parameters.
        schema: Schema of the tables.
        target: Name of the target, or of each output.
        config: Configuration of scikit-learn for each call; None if *call* does not need one.
        sample: Typical rows that match the schema; None if there are none, or if the model is no estimator.
        forecaster: The model if it is a `Forecaster`; otherwise None.
    """

    call: Callable[[Any], Any]
    model: Any
    schema: Schema
    target: str | Sequence[str]
    config: Config = None
    sample: Table | None = None
    forecaster: Forecaster | None = None


def create_model_function(
    model: Any,
    schema: Schema | None,
    *,
    columns: Mapping[str, ColumnSpec],
    target: str | Sequence[str],
    name: str,
    plans: bool | Literal["onnx"],
    sample: Sequence[Mapping[str, Any]],
    nullable: bool,
    input: InputForm | None,  # noqa: A002  a word for users
) -> ModelFunction:
    """Return the function that scores with *model*. For the arguments and errors, see `Predictor`.

    Args:
        model: Fitted estimator, forecaster or function.
        schema: Schema of the tables; None to infer it from the model.
        columns: Columns of that schema to change.
        target: Name of the target, or of each output.
        name: Name of the model in log messages.
        plans: Whether to use an exact plan, or ``"onnx"``.
        sample: Typical rows, as mappings of values by column name.
        nullable: Whether numbers may be NaN or infinite.
        input: Form of the rows that an estimator takes; None to detect it.
    """
    if isinstance(model, type):
        raise ConfigurationError(
            f"model must be a fitted estimator (got the class {model.__name__}):"
            " create an instance and fit it"
        )
    check_opens_no_files(model)
    names = target_names(model, target)
    if is_forecaster(model):
        schema = (schema or model.spec.schema()).with_columns(columns)
        check_forecaster_options(model, schema, target, input)
        forecast = ForecastFunction(model, plans=plans, name=name, nullable=nullable)
        config = current_sklearn_config()
        return ModelFunction(forecast, model, schema, model.spec.target, config, forecaster=model)
    if hasattr(model, "predict"):
        schema = (schema or Schema.from_model(model)).with_columns(columns)
        table = read_sample(schema, sample)
        estimator = create_estimator(
            model, schema, names, plans=plans, name=name, sample=table, nullable=nullable, input=input
        )
        # No configuration, because an `Estimator` stores its own.
        return ModelFunction(estimator, estimator.model, schema, names, sample=table)
    if not callable(model):
        raise ConfigurationError(
            f"model must be a fitted estimator with predict, or a function of a Table (got {model!r})"
        )
    if input is not None:
        raise ConfigurationError(f"input must be None for a function, which gets a Table (got {input!r})")
    if plans == "onnx":
        raise ConfigurationError("plans must be True or False for a function (got 'onnx')")
    if schema is None:
        raise ConfigurationError(
            f"schema must be a Schema for the function {model!r} (got None): set schema=Schema.of(…)"
        )
    # A coroutine cannot have a configuration, which belongs to a thread that it shares with others.
    config = None if is_async(model) else current_sklearn_config()
    return ModelFunction(model, model, schema.with_columns(columns), names, config)

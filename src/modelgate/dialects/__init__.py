"""Dialects: the wire formats that a gate understands, one module per dialect."""

from ._forecast import can_forecast, forecast_encoder
from .base import Dialect
from .datarobot import DataRobot
from .mlclever import MLClever
from .mlflow import MLflow
from .native import Native
from .open_inference import OpenInference
from .openapi_spec import OpenAPISpec
from .peltarion import Peltarion
from .plexe import Plexe
from .request_template import RenderedRequest, RequestTemplate, render_request
from .simple import Simple
from .tf_serving import TFServing

__all__ = [
    "DIALECTS",
    "DataRobot",
    "Dialect",
    "MLClever",
    "MLflow",
    "Native",
    "OpenAPISpec",
    "OpenInference",
    "Peltarion",
    "Plexe",
    "RenderedRequest",
    "RequestTemplate",
    "Simple",
    "TFServing",
    "can_forecast",
    "forecast_encoder",
    "render_request",
]

DIALECTS: dict[str, type[Dialect]] = {
    "native": Native,
    "mlclever": MLClever,
    "plexe": Plexe,
    "datarobot": DataRobot,
    "peltarion": Peltarion,
    "simple": Simple,
    "open_inference": OpenInference,
    "tf_serving": TFServing,
    "mlflow": MLflow,
}
"""All dialects by name."""

"""Store forecasters in packages: the regressor as a model file, and everything else as JSON."""

from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigurationError
from ..forecasting import DirectForecaster
from ..forecasting.direct import DirectState
from .archive import Archive
from .manifest import Manifest, make_manifest, read_member
from .serializers import dump
from .training_sample import predict_to_lists

__all__ = ["FORECASTER", "describe_forecaster", "dump_model", "read_state"]

FORECASTER = "forecaster.json"
"""Member with the `DirectState`."""


def describe_forecaster(forecaster: DirectForecaster, file_format: str, **fields: str) -> dict[str, Any]:
    """Return the manifest, the schema and the example of a fitted forecaster, as arguments of `ModelPackage`.

    Args:
        forecaster: Fitted forecaster.
        file_format: Format of the model file, ``"skops"`` or ``"joblib"``.
        fields: Fields of `Manifest`: *name* and *version*.

    Raises:
        ConfigurationError: *forecaster* is not fitted, or a field is not valid.
    """
    if not isinstance(forecaster, DirectForecaster) or not forecaster.example:
        raise ConfigurationError(f"forecaster must be a fitted DirectForecaster (got {forecaster!r})")
    if file_format not in ("skops", "joblib"):
        raise ConfigurationError(f"format must be 'skops' or 'joblib' (got {file_format!r})")
    spec, rows = forecaster.spec, list(forecaster.example)
    model = f"model.{file_format}"
    manifest = make_manifest(
        forecaster.regressor, target=spec.target, model=model, time_series=spec, **fields
    )
    schema = spec.schema()
    example = {"rows": rows, "expected": predict_to_lists(forecaster, schema, rows)}
    return {"manifest": manifest, "schema": schema, "example": example}


def dump_model(model: Any, name: str) -> tuple[dict[str, bytes], Any]:
    """Serialize *model*. Return the package members, and a model that was read back from them.

    Args:
        model: Fitted estimator or forecaster.
        name: Name of the model file.
    """
    suffix = Path(name).suffix
    if not isinstance(model, DirectForecaster):
        content, written = dump(model, suffix)
        return {name: content}, written
    content, regressor = dump(model.regressor, suffix)
    state = msgspec.json.encode(model.state)
    return {FORECASTER: state, name: content}, DirectForecaster.restore(regressor, model.spec, model.state)


def read_state(archive: Archive, manifest: Manifest) -> DirectState | None:
    """Return the state of the forecaster in a package, or None if the package contains another model.

    Raises:
        ConfigurationError: The state is missing or damaged.
    """
    if manifest.time_series is None:
        return None
    return msgspec.json.decode(read_member(archive, manifest, FORECASTER), type=DirectState)

"""Deployment registry in SQLite or PostgreSQL. Its methods block."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from ..backends.sql import Database, UTCDateTime, from_timestamp, sa
from ..errors import ConfigurationError, NotFound
from ..models.store import TOKEN
from .builder import is_same_model
from .catalog import State
from .deployment import Deployment
from .rollout import Rollout

__all__ = ["DeploymentRecord", "SqlRegistry"]

_METADATA = sa.MetaData()
_DEPLOYMENTS = sa.Table(
    "modelgate_deployments",
    _METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(200)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("percents", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("changed", UTCDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """Row of the registry: the desired model, rollout and state of one deployment.

    Args:
        name: Deployment name.
        model: ``"store:name"``, ``"store:name@version"`` or an alias; None to keep the app's own model.
        state: Whether the deployment takes requests.
        percents: Option *weights* of the `Rollout`; empty for no rollout, None to keep the app's own weights.
        by: Option *sticky_by* of the `Rollout`.
        changed: Time at which the row was last written; None if it is unknown.
    """

    name: str
    model: str | None = None
    state: State = "active"
    percents: Mapping[str, float] | None = None
    by: str = "request"
    changed: datetime | None = field(default=None, compare=False)

    def check(self) -> None:
        """Raise `ConfigurationError` unless gates may apply this row.

        Rows are checked before they are written and again after they are read. Without the second check,
        anyone who can write to the table could make a gate load a file from outside the store.
        """
        Deployment(self.name, None)
        if self.state not in get_args(State):
            raise ConfigurationError(
                f"state must be one of {', '.join(get_args(State))} (got {self.state!r})"
            )
        if self.model is not None:
            _check_stored("model", self.model)
        if self.percents not in (None, {}):
            for model in Rollout(self.percents, self.by).weights:
                _check_stored("percents", model)

    def deployment(self, own: Deployment | None) -> Deployment:
        """Return the deployment to serve.

        Args:
            own: The app's own deployment of this name; None if the app does not define one.

        Raises:
            ConfigurationError: The row fails `check`, or it has no model and *own* is None.
        """
        self.check()
        options: dict[str, Any] = {}
        if self.percents is not None:
            options = {"rollout": Rollout(self.percents, self.by) if self.percents else None}
        if self.model is not None:
            options = {"rollout": None, **options}
            if own is None or not is_same_model(own.model, self.model):
                # Remove the app's pin and version: they belong to the app's own model.
                options |= {"model": self.model, "version": None, "sha256": None}
        if own is not None:
            return replace(own, **options)
        if self.model is None:
            raise ConfigurationError(
                f"model must be set in the registry for {self.name}, which the app does not define (got None)"
            )
        return Deployment(self.name, **options)


def _check_stored(option: str, model: object) -> None:
    token = model.removeprefix("store:") if isinstance(model, str) else None
    if token is None or token == model or not TOKEN.fullmatch(token):
        raise ConfigurationError(
            f'{option} must name models in the store, such as "store:name@version" (got {model!r})'
        )


class SqlRegistry:
    """Deployment registry in an SQL database. Several gates can share it: ``Gate(deployment_registry=…)``.

    Args:
        url: ``sqlite:///models.db``, or ``postgresql://…`` for several machines. A `SqlModelStore` can
            use the same database.
        clock: Function that returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: The URL is not supported, or a Python package is missing.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._db = Database(url, _METADATA, option="registry")

    def __repr__(self) -> str:
        return f"SqlRegistry({self._db.backend})"

    def close(self) -> None:
        """Close the database connections. The next call opens them again."""
        self._db.close()

    def list(self) -> Sequence[DeploymentRecord]:
        """Return all rows in the order of their names, including rows that fail `DeploymentRecord.check`.

        Raises:
            StoreError: The database cannot be queried.
        """
        # Read raw times: if SQLAlchemy converted them, one invalid value would make the whole query fail.
        changed = sa.type_coerce(_DEPLOYMENTS.c.changed, sa.types.NullType()).label("changed")
        columns = [column for column in _DEPLOYMENTS.c if column.name != "changed"]
        chosen = sa.select(*columns, changed).order_by(_DEPLOYMENTS.c.name)
        with self._db.transaction() as connection:
            rows = connection.execute(chosen).mappings().all()
        return [_to_record(row) for row in rows]

    def set(self, name: str, model: str | None = None, *, rollout: Rollout | None = None) -> None:
        """Set the model and the rollout of a deployment on every gate. Its state does not change.

        Args:
            name: Deployment name. Gates also serve deployments that their app does not define.
            model: Model in the store of the gates, such as ``"store:churn@7"``; None to keep the current
                model.
            rollout: Traffic split between models in the store of the gates; None for no split, even if the
                app's own deployment has one.

        Raises:
            ConfigurationError: An option cannot be used.
            StoreError: The database cannot be queried.
        """
        values: dict[str, Any] = {"percents": "{}", "by": "request"}
        if rollout is not None:
            DeploymentRecord(name, model, percents=rollout.weights, by=rollout.sticky_by).check()
            values = {"percents": msgspec.json.encode(rollout.weights).decode(), "by": rollout.sticky_by}
        DeploymentRecord(name, model).check()
        self._write(name, values if model is None else {**values, "model": model})

    def set_state(self, name: str, state: State) -> None:
        """Pause, drain or resume a deployment on every gate.

        Raises:
            ConfigurationError: *state* is not a valid state.
            StoreError: The database cannot be queried.
        """
        DeploymentRecord(name, state=state).check()
        self._write(name, {"state": state})

    def remove(self, name: str) -> None:
        """Delete the row of a deployment. Gates whose app defines the deployment serve that definition again.

        Raises:
            NotFound: There is no row.
            StoreError: The database cannot be queried.
        """
        with self._db.transaction() as connection:
            deleted = connection.execute(sa.delete(_DEPLOYMENTS).where(_DEPLOYMENTS.c.name == name))
        if not deleted.rowcount:
            raise NotFound(
                f"The registry has no deployment {name}: to see the names, run modelgate deployments list"
            )

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        values = {**values, "changed": datetime.fromtimestamp(self._clock(), UTC)}
        with self._db.transaction() as connection:
            own = _DEPLOYMENTS.c.name == name
            if not connection.execute(sa.update(_DEPLOYMENTS).where(own).values(**values)).rowcount:
                new = {"state": "active", "percents": "null", "by": "request", **values}
                connection.execute(sa.insert(_DEPLOYMENTS).values(name=name, **new))


def _to_record(row: sa.RowMapping) -> DeploymentRecord:
    """Convert *row* to a record without checking it. `DeploymentRecord.check` rejects invalid values."""
    values = dict(row)
    # Text that is not JSON stays text, which `Rollout` rejects.
    with contextlib.suppress(msgspec.DecodeError, RecursionError, TypeError):
        values["percents"] = msgspec.json.decode(values["percents"])
    try:
        values["changed"] = from_timestamp(values["changed"])
    except TypeError:
        values["changed"] = None
    return DeploymentRecord(**values)

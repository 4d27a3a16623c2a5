"""What many gates are to serve, in a database: SQLite or PostgreSQL. What is here blocks."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from ..database import Database, Moment, sa
from ..errors import ConfigurationError, NotFound
from ..models.store import TOKEN
from ..scoring import Rollout
from .deployment import Deployment
from .entries import State

__all__ = ["Registered", "SqlRegistry"]

_METADATA = sa.MetaData()
_DEPLOYMENTS = sa.Table(
    "modelgate_deployments",
    _METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(200)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("percents", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("changed", Moment, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Registered:
    """What is kept of a deployment.

    Args:
        name: of it.
        model: ``"store:name"``, ``"store:name@version"`` or with an alias; None for what the app says.
        state: whether it takes requests.
        percents: as of a `Rollout`; there is none where they are empty, and the app's where they are None.
        by: as of a `Rollout`.
        changed: when any of this was set.
    """

    name: str
    model: str | None = None
    state: State = "active"
    percents: Mapping[str, float] | None = None
    by: str = "request"
    changed: datetime | None = field(default=None, compare=False)

    def deployment(self, own: Deployment | None) -> Deployment:
        """The deployment that this asks for, where the app says *own* of it, if anything.

        Raises:
            ConfigurationError: nothing says what its model is, or what is kept cannot work.
        """
        options: dict[str, Any] = {}
        if self.percents is not None:
            options = {"rollout": Rollout(self.percents, self.by) if self.percents else None}
        if self.model is not None:
            options = {"rollout": None, **options, "model": self.model, "version": None, "sha256": None}
        if own is not None:
            return replace(own, **options)
        if self.model is None:
            raise ConfigurationError(f"{self.name}: there is no such deployment, and no model for one")
        return Deployment(self.name, **options)


class SqlRegistry(Database):
    """What many gates are to serve, so that they agree: ``Gate(registry=…)``.

    Args:
        url: ``sqlite:///models.db``, or ``postgresql://…`` for many machines; that of a `SqlModelStore`
            will do.
        clock: gives the time in seconds since the epoch.

    Raises:
        ConfigurationError: the URL is none of these, or a package is missing.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        super().__init__(url, _METADATA, option="registry")

    def list(self) -> Sequence[Registered]:
        """All that is kept, by name.

        Raises:
            StoreError: the database cannot be asked.
        """
        chosen = sa.select(_DEPLOYMENTS).order_by(_DEPLOYMENTS.c.name)
        with self._transaction() as connection:
            rows = connection.execute(chosen).mappings().all()
        return [Registered(**{**row, "percents": msgspec.json.decode(row["percents"])}) for row in rows]

    def set(self, name: str, model: str | None = None, *, rollout: Rollout | None = None) -> None:
        """Have every gate serve deployment *name* so; its state stays.

        Args:
            name: of the deployment; one that an app does not know begins to be served by it.
            model: in the store of the gates, ``"store:churn@7"``; None to leave it as it is.
            rollout: of models in that store; None for none, also where the app says one.

        Raises:
            ConfigurationError: an option cannot work.
            StoreError: the database cannot be asked.
        """
        for told in filter(None, (model, *(rollout.percents if rollout is not None else ()))):
            token = told.removeprefix("store:") if isinstance(told, str) else told
            if token == told or not TOKEN.fullmatch(token):
                raise ConfigurationError(f'model={told!r}: accepts what is in a store: "store:name@version"')
        Deployment(name, model)
        values: dict[str, Any] = {"percents": "{}", "by": "request"}
        if rollout is not None:
            values = {"percents": msgspec.json.encode(rollout.percents).decode(), "by": rollout.by}
        self._write(name, values if model is None else {**values, "model": model})

    def set_state(self, name: str, state: State) -> None:
        """Have every gate pause, drain, or serve again deployment *name*.

        Raises:
            ConfigurationError: *state* is none.
            StoreError: the database cannot be asked.
        """
        if state not in get_args(State):
            raise ConfigurationError(f"state={state!r}: accepts {', '.join(get_args(State))}")
        Deployment(name, None)
        self._write(name, {"state": state})

    def remove(self, name: str) -> None:
        """Keep nothing of deployment *name*: what the app says of it holds, if anything.

        Raises:
            NotFound: nothing is kept of it.
            StoreError: the database cannot be asked.
        """
        with self._transaction() as connection:
            done = connection.execute(sa.delete(_DEPLOYMENTS).where(_DEPLOYMENTS.c.name == name))
        if not done.rowcount:
            raise NotFound(f"Nothing is registered of {name}")

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        values = {**values, "changed": datetime.fromtimestamp(self._clock(), UTC)}
        with self._transaction() as connection:
            own = _DEPLOYMENTS.c.name == name
            if not connection.execute(sa.update(_DEPLOYMENTS).where(own).values(**values)).rowcount:
                new = {"state": "active", "percents": "null", "by": "request", **values}
                connection.execute(sa.insert(_DEPLOYMENTS).values(name=name, **new))

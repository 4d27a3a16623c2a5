"""Packages in a database: SQLite or PostgreSQL. What is here blocks."""

import hashlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..database import Database, Moment, sa
from ..errors import ConfigurationError, NotFound
from .archive import ZipArchive
from .manifest import Manifest, Sidecars, read_sidecars
from .package import PACKAGE, ModelPackage, read_package
from .rules import Mismatch, Rules
from .store import TOKEN, Packed, no_model
from .versions import LATEST, meant

__all__ = ["SqlModelStore", "StoredModel"]

_METADATA = sa.MetaData()
_MODELS = sa.Table(
    "modelgate_models",
    _METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("sidecars", sa.LargeBinary, nullable=False),
    sa.Column("package", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("name", "number"),
)
_ALIASES = sa.Table(
    "modelgate_aliases",
    _METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("alias", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What is kept of a package beside its bytes."""

    name: str
    version: str
    created: datetime
    size: int
    sha256: str
    aliases: tuple[str, ...] = ()


class SqlModelStore(Database):
    """Packages in SQLite or PostgreSQL, each under its name and version; a version never changes.

    A model is asked for as ``churn@7``, by an alias as ``churn@production``, or as ``churn``, which is
    ``churn@latest``: the newest version as in other stores, or the one saved last where none is a number.

    Args:
        url: ``sqlite:///models.db``, or ``postgresql://…`` for many machines.
        sha256: by name and version, ``churn@7``, the digest that pins a package.
        key: see `ModelPackage.load`. `save` signs with it too.
        allow_pickle: see `ModelPackage.load`.
        mismatch: likewise.
        public_keys: likewise.
        clock: gives the time in seconds since the epoch.

    Raises:
        ConfigurationError: an option cannot work, or a package is missing.
    """

    pins = True

    def __init__(
        self,
        url: str,
        *,
        sha256: Mapping[str, str] | None = None,
        key: str | bytes | None = None,
        allow_pickle: bool = False,
        mismatch: Mismatch = "refuse",
        public_keys: Sequence[str | Path] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sha256 = dict(sha256 or {})
        self._rules = Rules(None, key, allow_pickle, mismatch, public_keys)
        self.demands_signature = self._rules.demands_signature
        self._clock = clock
        super().__init__(url, _METADATA, option="models")

    def save(self, package: ModelPackage, *, sign_key: str | Path | None = None) -> StoredModel:
        """Keep *package* under its name and version.

        Args:
            package: the package.
            sign_key: the PEM file of an Ed25519 private key to sign it with.

        Raises:
            ConfigurationError: there is that version already, or its version is an alias, or *package* is
                none that can be written, or that this store would not load; or the database does not let
                its user write.
            StoreError: the database cannot be asked.
        """
        sidecars, content = package.packed(key=self._rules.key, sign_key=sign_key)
        self.tell(f"{package.manifest.name}@{package.manifest.version}", sidecars)
        told, digest = package.manifest, hashlib.sha256(content).hexdigest()
        stored = StoredModel(
            told.name, told.version, datetime.fromtimestamp(self._clock(), UTC), len(content), digest
        )
        row = {
            **{name: getattr(stored, name) for name in ("name", "version", "created", "size", "sha256")},
            "sidecars": sidecars,
            "package": content,
        }
        self._committed(lambda connection: _insert(connection, row))
        return stored

    def alias(self, name: str, alias: str, version: str) -> None:
        """Have ``name@alias`` mean *version* from now on. Gates that have a model loaded keep it.

        Raises:
            ConfigurationError: *alias* is no name for one, or that of a version; or the database does not
                let its user write.
            NotFound: there is no such version.
            StoreError: the database cannot be asked.
        """
        if not TOKEN.fullmatch(f"{name}@{alias}") or alias == LATEST:
            raise ConfigurationError(
                f"alias={alias!r}: accepts letters, digits, '_', '-' and '.', but latest"
            )
        self._committed(lambda connection: _set_alias(connection, name, alias, version))

    def list(self, name: str | None = None) -> Sequence[StoredModel]:
        """The versions of *name*, or of all models, the oldest first.

        Raises:
            StoreError: the database cannot be asked.
        """
        shown = [_MODELS.c[column] for column in ("name", "version", "created", "size", "sha256")]
        chosen = sa.select(*shown).order_by(_MODELS.c.name, _MODELS.c.number)
        if name is not None:
            chosen = chosen.where(_MODELS.c.name == name)
        with self._transaction() as connection:
            stored = [StoredModel(**row) for row in connection.execute(chosen).mappings()]
            told = connection.execute(sa.select(_ALIASES).order_by(_ALIASES.c.alias)).all()
        aliases: dict[tuple[str, str], list[str]] = {}
        for of, alias, version in told:
            aliases.setdefault((of, version), []).append(alias)
        return [replace(it, aliases=tuple(aliases.get((it.name, it.version), ()))) for it in stored]

    def describe(self, name: str) -> Sidecars:
        """What is known of a model before it is loaded. Raises as `load` does."""
        return self.tell(*self._fetch(name, _MODELS.c.sidecars))

    def mark(self, name: str) -> tuple[str, bytes]:
        """What is another whenever `load` would give another package. Raises as `load` does."""
        return self._fetch(name, _MODELS.c.sha256)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """The model *name*, and what is known of it.

        Raises:
            NotFound: there is none, or *name* is not a name.
            ConfigurationError: see `ModelPackage.load`.
            StoreError: the database cannot be asked.
        """
        return self.open(name, self.fetch(name), sha256=sha256)

    def version(self, name: str) -> str:
        """See `PackedStore.version`."""
        return self._fetch(name, _MODELS.c.sha256)[0]

    def fetch(self, version: str) -> Packed:
        """See `PackedStore.fetch`."""
        told, content = self._fetch(version, _MODELS.c.package)
        return Packed(told, PACKAGE, content)

    def open(self, name: str, packed: Packed, *, sha256: str | None = None) -> ModelPackage:  # noqa: ARG002
        """See `PackedStore.open`."""
        pin = sha256 or self._sha256.get(packed.name)
        package = read_package(packed.content, replace(self._rules, sha256=pin))
        _check_name(package.manifest, packed.name)
        return package

    def tell(self, version: str, part: bytes) -> Sidecars:
        """See `PackedStore.tell`."""
        sidecars = read_sidecars(ZipArchive(io.BytesIO(part)), self._rules, alone=True)
        _check_name(sidecars.manifest, version)
        return sidecars

    def _fetch(self, asked: str, column: sa.Column[Any]) -> tuple[str, Any]:
        """The version that is meant, ``churn@7``, and what is in its *column*."""
        if not TOKEN.fullmatch(asked):
            raise no_model()
        name, _, wanted = asked.partition("@")
        with self._transaction() as connection:
            version = _newest(connection, name) if wanted in ("", LATEST) else _aliased(name, wanted)
            chosen = sa.select(_MODELS.c.version, column).where(_MODELS.c.name == name)
            row = connection.execute(chosen.where(_MODELS.c.version == version)).first()
        if row is None:
            raise no_model()
        return f"{name}@{row[0]}", row[1]


def _insert(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    name, version = row["name"], row["version"]
    own, named = _MODELS.c.name == name, _ALIASES.c.name == name
    taken = {
        LATEST,
        *connection.scalars(sa.select(_MODELS.c.version).where(own)),
        *connection.scalars(sa.select(_ALIASES.c.alias).where(named)),
    }
    if version in taken:
        raise ConfigurationError(f"version={version!r}: {name} has a version or an alias of it")
    last = connection.scalar(sa.select(sa.func.max(_MODELS.c.number)).where(own))
    connection.execute(sa.insert(_MODELS).values(**row, number=(last or 0) + 1))


def _set_alias(connection: sa.Connection, name: str, alias: str, version: str) -> None:
    versions = set(connection.scalars(sa.select(_MODELS.c.version).where(_MODELS.c.name == name)))
    if alias in versions:
        raise ConfigurationError(f"alias={alias!r}: is a version of {name}")
    if version not in versions:
        raise NotFound(f"There is no version {version} of {name}")
    own = (_ALIASES.c.name == name) & (_ALIASES.c.alias == alias)
    connection.execute(sa.delete(_ALIASES).where(own))
    connection.execute(sa.insert(_ALIASES).values(name=name, alias=alias, version=version))


def _newest(connection: sa.Connection, name: str) -> str:
    chosen = sa.select(_MODELS.c.version).where(_MODELS.c.name == name).order_by(_MODELS.c.number)
    saved = [f"{name}@{version}" for version in connection.scalars(chosen)]
    newest = meant(name, saved) or (saved[-1] if saved else name)
    return newest.partition("@")[2]


def _aliased(name: str, wanted: str) -> sa.ColumnElement[str]:
    known = sa.select(_ALIASES.c.version).where(_ALIASES.c.name == name, _ALIASES.c.alias == wanted)
    return sa.func.coalesce(known.scalar_subquery(), wanted)


def _check_name(manifest: Manifest, asked: str) -> None:
    """Whoever can write to the database must not put a signed package in the place of another."""
    if f"{manifest.name}@{manifest.version}" != asked:
        raise ConfigurationError(f"{asked}: holds the package {manifest.name}@{manifest.version}")

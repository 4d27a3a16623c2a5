"""Model store in SQLite or PostgreSQL. All calls block."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..backends.sql import Database, UTCDateTime, sa
from ..errors import ConfigurationError, NotFound
from .archive import ZipArchive
from .load_policy import LoadPolicy, Mismatch
from .manifest import Manifest, PackageMetadata, read_metadata
from .package import ModelPackage, read_package
from .package_files import PACKAGE, sha256_of
from .store import TOKEN, StoredFile, model_not_found
from .versions import LATEST, resolve_version

__all__ = ["SqlModelStore", "StoredModel"]

_METADATA = sa.MetaData()
_MODELS = sa.Table(
    "modelgate_models",
    _METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("created", UTCDateTime, nullable=False),
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
    """Metadata of a package stored in a database.

    Args:
        name: Model name.
        version: Model version.
        created: Time at which the package was saved.
        size: Size in bytes.
        sha256: Digest of the package, which can be used in the option *sha256* of `SqlModelStore`.
        aliases: Aliases that refer to this version.
    """

    name: str
    version: str
    created: datetime
    size: int
    sha256: str
    aliases: tuple[str, ...] = ()


class SqlModelStore:
    """Store for packages in SQLite or PostgreSQL. A version that was saved never changes.

    A model name has one of three forms:

    - a version, such as ``churn@7``;
    - an alias, such as ``churn@production``;
    - ``churn`` or ``churn@latest``, the newest version. If no version begins with a number, this is the
      version that was saved last.

    Args:
        url: URL of the database: ``sqlite:///models.db``, or ``postgresql://…`` for several machines.
        sha256: Required digest by version, such as ``churn@7``. Packages of other versions may have any
            digest.
        allow_pickle: See `ModelPackage.load`.
        on_version_mismatch: See `ModelPackage.load`.
        public_keys: See `ModelPackage.load`.
        clock: Function that returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: The value of an option is not valid, or a library is missing.
    """

    supports_pinning = True

    def __init__(
        self,
        url: str,
        *,
        sha256: Mapping[str, str] | None = None,
        allow_pickle: bool = False,
        on_version_mismatch: Mismatch = "reject",
        public_keys: Sequence[str | Path] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sha256 = dict(sha256 or {})
        self._policy = LoadPolicy(None, allow_pickle, on_version_mismatch, public_keys)
        self.requires_signature = self._policy.requires_signature
        self._clock = clock
        self._db = Database(url, _METADATA, option="models")

    def __repr__(self) -> str:
        return f"SqlModelStore({self._db.backend})"

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._db.close()

    def save(self, package: ModelPackage, *, sign_key: str | Path | None = None) -> StoredModel:
        """Store *package* under its name and version.

        Args:
            package: Package to store.
            sign_key: PEM file of an Ed25519 private key to sign the package with; None for no signature.

        Raises:
            ConfigurationError: A version or an alias of the same name exists, the package cannot be written,
                this store would reject it, or the database user has no write permission.
            StoreError: The database is unavailable.
        """
        metadata, content = package.to_bytes(sign_key=sign_key)
        manifest = package.manifest
        self.parse_metadata(f"{manifest.name}@{manifest.version}", metadata)
        created = datetime.fromtimestamp(self._clock(), UTC)
        stored = StoredModel(manifest.name, manifest.version, created, len(content), sha256_of(content))
        row = {
            **{name: getattr(stored, name) for name in ("name", "version", "created", "size", "sha256")},
            "sidecars": metadata,
            "package": content,
        }
        self._db.commit(lambda connection: _insert(connection, row))
        return stored

    def alias(self, name: str, alias: str, version: str) -> None:
        """Point the alias ``name@alias`` to *version*. Models that are already loaded stay in use.

        Raises:
            ConfigurationError: *alias* is not a valid alias, is the name of a version, or the database
                user has no write permission.
            NotFound: There is no such version.
            StoreError: The database is unavailable.
        """
        if not TOKEN.fullmatch(f"{name}@{alias}") or alias == LATEST:
            raise ConfigurationError(
                f"alias must be letters, digits, '_', '-' and '.', and not 'latest' (got {alias!r})"
            )
        self._db.commit(lambda connection: _set_alias(connection, name, alias, version))

    def list(self, name: str | None = None) -> Sequence[StoredModel]:
        """Return the versions of the model *name*, or of all models if *name* is None.

        The oldest version is first.

        Raises:
            StoreError: The database is unavailable.
        """
        columns = [_MODELS.c[column] for column in ("name", "version", "created", "size", "sha256")]
        query = sa.select(*columns).order_by(_MODELS.c.name, _MODELS.c.number)
        if name is not None:
            query = query.where(_MODELS.c.name == name)
        with self._db.transaction() as connection:
            models = [StoredModel(**row) for row in connection.execute(query).mappings()]
            alias_rows = connection.execute(sa.select(_ALIASES).order_by(_ALIASES.c.alias)).all()
        aliases: dict[tuple[str, str], list[str]] = {}
        for row in alias_rows:
            aliases.setdefault((row.name, row.version), []).append(row.alias)
        return [
            replace(model, aliases=tuple(aliases.get((model.name, model.version), ()))) for model in models
        ]

    def describe(self, name: str) -> PackageMetadata:
        """Return the metadata of the model *name* without loading it. Raises the same errors as `load`."""
        return self.parse_metadata(*self._fetch(name, _MODELS.c.sidecars))

    def fingerprint(self, name: str) -> tuple[str, bytes]:
        """Return a value that changes when `load` would return another package.

        Raises the same errors as `load`.
        """
        return self._fetch(name, _MODELS.c.sha256)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* with its metadata.

        Raises:
            NotFound: There is no such model, or *name* is not a valid name.
            ConfigurationError: See `ModelPackage.load`.
            StoreError: The database is unavailable.
        """
        return self.load_file(name, self.read_file(name), sha256=sha256)

    def version(self, name: str) -> str:
        """Return the version that *name* refers to; see `FileModelStore.version`."""
        return self._fetch(name, _MODELS.c.sha256)[0]

    def read_file(self, version: str) -> StoredFile:
        """Return the file of a version; see `FileModelStore.read_file`."""
        resolved, content = self._fetch(version, _MODELS.c.package)
        return StoredFile(resolved, PACKAGE, content)

    def load_file(self, name: str, file: StoredFile, *, sha256: str | None = None) -> ModelPackage:  # noqa: ARG002
        """Load a model from *file*; see `FileModelStore.load_file`."""
        pin = sha256 or self._sha256.get(file.name)
        package = read_package(io.BytesIO(file.content), replace(self._policy, sha256=pin))
        _check_name(package.manifest, file.name)
        return package

    def parse_metadata(self, version: str, content: bytes) -> PackageMetadata:
        """Return the metadata of *version*; see `FileModelStore.parse_metadata`."""
        metadata = read_metadata(ZipArchive(io.BytesIO(content)), self._policy, metadata_only=True)
        _check_name(metadata.manifest, version)
        return metadata

    def _fetch(self, name: str, column: sa.Column[Any]) -> tuple[str, Any]:
        """Return the version that *name* refers to, and the value of *column* in the row of the version."""
        if not TOKEN.fullmatch(name):
            raise model_not_found()
        stem, _, suffix = name.partition("@")
        with self._db.transaction() as connection:
            version = (
                _newest_version(connection, stem) if suffix in ("", LATEST) else _resolve_alias(stem, suffix)
            )
            query = sa.select(_MODELS.c.version, column).where(_MODELS.c.name == stem)
            row = connection.execute(query.where(_MODELS.c.version == version)).first()
        if row is None:
            raise model_not_found()
        return f"{stem}@{row[0]}", row[1]


def _insert(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    name, version = row["name"], row["version"]
    taken = {
        LATEST,
        *connection.scalars(sa.select(_MODELS.c.version).where(_MODELS.c.name == name)),
        *connection.scalars(sa.select(_ALIASES.c.alias).where(_ALIASES.c.name == name)),
    }
    if version in taken:
        raise ConfigurationError(
            f"version must not be an existing version or alias of {name} (got {version!r}):"
            " choose another version"
        )
    last = connection.scalar(sa.select(sa.func.max(_MODELS.c.number)).where(_MODELS.c.name == name))
    connection.execute(sa.insert(_MODELS).values(**row, number=(last or 0) + 1))


def _set_alias(connection: sa.Connection, name: str, alias: str, version: str) -> None:
    versions = set(connection.scalars(sa.select(_MODELS.c.version).where(_MODELS.c.name == name)))
    if alias in versions:
        raise ConfigurationError(
            f"alias must not be a version of {name} (got {alias!r}): choose another alias"
        )
    if version not in versions:
        raise NotFound(f"There is no version {version} of {name}: save it first")
    replaced = (_ALIASES.c.name == name) & (_ALIASES.c.alias == alias)
    connection.execute(sa.delete(_ALIASES).where(replaced))
    connection.execute(sa.insert(_ALIASES).values(name=name, alias=alias, version=version))


def _newest_version(connection: sa.Connection, name: str) -> str:
    query = sa.select(_MODELS.c.version).where(_MODELS.c.name == name).order_by(_MODELS.c.number)
    saved = [f"{name}@{version}" for version in connection.scalars(query)]
    newest = resolve_version(name, saved) or (saved[-1] if saved else name)
    return newest.partition("@")[2]


def _resolve_alias(name: str, alias: str) -> sa.ColumnElement[str]:
    """Return an SQL expression for the version to which *alias* refers.

    If there is no such alias, the expression returns *alias* itself, which may be a version.
    """
    query = sa.select(_ALIASES.c.version).where(_ALIASES.c.name == name, _ALIASES.c.alias == alias)
    return sa.func.coalesce(query.scalar_subquery(), alias)


def _check_name(manifest: Manifest, version: str) -> None:
    """Raise `ConfigurationError` unless *manifest* belongs to the requested *version*.

    Without this check, anyone with write access to the database could replace a signed package with another.
    """
    if f"{manifest.name}@{manifest.version}" != version:
        raise ConfigurationError(
            f"{version}: the database row contains the package {manifest.name}@{manifest.version} instead:"
            f" delete the row, and save {version} again"
        )

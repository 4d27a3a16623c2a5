"""Checks of a gate's configuration, one function per check.

The checks only read `Facts`, which are collected beforehand.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from ..deployments.deployment import Deployment
from ..keys.key_record import KeyRecord
from ..keys.principal import OPERATE
from ..layers import KeyAuth, RateLimit, TrustedProxies
from ..layers.rate_limit import DEFAULT_RATE
from ..models.cache import CacheInfo
from ..models.package_files import split_name
from ..models.pickle_file import PICKLE_SUFFIXES
from ..schema import Schema
from ..schema.introspection.unknown_levels import columns_with_unknown_levels
from ..schema.unknown_levels import ALLOW_UNKNOWN_LEVELS, describe_rejected_levels
from .durations import format_age

__all__ = ["CHECKS", "Facts", "Finding", "LoadedModel", "run_checks"]

_SOON = timedelta(days=14)

_PLATFORMS = {
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "K_SERVICE": "Cloud Run",
    "DYNO": "Heroku",
    "FLY_APP_NAME": "Fly.io",
    "RENDER": "Render",
    "WEBSITE_SITE_NAME": "Azure App Service",
    "AWS_EXECUTION_ENV": "AWS",
}
"""Environment variables and the hosting platform that sets each. All of these platforms put a proxy in front
of the app, and can run it on several hosts."""

_EMPTY = CacheInfo(0, 0, 16, 0, None, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of a check: a problem of the configuration, or a note about it.

    Args:
        level: ``"wrong"`` if something must be changed, ``"note"`` otherwise.
        about: Part of the configuration, such as ``"keys"`` or ``"limits"``, or the name of a deployment.
        what: Description of the problem.
        do: Suggested change.
    """

    level: Literal["wrong", "note"]
    about: str
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a gate that the checks examine.

    Args:
        deployments: Deployments of the gate, by name.
        layers: HTTP layers of the gate and of its deployments.
        cache: State of the model cache.
        models: Loaded model of each active deployment, or the error that loading it raised.
        records: Key records in the database, or the error if the database is unavailable; None without a
            database.
        environ: Environment variables.
        workers: Number of server processes.
        now: Current time.
    """

    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    layers: Sequence[Any] = ()
    cache: CacheInfo = _EMPTY
    models: Mapping[str, "LoadedModel | Exception"] = field(default_factory=dict)
    records: Sequence[KeyRecord] | Exception | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def loaded(self) -> Iterator[tuple[str, "LoadedModel"]]:
        """Models that could be loaded, with the names of their deployments."""
        for name, model in self.models.items():
            if isinstance(model, LoadedModel):
                yield name, model

    @property
    def platform(self) -> str | None:
        """Hosting platform, or None if it is not known."""
        return next((name for variable, name in _PLATFORMS.items() if self.environ.get(variable)), None)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Model that could be loaded.

    Args:
        model: Fitted estimator, or a function.
        schema: Schema of the model's input.
        plan: Exact plan (faster code with the same predictions), or the reason why the model has none.
    """

    model: Any
    schema: Schema
    plan: object


Check: TypeAlias = Callable[[Facts], Iterator[Finding]]


def run_checks(facts: Facts) -> list[Finding]:
    """Run all checks and return their findings, problems before notes."""
    findings = [finding for check in CHECKS for finding in check(facts)]
    return sorted(findings, key=lambda finding: finding.level != "wrong")


def check_limit_storage(facts: Facts) -> Iterator[Finding]:
    """Find rate limits that are counted in memory although several processes serve the app."""
    in_memory = [layer for layer in facts.layers if isinstance(layer, RateLimit) and not layer.shared]
    if in_memory and facts.workers > 1:
        rates = dict.fromkeys(
            f"{layer.rate} (the default)" if layer.rate == DEFAULT_RATE else layer.rate for layer in in_memory
        )
        yield Finding(
            "wrong",
            "limits",
            f"{', '.join(rates)}: counted in memory by each of {facts.workers} processes: a caller gets up to"
            f" {facts.workers} times as much",
            'RateLimit(…, storage="redis://…") counts across all processes',
        )


def check_worker_count(facts: Facts) -> Iterator[Finding]:
    """Find a value of ``WEB_CONCURRENCY`` that is not a number."""
    workers = facts.environ.get("WEB_CONCURRENCY")
    if workers and not (workers.isascii() and workers.isdigit()):
        yield Finding(
            "wrong",
            "workers",
            f"WEB_CONCURRENCY must be a number (got {workers!r}): servers do not start with it, and doctor assumes"
            " one worker",
            "set WEB_CONCURRENCY=4, or unset it",
        )


def check_proxies(facts: Facts) -> Iterator[Finding]:
    """Find a gate without ``trusted_proxies``.

    To such a gate, all callers behind a proxy appear to have the proxy's address.
    """
    if any(isinstance(layer, TrustedProxies) for layer in facts.layers):
        return
    evidence = facts.platform or (
        "FORWARDED_ALLOW_IPS is set" if facts.environ.get("FORWARDED_ALLOW_IPS") else None
    )
    yield Finding(
        "note" if evidence is None else "wrong",
        "trusted_proxies",
        "is not set: behind a proxy, all callers appear to have the proxy's address"
        if evidence is None
        else f"is not set, but there is a proxy ({evidence}): all callers appear to have the proxy's address",
        'set trusted_proxies=["10.0.0.0/8"] to the networks of the proxies, or [] if there are none',
    )


def check_keys_required(facts: Facts) -> Iterator[Finding]:
    """Find a gate that does not require keys."""
    if not any(isinstance(layer, KeyAuth) for layer in facts.layers):
        yield Finding(
            "wrong",
            "keys",
            "are not required: anyone can call the gate",
            'set keys="sqlite:///keys.db" and run modelgate keys create',
        )


def check_key_deployments(facts: Facts) -> Iterator[Finding]:
    """Find configured keys that permit a deployment which the gate does not have."""
    for layer in facts.layers:
        unknown = layer.unknown_deployments(facts.deployments) if isinstance(layer, KeyAuth) else []
        if unknown:
            yield Finding(
                "wrong",
                "keys",
                f"there are keys for {', '.join(unknown)}, which the gate does not have",
                f"use the names {', '.join(sorted(facts.deployments)) or 'of deployments'}",
            )


def check_key_storage(facts: Facts) -> Iterator[Finding]:
    """Find keys in a SQLite file, which several hosts cannot share."""
    stores = [layer.keys for layer in facts.layers if isinstance(layer, KeyAuth)]
    if any(getattr(store, "backend", None) == "sqlite" for store in stores):
        what = "are in a SQLite file, which only the processes of one host can share"
        if facts.platform is not None:
            what += f"; {facts.platform} may run the app on several hosts, or lose the file on a restart"
        yield Finding(
            "note" if facts.platform is None else "wrong",
            "keys",
            what,
            'for several hosts, set keys="postgresql://…"',
        )


def check_key_expiry(facts: Facts) -> Iterator[Finding]:
    """Find keys that have expired or will soon expire, and a database without an active key."""
    if isinstance(facts.records, Exception):
        yield Finding(
            "wrong", "keys", f"database unavailable: {facts.records}", "check that the database is running"
        )
    if facts.records is None or isinstance(facts.records, Exception):
        return
    states = [record.state(facts.now) for record in facts.records]
    if "active" not in states:
        yield Finding("wrong", "keys", "none is active", "run modelgate keys create")
    if "expired" in states:
        yield Finding("note", "keys", f"{states.count('expired')} expired", "modelgate keys list shows them")
    for record, state in zip(facts.records, states, strict=True):
        if state == "active" and record.expires is not None and record.expires - facts.now < _SOON:
            yield Finding(
                "wrong",
                "keys",
                f"{record.id} of {record.owner} expires {format_age(record.expires, facts.now)}",
                f"run modelgate keys rotate {record.id}",
            )


def check_operator_keys(facts: Facts) -> Iterator[Finding]:
    """Find keys in the database that can operate deployments as well as call them."""
    for record in facts.records if isinstance(facts.records, Sequence) else ():
        actions = {scope.partition(":")[2] for scope in record.scopes}
        if record.state(facts.now) == "active" and OPERATE in actions and len(actions) > 1:
            yield Finding(
                "note",
                "keys",
                f"{record.id} of {record.owner} can operate deployments as well as call them",
                "create a key with the scope *:operate alone, for operators only",
            )


def check_model_loading(facts: Facts) -> Iterator[Finding]:
    """Find models that cannot be loaded, for example because an extra is missing."""
    for name, error in facts.models.items():
        if isinstance(error, Exception):
            yield Finding(
                "wrong", name, f"cannot be loaded: {error}", "modelgate inspect shows what is in a model file"
            )


def check_cache_size(facts: Facts) -> Iterator[Finding]:
    """Find deployments that evict each other's models."""
    loading = sum(deployment.is_loaded for deployment in facts.deployments.values())
    if loading > facts.cache.maxsize:
        yield Finding(
            "wrong",
            "cache",
            f"holds {facts.cache.maxsize} models, but {loading} deployments need one each: models are reloaded"
            " repeatedly",
            f"set Gate(cache_size={loading})",
        )


def check_pickles(facts: Facts) -> Iterator[Finding]:
    """Find model files that execute code when they are loaded."""
    for name, deployment in facts.deployments.items():
        if deployment.path is not None and split_name(deployment.path)[1] in PICKLE_SUFFIXES:
            yield Finding(
                "note",
                name,
                "is a pickle: loading it runs the code in it; its digest is pinned",
                "skops.io.dump and modelgate pack write files that run no code",
            )


def check_plans(facts: Facts) -> Iterator[Finding]:
    """Find estimators without an exact plan. They score small numbers of rows more slowly."""
    for name, loaded in facts.loaded:
        if isinstance(loaded.plan, str) and hasattr(loaded.model, "predict"):
            yield Finding(
                "note",
                name,
                f"has no exact plan: {loaded.plan}",
                "nothing to change: predictions are the same, but slower",
            )


def check_unknown_levels(facts: Facts) -> Iterator[Finding]:
    """Find columns whose unknown values reach an encoder that silently ignores them."""
    for name, loaded in facts.loaded:
        columns = _unguarded_columns(loaded) if hasattr(loaded.model, "predict") else []
        if columns:
            yield Finding(
                "wrong",
                name,
                f"unknown values of {', '.join(columns)} are scored silently: the encoder ignores them and the"
                " schema accepts them",
                'declare the levels of these columns, and set unknown_levels="reject" or "warn"',
            )


def _unguarded_columns(loaded: LoadedModel) -> list[str]:
    columns = {column.name: column for column in loaded.schema}
    accepts_all = loaded.schema.options.unknown_levels == "accept"
    ignored = columns_with_unknown_levels(loaded.model)
    return sorted(name for name in ignored & columns.keys() if accepts_all or columns[name].levels is None)


def check_rejected_levels(facts: Facts) -> Iterator[Finding]:
    """Find columns whose unknown values the schema rejects, although the model accepts them."""
    for name, loaded in facts.loaded:
        rejected = describe_rejected_levels(loaded.model, loaded.schema)
        if rejected is not None and facts.deployments[name].unknown_levels is None:
            yield Finding("note", name, rejected, ALLOW_UNKNOWN_LEVELS)


CHECKS: tuple[Check, ...] = (
    check_model_loading,
    check_keys_required,
    check_key_expiry,
    check_key_deployments,
    check_key_storage,
    check_operator_keys,
    check_limit_storage,
    check_worker_count,
    check_proxies,
    check_cache_size,
    check_unknown_levels,
    check_rejected_levels,
    check_pickles,
    check_plans,
)

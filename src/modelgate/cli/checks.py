"""What in the configuration of a gate will bite: one function a question, over facts that are gathered before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from ..errors import ConfigurationError
from ..gate.deployment import Deployment
from ..keys.record import KeyRecord
from ..layers import KeyAuth, RateLimit, TrustedProxies
from ..layers.rate_limit import DEFAULT_RATE
from ..models.cache import CacheInfo
from ..schema import Schema
from ..schema.ways import paths_through
from .times import ago

__all__ = ["CHECKS", "Facts", "Finding", "findings"]

_SOON = timedelta(days=14)

_HOSTED = {
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "K_SERVICE": "Cloud Run",
    "DYNO": "Heroku",
    "FLY_APP_NAME": "Fly.io",
    "RENDER": "Render",
    "WEBSITE_SITE_NAME": "Azure App Service",
    "AWS_EXECUTION_ENV": "AWS",
}
"""What these platforms set in the environment; each has a proxy in front, and several hosts when asked to."""

_IGNORING = ("ignore", "warn", "infrequent_if_exist", "use_encoded_value")
"""The values of ``handle_unknown`` with which scikit-learn's encoders take what they have never seen."""


_EMPTY = CacheInfo(0, 0, 16, 0, None, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know.

    Args:
        level: ``"wrong"`` for what is to be changed, ``"note"`` for what is to be known.
        about: ``"keys"``, ``"limits"``, or the name of a deployment.
        what: is the matter.
        do: what to change.
    """

    level: Literal["wrong", "note"]
    about: str
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the checks look at.

    Args:
        deployments: of the gate, by name.
        layers: the gate's HTTP layers, and those of its deployments.
        cache: of models.
        models: of each deployment the fitted model, its schema and its plan; or why it cannot be loaded.
        records: the keys in the database; None where they are in none, an error where it cannot be asked.
        environ: the environment.
        workers: how many processes serve.
        now: the time.
    """

    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    layers: Sequence[Any] = ()
    cache: CacheInfo = _EMPTY
    models: Mapping[str, "Loaded | Exception"] = field(default_factory=dict)
    records: Sequence[KeyRecord] | Exception | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def loaded(self) -> Iterator[tuple[str, "Loaded"]]:
        """The models that can be loaded."""
        for name, told in self.models.items():
            if isinstance(told, Loaded):
                yield name, told

    @property
    def host(self) -> str | None:
        """The platform it runs on, where that shows."""
        return next((name for variable, name in _HOSTED.items() if self.environ.get(variable)), None)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that could be loaded.

    Args:
        model: the fitted estimator, or a function.
        schema: of its input.
        plan: or the reason why there is none.
    """

    model: Any
    schema: Schema
    plan: object


Check: TypeAlias = Callable[[Facts], Iterator[Finding]]


def findings(facts: Facts) -> list[Finding]:
    """Everything the checks find, what is wrong first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: finding.level != "wrong")


def limits_of_one_process(facts: Facts) -> Iterator[Finding]:
    """Counts in memory, and several processes that each have their own."""
    alone = [layer for layer in facts.layers if isinstance(layer, RateLimit) and not layer.shared]
    if alone and facts.workers > 1:
        rates = dict.fromkeys(_told(layer.rate) for layer in alone)
        yield Finding(
            "wrong",
            "limits",
            f"{', '.join(rates)}: counted in memory by each of {facts.workers} processes: a caller gets up to"
            f" {facts.workers} times as much",
            'RateLimit(…, storage="redis://…") counts for all of them',
        )


def _told(rate: str) -> str:
    return f"{rate} (where nothing is said of limits)" if rate == DEFAULT_RATE else rate


def workers_not_told(facts: Facts) -> Iterator[Finding]:
    """A number of workers that is none."""
    told = facts.environ.get("WEB_CONCURRENCY")
    if told and not (told.isascii() and told.isdigit()):
        yield Finding(
            "wrong",
            "workers",
            f"WEB_CONCURRENCY={told!r} is no number: servers do not start with it, and checks here take it for 1",
            "WEB_CONCURRENCY=4, or unset",
        )


def unknown_proxies(facts: Facts) -> Iterator[Finding]:
    """Nothing said of proxies: all callers may have one address, that of the proxy."""
    if any(isinstance(layer, TrustedProxies) for layer in facts.layers):
        return
    where = facts.host or ("a server told of one" if facts.environ.get("FORWARDED_ALLOW_IPS") else None)
    if where is not None:
        what = f"it runs behind a proxy ({where}), whose address every caller is taken to have"
    else:
        what = "nothing is said of proxies: behind one, every caller is taken to have its address"
    yield Finding(
        "wrong" if where is not None else "note",
        "trusted_proxies",
        what,
        'trusted_proxies=["10.0.0.0/8"] names the networks of the proxies; [] says there are none',
    )


def no_keys(facts: Facts) -> Iterator[Finding]:
    """No layer asks for a key."""
    if not any(isinstance(layer, KeyAuth) for layer in facts.layers):
        yield Finding(
            "wrong",
            "keys",
            "anyone may ask, without a key",
            'keys="sqlite:///keys.db", and modelgate keys create',
        )


def keys_of_one_host(facts: Facts) -> Iterator[Finding]:
    """Keys in a file, which other hosts do not have."""
    stores = [layer.keys for layer in facts.layers if isinstance(layer, KeyAuth)]
    if any(getattr(store, "backend", None) == "sqlite" for store in stores):
        where = (
            ""
            if facts.host is None
            else f", and {facts.host} may run several, or lose its file when it starts anew"
        )
        yield Finding(
            "note" if facts.host is None else "wrong",
            "keys",
            f"are in a file of SQLite, for the processes of one host{where}",
            'for more hosts: keys="postgresql://…"',
        )


def keys_that_end(facts: Facts) -> Iterator[Finding]:
    """Keys that have ended, or soon will; and a database without one that opens anything."""
    if isinstance(facts.records, Exception):
        yield Finding("wrong", "keys", f"their database cannot be asked: {facts.records}", "see that it runs")
    if facts.records is None or isinstance(facts.records, Exception):
        return
    states = [record.state(facts.now) for record in facts.records]
    if "active" not in states:
        yield Finding("wrong", "keys", "there is none that is active", "modelgate keys create")
    if "expired" in states:
        yield Finding("note", "keys", f"{states.count('expired')} expired", "modelgate keys list shows them")
    for record, state in zip(facts.records, states, strict=True):
        if state == "active" and record.expires is not None and record.expires - facts.now < _SOON:
            ends = ago(record.expires, facts.now)
            yield Finding(
                "wrong",
                "keys",
                f"{record.id} of {record.owner} ends {ends}",
                f"modelgate keys rotate {record.id}",
            )


def models_not_loaded(facts: Facts) -> Iterator[Finding]:
    """Models that cannot be loaded: a file, an extra or a version that is missing or another."""
    for name, error in facts.models.items():
        if isinstance(error, Exception):
            yield Finding(
                "wrong", name, f"cannot be loaded: {error}", "modelgate inspect shows what is in a model file"
            )


def cache_too_small(facts: Facts) -> Iterator[Finding]:
    """Deployments that push each other out of memory."""
    loaded = sum(deployment.is_loaded for deployment in facts.deployments.values())
    if loaded > facts.cache.maxsize:
        yield Finding(
            "wrong",
            "cache",
            f"keeps {facts.cache.maxsize} models, and {loaded} deployments load theirs: they are loaded again and again",
            f"Gate(cache_size={loaded})",
        )


def pickles(facts: Facts) -> Iterator[Finding]:
    """Model files that run the code in them when they are loaded."""
    for name, deployment in facts.deployments.items():
        if deployment.path is not None and deployment.path.suffix == ".joblib":
            yield Finding(
                "note",
                name,
                "is a pickle, which runs the code in it when it is loaded; its digest is pinned",
                "skops.io.dump, or modelgate pack, makes a file that runs none",
            )


def no_plans(facts: Facts) -> Iterator[Finding]:
    """Estimators that answer for themselves, which takes longer for few rows."""
    for name, loaded in facts.loaded:
        if isinstance(loaded.plan, str) and hasattr(loaded.model, "predict"):
            yield Finding(
                "note",
                name,
                f"has no exact plan: {loaded.plan}",
                "nothing: it answers all the same, more slowly",
            )


def levels_ignored(facts: Facts) -> Iterator[Finding]:
    """Columns whose unknown values reach an encoder that takes them without a word."""
    for name, loaded in facts.loaded:
        columns = _unguarded(loaded) if hasattr(loaded.model, "predict") else []
        if columns:
            yield Finding(
                "wrong",
                name,
                f"values of {', '.join(columns)} that the model has never seen are scored without a word: its encoder"
                " ignores them, and the schema lets them pass",
                'give the columns their levels, and unknown_levels="refuse" or "warn"',
            )


def _unguarded(loaded: Loaded) -> list[str]:
    try:
        paths = paths_through(loaded.model)
    except ConfigurationError:
        return []  # It does not tell what its columns are, and has no encoder that is known.
    columns = {column.name: column for column in loaded.schema}
    passes = loaded.schema.policy.unknown_levels == "accept"
    ignored = {
        path.name
        for path in paths
        for step, _ in path.steps
        if getattr(step, "handle_unknown", None) in _IGNORING
    }
    return sorted(name for name in ignored & columns.keys() if passes or columns[name].levels is None)


CHECKS: tuple[Check, ...] = (
    models_not_loaded,
    no_keys,
    keys_that_end,
    keys_of_one_host,
    limits_of_one_process,
    workers_not_told,
    unknown_proxies,
    cache_too_small,
    levels_ignored,
    pickles,
    no_plans,
)

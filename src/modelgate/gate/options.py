"""Turn the options of a gate into layers and storage."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..deployments.catalog import DeploymentCatalog
from ..deployments.deployment import Deployment, HTTPLayer
from ..errors import ConfigurationError, error_context
from ..flow import validate_layers
from ..keys import KeyStore
from ..keys.store import ACCEPTED as ACCEPTED_KEYS
from ..layers import (
    AccessLog,
    Admission,
    AuthFailureLimit,
    BodyLimit,
    Cors,
    Deadline,
    HttpsOnly,
    Idempotency,
    KeyAuth,
    Metrics,
    RateLimit,
    RequestId,
    ServerTiming,
    Tracing,
)
from ..layers.rate_limit import DEFAULT_RATE
from ..monitoring.shared_values import SharedValues
from ..prometheus import LocalValues, MetricValues

__all__ = [
    "check_deployments",
    "create_layers",
    "create_metric_values",
    "create_outer_layers",
    "find_deadline",
    "find_key_header",
]


def create_layers(
    layers: Sequence[HTTPLayer] | None,
    keys: KeyStore | Mapping[str, str | Sequence[str]] | str | None,
    limits: str | HTTPLayer | Sequence[HTTPLayer] | None,
    idempotency: bool | Idempotency,
    auth_failure_limit: str | None,
    deadline: float | None,
    proxies: Sequence[str] | None,
    key_header: str | None,
    body_limit: int | BodyLimit | None,
    *,
    https_only: bool,
) -> Sequence[HTTPLayer]:
    """Return the HTTP layers of a gate: *layers*, or the standard layers if *layers* is None.

    Args:
        layers, keys, limits, idempotency, auth_failure_limit, deadline, key_header, body_limit, https_only:
            See `Gate`.
        proxies: Option ``trusted_proxies`` of `Gate`.

    Raises:
        ConfigurationError: There are no keys, or an option cannot be used.
    """
    if layers is None:
        layers = _standard_layers(
            keys, limits, idempotency, auth_failure_limit, deadline, proxies, key_header, body_limit
        )
    else:
        layers = _check_custom_layers(layers, keys, limits, idempotency, key_header, body_limit)
    return [HttpsOnly(), *layers] if https_only else layers


def create_outer_layers(
    catalog: DeploymentCatalog,
    metrics: Metrics | None,
    *,
    tracing: bool,
    timing_for_everyone: bool,
    cors: Sequence[str] | Literal["*"] | None,
) -> list[HTTPLayer]:
    """Return the outermost layers of a gate, through which all requests to it pass.

    Args:
        catalog: Catalog of the gate's deployments.
        metrics: Layer that counts requests; None to count none.
        tracing: See `Gate`.
        timing_for_everyone: Option *everyone* of `ServerTiming`.
        cors: See `Gate`.

    Raises:
        ConfigurationError: An option cannot be used.
    """
    layers: list[HTTPLayer] = [RequestId()]
    layers += [Tracing(catalog)] if tracing else []
    layers += [metrics] if metrics is not None else []
    layers += [AccessLog(catalog), ServerTiming(everyone=timing_for_everyone)]
    if cors is not None:
        with error_context("cors"):
            layers.append(Cors(cors))
    return layers


def _standard_layers(
    keys: KeyStore | Mapping[str, str | Sequence[str]] | str | None,
    limits: str | HTTPLayer | Sequence[HTTPLayer] | None,
    idempotency: bool | Idempotency,
    auth_failure_limit: str | None,
    deadline: float | None,
    proxies: Sequence[str] | None,
    key_header: str | None,
    body_limit: int | BodyLimit | None,
) -> list[HTTPLayer]:
    if keys is None:
        raise ConfigurationError(
            f"keys must be {ACCEPTED_KEYS} (got None): a gate without keys would serve anyone"
        )
    if keys == "open" and key_header is not None:
        raise ConfigurationError(
            f'key_header must be None for a gate without keys (got {key_header!r}): remove it, or replace keys="open"'
        )
    with error_context("deadline"):
        guards: list[HTTPLayer] = [] if deadline is None else [Deadline(deadline)]
    with error_context("body_limit"):
        limit = body_limit if isinstance(body_limit, BodyLimit) else BodyLimit(body_limit)
    guards += [Admission(), limit]
    if keys != "open":
        guards += _auth_failure_layers(auth_failure_limit, proxies)
        guards.append(KeyAuth(keys, split_forwarded=proxies is None, key_header=key_header))
    if not isinstance(idempotency, bool | Idempotency):
        raise ConfigurationError(f"idempotency must be True, False or an Idempotency (got {idempotency!r})")
    if idempotency is not False:
        guards.append(Idempotency() if idempotency is True else idempotency)
    with error_context("limits"):
        return [*guards, *_limit_layers(DEFAULT_RATE if limits is None else limits)]


def find_deadline(layers: Sequence[HTTPLayer]) -> float | None:
    """Return the shortest deadline of *layers* in seconds, or None if they have none."""
    return min((layer.seconds for layer in layers if isinstance(layer, Deadline)), default=None)


def _limit_layers(limits: str | HTTPLayer | Sequence[HTTPLayer]) -> Sequence[HTTPLayer]:
    if isinstance(limits, str):
        return [RateLimit(limits)]
    return validate_layers([limits] if callable(limits) else limits)


def _auth_failure_layers(rate: str | None, proxies: Sequence[str] | None) -> list[HTTPLayer]:
    with error_context("auth_failure_limit"):
        # Without trusted_proxies, the caller's address is not known if a proxy has forwarded the request.
        return [] if rate is None else [AuthFailureLimit(rate, skip_forwarded=proxies is None)]


def check_deployments(deployments: Iterable[Deployment]) -> Iterable[Deployment]:
    """Return *deployments*, or raise `ConfigurationError` if it is not iterable."""
    if isinstance(deployments, Deployment | Mapping) or not isinstance(deployments, Iterable):
        raise ConfigurationError(
            f"deployments must be a list of Deployment(name, model) (got {deployments!r})"
        )
    return deployments


def create_metric_values(metrics: object, directory: str | Path | None) -> MetricValues:
    """Return the storage of metrics for the options *metrics* and *metrics_dir* of `Gate`.

    Raises:
        ConfigurationError: An option is invalid.
    """
    if metrics is not True and metrics is not False and metrics != "open":
        raise ConfigurationError(f'metrics must be True, False, or "open" for anyone (got {metrics!r})')
    return LocalValues() if directory is None or not metrics else SharedValues(directory)


def _check_custom_layers(
    layers: Sequence[HTTPLayer],
    keys: object,
    limits: object,
    idempotency: object,
    key_header: object,
    body_limit: object,
) -> Sequence[HTTPLayer]:
    """Return *layers* after checking that they fit the other options.

    Raises:
        ConfigurationError: *keys*, *key_header*, *body_limit*, *limits* or *idempotency* are set too, or no layer
            authenticates callers.
    """
    layers = validate_layers(layers)
    options = (limits, key_header, body_limit, idempotency or None)
    if any(option is not None for option in options) or keys not in (None, "open"):
        raise ConfigurationError(
            "keys, key_header, body_limit, limits and idempotency must not be combined with layers: remove these"
            " options, and add KeyAuth, BodyLimit, RateLimit and Idempotency to layers"
        )
    kinds = [type(layer) for layer in layers]
    if Idempotency in kinds and KeyAuth in kinds[kinds.index(Idempotency) :]:
        raise ConfigurationError("layers must have KeyAuth before Idempotency, which does not check API keys")
    if keys is None and not any(isinstance(layer, KeyAuth) for layer in layers):
        raise ConfigurationError('layers must contain KeyAuth: add it, or set keys="open" to serve anyone')
    return layers


def find_key_header(layers: Sequence[HTTPLayer]) -> str | None:
    """Return the option *key_header* of the `KeyAuth` in *layers*."""
    return next((layer.key_header for layer in layers if isinstance(layer, KeyAuth)), None)

"""``modelgate limits``: reset the rate limits of a caller."""

from urllib.parse import urlsplit

import click

from ..errors import ConfigurationError, StoreError
from .help import examples
from .inspect import read_environment_variable

__all__ = ["limits"]


@click.group(epilog=examples("limits reset --key k_9f3a61 --storage redis://127.0.0.1:6379/0"))
def limits() -> None:
    """Manage the rate limits of callers."""


@limits.command(
    epilog=examples(
        "limits reset --key k_9f3a61 --storage redis://127.0.0.1:6379/0",
        "limits reset --key k_9f3a61 --url http://localhost:8000/ml --key-env OPERATOR_KEY",
    )
)
@click.option(
    "--key",
    "key_id",
    metavar="ID",
    required=True,
    help="Id of the caller's key, as in the access log and the key store. If limits count by owner or"
    " by address, pass the owner or the address instead.",
)
@click.option(
    "--storage",
    metavar="URI",
    envvar="MODELGATE_LIMITS_STORAGE",
    show_envvar=True,
    help="URI of the Redis that stores the counts: redis://…. Pass a URI with a password in the environment"
    " variable.",
)
@click.option("--url", metavar="URL", help="URL of the mount point of a running gate that counts in memory.")
@click.option(
    "--key-env",
    "operator_key",
    metavar="VARIABLE",
    callback=read_environment_variable,
    help="Environment variable that holds an API key with the scope *:operate, for --url.",
)
@click.option(
    "--db",
    metavar="URL",
    envvar="MODELGATE_KEYS_URL",
    show_envvar=True,
    help="URL of the database of keys. Pass it if the key has replaced another key, because limits count both"
    " keys together.",
)
def reset(
    key_id: str, storage: str | None, url: str | None, operator_key: str | None, db: str | None
) -> None:
    """Discard the counts of one caller. Its full limits are then available again."""
    if (storage is None) == (url is None):
        raise ConfigurationError("limits reset needs either --storage or --url")
    if db is not None:
        key_id = _find_counted_id(db, key_id)
    count = _reset_in_redis(storage, key_id) if url is None else _reset_in_gate(url, key_id, operator_key)
    click.echo(f"{count} counts of {key_id} discarded")


def _find_counted_id(db: str, key_id: str) -> str:
    """Return the id under which limits count the key, or *key_id* itself if the database has no such key."""
    from ..keys.admin_store import KeyAdmin

    store = KeyAdmin(db)
    try:
        return next((record.counted_as for record in store.list() if record.id == key_id), key_id)
    finally:
        store.close()


def _reset_in_redis(storage: str | None, key_id: str) -> int:
    from ..layers._caller_identity import stored_identities
    from ..limiting.redis_script_runner import RedisScriptRunner

    if storage is None or urlsplit(storage).scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError("storage must be the URI of Redis, such as redis://127.0.0.1:6379/0")
    try:
        return sum(map(RedisScriptRunner(storage).reset_counts, stored_identities(key_id)))
    except StoreError as error:
        raise ConfigurationError(f"storage must be a Redis that responds ({error.__cause__})") from None


def _reset_in_gate(url: str, key_id: str, operator_key: str | None) -> int:
    from ..client.clients import httpx_package

    httpx = httpx_package()
    headers = {} if operator_key is None else {"authorization": f"Bearer {operator_key}"}
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/limits/reset", json={"key": key_id}, headers=headers, timeout=60
        )
        body = response.json()
        if response.status_code == 200:
            return int(body["reset"])
        message = body["error"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"url must be the mount point of a gate ({type(error).__name__}: {error})"
        ) from None
    raise ConfigurationError(f"the gate answered {response.status_code}: {message}")

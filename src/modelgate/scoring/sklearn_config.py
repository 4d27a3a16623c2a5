"""scikit-learn's configuration, carried from the thread that set it to those that call a model.

``sklearn.set_config`` holds in one thread; others start with the defaults.
"""

import contextlib
import sys
import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Config", "configured", "current_config"]

Config: TypeAlias = Mapping[str, Any] | None
"""Arguments of ``sklearn.config_context``, or None for the defaults."""


def current_config() -> Config:
    """Return the configuration of this thread: the default one if scikit-learn has not been imported."""
    get_config = getattr(sys.modules.get("sklearn"), "get_config", None)
    if get_config is None:
        return None
    defaults: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: defaults.update(get_config()), daemon=True)
    thread.start()
    thread.join()
    config: dict[str, Any] = get_config()
    return None if config == defaults else config


def configured(config: Config) -> contextlib.AbstractContextManager[None]:
    """Return a context in which *config* holds in this thread; None leaves the thread's own."""
    if config is None:
        return contextlib.nullcontext()
    import sklearn

    return sklearn.config_context(**config)  # type: ignore[no-any-return]

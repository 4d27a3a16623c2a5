"""Apply the scikit-learn configuration of one thread in the threads that call a model.

``sklearn.set_config`` applies to one thread only. Other threads start with the defaults.
"""

import contextlib
import sys
import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Config", "current_sklearn_config", "sklearn_config"]

Config: TypeAlias = Mapping[str, Any] | None
"""Arguments of ``sklearn.config_context``. None for the defaults."""


def current_sklearn_config() -> Config:
    """Return scikit-learn's configuration in this thread, or None.

    None means that the configuration is the default, or that scikit-learn is not imported.
    """
    get_config = getattr(sys.modules.get("sklearn"), "get_config", None)
    if get_config is None:
        return None
    defaults: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: defaults.update(get_config()), daemon=True)
    thread.start()
    thread.join()
    config: dict[str, Any] = get_config()
    return None if config == defaults else config


def sklearn_config(config: Config) -> contextlib.AbstractContextManager[None]:
    """Return a context manager that applies *config* in this thread, or does nothing if *config* is None."""
    if config is None:
        return contextlib.nullcontext()
    import sklearn

    return sklearn.config_context(**config)  # type: ignore[no-any-return]

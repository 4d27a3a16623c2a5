"""Installed versions, for tests of what the lowest supported versions lack."""

from importlib.metadata import version

from packaging.version import Version

CLICK, PANDAS, SKLEARN, XGBOOST = (
    Version(version(name)).release for name in ("click", "pandas", "scikit-learn", "xgboost-cpu")
)

XGBOOST_STORES_LEVELS = XGBOOST >= (3, 1)

"""Installed versions, for tests of what the lowest supported versions lack."""

from importlib.metadata import version

from packaging.version import Version

CLICK, PANDAS, SKLEARN = (Version(version(name)).release for name in ("click", "pandas", "scikit-learn"))

"""Quick path of a gate, which answers usual requests without calling the layers."""

from .quick_path import QuickPath, create_quick_path

__all__ = ["QuickPath", "create_quick_path"]

"""Quick path of a gate: usual requests are answered in one function instead of through the layers."""

from .quick_path import QuickPath, create_quick_path

__all__ = ["QuickPath", "create_quick_path"]

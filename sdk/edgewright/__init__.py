"""Edgewright: compress a model for a device, measure it there, and choose.

Importing this package imports neither torch nor a runtime: public names are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Artifact": "artifact",
    "DeviceProfile": "profile",
    "EdgewrightError": "errors",
    "Evaluation": "workload",
    "Recipe": "recipe",
    "Row": "row",
    "Workload": "workload",
}

__all__ = [
    "Artifact",
    "DeviceProfile",
    "EdgewrightError",
    "Evaluation",
    "Recipe",
    "Row",
    "Workload",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

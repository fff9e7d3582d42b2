"""sympy, imported when it is asked for: it is slow to load and only formulas need it."""

from importlib import import_module
from typing import Any


def sympy() -> Any:
    """Return the module; its own annotations are partial, so it counts as anything."""
    return import_module("sympy")

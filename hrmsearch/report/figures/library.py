"""matplotlib, where it is installed."""

from importlib import import_module
from typing import Any

from hrmsearch.errors import HrmsearchError


def matplotlib(module: str = "") -> Any:
    """Return matplotlib or one of its modules; raises HrmsearchError where it is missing."""
    try:
        return import_module(f"matplotlib.{module}".rstrip("."))
    except ImportError as error:
        raise HrmsearchError(
            f"figures need matplotlib ({error}): pip install 'hrmsearch[plots]', or leave them out by --no-figures"
        ) from error

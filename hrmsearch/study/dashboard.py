"""Optuna's dashboard, where it is installed."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hrmsearch.errors import RunError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def need_dashboard() -> None:
    """Raise RunError where the dashboard is not installed."""
    if find_spec("optuna_dashboard") is None:
        raise RunError("optuna-dashboard is not installed; pip install 'hrmsearch[dashboard]'")


def serve(storage: "BaseStorage", host: str, port: int) -> None:
    """Serve the dashboard until the process is interrupted."""
    dashboard: Any = import_module("optuna_dashboard")
    dashboard.run_server(storage, host=host, port=port)

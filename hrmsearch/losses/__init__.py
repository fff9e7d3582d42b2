"""Losses: one file per kind, appended to the graph by `lower`. Importing the package registers all."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

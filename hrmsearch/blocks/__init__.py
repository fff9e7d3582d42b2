"""Blocks: one file per kind; its fields are the YAML, its `build` is its meaning. Importing this registers all."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

"""Tasks: where tokens come from, how they are dealt out in batches, and what a model is compared with.

A task is one file in this folder, known by being here: importing the package imports every module in it.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

"""Compiler passes by name, for commands that show what each does."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules

import click

from hrmsearch import passes
from hrmsearch.ir import Graph
from hrmsearch.passes import CompilerPass, Target

#: what stands for no compiler pass at all
NONE = "none"


def named(names: str | None, target: Target) -> Sequence[CompilerPass]:
    """Return the compiler passes that a comma-separated list names; the pipeline that `run` uses where none is given.

    Raises click.BadParameter for a name that is none.
    """
    if names is None:
        return passes.pipeline(target)
    wanted = [] if names == NONE else [name.strip() for name in names.split(",")]
    known = _known(target)
    for name in wanted:
        if name not in known:
            raise click.BadParameter(f"there is no compiler pass {name!r}; there are {', '.join(known)}, or {NONE}")
    return [known[name] for name in wanted]


def _known(target: Target) -> dict[str, CompilerPass]:
    """Return the compiler passes: each is a module of `passes` with a function of the same name."""
    found: dict[str, CompilerPass] = {}
    for module in iter_modules(passes.__path__):
        step: Callable[..., Graph] | None = getattr(
            import_module(f"{passes.__name__}.{module.name}"), module.name, None
        )
        if step is not None:
            found[module.name] = passes.aimed(step, target)
    return found

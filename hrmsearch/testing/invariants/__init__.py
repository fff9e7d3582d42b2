"""What must hold of every compiled model, one small function each, found by standing in this folder.

An invariant is a claim about an executable and its graph. Shapes, seeds, split points, masks and perturbations come
from draws, which Hypothesis makes or a replay repeats; whether a claim applies is read from the graph and its nest.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from hrmsearch.testing.invariants.base import Invariant as Invariant
from hrmsearch.testing.invariants.base import Violation as Violation
from hrmsearch.testing.invariants.draws import Drawn as Drawn
from hrmsearch.testing.invariants.draws import Draws as Draws
from hrmsearch.testing.invariants.draws import Replayed as Replayed
from hrmsearch.testing.invariants.draws import ReplayError as ReplayError
from hrmsearch.testing.invariants.subject import Subject as Subject


@cache
def invariants() -> dict[str, Invariant]:
    """Return every invariant by name, files in alphabetical order."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Invariant)]
    return {it.name: it for it in found}

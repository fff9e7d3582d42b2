"""What `explain --algebra` tells of the H/L kernels of a spec: equations, eigenvalues, and whether they are bounded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hrmsearch.algebra import ARRAYS, equations, latex, real_block
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.interpreter import Interpreter
from hrmsearch.analyses.stability import bounds
from hrmsearch.analyses.states import short
from hrmsearch.blocks.hl_kernel import HLKernel
from hrmsearch.errors import HrmsearchError
from hrmsearch.ir import Graph, Lifetime, Op, Value, initial_params
from hrmsearch.report.table import Table
from hrmsearch.spec.model import Spec
from hrmsearch.spec.registry import Part

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """A kernel of a spec.

    place: where it stands. sizes: of all eigenvalues of a token's transition at initial parameters, by the prefix of
    every use. growth: how many times larger a token can make a state, at most, as HS105 sees it.
    """

    place: str
    kernel: HLKernel
    sizes: Mapping[str, Array]
    growth: float

    @property
    def sections(self) -> Sequence[Any]:
        """The kernel's equations, as `algebra.text` and `algebra.latex` take them."""
        turning = self.kernel.channels == "complex"
        return equations(self.kernel.schedule, self.kernel.discretize, turning=turning, gated=self.kernel.gated)

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """Return the least, the median and the largest size by prefix."""
        return {at: (float(x.min()), float(np.median(x)), float(x.max())) for at, x in self.sizes.items()}


def explain_kernels(spec: Spec, graph: Graph, seed: int) -> list[Explained]:
    """Return the kernels of a spec; raises HrmsearchError where there is none."""
    found = dict(_kernels(spec.model, "model"))
    if not found:
        raise HrmsearchError(f"{spec.file}: no mixer is an hl_kernel, and only those have an algebra")
    params, known, paths = initial_params(graph, seed), bounds(graph), _Parameters()
    Interpreter(graph, paths).run(Lifetime.SAMPLE, {})
    explained: list[Explained] = []
    for place, kernel in found.items():
        uses = paths.by_place.get(place, {})
        sizes = {at: _sizes(kernel, {n: params[path] for n, path in names.items()}) for at, names in uses.items()}
        explained.append(Explained(place, kernel, sizes, known[place].growth))
    return explained


def eigenvalue_table(explained: Sequence[Explained], seed: int) -> Table:
    """Return a row per use of a kernel."""
    rows = [(at, *(f"{size:.4f}" for size in three)) for one in explained for at, three in one.summary().items()]
    token = "a token of zero input" if any(one.kernel.gated for one in explained) else "a token"
    title = f"sizes of the eigenvalues of {token}, at the initial parameters of seed {seed}"
    return Table(["kernel", "least", "median", "largest"], "lrrr", [rows], title)


def verdict(one: Explained) -> str:
    """Return in a sentence what is proved of a kernel in its graph."""
    if one.growth <= 1.0:
        return "proved of the graph (HS105): for all parameters and inputs, no token's transition enlarges a state"
    return f"not proved of the graph (HS105): a token's transition may enlarge a state {one.growth:.4g} times"


def heading(one: Explained) -> str:
    """Return a kernel's place and its settings."""
    kernel = one.kernel
    gated = f"{'gated' if kernel.gated else 'time-invariant'}, {kernel.channels} channels, {kernel.discretize}"
    return f"{short(one.place)}: {kernel.kind}, {gated}"


def kernel_record(one: Explained) -> dict[str, Any]:
    """Return a kernel as JSON values, its equations as LaTeX."""
    least = {at: dict(zip(("least", "median", "largest"), three, strict=True)) for at, three in one.summary().items()}
    return {"place": one.place, "latex": latex(one.sections), "eigenvalues": least, "growth": one.growth}


def _kernels(value: Any, place: str) -> Iterator[tuple[str, HLKernel]]:
    """Yield every kernel below a part of a spec, with its place."""
    if isinstance(value, HLKernel):
        yield place, value
    elif isinstance(value, Part):
        for name, field in type(value).model_fields.items():
            yield from _kernels(getattr(value, name), f"{place}.{field.alias or name}")
    elif isinstance(value, Mapping):
        for name, item in cast("Mapping[str, Any]", value).items():
            yield from _kernels(item, f"{place}.{name}")
    elif isinstance(value, tuple):
        for i, item in enumerate(cast("tuple[Any, ...]", value)):
            yield from _kernels(item, f"{place}[{i}]")


def _sizes(kernel: HLKernel, weights: Mapping[str, Array]) -> Array:
    """Return the sizes of a token's eigenvalues; of a gated kernel, for the length that an input of zero gives."""
    step = np.logaddexp(0.0, weights["step"]) if kernel.gated else None
    token = kernel.schedule.token(*kernel.levels(ARRAYS, weights, step))
    rows = real_block(token.matrix)
    entries = np.broadcast_arrays(*(np.asarray(entry, np.float64) for row in rows for entry in row))
    matrices = np.stack(entries, -1).reshape(*entries[0].shape, len(rows), len(rows))
    return np.abs(np.linalg.eigvals(matrices))


class _Parameters(Domain[None]):
    """Where parameters are used. by_place: spec place, then prefix, then name; to the path."""

    def __init__(self) -> None:
        self.by_place: dict[str, dict[str, dict[str, str]]] = {}

    def leaf(self, op: Op, site: Site) -> None:
        """Note a parameter."""
        if op.kind == "param":
            uses = self.by_place.setdefault(site.of(op.place), {})
            uses.setdefault(site.prefix, {})[op.attrs["path"]] = site.path(op)

    def transfer(self, op: Op, result: Value, operands: Sequence[None], site: Site) -> None:
        """Know nothing."""

    def join(self, first: None, second: None) -> None:
        """Know nothing."""

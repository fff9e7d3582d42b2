"""What the C of every recurrence has in common: which array is where, and the names of a step's scalars.

A function takes a list of addresses p and a list of integers n:

    forward   p: operands, results, checkpoints
    backward  p: operands, checkpoints, gradients of the results (or null), gradients of the operands (null for truth
                 values and matrices), gradients of the carries and of parameters, per row; then for each product the
                 carry at every step, and the gradient of what the step got
    both      n: rows, steps, lanes, lanes per job, threads, then how far apart rows and steps of each operand lie

Results and gradients are dense; a checkpoint is [rows, tiles, carries, lanes].
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import ClassVar

from hrmsearch.ir.graph import Value
from hrmsearch.recurrence import Part, Recurrence, Role, pullback
from hrmsearch_torch.kernels.c_arrays import Array
from hrmsearch_torch.kernels.c_step import c_type, declaration
from hrmsearch_torch.kernels.names import Names

#: where the strides of operands begin among the integers
_STRIDES = 5

ADD_ROWS = """static void add_rows(real *to, int64_t step, const real *from, int64_t rows, int64_t apart, int64_t L) {
  for (int64_t lane = 0; lane < L; ++lane) {
    double total = 0;
    for (int64_t row = 0; row < rows; ++row) total += from[row * apart + lane];
    to[lane * step] = (real)total;
  }
}
"""


class Kernel(ABC):
    """The C text of one recurrence over `float` or `double`. tile: steps between two checkpoints."""

    tile: ClassVar[int]

    def __init__(self, recurrence: Recurrence, real: str) -> None:
        self.recurrence = recurrence
        self.real = real
        self.carries, step = recurrence.carries, recurrence.step
        self.now = step.args[: self.carries]
        self.given = step.args[self.carries : self.carries + len(recurrence.inputs)]
        self.fed = step.args[self.carries + len(recurrence.inputs) :]
        self.next, self.made = step.results[: self.carries], step.results[self.carries :]
        # the next carries are kept anyway
        self.pullback = pullback(step, self.next)
        self.kept = [value for value in self.pullback.saved if value not in self.next]
        self._place()

    def _place(self) -> None:
        """Give every array its position in the lists of addresses."""
        operands, results = self.recurrence.operands, self.recurrence.results
        strides = [(f"n[{_STRIDES + 2 * i}]", f"n[{_STRIDES + 2 * i + 1}]") for i in range(len(operands))]
        self.operands = [Array(port, i, strides[i]) for i, port in enumerate(operands)]
        self.results = [Array.dense(port, len(operands) + i) for i, port in enumerate(results)]
        after = len(operands) + 1
        self.incoming = [Array.dense(port, after + i) for i, port in enumerate(results)]
        after += len(results)
        self.gradients = [Array.dense(port, after + i) for i, port in enumerate(operands)]
        self.scratch = after + len(operands)

    @property
    @abstractmethod
    def text(self) -> str:
        """The whole file."""

    @property
    def parameters(self) -> list[int]:
        """The inputs of a step whose gradient is a sum over rows as well as steps."""
        return [i for i, array in self.summed if array.port.role == Role.SHARED]

    @property
    def summed(self) -> list[tuple[int, Array]]:
        """The inputs of a step whose gradient is a sum over the steps, each with the array that it goes to."""
        found = [(i, self.gradients[part.port]) for i, part in enumerate(self.recurrence.inputs)]
        return [(i, array) for i, array in found if array.port.is_float and not array.is_along]

    # -- lines -------------------------------------------------------------------------------------------------------

    def each(self, form: str) -> str:
        """Return one statement per carry."""
        return " ".join(form.format(i=i) for i in range(self.carries))

    def pointers(self, step: str = "first") -> Iterator[str]:
        """Yield the declarations of pointers to what a step and a carry's start read."""
        used = {part.port for part in (*self.recurrence.inputs, *self.recurrence.starts) if isinstance(part, Part)}
        yield from (self.operands[i].pointer(f"a{i}", step) for i in sorted(used))

    def inputs(self, *, along: bool) -> Iterator[str]:
        """Yield the loads of what varies with the steps, or of what does not."""
        for i, (part, value) in enumerate(zip(self.recurrence.inputs, self.given, strict=True)):
            array = self.operands[part.port]
            if array.is_along == along:
                yield f"const {c_type(value)} u{i} = {array.load(f'a{part.port}', part.index)};"

    def outputs(self, names: Sequence[str]) -> Iterator[str]:
        """Yield the stores of what a step gives."""
        yield from _stores("r", self.results, self.recurrence.outputs, names)

    def fetches(self, prefix: str, ahead: str) -> Iterator[str]:
        """Yield the requests for what some arrays hold some steps ahead; their pointers are called after the prefix."""
        arrays = {"a": self.operands, "r": self.results, "g": self.incoming, "e": self.gradients}[prefix]
        for i, array in real_along(arrays):
            yield from array.fetches(f"{prefix}{i}", ahead, write=prefix in "re")

    def start(self, i: int) -> str:
        """Return the value that a carry begins with."""
        start = self.recurrence.starts[i]
        if isinstance(start, Part):
            return self.operands[start.port].load(f"a{start.port}", start.index)
        return f"all({start!r})"

    def arriving(self) -> Iterator[str]:
        """Yield the statements that add what the last carries' gradients are given."""
        for part, carry in self.recurrence.lasts:
            array = self.incoming[part.port]
            yield f"if (p[{array.at}]) {{ {array.pointer('at')} d{carry} += {array.load('at', part.index)}; }}"

    def incoming_loads(self) -> Iterator[str]:
        """Yield the loads of the gradients of what a step gives, zero where nobody reads it."""
        for i, part in enumerate(self.recurrence.outputs):
            load = self.incoming[part.port].load(f"g{part.port}", part.index)
            yield f"const V y{i} = p[{self.incoming[part.port].at}] ? {load} : all(0);"

    def gradient_stores(self, found: dict[Value, str]) -> Iterator[str]:
        """Yield the stores of the gradients of what varies with the steps."""
        pairs = zip(self.recurrence.inputs, self.given, strict=True)
        along = {i for i, _ in real_along(self.gradients)}
        wanted = {part: found[value] for part, value in pairs if part.port in along}
        yield from _stores("e", self.gradients, list(wanted), list(wanted.values()))

    def start_gradients(self) -> Iterator[str]:
        """Yield the stores of the gradients of what carries begin with."""
        for i, start in enumerate(self.recurrence.starts):
            if isinstance(start, Part):
                yield self.gradients[start.port].store_row(start, f"d{i}")

    def sum_at(self, i: int, array: Array) -> tuple[str, str]:
        """Return a pointer to where an input's summed gradient of a row goes, and the arguments that address it."""
        if array.port.role != Role.SHARED:
            return array.pointer("to", const=""), array.element("to", self.recurrence.inputs[i].index)
        k = self.parameters.index(i)
        return f"real *to = (real *)p[{self.scratch + 1}] + (row * SUMS + {k}) * L + lane;", "to, 1"

    def rows_added(self) -> Iterator[str]:
        """Yield the sums over rows that make parameters' gradients."""
        for k, i in enumerate(self.parameters):
            part = self.recurrence.inputs[i]
            array = self.gradients[part.port]
            sums, apart = f"(const real *)p[{self.scratch + 1}] + {k} * n[2]", "n[0], SUMS * n[2]"
            if array.port.fold == 1:
                to = array.element(f"(real *)p[{array.at}]", part.index).replace("* L", "* n[2]")
                yield f"  add_rows({to}, {sums}, {apart}, n[2]);"
            else:
                to = f"(real *)p[{array.at}] + (head * {array.port.fold} + {part.index}) * K"
                yield "  for (int64_t head = 0; head < n[2] / K; ++head)"
                yield f"    add_rows({to}, 1, {sums} + head * K, {apart}, K);"

    def names(self, fed: Sequence[str] = ()) -> Names:
        """Return names for a step's values; fed: those of the parts of products."""
        texts = [f"c{i}" for i in range(self.carries)] + [f"u{i}" for i in range(len(self.given))] + [*fed]
        return Names(declaration, "v", dict(zip(self.recurrence.step.args, texts, strict=True)))

    def reverse_names(self, now: str, later: str, kept: str, fed: Sequence[str] = ()) -> Names:
        """Return names for the gradient's values; now, later, kept: forms of carries and of what is kept, by number."""
        texts = [now.format(i=i) for i in range(self.carries)] + [f"u{i}" for i in range(len(self.given))] + [*fed]
        for value in self.pullback.saved:
            form, among = (kept, self.kept) if value in self.kept else (later, self.next)
            texts.append(form.format(i=among.index(value)))
        texts += [f"d{i}" for i in range(self.carries)] + [f"y{i}" for i in range(len(self.made))]
        return Names(declaration, "v", dict(zip(self.pullback.region.args, texts, strict=True)))


def _stores(prefix: str, arrays: Sequence[Array], parts: Sequence[Part], values: Sequence[str]) -> Iterator[str]:
    """Yield the stores of every part of some arrays; a pointer is called after the array's position."""
    pairs = sorted(zip(parts, values, strict=True), key=lambda pair: (pair[0].port, pair[0].index))
    for port, group in groupby(pairs, key=lambda pair: pair[0].port):
        yield from arrays[port].stores(f"{prefix}{port}", [value for _, value in group])


def real_along(arrays: Sequence[Array]) -> list[tuple[int, Array]]:
    """Return the arrays of real numbers that have one per step, with their positions."""
    return [(i, array) for i, array in enumerate(arrays) if array.is_along and array.port.is_float]


def indented(lines: Iterator[str], depth: int) -> Iterator[str]:
    """Yield lines further to the right."""
    yield from ("  " * depth + line for line in lines)

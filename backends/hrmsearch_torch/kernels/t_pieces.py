"""What the Triton of every recurrence has in common: which array is where, and the names of a step's scalars.

A kernel takes the operands, other arrays, the sizes `T` (steps), `span` (steps of a chunk), `chunks` and `rows`, and
how far apart the operands' rows lie. Known when it is compiled are how far apart their steps lie, the lanes `L`, what a
program takes, `REAL`, the format it computes in, `FULL`, whether every block of lanes is whole, and `EVEN`, whether
every tile of steps is. Results, gradients and checkpoints are dense; a checkpoint is [rows, tiles, carries, lanes].
"""

from collections.abc import Iterable, Iterator, Sequence

from hrmsearch.ir.graph import Value
from hrmsearch.recurrence import Part, Port, Recurrence, Role, pullback
from hrmsearch_torch.kernels.names import Names
from hrmsearch_torch.kernels.t_step import assignment

HEAD = '''"""{title}: a recurrence over lanes, forward and backward."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

TILE = tl.constexpr({tile})
CARRIES = tl.constexpr({carries})
'''


class Pieces:
    """The parts of kernels' texts for one recurrence. tile: steps between two checkpoints."""

    #: what else is known when a kernel is compiled
    options: Sequence[str] = ()

    def __init__(self, recurrence: Recurrence, tile: int) -> None:
        self.recurrence = recurrence
        self.tile = tile
        n, step = recurrence.carries, recurrence.step
        self.carries = n
        self.now, self.given = step.args[:n], step.args[n : n + len(recurrence.inputs)]
        self.fed = step.args[n + len(recurrence.inputs) :]
        self.next, self.made = step.results[:n], step.results[n:]
        # the next carries are computed anyway
        self.pullback = pullback(step, self.next)
        self.kept = [value for value in self.pullback.saved if value not in self.next]

    @property
    def summed(self) -> list[int]:
        """The inputs of a step whose gradient is a sum over steps."""
        inputs, operands = self.recurrence.inputs, self.recurrence.operands
        return [i for i, part in enumerate(inputs) if operands[part.port].is_float and not self.is_along(part)]

    def is_along(self, part: Part) -> bool:
        """Return whether an input varies with the steps."""
        return self.recurrence.operands[part.port].role == Role.ALONG

    # -- arguments ---------------------------------------------------------------------------------------------------

    @property
    def results(self) -> list[str]:
        """The names of the results' arrays."""
        return [f"r{i}" for i in range(len(self.recurrence.results))]

    @property
    def incoming(self) -> list[str]:
        """The names of the arrays of the results' gradients."""
        return [f"g{i}" for i in range(len(self.recurrence.results))]

    @property
    def gradients(self) -> list[str]:
        """The names of the arrays of the operands' gradients."""
        return [f"e{i}" for i in range(len(self.recurrence.operands))]

    def signature(self, name: str, *arrays: str) -> Iterator[str]:
        """Yield the first lines of a kernel."""
        operands = range(len(self.recurrence.operands))
        taken = [*(f"x{i}" for i in operands), *arrays, "T", "span", "chunks", "rows", *(f"xr{i}" for i in operands)]
        fixed = ["L", *(f"xs{i}" for i in operands), *self.options, "STAGES", "REAL", "FULL", "EVEN"]
        yield '@triton.jit(do_not_specialize=["T", "span", "chunks", "rows"])'
        yield f"def {name}("
        yield f"    {', '.join(taken)},"
        yield f"    {', '.join(f'{one}: tl.constexpr' for one in fixed)},"
        yield "):"

    # -- addresses ---------------------------------------------------------------------------------------------------

    def offset(self, port: Port, index: int) -> str:
        """Return what to add to a port's address to reach a part."""
        if not port.lanes:
            return f" + {index}" if index else ""
        if port.fold > 1:
            return f" + {index} * K"
        outer, inner = divmod(index, port.inner)
        far = f" + {outer * port.inner} * L" if outer else ""
        return f"{far}{f' + {inner}' if inner else ''}"

    def lane(self, port: Port) -> str:
        """Return what to add to a port's address to reach the lane at hand."""
        if not port.lanes:
            return ""
        lane = f"(lane + lane // K * ({port.fold - 1} * K))" if port.fold > 1 else "lane"
        return f" + {lane} * {port.inner}" if port.inner > 1 else f" + {lane}"

    def operand(self, i: int, step: str = "") -> str:
        """Return the address of an operand in the row and lane at hand, at a step."""
        port = self.recurrence.operands[i]
        row = f" + row * xr{i}" if port.role != Role.SHARED else ""
        return f"x{i}{row}{f' + {step} * xs{i}' if port.role == Role.ALONG else ''}{self.lane(port)}"

    def dense(self, name: str, port: Port, step: str = "0") -> str:
        """Return the address of a dense array in the row and lane at hand, at a step."""
        where = {Role.ALONG: f" + (row * T + {step}) * ({port.parts} * L)", Role.ROW: f" + row * ({port.parts} * L)"}
        return f"{name}{where.get(port.role, '')}{self.lane(port)}"

    def load(self, at: str, port: Port, mask: str = "here") -> str:
        """Return the expression that reads a number or a truth value."""
        text = f"tl.load({at}, mask={mask if port.lanes else self.scalar(mask)})"
        return f"{text}.to(REAL)" if port.is_float else f"{text} != 0"

    def scalar(self, mask: str) -> str:
        """Return the mask of what is the same in all lanes."""
        return mask.replace("ok_", "in_") if mask.startswith("ok_") else "None"

    # -- what a step reads and gives ---------------------------------------------------------------------------------

    def constants(self) -> Iterator[str]:
        """Yield the reads of what does not vary with the steps."""
        operands = self.recurrence.operands
        for i, part in enumerate(self.recurrence.inputs):
            if not self.is_along(part):
                port = operands[part.port]
                yield f"u{i} = {self.load(self.operand(part.port) + self.offset(port, part.index), port)}"

    def start(self, i: int) -> str:
        """Return the value that a carry begins with."""
        start = self.recurrence.starts[i]
        if not isinstance(start, Part):
            return f"tl.full(SHAPE, {start!r}, REAL)"
        port = self.recurrence.operands[start.port]
        return self.load(self.operand(start.port) + self.offset(port, start.index), port)

    def arriving(self) -> Iterator[str]:
        """Yield the gradients of the carries after the last step."""
        yield from (f"d{i} = tl.zeros(SHAPE, REAL)" for i in range(self.carries))
        for part, carry in self.recurrence.lasts:
            port = self.recurrence.results[part.port]
            yield f"if g{part.port} is not None:"
            at = self.dense(f"g{part.port}", port) + self.offset(port, part.index)
            yield f"    d{carry} += {self.load(at, port)}"

    def last_stores(self, values: Sequence[str]) -> Iterator[str]:
        """Yield the stores of the last carries."""
        for part, carry in self.recurrence.lasts:
            port = self.recurrence.results[part.port]
            at = self.dense(f"r{part.port}", port) + self.offset(port, part.index)
            yield f"tl.store({at}, {values[carry]}, mask=here)"

    def keeping(self, tile: str) -> Iterator[str]:
        """Yield the stores of the carries at a tile's start, where a gradient will ask for them."""
        yield "if kept is not None:"
        yield f"    keep = kept + (row * tiles + {tile}) * (CARRIES * L) + lane"
        yield from (f"    tl.store(keep + {i} * L, c{i}, mask=here)" for i in range(self.carries))

    def start_gradients(self) -> Iterator[str]:
        """Yield the stores of the gradients of what carries begin with."""
        for i, start in enumerate(self.recurrence.starts):
            if isinstance(start, Part):
                port = self.recurrence.operands[start.port]
                at = f"{self.dense(f'e{start.port}', port)}{self.offset(port, start.index)}"
                yield f"tl.store({at}, d{i}, mask=here)"

    def names(self, prefix: str, now: Sequence[str], inputs: Sequence[str], fed: Sequence[str] = ()) -> Names:
        """Return names for a step's values."""
        texts = [*now, *inputs, *fed]
        return Names(assignment, prefix, dict(zip(self.recurrence.step.args, texts, strict=True)))

    def reverse_names(
        self, prefix: str, step: Sequence[str], saved: Sequence[str], later: Sequence[str], given: Sequence[str]
    ) -> Names:
        """Return names for the gradient's values: from a step's arguments, what is saved, gradients of its results."""
        texts = [*step, *saved, *later, *given]
        return Names(assignment, prefix, dict(zip(self.pullback.region.args, texts, strict=True)))

    # -- sums --------------------------------------------------------------------------------------------------------

    def add(self) -> Iterator[str]:
        """Yield the kernel that adds up gradients of parameters over rows and chunks, in their order."""
        yield "@triton.jit"
        yield f"def add(sums, {', '.join(self.gradients)}, rows, chunks, L: tl.constexpr, K: tl.constexpr,"
        yield "        BLOCK: tl.constexpr, MANY: tl.constexpr, REAL: tl.constexpr):"
        yield "    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)"
        yield "    row = tl.program_id(2).to(tl.int64)"
        yield "    here = lane < L"
        for n, i in enumerate(self.summed):
            part = self.recurrence.inputs[i]
            port = self.recurrence.operands[part.port]
            shared = port.role == Role.SHARED
            yield f"    if (tl.program_id(1) == {n}){' & (row == 0)' if shared else ''}:"
            yield f"        first = {'0' if shared else 'row * chunks'}"
            yield f"        end = {'rows * chunks' if shared else 'row * chunks + chunks'}"
            yield f"        at = sums + {n} * L"
            yield f"        total = added(at, first, end, lane, {len(self.summed)} * L, L, MANY, REAL)"
            to = f"{self.dense(f'e{part.port}', port)}{self.offset(port, part.index)}"
            yield f"        tl.store({to}, total, mask=here)"


ADDED = """@triton.jit
def added(at, first, end, lane, apart, L: tl.constexpr, MANY: tl.constexpr, REAL: tl.constexpr):
    total = tl.zeros(lane.shape, REAL)
    for one in range(first, end, MANY):
        each = (one + tl.arange(0, MANY)).to(tl.int64)[:, None]
        there = (each < end) & (lane[None, :] < L)
        total += tl.sum(tl.load(at + each * apart + lane[None, :], mask=there, other=0.0), 0)
    return total
"""


def indented(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    """Yield lines further to the right."""
    yield from ("    " * depth + line for line in lines)


def assigned(names: Sequence[str], values: Sequence[str]) -> str:
    """Return the assignment of several values at once."""
    return f"{', '.join(names)} = {', '.join(values)}"


def saved_names(pieces: Pieces, kept: Sequence[str], later: Sequence[str], among: Sequence[Value]) -> list[str]:
    """Return the names of what a derivative is handed: kept values, and next carries."""
    return [kept[pieces.kept.index(v)] if v in pieces.kept else later[pieces.next.index(v)] for v in among]

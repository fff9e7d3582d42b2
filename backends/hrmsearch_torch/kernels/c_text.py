"""Prints a recurrence and its gradient as C.

Rows are independent, so a job is a row and some of its lanes. It goes through the steps in tiles; within a tile it
takes W lanes at a time, whose carries stay in registers. The carries at every tile's start are the checkpoints: the
gradient goes through the tiles backwards, computes a tile's carries again, and keeps those of one tile only. What a
parameter gets is added up per row, then over the rows in their order, whatever the number of threads.

A function takes a list of addresses and a list of integers:

    forward   p: operands, results, checkpoints
    backward  p: operands, checkpoints, gradients of the results (or null), gradients of the operands (null for truth
                 values), gradients of the carries and of parameters, per row
    both      n: rows, steps, lanes, lanes per job, threads, then how far apart rows and steps of each operand lie

Results and gradients are dense; a checkpoint is [rows, tiles, carries, lanes].
"""

from collections.abc import Iterator, Sequence

from hrmsearch.recurrence import Part, Recurrence, Role, needed, pullback
from hrmsearch_torch.kernels.c_arrays import Array
from hrmsearch_torch.kernels.c_lanes import head
from hrmsearch_torch.kernels.c_step import Names, c_type

#: steps between two checkpoints
TILE = 32
#: where the strides of operands begin among the integers
_STRIDES = 5

_GROUP = """INLINE void {name}_group(
    char *const *p, const int64_t *n, int64_t row, int64_t tile, int64_t lane, const int w) {{
  const int64_t T = n[1], L = n[2], tiles = (T + TILE - 1) / TILE, first = tile * TILE;
  const int64_t steps = T - first < TILE ? T - first : TILE;
  {const}real *keep = ({const}real *)p[{kept}] + (row * tiles + tile) * CARRIES * L + lane;"""

_DRIVER = """void {name}(char *const *p, const int64_t *n) {{
  const int64_t T = n[1], L = n[2], tiles = (T + TILE - 1) / TILE, jobs = (L + n[3] - 1) / n[3];
#pragma omp parallel for schedule(static) num_threads(n[4]) if (n[4] > 1)
  for (int64_t job = 0; job < n[0] * jobs; ++job) {{
    const int64_t row = job / jobs, from = job % jobs * n[3], to = from + n[3] < L ? from + n[3] : L;
    for (int64_t tile = {tiles})
      for (int64_t lane = from; lane < to; lane += W)
        if (to - lane >= W) {name}_group(p, n, row, tile, lane, W);
        else {name}_group(p, n, row, tile, lane, (int)(to - lane));
  }}"""

_ADD_ROWS = """static void add_rows(real *to, int64_t step, const real *from, int64_t rows, int64_t apart, int64_t L) {
  for (int64_t lane = 0; lane < L; ++lane) {
    double total = 0;
    for (int64_t row = 0; row < rows; ++row) total += from[row * apart + lane];
    to[lane * step] = (real)total;
  }
}
"""


class Kernel:
    """The C text of one recurrence over `float` or `double`."""

    def __init__(self, recurrence: Recurrence, real: str) -> None:
        self.recurrence = recurrence
        self.real = real
        self.carries, step = recurrence.carries, recurrence.step
        self.now, self.given = step.args[: self.carries], step.args[self.carries :]
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
    def text(self) -> str:
        """The whole file."""
        sizes = f"enum {{ TILE = {TILE}, CARRIES = {self.carries}, SUMS = {len(self.parameters)} }};\n"
        parts = [self._forward(), [""], self._backward(), [""], self._drivers()]
        return "\n".join([head(self.real), sizes, *(line for part in parts for line in part), ""])

    @property
    def parameters(self) -> list[int]:
        """The inputs of a step whose gradient is a sum over rows as well as steps."""
        return [i for i, array in self._summed if array.port.role == Role.SHARED]

    @property
    def _summed(self) -> list[tuple[int, Array]]:
        """The inputs of a step whose gradient is a sum over the steps, each with the array that it goes to."""
        found = [(i, self.gradients[part.port]) for i, part in enumerate(self.recurrence.inputs)]
        return [(i, array) for i, array in found if array.port.is_float and not array.is_along]

    # -- forward -----------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        yield _GROUP.format(name="forward", const="", kept=len(self.operands) + len(self.results))
        yield from self._pointers()
        yield from (f"  {array.pointer(f'r{i}', const='')}" for i, array in _along(self.results))
        yield from self._inputs("  ", along=False)
        yield from (f"  V c{i} = {self._start(i)};" for i in range(self.carries))
        yield self._carries("  if (!tile)", "store(keep + {i} * L, 1, c{i}, w);")
        yield "  for (int64_t t = 0; t < steps; ++t) {"
        yield from self._inputs("    ", along=True)
        names = self._names()
        yield from (f"    {line}" for line in names.lines(self.recurrence.step.ops))
        for part, name in zip(self.recurrence.outputs, names.of(self.made), strict=True):
            yield f"    store({self.results[part.port].element(f'r{part.port}', part.index)}, {name}, w);"
        yield from _moves(names.of(self.next), "c")
        yield from _advance("r", "+=", self.results)
        yield from _advance("a", "+=", self.operands)
        yield "  }"
        yield self._carries("  if (tile + 1 < tiles)", "store(keep + (CARRIES + {i}) * L, 1, c{i}, w);")
        yield "  else {"
        for part, carry in self.recurrence.lasts:
            yield f"    {self.results[part.port].store_row(part, f'c{carry}')}"
        yield "  }\n}"

    def _start(self, i: int) -> str:
        start = self.recurrence.starts[i]
        here = isinstance(start, Part)
        begin = self.operands[start.port].load(f"a{start.port}", start.index) if here else f"all({start!r})"
        return f"tile ? load(keep + {i} * L, 1, w) : {begin}"

    # -- what both directions share ----------------------------------------------------------------------------------

    def _carries(self, condition: str, form: str) -> str:
        """Return a block with one statement per carry."""
        return f"{condition} {{ {' '.join(form.format(i=i) for i in range(self.carries))} }}"

    def _pointers(self) -> Iterator[str]:
        used = {part.port for part in (*self.recurrence.inputs, *self.recurrence.starts) if isinstance(part, Part)}
        yield from (f"  {self.operands[i].pointer(f'a{i}')}" for i in sorted(used))

    def _inputs(self, indent: str, *, along: bool) -> Iterator[str]:
        """Yield the loads of what varies with the steps, or of what does not."""
        for i, (part, value) in enumerate(zip(self.recurrence.inputs, self.given, strict=True)):
            array = self.operands[part.port]
            if array.is_along == along:
                yield f"{indent}const {c_type(value)} u{i} = {array.load(f'a{part.port}', part.index)};"

    def _names(self) -> Names:
        carries = {value: f"c{i}" for i, value in enumerate(self.now)}
        return Names("v", carries | {value: f"u{i}" for i, value in enumerate(self.given)})

    # -- backward ----------------------------------------------------------------------------------------------------

    def _backward(self) -> Iterator[str]:
        yield _GROUP.format(name="backward", const="const ", kept=len(self.operands))
        yield f"  real *later = (real *)p[{self.scratch}] + row * CARRIES * L + lane;"
        yield "  V C[TILE + 1][CARRIES];"
        yield from [f"  V K[TILE][{len(self.kept)}];"] if self.kept else []
        yield from self._pointers()
        yield from self._inputs("  ", along=False)
        yield from (f"  V c{i} = load(keep + {i} * L, 1, w);" for i in range(self.carries))
        yield from self._again()
        yield from self._gradient_pointers()
        yield from (f"  V d{i} = {{0}};" for i in range(self.carries))
        yield self._carries("  if (tile + 1 < tiles)", "d{i} = load(later + {i} * L, 1, w);")
        yield "  else {"
        for part, carry in self.recurrence.lasts:
            array = self.incoming[part.port]
            yield f"    if (p[{array.at}]) {{ {array.pointer('at')} d{carry} += {array.load('at', part.index)}; }}"
        yield "  }"
        yield from (f"  V s{i} = {{0}};" for i, _ in self._summed)
        yield from self._reverse()
        yield from self._finish()
        yield "}"

    def _again(self) -> Iterator[str]:
        """Yield the loop that computes a tile's carries, and what else is kept, again."""
        yield "  for (int64_t t = 0; t < steps; ++t) {"
        yield from (f"    C[t][{i}] = c{i};" for i in range(self.carries))
        yield from self._inputs("    ", along=True)
        names = self._names()
        ops, _ = needed(self.recurrence.step.ops, [*self.next, *self.kept])
        yield from (f"    {line}" for line in names.lines(ops))
        yield from (f"    K[t][{i}] = {name};" for i, name in enumerate(names.of(self.kept)))
        yield from _moves(names.of(self.next), "c")
        yield from _advance("a", "+=", self.operands)
        yield "  }"
        yield from (f"  C[steps][{i}] = c{i};" for i in range(self.carries))

    def _gradient_pointers(self) -> Iterator[str]:
        last = "(first + steps - 1)"
        for i, array in _along(self.incoming):
            yield f"  {array.pointer(f'g{i}', last)}"
            yield f"  const int has{i} = p[{array.at}] != 0;"
        yield from (f"  {array.pointer(f'e{i}', last, const='')}" for i, array in _along(self.gradients))

    def _reverse(self) -> Iterator[str]:
        """Yield the loop that goes back through a tile."""
        yield "  for (int64_t t = steps - 1; t >= 0; --t) {"
        yield from _advance("a", "-=", self.operands)
        yield from self._inputs("    ", along=True)
        for i, part in enumerate(self.recurrence.outputs):
            load = self.incoming[part.port].load(f"g{part.port}", part.index)
            yield f"    const V y{i} = has{part.port} ? {load} : all(0);"
        names, region = self._reverse_names(), self.pullback.region
        yield from (f"    {line}" for line in names.lines(region.ops))
        found = dict(zip(self.pullback.inputs, names.of(region.results), strict=True))
        for part, value in zip(self.recurrence.inputs, self.given, strict=True):
            array = self.gradients[part.port]
            if array.is_along and array.port.is_float:
                yield f"    store({array.element(f'e{part.port}', part.index)}, {found[value]}, w);"
        yield from (f"    s{i} += {found[self.given[i]]};" for i, _ in self._summed)
        yield from _moves([found[value] for value in self.now], "d")
        yield from _advance("g", "-=", self.incoming)
        yield from _advance("e", "-=", self.gradients)
        yield "  }"

    def _reverse_names(self) -> Names:
        texts = [f"C[t][{i}]" for i in range(self.carries)] + [f"u{i}" for i in range(len(self.given))]
        for value in self.pullback.saved:
            kept = value in self.kept
            texts.append(f"K[t][{self.kept.index(value)}]" if kept else f"C[t + 1][{self.next.index(value)}]")
        texts += [f"d{i}" for i in range(self.carries)] + [f"y{i}" for i in range(len(self.made))]
        return Names("v", dict(zip(self.pullback.region.args, texts, strict=True)))

    def _finish(self) -> Iterator[str]:
        """Yield what is stored at a tile's start: the carries' gradients and the sums."""
        yield self._carries("  if (tile)", "store(later + {i} * L, 1, d{i}, w);")
        yield "  else {"
        for i, start in enumerate(self.recurrence.starts):
            if isinstance(start, Part):
                yield f"    {self.gradients[start.port].store_row(start, f'd{i}')}"
        yield "  }"
        order = {i: k for k, i in enumerate(self.parameters)}
        for i, array in self._summed:
            to, element = array.pointer("to", const=""), array.element("to", self.recurrence.inputs[i].index)
            if i in order:
                to = f"real *to = (real *)p[{self.scratch + 1}] + (row * SUMS + {order[i]}) * L + lane;"
                element = "to, 1"
            yield f"  {{ {to} store({element}, tile + 1 < tiles ? load({element}, w) + s{i} : s{i}, w); }}"

    # -- drivers -----------------------------------------------------------------------------------------------------

    def _drivers(self) -> Iterator[str]:
        yield _DRIVER.format(name="forward", tiles="0; tile < tiles; ++tile") + "\n}\n"
        yield _ADD_ROWS
        yield _DRIVER.format(name="backward", tiles="tiles - 1; tile >= 0; --tile")
        for k, i in enumerate(self.parameters):
            part = self.recurrence.inputs[i]
            array = self.gradients[part.port]
            to = array.element(f"(real *)p[{array.at}]", part.index)
            yield f"  add_rows({to}, (const real *)p[{self.scratch + 1}] + {k} * L, n[0], SUMS * L, L);"
        yield "}"


def _along(arrays: Sequence[Array]) -> list[tuple[int, Array]]:
    """Return the arrays of real numbers that have one per step, with their positions."""
    return [(i, array) for i, array in enumerate(arrays) if array.is_along and array.port.is_float]


def _advance(prefix: str, sign: str, arrays: Sequence[Array]) -> Iterator[str]:
    """Yield the moves of pointers from one step to its neighbour."""
    moved = [(i, array) for i, array in enumerate(arrays) if array.is_along and (prefix == "a" or array.port.is_float)]
    yield from (f"    {prefix}{i} {sign} {array.strides[1]};" for i, array in moved)


def _moves(sources: Sequence[str], prefix: str) -> Iterator[str]:
    """Yield assignments that happen at once."""
    if any(source in {f"{prefix}{k}" for k in range(i)} for i, source in enumerate(sources)):
        yield from (f"    const V m{i} = {source};" for i, source in enumerate(sources))
        sources = [f"m{i}" for i in range(len(sources))]
    yield from (f"    {prefix}{i} = {source};" for i, source in enumerate(sources))

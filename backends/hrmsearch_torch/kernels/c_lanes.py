"""Prints a recurrence whose lanes never meet, and its gradient, as C.

Rows are independent, so a job is a row and some of its lanes. It goes through the steps in tiles; within a tile it
takes W lanes at a time, whose carries stay in registers. The carries at every tile's start are the checkpoints: the
gradient goes through the tiles backwards, computes a tile's carries again, and keeps those of one tile only. What a
parameter gets is added up per row, then over the rows in their order, whatever the number of threads.
"""

from collections.abc import Iterator, Sequence

from hrmsearch.recurrence import needed
from hrmsearch_torch.kernels.c_arrays import Array
from hrmsearch_torch.kernels.c_kernel import ADD_ROWS, Kernel, indented, real_along
from hrmsearch_torch.kernels.c_vectors import head

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


class LaneKernel(Kernel):
    """The C text of a recurrence whose lanes never meet."""

    tile = 32

    @property
    def text(self) -> str:
        """The whole file."""
        sizes = f"enum {{ TILE = {self.tile}, CARRIES = {self.carries}, SUMS = {len(self.parameters)} }};\n"
        parts = [self._forward(), [""], self._backward(), [""], self._drivers()]
        return "\n".join([head(self.real), sizes, *(line for part in parts for line in part), ""])

    # -- forward -----------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        yield _GROUP.format(name="forward", const="", kept=len(self.operands) + len(self.results))
        yield from indented(self.pointers(), 1)
        yield from (f"  {array.pointer(f'r{i}', const='')}" for i, array in real_along(self.results))
        yield from indented(self.inputs(along=False), 1)
        yield from (f"  V c{i} = tile ? load(keep + {i} * L, 1, w) : {self.start(i)};" for i in range(self.carries))
        yield f"  if (!tile) {{ {self.each('store(keep + {i} * L, 1, c{i}, w);')} }}"
        yield "  for (int64_t t = 0; t < steps; ++t) {"
        yield from indented(self.fetches("a", "TILE"), 2)
        yield from indented(self.fetches("r", "TILE"), 2)
        yield from indented(self.inputs(along=True), 2)
        names = self.names()
        yield from indented(names.lines(self.recurrence.step.ops), 2)
        yield from indented(self.outputs(names.of(self.made)), 2)
        yield from _moves(names.of(self.next), "c")
        yield from _advance("r", "+=", self.results)
        yield from _advance("a", "+=", self.operands)
        yield "  }"
        yield f"  if (tile + 1 < tiles) {{ {self.each('store(keep + (CARRIES + {i}) * L, 1, c{i}, w);')} }}"
        yield "  else {"
        for part, carry in self.recurrence.lasts:
            yield f"    {self.results[part.port].store_row(part, f'c{carry}')}"
        yield "  }\n}"

    # -- backward ----------------------------------------------------------------------------------------------------

    def _backward(self) -> Iterator[str]:
        yield _GROUP.format(name="backward", const="const ", kept=len(self.operands))
        yield f"  real *later = (real *)p[{self.scratch}] + row * CARRIES * L + lane;"
        yield "  V C[TILE + 1][CARRIES];"
        yield from [f"  V K[TILE][{len(self.kept)}];"] if self.kept else []
        yield from indented(self.pointers(), 1)
        yield from indented(self.inputs(along=False), 1)
        yield from (f"  V c{i} = load(keep + {i} * L, 1, w);" for i in range(self.carries))
        yield from self._again()
        last = "(first + steps - 1)"
        yield from (f"  {array.pointer(f'g{i}', last)}" for i, array in real_along(self.incoming))
        yield from (f"  {array.pointer(f'e{i}', last, const='')}" for i, array in real_along(self.gradients))
        yield from (f"  V d{i} = {{0}};" for i in range(self.carries))
        yield f"  if (tile + 1 < tiles) {{ {self.each('d{i} = load(later + {i} * L, 1, w);')} }}"
        yield from ["  else {", *indented(self.arriving(), 2), "  }"]
        yield from (f"  V s{i} = {{0}};" for i, _ in self.summed)
        yield from self._reverse()
        yield f"  if (tile) {{ {self.each('store(later + {i} * L, 1, d{i}, w);')} }}"
        yield from ["  else {", *indented(self.start_gradients(), 2), "  }"]
        for i, array in self.summed:
            to, element = self.sum_at(i, array)
            yield f"  {{ {to} store({element}, tile + 1 < tiles ? load({element}, w) + s{i} : s{i}, w); }}"
        yield "}"

    def _again(self) -> Iterator[str]:
        """Yield the loop that computes a tile's carries, and what else is kept, again."""
        yield "  for (int64_t t = 0; t < steps; ++t) {"
        yield from indented(self.fetches("a", "-TILE"), 2)
        yield from (f"    C[t][{i}] = c{i};" for i in range(self.carries))
        yield from indented(self.inputs(along=True), 2)
        names = self.names()
        ops, _ = needed(self.recurrence.step.ops, [*self.next, *self.kept])
        yield from indented(names.lines(ops), 2)
        yield from (f"    K[t][{i}] = {name};" for i, name in enumerate(names.of(self.kept)))
        yield from _moves(names.of(self.next), "c")
        yield from _advance("a", "+=", self.operands)
        yield "  }"
        yield from (f"  C[steps][{i}] = c{i};" for i in range(self.carries))

    def _reverse(self) -> Iterator[str]:
        """Yield the loop that goes back through a tile."""
        yield "  for (int64_t t = steps - 1; t >= 0; --t) {"
        yield from _advance("a", "-=", self.operands)
        yield from indented(self.fetches("g", "-TILE"), 2)
        yield from indented(self.fetches("e", "-TILE"), 2)
        yield from indented(self.inputs(along=True), 2)
        yield from indented(self.incoming_loads(), 2)
        names, region = self.reverse_names("C[t][{i}]", "C[t + 1][{i}]", "K[t][{i}]"), self.pullback.region
        yield from indented(names.lines(region.ops), 2)
        found = dict(zip(self.pullback.inputs, names.of(region.results), strict=True))
        yield from indented(self.gradient_stores(found), 2)
        yield from (f"    s{i} += {found[self.given[i]]};" for i, _ in self.summed)
        yield from _moves([found[value] for value in self.now], "d")
        yield from _advance("g", "-=", self.incoming)
        yield from _advance("e", "-=", self.gradients)
        yield "  }"

    # -- drivers -----------------------------------------------------------------------------------------------------

    def _drivers(self) -> Iterator[str]:
        yield _DRIVER.format(name="forward", tiles="0; tile < tiles; ++tile") + "\n}\n"
        yield ADD_ROWS
        yield _DRIVER.format(name="backward", tiles="tiles - 1; tile >= 0; --tile")
        yield from self.rows_added()
        yield "}"


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

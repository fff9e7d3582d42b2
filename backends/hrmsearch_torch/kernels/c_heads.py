"""Prints a recurrence whose lanes meet within heads, such as sLSTM's, and its gradient, as C.

A step multiplies a carry by the head's matrix before it goes on lane by lane. So a job is a head and a few rows, which
share every number of the matrix that is read: their accumulators stay in registers beside it. Checkpoints, tiles and
sums are as in `c_lanes`. The gradient multiplies by the matrix once more, transposed. What the matrix itself gets is
one large product over all rows and steps, left to the caller: backward writes its two sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hrmsearch.ir.graph import Value
from hrmsearch.recurrence import Recurrence, Role, needed
from hrmsearch_torch.kernels.c_kernel import ADD_ROWS, Kernel, indented, real_along
from hrmsearch_torch.kernels.c_vectors import head

_SIZES = """enum {{ TILE = {tile}, CARRIES = {carries}, SUMS = {sums}, K = {width}, KP = (K + W - 1) / W * W }};
/* as many rows as accumulators have registers */
enum {{ ROWS = BYTES == 64 ? 4 : 2 }};
#define VECTOR(a) load(a, 1, W)
#define EACH_LANE for (int64_t at = 0, lane = head * K; at < K; at += W, lane += W)
"""

_MULTIPLY = """/* to[r][j] += the sum over k < K of from[r][k] m[k][j], for `wide` neighbouring vectors of j */
INLINE void multiply_block(
    real *to, int64_t out, const real *from, int64_t in, const real *m, int64_t n, const int wide) {
  V a[ROWS][4], x[4];
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < wide; ++j) a[r][j] = VECTOR(to + r * out + j * W);
  for (int k = 0; k < K; ++k) {
#pragma GCC unroll 4
    for (int j = 0; j < wide; ++j) x[j] = VECTOR(m + k * n + j * W);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
      for (int j = 0; j < wide; ++j) a[r][j] += from[r * in + k] * x[j];
  }
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < wide; ++j) store(to + r * out + j * W, 1, a[r][j], W);
}
INLINE void multiply(real *to, int64_t out, const real *from, int64_t in, const real *m, int64_t n) {
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W) multiply_block(to + j, out, from, in, m + j, n, 4);
  for (; j < n; j += W) multiply_block(to + j, out, from, in, m + j, n, 1);
}
"""

_SPACE = """static _Thread_local struct {{
  real {arrays};
}} {name}_space __attribute__((aligned(64)));
"""

_JOB = """static void {name}_job(char *const *p, const int64_t *n, int64_t block, int64_t head) {{
  const int64_t T = n[1], L = n[2], tiles = (T + TILE - 1) / TILE, begin = block * ROWS;
  const int64_t rows = n[0] - begin < ROWS ? n[0] - begin : ROWS;
  {const}real *kept = ({const}real *)p[{kept}];
  __typeof__(&{name}_space) s = &{name}_space;
  /* rows and lanes that are not there are multiplied too, so they must be numbers */
  memset(s, 0, sizeof *s);"""

_DRIVER = """void {name}(char *const *p, const int64_t *n) {{
  const int64_t heads = n[2] / K, jobs = (n[0] + ROWS - 1) / ROWS * heads;
#pragma omp parallel for schedule(static) num_threads(n[4]) if (n[4] > 1)
  for (int64_t job = 0; job < jobs; ++job) {name}_job(p, n, job / heads, job % heads);"""

_EACH_ROW = "for (int64_t r = 0, row = begin; r < rows; ++r, ++row) EACH_LANE {"
_WIDTH = "const int w = K % W && K - at < W ? (int)(K - at) : W;"
_KEPT = "kept + ((row * tiles + tile) * CARRIES + {i}) * L + lane, 1"


@dataclass(frozen=True, slots=True)
class _Fed:
    """A product in C. number: among products. matrix: its operand's position. values: what a step gets of it."""

    number: int
    carry: int
    matrix: int
    values: Sequence[Value]

    @property
    def parts(self) -> int:
        return len(self.values)


class HeadKernel(Kernel):
    """The C text of a recurrence with products."""

    tile = 8

    def __init__(self, recurrence: Recurrence, real: str) -> None:
        super().__init__(recurrence, real)
        self.products: list[_Fed] = []
        fed = iter(self.fed)
        for i, product in enumerate(recurrence.products):
            values = [next(fed) for _ in range(product.parts)]
            self.products.append(_Fed(i, product.carry, product.operand, values))
        matrix = recurrence.operands[recurrence.products[0].operand]
        self.width = matrix.type.sizes[matrix.after[0]].known or 0

    @property
    def text(self) -> str:
        """The whole file."""
        widest = self.width * {"float": 4, "double": 8}[self.real]
        sums = len(self.parameters)
        sizes = _SIZES.format(tile=self.tile, carries=self.carries, sums=sums, width=self.width)
        parts = [[sizes, _MULTIPLY], self._forward(), [""], self._backward(), [""], self._drivers()]
        return "\n".join([head(self.real, widest), *(line for part in parts for line in part), ""])

    # -- forward -----------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        arrays = ["c[CARRIES][ROWS][KP]"]
        for one in self.products:
            arrays += [f"q{one.number}[ROWS][{one.parts} * KP]", f"m{one.number}[K][{one.parts} * KP]"]
        yield _SPACE.format(name="forward", arrays=", ".join(arrays))
        yield _JOB.format(name="forward", const="", kept=len(self.operands) + len(self.results))
        yield from indented(self._packed(), 1)
        yield from indented(self._begun(), 1)
        yield "  for (int64_t t = 0; t < T; ++t) {"
        yield "    const int64_t tile = t / TILE;"
        yield from indented(self._multiplied("s->c[{i}][0]", "s->q{i}"), 2)
        yield f"    {_EACH_ROW}"
        yield from indented(self._step(), 3)
        yield "    }\n  }"
        yield f"  {_EACH_ROW}\n    {_WIDTH}"
        for part, carry in self.recurrence.lasts:
            yield f"    {self.results[part.port].store_row(part, f'VECTOR(&s->c[{carry}][r][at])')}"
        yield "  }\n}"

    def _packed(self) -> Iterator[str]:
        """Yield the copies of a head's matrices, with each part's lanes filled up to whole vectors."""
        for one in self.products:
            yield f"const real *w{one.number} = (const real *)p[{one.matrix}] + head * K * {one.parts} * K;"
            yield f"for (int k = 0; k < K; ++k) for (int g = 0; g < {one.parts}; ++g) for (int j = 0; j < K; ++j)"
            yield f"  s->m{one.number}[k][g * KP + j] = w{one.number}[(k * {one.parts} + g) * K + j];"

    def _begun(self) -> Iterator[str]:
        yield f"{_EACH_ROW}\n    {_WIDTH}"
        yield from indented(self.pointers("0"), 1)
        yield from (f"  store(&s->c[{i}][r][at], 1, {self.start(i)}, W);" for i in range(self.carries))
        yield "}"

    def _multiplied(self, carry: str, to: str) -> Iterator[str]:
        """Yield what a step gets of the products; carry and to: forms of arrays, by the number."""
        for one in self.products:
            array, n = to.format(i=one.number), f"{one.parts} * KP"
            yield f"memset({array}, 0, sizeof {array});"
            yield f"multiply({array}[0], {n}, {carry.format(i=one.carry)}, KP, s->m{one.number}[0], {n});"

    def _step(self) -> Iterator[str]:
        yield _WIDTH
        yield from self.pointers("t")
        yield from (array.pointer(f"r{i}", "t", const="") for i, array in real_along(self.results))
        yield from self.fetches("a", "TILE")
        yield from self.fetches("r", "TILE")
        yield from (f"const V c{i} = VECTOR(&s->c[{i}][r][at]);" for i in range(self.carries))
        yield f"if (t % TILE == 0) {{ {self.each(f'store({_KEPT}, c{{i}}, w);')} }}"
        yield from self._inputs()
        names = self.names(self._fed("s->q{i}[r]"))
        yield from names.lines(self.recurrence.step.ops)
        yield from self.outputs(names.of(self.made))
        yield from (f"store(&s->c[{i}][r][at], 1, {name}, W);" for i, name in enumerate(names.of(self.next)))

    def _inputs(self) -> Iterator[str]:
        yield from self.inputs(along=False)
        yield from self.inputs(along=True)

    def _fed(self, form: str) -> list[str]:
        """Return the expressions of what a step gets of the products; form: of a row's array, by the number."""
        pairs = [(form.format(i=one.number), g) for one in self.products for g in range(one.parts)]
        return [f"VECTOR({array} + {g} * KP + at)" for array, g in pairs]

    # -- backward ----------------------------------------------------------------------------------------------------

    def _backward(self) -> Iterator[str]:
        arrays = ["c[TILE + 1][CARRIES][ROWS][KP]", "d[CARRIES][ROWS][KP]"]
        arrays += [f"k[TILE][{len(self.kept)}][ROWS][KP]"] if self.kept else []
        arrays += [f"s[{len(self.summed)}][ROWS][KP]"] if self.summed else []
        for one in self.products:
            i, g = one.number, one.parts
            arrays += [f"q{i}[TILE][ROWS][{g} * KP]", f"e{i}[ROWS][{g} * KP]"]
            arrays += [f"m{i}[K][{g} * KP]", f"t{i}[{g}][K][KP]"]
        yield _SPACE.format(name="backward", arrays=", ".join(arrays))
        yield _JOB.format(name="backward", const="const ", kept=len(self.operands))
        yield from indented(self._packed(), 1)
        for one in self.products:
            yield f"  for (int k = 0; k < K; ++k) for (int g = 0; g < {one.parts}; ++g) for (int j = 0; j < K; ++j)"
            yield f"    s->t{one.number}[g][j][k] = s->m{one.number}[k][g * KP + j];"
        yield f"  {_EACH_ROW}\n    {_WIDTH}"
        yield from (f"    V d{i} = {{0}};" for i in range(self.carries))
        yield from indented(self.arriving(), 2)
        yield f"    {self.each('store(&s->d[{i}][r][at], 1, d{i}, W);')}"
        yield "  }"
        yield "  for (int64_t tile = tiles - 1; tile >= 0; --tile) {"
        yield "    const int64_t first = tile * TILE, steps = T - first < TILE ? T - first : TILE;"
        yield from indented(self._again(), 2)
        yield from indented(self._reverse(), 2)
        yield "  }"
        yield f"  {_EACH_ROW}\n    {_WIDTH}"
        yield from (f"    const V d{i} = VECTOR(&s->d[{i}][r][at]);" for i in range(self.carries))
        yield from indented(self.start_gradients(), 2)
        for k, (i, array) in enumerate(self.summed):
            to, element = self.sum_at(i, array)
            yield f"    {{ {to} store({element}, VECTOR(&s->s[{k}][r][at]), w); }}"
        yield "  }\n}"

    def _again(self) -> Iterator[str]:
        """Yield the loop that computes a tile's carries, and what else is kept, again."""
        yield f"{_EACH_ROW}\n  {_WIDTH}"
        yield f"  {self.each(f'store(&s->c[0][{{i}}][r][at], 1, load({_KEPT}, w), W);')}"
        yield "}"
        yield "for (int64_t i = 0; i < steps; ++i) {"
        yield "  const int64_t t = first + i;"
        yield from indented(self._multiplied("s->c[i][{i}][0]", "s->q{i}[i]"), 1)
        yield f"  {_EACH_ROW}\n    {_WIDTH}"
        yield from indented(self.pointers("t"), 2)
        yield from indented(self.fetches("a", "-TILE"), 2)
        yield from (f"    const V c{i} = VECTOR(&s->c[i][{i}][r][at]);" for i in range(self.carries))
        yield from indented(self._inputs(), 2)
        names = self.names(self._fed("s->q{i}[i][r]"))
        ops, _ = needed(self.recurrence.step.ops, [*self.next, *self.kept])
        yield from indented(names.lines(ops), 2)
        yield from (f"    store(&s->k[i][{i}][r][at], 1, {name}, W);" for i, name in enumerate(names.of(self.kept)))
        for i, name in enumerate(names.of(self.next)):
            yield f"    store(&s->c[i + 1][{i}][r][at], 1, {name}, W);"
        yield "  }\n}"

    def _reverse(self) -> Iterator[str]:
        """Yield the loop that goes back through a tile."""
        yield "for (int64_t i = steps - 1; i >= 0; --i) {"
        yield "  const int64_t t = first + i;"
        yield f"  {_EACH_ROW}\n    {_WIDTH}"
        yield from indented(self.pointers("t"), 2)
        yield from (f"    {array.pointer(f'g{i}', 't')}" for i, array in real_along(self.incoming))
        yield from (f"    {array.pointer(f'e{i}', 't', const='')}" for i, array in real_along(self.gradients))
        yield from indented(self.fetches("g", "-TILE"), 2)
        yield from indented(self.fetches("e", "-TILE"), 2)
        yield from (f"    const V d{i} = VECTOR(&s->d[{i}][r][at]);" for i in range(self.carries))
        yield from indented(self._inputs(), 2)
        yield from indented(self.incoming_loads(), 2)
        now, later, kept = (f"VECTOR(&s->{name}[{{i}}][r][at])" for name in ("c[i]", "c[i + 1]", "k[i]"))
        names = self.reverse_names(now, later, kept, self._fed("s->q{i}[i][r]"))
        region = self.pullback.region
        yield from indented(names.lines(region.ops), 2)
        found = dict(zip(self.pullback.inputs, names.of(region.results), strict=True))
        yield from indented(self.gradient_stores(found), 2)
        for k, (i, _) in enumerate(self.summed):
            at = f"&s->s[{k}][r][at]"
            yield f"    store({at}, 1, VECTOR({at}) + {found[self.given[i]]}, W);"
        yield from (f"    store(&s->d[{i}][r][at], 1, {found[value]}, W);" for i, value in enumerate(self.now))
        yield from indented(self._sides(found), 2)
        yield "  }"
        for one in self.products:
            for g in range(one.parts):
                yield f"  multiply(s->d[{one.carry}][0], KP, s->e{one.number}[0] + {g} * KP, {one.parts} * KP,"
                yield f"           s->t{one.number}[{g}][0], KP);"
        yield "}"

    def _sides(self, found: dict[Value, str]) -> Iterator[str]:
        """Yield the stores of a product's gradient and of the carry that the matrix multiplied."""
        for one in self.products:
            for g, value in enumerate(one.values):
                yield f"store(s->e{one.number}[r] + {g} * KP + at, 1, {found[value]}, W);"
            vector, gradient = self._side_arrays(one.number)
            yield f"store((real *)p[{vector}] + (row * T + t) * L + lane, 1, VECTOR(&s->c[i][{one.carry}][r][at]), w);"
            if self.twin(one.number) is not None:
                continue
            to = f"(real *)p[{gradient}] + ((row * T + t) * L + head * K) * {one.parts} + at"
            yield from (f"store({to} + {g} * K, 1, {found[value]}, w);" for g, value in enumerate(one.values))

    def _side_arrays(self, number: int) -> tuple[int, int]:
        """Return the positions of the two sides of a matrix's gradient: carries and what the steps got."""
        return self.scratch + 2 + 2 * number, self.scratch + 3 + 2 * number

    def twin(self, number: int) -> int | None:
        """Return the operand that a product is only ever added to: its gradient is that of what the steps got."""
        one = self.products[number]
        found = dict(zip(self.pullback.inputs, self.pullback.region.results, strict=True))
        wanted = [found[value] for value in one.values]
        for i, port in enumerate(self.recurrence.operands):
            parts = zip(self.recurrence.inputs, self.given, strict=True)
            own = [found.get(value) for part, value in parts if part.port == i]
            if port.role == Role.ALONG and port.fold == one.parts and None not in port.order and own == wanted:
                return i
        return None

    # -- drivers -----------------------------------------------------------------------------------------------------

    def _drivers(self) -> Iterator[str]:
        yield _DRIVER.format(name="forward") + "\n}\n"
        yield ADD_ROWS
        yield _DRIVER.format(name="backward")
        yield from self.rows_added()
        yield "}"

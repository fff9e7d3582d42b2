"""Prints a recurrence whose lanes meet within heads, such as sLSTM's, and its gradient, as Triton.

A program takes a head and ROWS rows through all steps; the head's matrices stay where they are meanwhile. The gradient
computes a tile's carries again from its checkpoint, puts them into a scratch array that only this program uses, and
goes back through them. There is no room for a matrix and its transpose: each stays for its half of a tile. What the
matrix itself gets is one large product over all rows and steps, left to the caller: backward writes its two sides, the
carry at every step and the gradient of what the step got of it.
"""

from collections.abc import Iterator, Sequence

from hrmsearch.ir.graph import Value
from hrmsearch.recurrence import Product, Recurrence, Role, needed
from hrmsearch_torch.kernels.t_pieces import ADDED, HEAD, Pieces, assigned, indented, saved_names

_BEGIN = """    SHAPE: tl.constexpr = [ROWS, WIDTH]
    head = tl.program_id(1)
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    across, down = tl.arange(0, WIDTH)[None, :], tl.arange(0, WIDTH)[:, None]
    # every row's, so that masks have the shape of addresses
    lane = head * K + across + row * 0
    here = (row < rows) & (across < K)
    inside = (down < K) & (across < K)
    tiles = tl.cdiv(T, TILE)"""

#: steps between two checkpoints
_TILE = 16


class HeadText(Pieces):
    """The Triton text of one recurrence with products."""

    options = ("K", "ROWS", "WIDTH", "PRECISION")

    def __init__(self, recurrence: Recurrence, tile: int = _TILE) -> None:
        super().__init__(recurrence, tile)
        self.products = recurrence.products
        matrix = recurrence.operands[self.products[0].operand]
        self.width = matrix.type.sizes[matrix.after[0]].known or 0
        region = self.pullback.region
        _, read = needed(region.ops, region.results)
        mine = region.args[len(self.now) + len(self.given) :]
        #: what products gave to a step and its gradient reads again
        self.reread = [i for i, arg in enumerate(mine[: len(self.fed)]) if arg in read]

    @property
    def held(self) -> int:
        """How many numbers of a step the scratch array holds per lane."""
        return self.carries + len(self.kept) + len(self.reread)

    def text(self, title: str) -> str:
        """Return the whole module."""
        parts = ["\n".join(part) + "\n" for part in (self._forward(), self._backward())]
        parts += [ADDED, "\n".join(self.add()) + "\n"] if self.summed else []
        return "\n\n".join([HEAD.format(title=title, tile=self.tile, carries=self.carries), *parts])

    # -- products ----------------------------------------------------------------------------------------------------

    def _each(self) -> Iterator[tuple[int, Product, int]]:
        """Yield products with their numbers and parts."""
        yield from ((n, one, g) for n, one in enumerate(self.products) for g in range(one.parts))

    def _matrices(self, name: str, *, transposed: bool) -> Iterator[str]:
        k, j = ("across", "down") if transposed else ("down", "across")
        for n, one, g in self._each():
            at = f"x{one.operand} + (head * K + {k}) * ({one.parts} * K) + {g} * K + {j}"
            yield f"{name}{n}_{g} = tl.load({at}, mask=inside, other=0.0).to(REAL)"

    def _multiplied(self) -> Iterator[str]:
        """Yield what a step gets of the products."""
        yield from (f"f{n}_{g} = {self._dot(f'c{one.carry}', f'm{n}_{g}')}" for n, one, g in self._each())

    def _dot(self, left: str, right: str) -> str:
        # what lies beyond the head is no number
        left = f"tl.where(here, {left}, 0.0) if WIDTH > K else {left}"
        return f"tl.dot({left}, {right}, input_precision=PRECISION, out_dtype=REAL)"

    @property
    def _products(self) -> list[str]:
        return [f"f{n}_{g}" for n, _, g in self._each()]

    # -- steps -------------------------------------------------------------------------------------------------------

    def _begun(self, name: str, *arrays: str) -> Iterator[str]:
        yield from self.signature(name, *arrays)
        yield _BEGIN
        yield from indented(self.constants())

    def _inputs(self) -> Iterator[str]:
        for i, part in enumerate(self.recurrence.inputs):
            port = self.recurrence.operands[part.port]
            if self.is_along(part):
                yield f"u{i} = {self.load(self.operand(part.port, 't') + self.offset(port, part.index), port)}"

    def load(self, at: str, port, mask: str = "here") -> str:  # type: ignore[no-untyped-def]
        """Return the expression that reads a number or a truth value."""
        if port.lanes:
            return super().load(at, port, mask)
        text = f"tl.load({at}, mask=row < rows)"
        return f"{text}.to(REAL)" if port.is_float else f"{text} != 0"

    def _step_names(self) -> list[str]:
        return [f"u{i}" for i in range(len(self.given))]

    # -- forward -----------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        now = [f"c{i}" for i in range(self.carries)]
        yield from self._begun("forward", *self.results, "kept")
        yield from indented(self._matrices("m", transposed=False))
        yield from (f"    {name} = {self.start(i)}" for i, name in enumerate(now))
        yield "    for tile in tl.range(0, tiles, num_stages=1):"
        yield from indented(self.keeping("tile"), 2)
        yield "        for t in tl.range(tile * TILE, tl.minimum(tile * TILE + TILE, T), num_stages=STAGES):"
        yield from indented(self._step_forward(now), 3)
        yield from indented(self.last_stores(now))

    def _step_forward(self, now: Sequence[str]) -> Iterator[str]:
        yield from self._inputs()
        yield from self._multiplied()
        names = self.names("v", now, self._step_names(), self._products)
        yield from names.lines(self.recurrence.step.ops)
        for part, name in zip(self.recurrence.outputs, names.of(self.made), strict=True):
            port = self.recurrence.results[part.port]
            at = f"{self.dense(f'r{part.port}', port, 't')}{self.offset(port, part.index)}"
            yield f"tl.store({at}, {name}, mask=here)"
        yield assigned(now, names.of(self.next))

    # -- backward ----------------------------------------------------------------------------------------------------

    def _backward(self) -> Iterator[str]:
        sides = [f"{name}{n}" for n in range(len(self.products)) for name in ("left", "right")]
        yield from self._begun("backward", *self.incoming, *self.gradients, "kept", "sums", "scratch", *sides)
        yield from indented(self.arriving())
        yield from (f"    s{i} = tl.zeros(SHAPE, REAL)" for i in self.summed)
        yield f"    own = scratch + row * (TILE * {self.held} * L) + lane"
        yield "    for behind in tl.range(0, tiles, num_stages=1):"
        yield "        first = (tiles - 1 - behind) * TILE"
        yield "        end = tl.minimum(first + TILE, T)"
        yield from indented(self._matrices("m", transposed=False), 2)
        yield from indented(self._again(), 2)
        yield "        tl.debug_barrier()"
        yield from indented(self._matrices("o", transposed=True), 2)
        yield from (f"        l{i} = c{i}" for i in range(self.carries))
        yield "        for back in tl.range(0, end - first, num_stages=1):"
        yield "            t = end - 1 - back"
        yield from indented(self._reverse(), 3)
        yield "        tl.debug_barrier()"
        yield from indented(self.start_gradients())
        for n, i in enumerate(self.summed):
            yield f"    tl.store(sums + (row * {len(self.summed)} + {n}) * L + lane, s{i}, mask=here)"

    def _scratch(self, number: int) -> str:
        return f"own + ((t - first) * {self.held} + {number}) * L"

    def _again(self) -> Iterator[str]:
        """Yield the loop that computes a tile's carries, and what else is held, again."""
        now = [f"c{i}" for i in range(self.carries)]
        yield "keep = kept + (row * tiles + tiles - 1 - behind) * (CARRIES * L) + lane"
        yield from (f"{name} = tl.load(keep + {i} * L, mask=here)" for i, name in enumerate(now))
        yield "for t in tl.range(first, end, num_stages=STAGES):"
        yield from indented(self._inputs())
        yield from indented(self._multiplied())
        names = self.names("v", now, self._step_names(), self._products)
        ops, _ = needed(self.recurrence.step.ops, [*self.next, *self.kept])
        yield from indented(names.lines(ops))
        held = [*now, *names.of(self.kept), *(self._products[i] for i in self.reread)]
        yield from (f"    tl.store({self._scratch(n)}, {name}, mask=here)" for n, name in enumerate(held))
        yield f"    {assigned(now, names.of(self.next))}"

    def _held(self) -> tuple[list[str], list[str], list[str]]:
        """Return the names of a step's carries, of kept values and of what products gave, as read from the scratch."""
        fed = self._products
        for i in self.reread:
            fed[i] = f"a{i}"
        return [f"b{i}" for i in range(self.carries)], [f"k{i}" for i in range(len(self.kept))], fed

    def _reverse(self) -> Iterator[str]:
        now, kept, fed = self._held()
        held = [*now, *kept, *(fed[i] for i in self.reread)]
        yield from (f"{name} = tl.load({self._scratch(n)}, mask=here)" for n, name in enumerate(held))
        yield from self._inputs()
        yield from self._results_gradients()
        later = [f"l{i}" for i in range(self.carries)]
        saved = saved_names(self, kept, later, self.pullback.saved)
        given = [*(f"d{i}" for i in range(self.carries)), *(f"y{n}" for n in range(len(self.made)))]
        names = self.reverse_names(
            "v", [*now, *self._step_names(), *fed], saved, given[: self.carries], given[self.carries :]
        )
        region = self.pullback.region
        yield from names.lines(region.ops)
        found = dict(zip(self.pullback.inputs, names.of(region.results), strict=True))
        for part, value in zip(self.recurrence.inputs, self.given, strict=True):
            port = self.recurrence.operands[part.port]
            if port.role == Role.ALONG and port.is_float:
                at = f"{self.dense(f'e{part.port}', port, 't')}{self.offset(port, part.index)}"
                yield f"tl.store({at}, {found[value]}, mask=here)"
        yield from (f"s{i} += {found[self.given[i]]}" for i in self.summed)
        yield from self._sides(found)
        yield assigned(given[: self.carries], [found[value] for value in self.now])
        for (n, one, g), value in zip(self._each(), self.fed, strict=True):
            yield f"d{one.carry} += {self._dot(found[value], f'o{n}_{g}')}"
        yield assigned(later, now)

    def _results_gradients(self) -> Iterator[str]:
        for n, part in enumerate(self.recurrence.outputs):
            port = self.recurrence.results[part.port]
            at = f"{self.dense(f'g{part.port}', port, 't')}{self.offset(port, part.index)}"
            yield f"if g{part.port} is not None:"
            yield f"    y{n} = {self.load(at, port)}"
            yield "else:"
            yield f"    y{n} = tl.zeros(SHAPE, REAL)"

    def _sides(self, found: "dict[Value, str]") -> Iterator[str]:
        """Yield the stores of what a matrix multiplied, and of the gradient of what came of it."""
        for n, one in enumerate(self.products):
            yield f"tl.store(left{n} + (row * T + t) * L + lane, b{one.carry}, mask=here)"
        for (n, one, g), value in zip(self._each(), self.fed, strict=True):
            at = f"right{n} + (row * T + t) * ({one.parts} * L) + head * ({one.parts} * K) + {g} * K + across"
            yield f"tl.store({at}, {found[value]}, mask=here)"


def fits(recurrence: Recurrence, most: int = 64) -> bool:
    """Return whether a recurrence's matrices stay in a multiprocessor's registers."""
    widths = [recurrence.operands[one.operand] for one in recurrence.products]
    sizes: Sequence[int] = [port.type.sizes[port.after[0]].known or most + 1 for port in widths]
    return all(size <= most for size in sizes)

"""Prints a recurrence whose lanes never meet, and its gradient, as Triton.

A program takes BLOCK lanes of a row through a chunk of the steps, tile by tile, a tile written out: reads of STAGES
tiles are under way at once. The carries at every tile's start are kept; the gradient goes backwards, computes a tile's
carries again and holds them in registers. Sums over rows and chunks are added up afterwards, in their order.
Where steps are cut into chunks, `t_chunks` says how each finds what it begins with.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from hrmsearch.ir.graph import Value
from hrmsearch.recurrence import Port, Recurrence, needed
from hrmsearch_torch.kernels.t_chunks import Chunks
from hrmsearch_torch.kernels.t_pieces import ADDED, HEAD, Pieces, assigned, indented, saved_names

_BEGIN = """    SHAPE: tl.constexpr = [BLOCK]
    blocks: tl.constexpr = (L + BLOCK - 1) // BLOCK
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    here = None if FULL else lane < L
    tiles = tl.cdiv(T, TILE)"""

#: numbers of a tile's gradient that a thread's registers may hold
_REGISTERS = 160
#: steps of a tile: longer ones were no faster, and take Triton twice as long to compile
_LONGEST = 16

#: yields the statements of a tile: whether all of its steps are there
_Body = Callable[[bool], Iterator[str]]


class LaneText(Pieces):
    """The Triton text of one recurrence."""

    options = ("BLOCK",)

    def __init__(self, recurrence: Recurrence, tile: int | None = None) -> None:
        super().__init__(recurrence, tile or 1)
        self.tile = tile or self._fitting()
        self.chunks = Chunks(self)

    def _fitting(self) -> int:
        """Return how many steps fit into registers when the gradient is computed."""
        along = sum(self.is_along(part) for part in self.recurrence.inputs)
        held = along + self.carries + len(self.kept) + len(self.recurrence.outputs)
        return max(4, min(_LONGEST, 1 << (_REGISTERS // held).bit_length() - 1))

    def text(self, title: str) -> str:
        """Return the whole module."""
        parts = [*self.chunks.helpers(), "\n".join(self._forward()) + "\n"]
        if self.chunks.affine:
            parts.append("\n".join(self._reach()) + "\n")
        parts += ["\n".join(self._backward()) + "\n", "\n".join(self._reach_back()) + "\n"]
        parts += [ADDED, "\n".join(self.add()) + "\n"] if self.summed else []
        return "\n\n".join([HEAD.format(title=title, tile=self.tile, carries=self.carries), *parts])

    def _begun(self, name: str, *arrays: str, chunk: str = "tl.program_id(1).to(tl.int64)") -> Iterator[str]:
        yield from self.signature(name, *arrays)
        yield _BEGIN
        yield f"    chunk = {chunk}"
        yield "    end = tl.minimum(chunk * span + span, T)"
        yield from indented(self.constants())

    # -- tiles -------------------------------------------------------------------------------------------------------

    def _pointers(self, ports: Iterable[tuple[str, str]]) -> Iterator[str]:
        yield from (f"{name} = {at}" for name, at in ports)

    def _inputs(self, used: Iterable[Value], *, whole: bool) -> Iterator[str]:
        """Yield the reads of a tile's inputs, all before the first is needed."""
        used, ports = set(used), self.recurrence.operands
        wanted = [(i, p) for i, p in enumerate(self.recurrence.inputs) if self.is_along(p) and self.given[i] in used]
        yield from (f"q{at} = {self.operand(at, 'first')}" for at in dict.fromkeys(p.port for _, p in wanted))
        for k in range(self.tile):
            mask = "here" if whole else f"ok_{k}"
            for i, part in wanted:
                at = f"q{part.port} + {k} * xs{part.port}{self.offset(ports[part.port], part.index)}"
                yield f"u{i}_{k} = {self.load(at, ports[part.port], mask)}"

    def _masks(self) -> Iterator[str]:
        for k in range(self.tile):
            yield f"in_{k} = first + {k} < T"
            yield f"ok_{k} = (lane < L) & in_{k}"

    def _at(self, name: str, port: Port, index: int, k: int) -> str:
        """Return the address of a part of a dense array at a step of the tile; `name` points to the tile."""
        step = f" + {k} * ({port.parts} * L)" if k else ""
        return f"{name}{step}{self.offset(port, index)}"

    def _step_inputs(self, k: int) -> list[str]:
        return [f"u{i}_{k}" if self.is_along(part) else f"u{i}" for i, part in enumerate(self.recurrence.inputs)]

    def _tiles(self, body: _Body, *, backwards: bool) -> Iterator[str]:
        """Yield the loops over a chunk's tiles; the last one of all may lack steps."""
        rest = ["if not EVEN:", "    for tile in range(end // TILE, tl.cdiv(end, TILE)):", *indented(body(False), 2)]
        whole = ["for tile in tl.range(chunk * span // TILE, end // TILE, num_stages=STAGES):", *indented(body(True))]
        if backwards:
            whole[:1] = [
                "begin = chunk * span // TILE",
                "for behind in tl.range(0, end // TILE - begin, num_stages=STAGES):",
                "    tile = end // TILE - 1 - behind",
            ]
        yield from indented([*rest, *whole] if backwards else [*whole, *rest])

    # -- forward -----------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        yield from self._begun("forward", *self.results, "kept", "reached")
        yield from indented(f"c{i} = {self.start(i)}" for i in range(self.carries))
        if self.chunks.affine:
            yield from indented(self.chunks.begin())
        yield from self._tiles(self._forward_tile, backwards=False)
        yield "    if end == T:"
        yield from indented(self.last_stores([f"c{i}" for i in range(self.carries)]), 2)
        yield "        pass"

    def _forward_tile(self, whole: bool) -> Iterator[str]:
        yield "first = tile * TILE"
        yield from () if whole else self._masks()
        yield from self.keeping("tile")
        yield from self._inputs(self.given, whole=whole)
        given = dict.fromkeys(part.port for part in self.recurrence.outputs)
        yield from (f"w{at} = {self.dense(f'r{at}', self.recurrence.results[at], 'first')}" for at in given)
        now = [f"c{i}" for i in range(self.carries)]
        for k in range(self.tile):
            names = self.names(f"v{k}_", now, self._step_inputs(k))
            yield from names.lines(self.recurrence.step.ops)
            for part, name in zip(self.recurrence.outputs, names.of(self.made), strict=True):
                at = self._at(f"w{part.port}", self.recurrence.results[part.port], part.index, k)
                yield f"tl.store({at}, {name}, mask={'here' if whole else f'ok_{k}'})"
            later = names.of(self.next)
            yield from () if whole else self._selected("c", k, later, now)
            now = later if whole else [f"c{i}_{k}" for i in range(self.carries)]
        yield assigned([f"c{i}" for i in range(self.carries)], now)

    def _selected(self, prefix: str, k: int, later: Sequence[str], now: Sequence[str]) -> Iterator[str]:
        """Yield carries' next values, left as they are by steps beyond the end."""
        for i, (new, old) in enumerate(zip(later, now, strict=True)):
            yield f"{prefix}{i}_{k} = tl.where(ok_{k}, {new}, {old})"

    # -- backward ----------------------------------------------------------------------------------------------------

    def _backward(self) -> Iterator[str]:
        yield from self._begun("backward", *self.incoming, *self.gradients, "kept", "reached", "sums")
        yield from indented(self.arriving())
        yield from indented(self.chunks.end())
        yield from (f"    s{i} = tl.zeros(SHAPE, REAL)" for i in self.summed)
        yield from self._tiles(self._backward_tile, backwards=True)
        yield "    if chunk == 0:"
        yield from indented(self.start_gradients(), 2)
        yield "        pass"
        for n, i in enumerate(self.summed):
            to = f"sums + ((row * chunks + chunk) * {len(self.summed)} + {n}) * L + lane"
            yield f"    tl.store({to}, s{i}, mask=here)"

    def _again(self, whole: bool) -> Iterator[str]:
        """Yield the reads of a tile and of its results' gradients, and its carries once more."""
        yield "first = tile * TILE"
        yield from () if whole else self._masks()
        yield "keep = kept + (row * tiles + tile) * (CARRIES * L) + lane"
        yield from (f"c{i}_0 = tl.load(keep + {i} * L, mask=here)" for i in range(self.carries))
        yield from self._inputs(self.given, whole=whole)
        yield from self._results_gradients(whole)
        ops, _ = needed(self.recurrence.step.ops, [*self.next, *self.kept])
        for k in range(self.tile):
            names = self.names(f"v{k}_", [f"c{i}_{k}" for i in range(self.carries)], self._step_inputs(k))
            yield from names.lines(ops)
            yield from (f"c{i}_{k + 1} = {name}" for i, name in enumerate(names.of(self.next)))
            yield from (f"k{i}_{k} = {name}" for i, name in enumerate(names.of(self.kept)))

    def _results_gradients(self, whole: bool) -> Iterator[str]:
        """Yield the reads of the gradients of what steps give, zero where nobody reads it."""
        for at in dict.fromkeys(part.port for part in self.recurrence.outputs):
            port = self.recurrence.results[at]
            mine = [(n, part) for n, part in enumerate(self.recurrence.outputs) if part.port == at]
            yield f"if g{at} is not None:"
            yield f"    h{at} = {self.dense(f'g{at}', port, 'first')}"
            for k in range(self.tile):
                mask = "here" if whole else f"ok_{k}"
                yield from (
                    f"    y{n}_{k} = {self.load(self._at(f'h{at}', port, p.index, k), port, mask)}" for n, p in mine
                )
            yield "else:"
            yield from (f"    y{n}_{k} = tl.zeros(SHAPE, REAL)" for k in range(self.tile) for n, _ in mine)

    def saved(self, values: Sequence[Value], k: int) -> list[str]:
        """Return the names of values of a tile's step that a derivative is handed."""
        kept = [f"k{i}_{k}" for i in range(len(self.kept))]
        return saved_names(self, kept, [f"c{i}_{k + 1}" for i in range(self.carries)], values)

    def _reversed(self, k: int, later: Sequence[str]) -> "tuple[list[str], dict[Value, str]]":
        """Return the statements of a step's gradient, and the names of what it finds."""
        step = [*(f"c{i}_{k}" for i in range(self.carries)), *self._step_inputs(k)]
        given = [f"y{n}_{k}" for n in range(len(self.made))]
        names = self.reverse_names(f"b{k}_", step, self.saved(self.pullback.saved, k), later, given)
        region = self.pullback.region
        lines = list(names.lines(region.ops))
        return lines, dict(zip(self.pullback.inputs, names.of(region.results), strict=True))

    def _backward_tile(self, whole: bool) -> Iterator[str]:
        operands = self.recurrence.operands
        yield from self._again(whole)
        along = [(part, value) for part, value in zip(self.recurrence.inputs, self.given, strict=True)]
        along = [(p, value) for p, value in along if self.is_along(p) and operands[p.port].is_float]
        for at in dict.fromkeys(part.port for part, _ in along):
            yield f"w{at} = {self.dense(f'e{at}', operands[at], 'first')}"
        later = [f"d{i}" for i in range(self.carries)]
        for k in reversed(range(self.tile)):
            lines, found = self._reversed(k, later)
            yield from lines
            for part, value in along:
                at = self._at(f"w{part.port}", operands[part.port], part.index, k)
                yield f"tl.store({at}, {found[value]}, mask={'here' if whole else f'ok_{k}'})"
            for i in self.summed:
                name = found[self.given[i]]
                yield f"s{i} += {name if whole else f'tl.where(ok_{k}, {name}, 0.0)'}"
            yield from () if whole else self._selected("d", k, [found[v] for v in self.now], later)
            later = [found[v] for v in self.now] if whole else [f"d{i}_{k}" for i in range(self.carries)]
        yield assigned([f"d{i}" for i in range(self.carries)], later)

    # -- chunks ------------------------------------------------------------------------------------------------------

    def _reach(self) -> Iterator[str]:
        """Yield the kernel that runs chunks from zero and finds how their ends depend on their begins."""
        yield from self._begun("reach", "reached")
        yield from (f"    c{i} = tl.zeros(SHAPE, REAL)" for i in range(self.carries))
        yield from indented(self.chunks.identity())
        yield from self._tiles(self._reach_tile, backwards=False)
        yield from indented(self.chunks.stored("c"))

    def _reach_tile(self, whole: bool) -> Iterator[str]:
        # no chunk but the last lacks steps, and nothing follows that one
        yield "first = tile * TILE"
        yield from () if whole else self._masks()
        ops, used = self.chunks.forward_ops()
        yield from self._inputs(used, whole=whole)
        now = [f"c{i}" for i in range(self.carries)]
        for k in range(self.tile):
            names = self.names(f"v{k}_", now, self._step_inputs(k))
            yield from names.lines(ops)
            yield from self.chunks.mapped(k, now, self._step_inputs(k), names, whole=whole, transposed=False)
            later = names.of(self.next)
            yield from () if whole else self._selected("c", k, later, now)
            now = later if whole else [f"c{i}_{k}" for i in range(self.carries)]
        yield assigned([f"c{i}" for i in range(self.carries)], now)

    def _reach_back(self) -> Iterator[str]:
        # the first chunk's begin is the start: nothing is behind it
        yield from self._begun(
            "reach_back", *self.incoming, "kept", "reached", chunk="tl.program_id(1).to(tl.int64) + 1"
        )
        yield from (f"    d{i} = tl.zeros(SHAPE, REAL)" for i in range(self.carries))
        yield from indented(self.chunks.identity())
        yield from self._tiles(self._reach_back_tile, backwards=True)
        yield from indented(self.chunks.stored("d"))

    def _reach_back_tile(self, whole: bool) -> Iterator[str]:
        yield from self._again(whole)
        later = [f"d{i}" for i in range(self.carries)]
        for k in reversed(range(self.tile)):
            lines, found = self._reversed(k, later)
            yield from lines
            yield from self.chunks.mapped_back(k, self._step_inputs(k), whole=whole)
            yield from () if whole else self._selected("d", k, [found[v] for v in self.now], later)
            later = [found[v] for v in self.now] if whole else [f"d{i}_{k}" for i in range(self.carries)]
        yield assigned([f"d{i}" for i in range(self.carries)], later)

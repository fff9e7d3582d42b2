"""Prints how the chunks of a recurrence find what they begin with, as Triton.

Few rows and lanes leave most of a device waiting, so steps are cut into chunks that run side by side. First every chunk
runs from zero, which finds where it ends, and how that depends on where it begins: a matrix, which is a power of the
step's own where that is the same at every step. Then each goes through the chunks before it and starts. Forward that
needs an affine step; backward it always works, for a gradient is linear in what it is given.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

from hrmsearch.ir.graph import Op, Value
from hrmsearch.recurrence import jacobian, needed
from hrmsearch_torch.kernels.names import Names
from hrmsearch_torch.kernels.t_pieces import Pieces, indented, saved_names
from hrmsearch_torch.kernels.t_step import assignment


class Chunks:
    """The text about chunks for one recurrence."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._n = range(pieces.carries)
        self.jacobian = jacobian(pieces.recurrence.step, pieces.carries)
        self.affine = self.jacobian.affine

    @cached_property
    def fixed(self) -> bool:
        """Whether a step's matrix is the same at every step."""
        step, inner = self._pieces.recurrence.step, self.jacobian.region
        _, read = needed(inner.ops, inner.results)
        saved = inner.args[len(step.args) :]
        behind = [old for old, new in zip(self.jacobian.saved, saved, strict=True) if new in read]
        _, deep = needed(step.ops, behind)
        own = [value for value, arg in zip(step.args, inner.args, strict=False) if arg in read or value in deep]
        inputs = dict(zip(self._pieces.given, self._pieces.recurrence.inputs, strict=True))
        return not any(value not in inputs or self._pieces.is_along(inputs[value]) for value in own)

    @property
    def numbers(self) -> int:
        """How many numbers a chunk leaves per lane."""
        n = len(self._n)
        return n if self.fixed else n + n * n

    def helpers(self) -> Iterator[str]:
        """Yield the functions that kernels call."""
        if self.fixed:
            yield "\n".join(self._power()) + "\n"

    def _power(self) -> Iterator[str]:
        pairs = [(i, j) for i in self._n for j in self._n]
        yield "@triton.jit"
        yield f"def power({', '.join(f'm{i}_{j}' for i, j in pairs)}, n):"
        yield from (f"    r{i}_{j} = tl.zeros_like(m{i}_{j}) + {float(i == j)}" for i, j in pairs)
        yield "    while n > 0:"
        yield "        odd = n % 2 == 1"
        for to, left in (("a", "r"), ("b", "m")):
            for i, j in pairs:
                yield f"        {to}{i}_{j} = {' + '.join(f'{left}{i}_{k} * m{k}_{j}' for k in self._n)}"
        yield from (f"        r{i}_{j} = tl.where(odd, a{i}_{j}, r{i}_{j})" for i, j in pairs)
        yield from (f"        m{i}_{j} = b{i}_{j}" for i, j in pairs)
        yield "        n = n // 2"
        yield f"    return {', '.join(f'r{i}_{j}' for i, j in pairs)}"

    # -- what a chunk leaves -----------------------------------------------------------------------------------------

    def forward_ops(self) -> tuple[list[Op], set[Value]]:
        """Return what of a step a chunk that runs from zero computes, and what it reads."""
        pieces, inner = self._pieces, self.jacobian.region
        ops, read = needed(pieces.recurrence.step.ops, [*pieces.next, *(() if self.fixed else self.jacobian.saved)])
        _, also = needed(inner.ops, inner.results)
        args = inner.args[pieces.carries : pieces.carries + len(pieces.given)]
        pairs = zip(pieces.given, args, strict=True)
        return ops, {value for value, arg in pairs if value in read or (arg in also and not self.fixed)}

    def identity(self) -> Iterator[str]:
        """Yield how a chunk's end depends on its begin, before its first step."""
        if not self.fixed:
            yield from (f"p{i}_{j} = tl.full(SHAPE, {float(i == j)}, REAL)" for i in self._n for j in self._n)

    def _entries(
        self, prefix: str, carries: Sequence[str], inputs: Sequence[str], saved: Sequence[str]
    ) -> Iterator[str]:
        """Yield the entries of a step's derivative: `j` and two numbers."""
        args = self.jacobian.region.args
        names = Names(assignment, prefix, dict(zip(args, [*carries, *inputs, *saved], strict=True)))
        yield from names.lines(self.jacobian.region.ops)
        for (i, j), text in zip(self.jacobian.entries, names.of(self.jacobian.region.results), strict=True):
            yield f"j{i}_{j} = {text}"

    def mapped(
        self, k: int, now: Sequence[str], inputs: Sequence[str], names: Names, *, whole: bool, transposed: bool
    ) -> Iterator[str]:
        """Yield the product of a step's derivative with the matrix so far."""
        if not self.fixed:
            yield from self._entries(f"w{k}_", now, inputs, names.of(self.jacobian.saved))
            yield from self._times(k, whole=whole, transposed=transposed)

    def mapped_back(self, k: int, inputs: Sequence[str], *, whole: bool) -> Iterator[str]:
        """Yield the same going backwards, where a tile's carries are at hand."""
        if self.fixed:
            return
        pieces = self._pieces
        now, later = ([f"c{i}_{at}" for i in self._n] for at in (k, k + 1))
        saved = saved_names(pieces, [f"k{i}_{k}" for i in range(len(pieces.kept))], later, self.jacobian.saved)
        yield from self._entries(f"w{k}_", now, inputs, saved)
        yield from self._times(k, whole=whole, transposed=True)

    def _times(self, k: int, *, whole: bool, transposed: bool) -> Iterator[str]:
        for i in self._n:
            there = [m for m in self._n if ((m, i) if transposed else (i, m)) in self.jacobian.entries]
            for j in self._n:
                terms = [f"{f'j{m}_{i}' if transposed else f'j{i}_{m}'} * p{m}_{j}" for m in there]
                total = " + ".join(terms) or f"tl.zeros_like(p{i}_{j})"
                yield f"q{i}_{j} = {total if whole else f'tl.where(ok_{k}, {total}, p{i}_{j})'}"
        yield from (f"p{i}_{j} = q{i}_{j}" for i in self._n for j in self._n)

    def stored(self, prefix: str) -> Iterator[str]:
        """Yield the stores of what a chunk leaves."""
        yield f"to = reached + (row * chunks + chunk) * ({self.numbers} * L) + lane"
        yield from (f"tl.store(to + {i} * L, {prefix}{i}, mask=here)" for i in self._n)
        if not self.fixed:
            for at, name in self._matrix():
                yield f"tl.store(to + {at} * L, {name}, mask=here)"

    def _matrix(self) -> Iterator[tuple[int, str]]:
        n = len(self._n)
        yield from ((n + i * n + j, f"p{i}_{j}") for i in self._n for j in self._n)

    # -- what a chunk begins with ------------------------------------------------------------------------------------

    def begin(self) -> Iterator[str]:
        """Yield what takes the carries through the chunks before this one."""
        yield "if reached is not None:"
        if self.fixed:
            yield from indented(self._fixed_entries())
            yield from indented(self._powered("p", "span"))
        yield "    for before in tl.range(0, chunk, num_stages=4):"
        yield from indented(self._through("c", "before", transposed=False), 2)

    def end(self) -> Iterator[str]:
        """Yield what takes the carries' gradients through the chunks after this one, the last of which may be short."""
        yield "if reached is not None:"
        if self.fixed:
            yield from indented(self._fixed_entries())
            yield from indented(self._powered("p", "span"))
            yield from indented(self._powered("z", "T - (chunks - 1) * span"))
        yield "    for behind in tl.range(0, chunks - 1 - chunk, num_stages=4):"
        if self.fixed:
            for i in self._n:
                for j in self._n:
                    yield f"        a{i}_{j} = tl.where(behind == 0, z{i}_{j}, p{i}_{j})"
        yield from indented(self._through("d", "chunks - 1 - behind", transposed=True), 2)

    def _fixed_entries(self) -> Iterator[str]:
        """Yield the entries of the matrix that is the same at every step."""
        pieces = self._pieces
        step = pieces.recurrence.step
        inputs = [f"u{i}" for i in range(len(pieces.given))]
        ops, _ = needed(step.ops, self.jacobian.saved)
        names = pieces.names("fixed_v", [f"c{i}" for i in self._n], inputs)
        yield from names.lines(ops)
        yield from self._entries("fixed_w", [f"c{i}" for i in self._n], inputs, names.of(self.jacobian.saved))

    def _powered(self, to: str, n: str) -> Iterator[str]:
        pairs = [(i, j) for i in self._n for j in self._n]
        entries = [f"j{i}_{j}" if (i, j) in self.jacobian.entries else "tl.zeros(SHAPE, REAL)" for i, j in pairs]
        names = ", ".join(f"{to}{i}_{j}" for i, j in pairs)
        yield f"{names} = power({', '.join(entries)}, {n})"

    def _through(self, prefix: str, chunk: str, *, transposed: bool) -> Iterator[str]:
        yield f"there = reached + (row * chunks + {chunk}) * ({self.numbers} * L) + lane"
        if not self.fixed:
            yield from (f"p{name[1:]} = tl.load(there + {at} * L, mask=here)" for at, name in self._matrix())
        left = "a" if self.fixed and transposed else "p"
        for i in self._n:
            own = [f"{left}{j}_{i}" if self.fixed and transposed else f"{left}{i}_{j}" for j in self._n]
            terms = " + ".join(f"{m} * {prefix}{j}" for j, m in enumerate(own))
            yield f"n{i} = tl.load(there + {i} * L, mask=here) + {terms}"
        yield from (f"{prefix}{i} = n{i}" for i in self._n)

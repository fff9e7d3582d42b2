"""Which axes of a straight line's values are the same axis, and which of them a step mixes."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import permutations

from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops import einsum_words
from hrmsearch.recurrence.flat import Flat, NoRecurrence

#: an axis of a value, by name
Spot = tuple[Value, str]


@dataclass(frozen=True, slots=True)
class Mixing:
    """An einsum that takes a carry over the lanes of each head to several such: `B A K, A K F -> B A F`.

    lane: the axis of the vector that is summed away. made: the axis of the result, `parts` times as long.
    """

    op: Op
    vector: Value
    matrix: Value
    lane: str
    made: str
    parts: int

    @classmethod
    def of(cls, op: Op, carries: Collection[Value]) -> "Mixing | None":
        """Return an einsum as such a product, if it is one."""
        words, result = einsum_words(op)
        pairs = zip(words, op.operands, strict=True)
        for (v, vector), (m, matrix) in permutations(pairs) if len(words) == 2 else ():
            made, summed = result[-1], v[-1]
            sizes = [vector.type.sizes[-1].known, matrix.type.sizes[-1].known]
            shaped = v[:-1] == result[:-1] and m[-2:] == [summed, made] and set(m[:-2]) <= set(v[:-1])
            if shaped and vector in carries and sizes[0] and sizes[1] and sizes[1] % sizes[0] == 0:
                return cls(op, vector, matrix, vector.type.names[-1], op.result.type.names[-1], sizes[1] // sizes[0])
        return None


class Axes:
    """Classes of axes. Ops say which axes of their operands are which of their results, whatever their names.

    An axis is small where positions along it meet, or are moved: it has to be unrolled. mixings: products with a
    matrix, whose lanes are not; what they make is folded: some lanes of a head, one after the other.
    """

    def __init__(self, flat: Flat) -> None:
        self._above: dict[Spot, Spot] = {}
        self._mixed: list[Spot] = []
        carries = {carry.now for carry in flat.carries}
        einsums = [op for op in flat.ops if op.kind == "einsum"]
        self.mixings = {op: found for op in einsums if (found := Mixing.of(op, carries)) is not None}
        for new, old in flat.same.items():
            self._tie_names(new, old)
        for carry in flat.carries:
            for value in (carry.next, carry.start, carry.last):
                self._tie_names(value, carry.now)
        slices = [op for op in flat.ops if op.kind == "slice"]
        for op in (op for op in flat.ops if op.kind != "slice"):
            self._op(op)
        for op in slices:  # by then it is known which axes are folded
            self._slice(op)
        first, *others = flat.axes
        for spot in others:
            self._tie(first, spot)
        self.scanned = self.of(*first)
        self._small = {self._root(spot) for spot in self._mixed}
        if self.scanned in self._small:
            raise NoRecurrence("steps are mixed other than by the scan")

    def of(self, value: Value, name: str) -> Spot:
        """Return the class of an axis."""
        return self._root((value, name))

    def framed(self, value: Value) -> dict[Spot, str]:
        """Return the classes of a value's axes that are rows, steps or lanes, each with its name there.

        Raises NoRecurrence where two of them are one.
        """
        names = [name for name in value.type.names if not self.is_small(value, name)]
        found = {self._lane(value, name): name for name in names}
        if len(found) < len(names):
            raise NoRecurrence(f"two axes of {value.type} run together")
        return found

    def _lane(self, value: Value, name: str) -> Spot:
        """Return the class of an axis, or of the lanes that are folded in it."""
        folded = self._fold(value, name)
        return self.of(value, name) if folded is None else self.of(folded.vector, folded.lane)

    def is_small(self, value: Value, name: str) -> bool:
        """Return whether an axis is unrolled."""
        return self.of(value, name) in self._small

    def unrolled(self, value: Value) -> dict[str, int]:
        """Return how many parts a value has along each axis that is unrolled or folded, by name."""
        found: dict[str, int] = {}
        for name in value.type.names:
            folded = self._fold(value, name)
            if folded is not None:
                found[name] = folded.parts
            elif self.is_small(value, name):
                found[name] = value.type.width(name)
        return found

    def small(self, value: Value) -> list[str]:
        """Return the names of a value's axes that are unrolled or folded."""
        return list(self.unrolled(value))

    def folds(self, value: Value) -> int:
        """Return how many parts are folded in a value's last axis."""
        folded = self._fold(value, value.type.names[-1]) if value.type.axes else None
        return 1 if folded is None else folded.parts

    def part(self, op: Op) -> int | None:
        """Return which part of a folded axis a slice takes; None for a slice of another axis."""
        folded = self._fold(op.operands[0], op.attrs["axis"])
        return None if folded is None else op.attrs["start"] // folded.vector.type.width(folded.lane)

    def _fold(self, value: Value, name: str) -> Mixing | None:
        root = self.of(value, name)
        return next((one for one in self.mixings.values() if self.of(one.op.result, one.made) == root), None)

    # -- what each op says -------------------------------------------------------------------------------------------

    def _op(self, op: Op) -> None:
        match op.kind:
            case "einsum":
                self._einsum(op)
            case "split" | "merge" | "pad" | "concat" | "rename":
                self._layout(op)
            case "sum" | "mean" | "amax":
                self._mixed += [(op.operands[0], name) for name in op.attrs["axes"]]
                self._tie_names(op.result, op.operands[0])
            case _:
                for value in op.operands:
                    self._tie_names(op.result, value)

    def _slice(self, op: Op) -> None:
        """Tie what a slice takes out of a folded axis to the lanes; elsewhere positions are moved."""
        (source,) = op.operands
        folded = self._fold(source, op.attrs["axis"])
        width = 0 if folded is None else folded.vector.type.width(folded.lane)
        if folded is None or op.attrs["size"] != width or op.attrs["start"] % width:
            return self._layout(op)
        for name in source.type.names:
            if name != op.attrs["axis"]:
                self._tie((source, name), (op.result, name))
        self._tie((folded.vector, folded.lane), (op.result, op.attrs["into"]))
        return None

    def _mixing(self, mixing: Mixing) -> None:
        (words, other), result = einsum_words(mixing.op)
        if mixing.op.operands[0] is mixing.matrix:
            words, other = other, words
        for word, name in zip(words[:-1], mixing.vector.type.names, strict=False):
            self._tie((mixing.op.result, word), (mixing.vector, name))
        for word, name in zip(other[:-2], mixing.matrix.type.names, strict=False):
            self._tie((mixing.op.result, word), (mixing.matrix, name))
        del result

    def _einsum(self, op: Op) -> None:
        if op in self.mixings:
            return self._mixing(self.mixings[op])
        operands, result = einsum_words(op)
        seen: dict[str, Spot] = {word: (op.result, word) for word in result}
        for words, value in zip(operands, op.operands, strict=True):
            for word, name in zip(words, value.type.names, strict=True):
                self._tie(seen.setdefault(word, (value, name)), (value, name))
                if word not in result:
                    self._mixed.append((value, name))
        return None

    def _layout(self, op: Op) -> None:
        gone = op.attrs["axes"] if op.kind == "merge" else [op.attrs["axis"]]
        made = {"split": lambda: [n for n, _ in op.attrs["into"]], "pad": lambda: gone, "concat": lambda: gone}
        fresh = made.get(op.kind, lambda: [op.attrs["into"]])()
        for value in op.operands:
            for name in value.type.names:
                if name not in gone:
                    self._tie((value, name), (op.result, name))
        if op.kind == "rename":
            self._tie((op.operands[0], gone[0]), (op.result, fresh[0]))
        else:
            self._mixed += [(value, name) for value in op.operands for name in gone]
            self._mixed += [(op.result, name) for name in fresh]

    # -- union and find ----------------------------------------------------------------------------------------------

    def _tie_names(self, first: Value, second: Value) -> None:
        for name in first.type.names:
            if name in second.type.names:
                self._tie((first, name), (second, name))

    def _tie(self, first: Spot, second: Spot) -> None:
        above, below = self._root(first), self._root(second)
        if above != below:
            self._above[below] = above

    def _root(self, spot: Spot) -> Spot:
        while spot in self._above:
            spot = self._above[spot]
        return spot


def sizes(values: Iterable[Value], axes: Axes, limit: int) -> None:
    """Raise NoRecurrence where a value has more parts than `limit`, or an unrolled axis without a fixed size."""
    for value in values:
        open_ = [n for n in value.type.names if axes.is_small(value, n) and value.type.size(n).known is None]
        if open_:
            raise NoRecurrence(f"a step mixes the axis {open_[0]}, which has no fixed size")
        parts = math.prod(axes.unrolled(value).values())
        if parts > limit:
            raise NoRecurrence(f"a step mixes {parts} positions of {value.type}; at most {limit} are unrolled")

"""Which axes of a straight line's values are the same axis, and which of them a step mixes."""

from collections.abc import Iterable

from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops import einsum_words
from hrmsearch.recurrence.flat import Flat, NoRecurrence

#: an axis of a value, by name
Spot = tuple[Value, str]


class Axes:
    """Classes of axes. Ops say which axes of their operands are which of their results, whatever their names.

    An axis is mixed where positions along it meet, or are moved: it has to be unrolled.
    """

    def __init__(self, flat: Flat) -> None:
        self._above: dict[Spot, Spot] = {}
        self._mixed: list[Spot] = []
        for new, old in flat.same.items():
            self._tie_names(new, old)
        for op in flat.ops:
            self._op(op)
        for carry in flat.carries:
            for value in (carry.next, carry.start, carry.last):
                self._tie_names(value, carry.now)
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
        found = {self.of(value, name): name for name in names}
        if len(found) < len(names):
            raise NoRecurrence(f"two axes of {value.type} run together")
        return found

    def is_small(self, value: Value, name: str) -> bool:
        """Return whether an axis is unrolled."""
        return self.of(value, name) in self._small

    def small(self, value: Value) -> list[str]:
        """Return the names of a value's unrolled axes."""
        return [name for name in value.type.names if self.is_small(value, name)]

    # -- what each op says -------------------------------------------------------------------------------------------

    def _op(self, op: Op) -> None:
        match op.kind:
            case "einsum":
                self._einsum(op)
            case "split" | "merge" | "slice" | "pad" | "concat" | "rename":
                self._layout(op)
            case "sum" | "mean" | "amax":
                self._mixed += [(op.operands[0], name) for name in op.attrs["axes"]]
                self._tie_names(op.result, op.operands[0])
            case _:
                for value in op.operands:
                    self._tie_names(op.result, value)

    def _einsum(self, op: Op) -> None:
        operands, result = einsum_words(op)
        seen: dict[str, Spot] = {word: (op.result, word) for word in result}
        for words, value in zip(operands, op.operands, strict=True):
            for word, name in zip(words, value.type.names, strict=True):
                self._tie(seen.setdefault(word, (value, name)), (value, name))
                if word not in result:
                    self._mixed.append((value, name))

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
        parts = 1
        for name in axes.small(value):
            known = value.type.size(name).known
            if known is None:
                raise NoRecurrence(f"a step mixes the axis {name}, which has no fixed size")
            parts *= known
        if parts > limit:
            raise NoRecurrence(f"a step mixes {parts} positions of {value.type}; at most {limit} are unrolled")

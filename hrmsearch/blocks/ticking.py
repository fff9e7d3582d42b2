"""One call of levels as operations: its ticks, the free ones in repeats without gradient."""

from collections.abc import Mapping, Sequence

from hrmsearch.blocks.base import State, below, inside
from hrmsearch.blocks.levels import Levels
from hrmsearch.blocks.memory import Placed
from hrmsearch.blocks.ticks import Item, Tick, fold, schedule
from hrmsearch.ir import Builder, Value

States = dict[str, Value]  # by level; a level that is missing is zero


class Ticking:
    """Builds one call inside its function.

    e: the stream. blocks: the states of the levels' blocks by path, `L.0.c`. memories, held: by level, the memory
    placed before its blocks and what it holds. Every tick reads these as the call began; afterwards `left` and
    `proposed` hold what the last tick made of them.
    """

    def __init__(
        self,
        core: Levels,
        b: Builder,
        e: Value,
        blocks: State,
        memories: Mapping[str, Placed] | None = None,
        held: Mapping[str, Mapping[str, Value]] | None = None,
    ) -> None:
        self.core = core
        self.b = b
        self.e = e
        self.blocks = blocks
        self.memories = memories or {}
        self.held = held or {}
        self.left: dict[str, Value] = {}
        self.proposed: dict[str, Mapping[str, Value]] = {}

    def run(self, z: States, *, trace: bool = False) -> tuple[States, list[Value]]:
        """Return the levels' last values and, traced, every level after every tick."""
        periods = {name: level.period for name, level in self.core.levels.items()}
        ticks, free = schedule(periods, self.core.cycles), self.core.free_ticks
        traced: list[Value] = []
        if trace:
            z, traced = self._unfolded(z, ticks[:-1], free)
        else:
            lengths = list(periods.values())
            z = self._items(self._free(z, fold(ticks[:free], lengths)), fold(ticks[free:-1], lengths))
        z = self._whole(self._tick(z, ticks[-1], last=True))
        return z, [*traced, *z.values()] if trace else []

    def _unfolded(self, z: States, ticks: Sequence[Tick], free: int) -> tuple[States, list[Value]]:
        """Run ticks one by one, and return every level after each."""
        traced: list[Value] = []
        for i, tick in enumerate(ticks):
            z = self._repeat(z, 1, (tick,), free=True) if i < free else self._tick(z, tick)
            traced.extend(self._whole(z).values())
        return z, traced

    def _free(self, z: States, items: Sequence[Item]) -> States:
        """Run ticks without gradient; a lone repeat is itself the free one."""
        match items:
            case ():
                return z
            case (item,) if not isinstance(item, tuple):
                return self._repeat(z, item.n, item.body, free=True)
            case _:
                return self._repeat(z, 1, items, free=True)

    def _items(self, z: States, items: Sequence[Item]) -> States:
        for item in items:
            z = self._tick(z, item) if isinstance(item, tuple) else self._repeat(z, item.n, item.body)
        return z

    def _repeat(self, z: States, n: int, items: Sequence[Item], *, free: bool = False) -> States:
        whole = self._whole(z)

        def body(*values: Value) -> list[Value]:
            return list(self._items(dict(zip(whole, values, strict=True)), items).values())

        return dict(zip(whole, self.b.repeat(n, list(whole.values()), body, free=free), strict=True))

    def _whole(self, z: States) -> States:
        """Return every level's state, fastest first; zeros stand for those that have none yet."""
        return {name: z[name] if name in z else self.b.zeros(self.e.type) for name in self.core.fastest_first}

    def _tick(self, z: States, active: Tick, *, last: bool = False) -> States:
        now = dict(z)
        for name in active:
            seen = now if self.core.order == "sequential" else z
            now[name] = self._update(name, self._sum(name, seen), last=last)
        return now

    def _sum(self, name: str, z: States) -> Value:
        """Return z_l + the other z + (e if injected)."""
        own = [z[name]] if name in z else []
        others = [z[other] for other in self.core.fastest_first if other != name and other in z]
        terms = own + others + ([self.e] if name in self.core.inject else [])
        if not terms:
            return self.b.zeros(self.e.type)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _update(self, name: str, x: Value, *, last: bool) -> Value:
        if name in self.memories:
            x = self._through_memory(name, x, last=last)
        level = self.core.levels[name]
        for i in range(level.layers):
            prefix, place = self.core.block_prefix(name, i), f"{self.b.place}.levels.{name}.block"
            x, new = level.block.go_on(self.b, prefix, x, inside(f"{name}.{i}", self.blocks), place)
            if last:
                self.left |= below(f"{name}.{i}", new)
        return x

    def _through_memory(self, name: str, x: Value, *, last: bool) -> Value:
        """Read the memory as the pass began; the last tick also proposes what to commit."""
        memory, held = self.memories[name], self.held[name]
        if not last:
            return memory.readout(self.b, x, held)
        y, self.proposed[name] = memory.step(self.b, x, held)
        return y

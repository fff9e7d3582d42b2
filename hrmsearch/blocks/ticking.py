"""One pass of an HRM core as operations: its ticks, the free ones in repeats without gradient."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hrmsearch.blocks.memory import Placed
from hrmsearch.blocks.ticks import Item, Tick, fold, schedule
from hrmsearch.ir import Builder, Value

if TYPE_CHECKING:
    from hrmsearch.blocks.hrm import HRM

States = dict[str, Value]  # by level; a level that is missing is zero


class Ticking:
    """Builds one pass inside the core's function: the stream e, the memories by level and what they hold."""

    def __init__(
        self,
        core: "HRM",
        b: Builder,
        e: Value,
        memories: Mapping[str, Placed],
        held: Mapping[str, Mapping[str, Value]],
    ) -> None:
        self.core = core
        self.b = b
        self.e = e
        self.memories = memories
        self.held = held
        self.proposed: dict[str, Mapping[str, Value]] = {}

    def run(self, z: States, *, trace: bool) -> tuple[Value, ...]:
        """Return the levels' last values, the memories' candidates and, traced, every level after every tick."""
        periods = {name: level.period for name, level in self.core.levels.items()}
        ticks, free = schedule(periods, self.core.cycles), self.core.free_ticks
        traced: list[Value] = []
        if trace:
            z, traced = self._unfolded(z, ticks[:-1], free)
        else:
            lengths = list(periods.values())
            z = self._items(self._free(z, fold(ticks[:free], lengths)), fold(ticks[free:-1], lengths))
        z = self._tick(z, ticks[-1], last=True)
        memories = [value for level in self.held for value in self.proposed[level].values()]
        levels = list(self._whole(z).values())
        return (*levels, *memories, *((*traced, *levels) if trace else ()))

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
        return {name: z[name] if name in z else self.b.zeros(self.e.type) for name in self.core.streams}

    def _tick(self, z: States, active: Tick, *, last: bool = False) -> States:
        now = dict(z)
        for name in active:
            seen = now if self.core.order == "sequential" else z
            now[name] = self._update(name, self._sum(name, seen), last=last)
        return now

    def _sum(self, name: str, z: States) -> Value:
        """Return z_l + the other z + (e if injected)."""
        own = [z[name]] if name in z else []
        others = [z[other] for other in self.core.streams if other != name and other in z]
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
        prefix = "shared" if self.core.share else name
        for i in range(level.layers):
            place = f"{self.b.place}.levels.{name}.block"
            x = level.block.apply(self.b, f"levels.{prefix}.{i}", x, place=place)
        return x

    def _through_memory(self, name: str, x: Value, *, last: bool) -> Value:
        """Read the memory as the pass began; the last tick also proposes what to commit."""
        memory, held = self.memories[name], self.held[name]
        if not last:
            return memory.readout(self.b, x, held)
        y, self.proposed[name] = memory.step(self.b, x, held)
        return y

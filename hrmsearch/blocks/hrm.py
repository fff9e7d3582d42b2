"""The HRM core: levels that tick at their own periods over one shared stream.

Source: Wang et al. 2025, arXiv:2506.21734 (HRM); a flat transformer is a core with one level.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from hrmsearch.blocks.base import Core, Leaf, Ran
from hrmsearch.blocks.levels import Levels
from hrmsearch.blocks.memory import Placed
from hrmsearch.blocks.ticking import Ticking
from hrmsearch.ir import Builder, Value


class HRM(Levels, Core):
    """Levels of blocks on their own clocks over the embedded stream.

    order: `sequential` levels read what updated in this tick, `simultaneous` ones what stood before it. inject: the
    levels that see the embedded stream. gradient: the ticks that gradient crosses; earlier ones run without. share: one
    stack of blocks serves all levels; what a block carries is each level's own. telemetry: readings that
    are always told: `energy`, `ponder`, `norm`.
    """

    kind: Literal["hrm"] = "hrm"

    @property
    def streams(self) -> tuple[str, ...]:
        """The levels, fastest first."""
        return self.fastest_first

    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return the states of the levels and of their blocks."""
        return self.level_leaves(b, x, "core")

    def run(
        self,
        b: Builder,
        x: Value,
        states: Mapping[str, Value],
        memories: Mapping[str, tuple[Placed, Mapping[str, Value]]],
        *,
        read: Collection[str],
        trace: bool = False,
    ) -> Ran:
        """Call the core's function on the stream, the levels' states, the memories placed in them and their blocks'."""
        del read  # every level is wanted: it is carried, or read by those above
        z = {name: states[f"z_{name}"] for name in self.streams if f"z_{name}" in states}
        carried, z = bool(z), z or self.starts(b, x)
        kept = {name: list(held) for name, (_, held) in memories.items()}
        gives = {name: [*kept[name], *memory.told(b)] for name, (memory, _) in memories.items()}
        told = self.told(b)
        placed = {name: memory for name, (memory, _) in memories.items()}
        inner = {path: value for path, value in states.items() if "." in path}
        values = [*z.values(), *(value for _, held in memories.values() for value in held.values()), *inner.values()]

        def build(inside: Builder, e: Value, *given: Value) -> tuple[Value, ...]:
            rest = iter(given)
            levels = {name: next(rest) for name in z}
            held = {level: {name: next(rest) for name in names} for level, names in kept.items()}
            blocks = {path: next(rest) for path in inner}
            ticking = Ticking(self, inside, e, blocks, placed, held)
            last, traced = ticking.run(levels, trace=trace or self.tells_ticks(b))
            proposed = [ticking.proposed[level][name] for level, names in gives.items() for name in names]
            left = ticking.left | self.readings(inside, last, traced)
            return (*last.values(), *proposed, *(left[path] for path in (*inner, *told)), *(traced if trace else ()))

        key = (
            type(self),
            self.model_dump_json(),
            trace,
            *((p.prefix, p.memory.model_dump_json()) for p in placed.values()),
        )
        results = b.call("core", build, x, *values, title="HRM", key=key, place=b.place)
        return self._ran(results, gives, list(inner), told, carried=carried)

    def _ran(
        self,
        results: Sequence[Value],
        gives: Mapping[str, list[str]],
        inner: Sequence[str],
        told: Sequence[str],
        *,
        carried: bool,
    ) -> Ran:
        n = len(self.streams)
        streams = dict(zip(self.streams, results, strict=False))
        rest = iter(results[n:])
        memories = {level: {name: next(rest) for name in names} for level, names in gives.items()}
        candidates = {f"z_{name}": value for name, value in streams.items()} if carried else {}
        candidates |= {path: next(rest) for path in inner}
        telemetry = {name: next(rest) for name in told}
        trace = {f"trace.{i // n + 1}.{self.streams[i % n]}": value for i, value in enumerate(rest)}
        return Ran(streams, candidates, telemetry, memories, trace)

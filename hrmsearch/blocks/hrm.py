"""The HRM core: levels that tick at their own periods over one shared stream.

A pass is ticks i = 1..N_c * P, with N_c `cycles` and P the slowest period. At tick i each level whose period divides i
updates, fastest first: z_l <- Block_l(z_l + sum of the other z + (e if l in inject)).
Source: Wang et al. 2025, arXiv:2506.21734 (HRM); a flat transformer is a core with one level.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from hrmsearch.blocks.base import Block, Core, Leaf, Ran, table_over_tokens
from hrmsearch.blocks.memory import Placed
from hrmsearch.blocks.ticking import Ticking
from hrmsearch.ir import Axis, Builder, Size, Value
from hrmsearch.spec.fields import Init, resolve
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part


class Level(Part):
    """One level: it updates every `period` ticks through `layers` blocks."""

    period: int = Field(default=1, ge=1, le=4096)
    layers: PositiveInt = 1
    block: Annotated[Block, Choice("block")]


class Start(Part):
    """Where a level's state starts: a learned or a fixed value, one row for all positions or one per position."""

    kind: Literal["fixed", "learned"] = "fixed"
    per: Literal["width", "position"] = "width"
    init: Init = "zeros"


class LevelState(Part):
    """When the levels' states restart. lifetime `pass` restarts them every pass, so nothing is carried."""

    lifetime: Literal["pass", "window", "stream"] = "window"
    commit: Literal["every_pass", "last_pass"] = "every_pass"
    start: Start = Field(default_factory=Start)


class LastTicks(Part):
    """Gradient through the last k ticks."""

    last_ticks: PositiveInt


class HRM(Core):
    """Levels of blocks on their own clocks.

    order: `sequential` levels read what updated in this tick, `simultaneous` ones what stood before it. inject: the
    levels that see the embedded stream. gradient: the ticks that gradient crosses; earlier ones run without. share: one
    stack of blocks serves all levels.
    """

    kind: Literal["hrm"] = "hrm"
    cycles: int = Field(default=1, ge=1, le=4096)
    order: Literal["sequential", "simultaneous"] = "sequential"
    inject: tuple[str, ...] = ("L",)
    gradient: Literal["last_tick", "last_cycle", "full"] | LastTicks = "last_tick"
    share: bool = False
    state: LevelState = Field(default_factory=LevelState)
    levels: dict[Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")], Level] = Field(min_length=1)

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        for i, level in enumerate(self.inject):
            if level not in self.levels:
                raise FieldProblem(f"unknown level {level!r}; the levels are {', '.join(self.levels)}", "inject", i)
        order = self.streams
        for fast, slow in pairwise(order):
            if self.levels[slow].period % self.levels[fast].period:
                message = f"the period of {fast}, {self.levels[fast].period}, does not divide that of {slow}"
                raise FieldProblem(message, "levels", slow, "period")
        if self.share and len({(level.layers, level.block.model_dump_json()) for level in self.levels.values()}) > 1:
            raise FieldProblem("shared levels need equal layers and blocks", "share")
        if isinstance(self.gradient, LastTicks) and self.gradient.last_ticks > self.ticks:
            raise FieldProblem(f"a pass has {self.ticks} ticks", "gradient", "last_ticks")
        return self

    @property
    def streams(self) -> tuple[str, ...]:
        """The levels, fastest first."""
        return tuple(sorted(self.levels, key=lambda level: self.levels[level].period))

    @property
    def ticks(self) -> int:
        """Ticks in a pass, N_c * P."""
        return self.cycles * self._slowest

    @property
    def _slowest(self) -> int:
        return max(level.period for level in self.levels.values())

    @property
    def free_ticks(self) -> int:
        """Ticks at the start of a pass that run without gradient."""
        return self.ticks - self._gradient_ticks

    @property
    def _gradient_ticks(self) -> int:
        if isinstance(self.gradient, LastTicks):
            return self.gradient.last_ticks
        return {"last_tick": 1, "last_cycle": self._slowest, "full": self.ticks}[self.gradient]

    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return a state (B, T, D) per level; with the lifetime `pass` and a start of zeros there is none."""
        state = self.state
        if state.lifetime == "pass":
            return {}
        return {
            f"z_{name}": Leaf(x.type, self._start(b, name, x), state.lifetime, state.commit) for name in self.streams
        }

    def _start(self, b: Builder, level: str, x: Value) -> Value:
        """Return a start value, [D] or [T, D]; fixed values that are not constant are parameters that never train."""
        start = self.state.start
        width = x.type.axes[-1]
        axes = (Axis("W", Size.of(b.context.window)), width) if start.per == "position" else (width,)
        rule = resolve(start.init, b.context.dim)
        if start.kind == "fixed" and start.init == "zeros":
            return b.zeros(x.type.with_axes([width]))
        value = b.param(f"start.{level}", axes, rule, trainable=start.kind == "learned")
        return table_over_tokens(b, value, x) if start.per == "position" else value

    def _starts(self, b: Builder, x: Value) -> dict[str, Value]:
        """Return the states of a pass that carries none; levels that start at zero are left out."""
        if self.state.start.init == "zeros" and self.state.start.kind == "fixed":
            return {}
        return {name: b.broadcast(self._start(b, name, x), x.type) for name in self.streams}

    def run(
        self,
        b: Builder,
        x: Value,
        states: Mapping[str, Value],
        memories: Mapping[str, tuple[Placed, Mapping[str, Value]]],
        *,
        trace: bool = False,
    ) -> Ran:
        """Call the core's function on the stream, the levels' states and the memories placed in them."""
        z = {name: states[f"z_{name}"] for name in self.streams if f"z_{name}" in states}
        z = z or self._starts(b, x)
        kept = {name: list(held) for name, (_, held) in memories.items()}
        placed = {name: memory for name, (memory, _) in memories.items()}
        values = [*z.values(), *(value for _, held in memories.values() for value in held.values())]

        def build(inner: Builder, e: Value, *given: Value) -> tuple[Value, ...]:
            rest = iter(given)
            levels = {name: next(rest) for name in z}
            held = {level: {name: next(rest) for name in names} for level, names in kept.items()}
            return Ticking(self, inner, e, placed, held).run(levels, trace=trace)

        key = (
            type(self),
            self.model_dump_json(),
            trace,
            *((p.prefix, p.memory.model_dump_json()) for p in placed.values()),
        )
        results = b.call("core", build, x, *values, title="HRM", key=key, place=b.place)
        return self._ran(results, kept, carried=bool(states))

    def _ran(self, results: Sequence[Value], kept: Mapping[str, list[str]], *, carried: bool) -> Ran:
        n = len(self.streams)
        streams = dict(zip(self.streams, results, strict=False))
        rest = iter(results[n:])
        memories = {level: {name: next(rest) for name in names} for level, names in kept.items()}
        ticks = list(rest)
        trace = {f"trace.{i // n + 1}.{self.streams[i % n]}": value for i, value in enumerate(ticks)}
        candidates = {f"z_{name}": value for name, value in streams.items()} if carried else {}
        return Ran(streams, candidates, memories, trace)

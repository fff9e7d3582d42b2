"""Levels of blocks on their own clocks: what the HRM core and the HRM block share.

A call is ticks i = 1..N_c * P, with N_c `cycles` and P the slowest period. At tick i each level whose period divides i
updates, fastest first: z_l <- Block_l(z_l + sum of the other z + (e if l in inject)).
Source: Wang et al. 2025, arXiv:2506.21734 (HRM).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, PositiveInt, model_validator

from hrmsearch.blocks.base import Block, Leaf, below, table_over_tokens
from hrmsearch.ir import Axis, Builder, DType, Size, Type, Value
from hrmsearch.ir.graph import join_path
from hrmsearch.spec.fields import Init, resolve
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part

Reading = Literal["energy", "norm", "ponder"]


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


class Levels(Part):
    """Levels of blocks on their own clocks.

    order: `sequential` levels read what updated in this tick, `simultaneous` ones what stood before it. inject: the
    levels that see the stream. gradient: the ticks that gradient crosses; earlier ones run without. share: one stack of
    blocks serves all levels; what a block carries is each level's own. telemetry: what is told per row whatever
    `train.telemetry` asks for: `energy` of each level, the mean over tokens of the sum of z^2 over the width; `norm`,
    its root, of each level after each tick; and `ponder`, the ticks taken.
    """

    cycles: int = Field(default=1, ge=1, le=4096)
    order: Literal["sequential", "simultaneous"] = "sequential"
    inject: tuple[str, ...] = ("L",)
    gradient: Literal["last_tick", "last_cycle", "full"] | LastTicks = "last_tick"
    share: bool = False
    state: LevelState = Field(default_factory=LevelState)
    levels: dict[Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")], Level] = Field(min_length=1)
    # an absent one leaves the resolved spec, and so its hash, as it was
    telemetry: tuple[Reading, ...] | None = None

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        for i, level in enumerate(self.inject):
            if level not in self.levels:
                raise FieldProblem(f"unknown level {level!r}; the levels are {', '.join(self.levels)}", "inject", i)
        if len(set(self.telemetry or ())) < len(self.telemetry or ()):
            raise FieldProblem("a reading occurs twice", "telemetry")
        for fast, slow in pairwise(self.fastest_first):
            if self.levels[slow].period % self.levels[fast].period:
                message = f"the period of {fast}, {self.levels[fast].period}, does not divide that of {slow}"
                raise FieldProblem(message, "levels", slow, "period")
        if self.share and len({(level.layers, level.block.model_dump_json()) for level in self.levels.values()}) > 1:
            raise FieldProblem("shared levels need equal layers and blocks", "share")
        if isinstance(self.gradient, LastTicks) and self.gradient.last_ticks > self.ticks:
            raise FieldProblem(f"a pass has {self.ticks} ticks", "gradient", "last_ticks")
        return self

    @property
    def fastest_first(self) -> tuple[str, ...]:
        """The levels in the order in which they update."""
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

    def _asked(self, b: Builder) -> list[Reading]:
        """Return what levels tell here: readings that the spec names at them, then others that its telemetry wants."""
        own = list(self.telemetry or ())
        return own + [name for name in get_args(Reading) if name not in own and b.context.asks(name)]

    def tells_ticks(self, b: Builder) -> bool:
        """Return whether readings of every tick are asked for."""
        return "norm" in self._asked(b)

    def told(self, b: Builder) -> tuple[str, ...]:
        """Return the readings asked for, and those of the blocks: `energy_L`, `norm_L_1`, `ponder`, `L.0.ponder`."""
        found: list[str] = []
        for reading in self._asked(b):
            after = {"energy": [""], "norm": [f"_{i}" for i in range(1, self.ticks + 1)]}.get(reading)
            found += [reading] if after is None else [f"{reading}_{z}{i}" for i in after for z in self.fastest_first]
        for name in self.fastest_first:
            for i in range(self.levels[name].layers):
                found += [f"{name}.{i}.{told}" for told in self.levels[name].block.told(b)]
        return tuple(found)

    def readings(self, b: Builder, z: Mapping[str, Value], ticks: Sequence[Value]) -> dict[str, Value]:
        """Return the readings asked for, of levels as the last tick left them, and `ticks` as each one did."""
        found: dict[str, Value] = {}
        names = self.fastest_first
        for reading in self._asked(b):
            match reading:
                case "energy":
                    found |= {f"energy_{name}": _energy(b, value) for name, value in z.items()}
                case "norm":
                    for i, value in enumerate(ticks):
                        name = f"norm_{names[i % len(names)]}_{i // len(names) + 1}"
                        found[name] = b.op("sqrt", _energy(b, value))
                case "ponder":
                    rows = next(iter(z.values())).type.axes[0]
                    found["ponder"] = b.full(float(self.ticks), Type(DType.WIDE, (rows,)))
        return found

    def level_leaves(self, b: Builder, x: Value, prefix: str, start: str = "") -> dict[str, Leaf]:
        """Return a state (B, T, D) per level, `z_L`, and those of its blocks, `L.0.c`.

        With the lifetime `pass` the levels carry nothing. prefix, start: of the parameters of the blocks and of starts.
        """
        found: dict[str, Leaf] = {}
        if self.state.lifetime != "pass":
            for name in self.fastest_first:
                value = self._start(b, name, x, start)
                found[f"z_{name}"] = Leaf(x.type, value, self.state.lifetime, self.state.commit, b.place)
        for name in self.fastest_first:
            with b.at(f"{b.place}.levels.{name}.block"):
                for i in range(self.levels[name].layers):
                    inner = self.levels[name].block.leaves(b, x, join_path(prefix, self.block_prefix(name, i)))
                    found |= below(f"{name}.{i}", inner)
        return found

    def block_prefix(self, level: str, layer: int) -> str:
        """Return where the parameters of a level's block are."""
        return f"levels.{'shared' if self.share else level}.{layer}"

    def _start(self, b: Builder, level: str, x: Value, prefix: str) -> Value:
        """Return a start value, [D] or [T, D]; fixed values that are not constant are parameters that never train."""
        start = self.state.start
        width = x.type.axes[-1]
        axes = (Axis("W", Size.of(b.context.window)), width) if start.per == "position" else (width,)
        rule = resolve(start.init, b.context.dim)
        if start.kind == "fixed" and start.init == "zeros":
            return b.zeros(x.type.with_axes([width]))
        value = b.param(join_path(prefix, f"start.{level}"), axes, rule, trainable=start.kind == "learned")
        return table_over_tokens(b, value, x) if start.per == "position" else value

    def starts(self, b: Builder, x: Value, prefix: str = "") -> dict[str, Value]:
        """Return the levels' states at their starts; levels that start at zero are left out."""
        if self.state.start.init == "zeros" and self.state.start.kind == "fixed":
            return {}
        return {name: b.broadcast(self._start(b, name, x, prefix), x.type) for name in self.fastest_first}


def _energy(b: Builder, z: Value) -> Value:
    """Return the mean over tokens of the sum of z^2 over the width, wide[B], without gradient."""
    z = b.cast(b.op("detach", z), DType.WIDE)
    return b.mean(b.sum(z * z, "D"), "T")

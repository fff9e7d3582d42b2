"""Levels that tick, as one block: an HRM inside a stack, after one as an adapter, or inside a level."""

from typing import Literal

from pydantic import Field

from hrmsearch.blocks.base import Block, Leaf, State, project
from hrmsearch.blocks.levels import Levels, LevelState
from hrmsearch.blocks.prenorm import PreNorm
from hrmsearch.blocks.ticking import Ticking
from hrmsearch.ir import Builder, Value
from hrmsearch.spec.registry import inherited


class CallState(LevelState):
    """When the levels' states restart; by default at every call, so that nothing is carried."""

    lifetime: Literal["pass", "window", "stream"] = "pass"


class HRMBlock(Levels, Block):
    """Levels over the normalised stream e = norm(x): x <- x + z W, with z what the slowest level came to.

    The levels begin at their starts at every call, or go on where `state` says so; cycles, order, inject and gradient
    are those of the HRM core. residual: false gives z itself, without W. `norm` comes from `model.defaults` unless
    given. As the last block of a stack it is an adapter around what the stack came to.
    """

    kind: Literal["hrm"] = "hrm"
    state: CallState = Field(default_factory=CallState)
    norm: PreNorm = inherited("norm", place="pre")
    residual: bool = True

    def leaves(self, b: Builder, x: Value, prefix: str) -> dict[str, Leaf]:
        """Return the states of the levels and of their blocks."""
        return self.level_leaves(b, x, prefix, start=prefix)

    def build(self, b: Builder, x: Value) -> Value:
        """Return the updated (B, T, D)."""
        return self.step(b, x, {})[0]

    def step(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return the updated (B, T, D), and what the levels and their blocks leave."""
        e = self.norm.apply(b, "norm", x)
        e.name = "e"
        z = {name: state[f"z_{name}"] for name in self.fastest_first if f"z_{name}" in state}
        ticking = Ticking(self, b, e, {path: value for path, value in state.items() if "." in path})
        last, traced = ticking.run(z or self.starts(b, x), trace=self.tells_ticks(b))
        for name, value in last.items():
            value.name = value.name or f"z_{name}"
        left = {f"z_{name}": value for name, value in last.items()} | ticking.left | self.readings(b, last, traced)
        y = last[self.fastest_first[-1]]
        return (x + project(b, y, "w_out") if self.residual else y), left

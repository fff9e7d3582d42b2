"""The cache of lagged training: a recurrence over tokens that is trained in parallel, an epoch behind itself."""

from typing import Literal

from hrmsearch.blocks.base import project
from hrmsearch.blocks.store import Store
from hrmsearch.ir import Axis, Builder, Size, Type, Value


class Lagged(Store):
    """x_t + c_(t-1), or with `project` x_t + c_(t-1) W; c is the stream `of` as the last pass over this window left it.

    Before the first token stands zero. Passes over a window with parameters that stand still come to
    h_t = f(x_t, h_(t-1)) token by token, of which n passes have the first n right. Source: lagged cache training,
    github.com/rato-tokyo/new-llm at 2d20b9c, which projects; that an unmet window begins with zeros is ours.
    """

    kind: Literal["lagged"] = "lagged"
    project: bool = False

    def build(self, b: Builder, x: Value, kept: Value) -> Value:
        """Return the stream with what was kept of the token before."""
        rows, tokens, width = kept.type.axes
        before = b.zeros(Type(kept.type.dtype, (rows, Axis(tokens.name, Size.of(1)), width)))
        late = b.slice(b.concat(tokens.name, before, kept), tokens.name, 0, tokens.size)
        return x + (project(b, late, "w_lag") if self.project else late)

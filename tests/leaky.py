"""A mixer that recurs, small enough to see through: for tests of what carries the state of any such mixer."""

from collections.abc import Mapping
from typing import Literal

import hrmsearch as hs
from hrmsearch.blocks.base import State, project
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.spec.model import Spec
from hrmsearch.testing import Toy

TASK = Toy(window=4, loader="contiguous")
TEXT = """
spec: 1
name: leaky
model:
  dim: 4
  init: {{normal: 0.5}}
  defaults: {{ffn: {{width: 3}}}}
  embed: {{init: {{normal: 0.5}}}}
  core: {core}
  head: {{kind: lm, read: {read}}}
nest: {{passes: {passes}}}
task: {task}
"""


class Leaky(Recurrent):
    """h_t = sigmoid(decay) h_(t-1) + x_t W; the stream is h."""

    kind: Literal["leaky"] = "leaky"

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        rows, _, width = x.type.axes
        return {"h": (b.full(0.0, Type(DType.COMPUTE)), Type(DType.COMPUTE, (rows, width)))}

    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        new = project(b, x, "w_in")
        keep = b.broadcast(b.sigmoid(b.param("decay", x.type.axes[-1:], "zeros")), new.type)
        if write is not None:
            written = b.broadcast(write, new.type.with_dtype(DType.BOOL))
            new, keep = b.where(written, new, 0.0), b.where(written, keep, 1.0)
        h, last = b.linear_scan(keep, new, state["h"])
        return h, {"h": last}


def leaky(core: str, *overrides: str, read: str = "last", passes: int = 1) -> Spec:
    """Return a tiny spec around a core."""
    text = TEXT.format(core=core, read=read, passes=passes, task=TASK.model_dump_json())
    return hs.loads(text, "leaky.yaml", overrides)

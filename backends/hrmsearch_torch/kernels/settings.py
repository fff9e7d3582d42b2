"""How kernels run on a device: what was fastest at sizes nearby.

`benchmarks/tune_kernels.py` writes the table. Nothing is tried out when a model runs, so a CUDA graph may record it.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("settings.json")
#: steps that a chunk has at least: below, starting it costs more than it saves
_CHUNK = 64
#: bytes of a multiprocessor's shared memory that tiles under way may fill
_SHARED = 192 * 1024

#: whether a step's matrix is the same at every step, or varies, or lanes meet within heads
Kind = Literal["fixed", "varying", "heads"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a kernel is cut up.

    block: lanes of a program; of a kernel of heads, rows. stages: tiles that are read at once. chunks: of the steps.
    """

    block: int
    warps: int
    stages: int
    chunks: int = 1

    def within(self, read: int) -> "Settings":
        """Return these with as many stages as there is room for; read: bytes per lane of a tile."""
        return replace(self, stages=max(1, min(self.stages, _SHARED // max(read * self.block, 1))))


@dataclass(frozen=True, slots=True)
class Size:
    """What a kernel is for. bytes: of a number that varies with the steps. lanes: rows times lanes."""

    backward: bool
    kind: Kind
    bytes: int
    lanes: int
    steps: int

    def distance(self, other: "Size") -> float:
        """Return how far sizes are apart: number formats most, then lanes, steps least."""
        bytes_, lanes, steps = (
            abs(math.log2(mine / theirs))
            for mine, theirs in ((self.bytes, other.bytes), (self.lanes, other.lanes), (self.steps, other.steps))
        )
        return 5.0 * (self.kind != other.kind) + 10.0 * bytes_ + 2.0 * lanes + steps

    def is_like(self, other: "Size") -> bool:
        """Return whether settings mean the same for both."""
        return self.backward == other.backward and (self.kind == "heads") == (other.kind == "heads")


@cache
def table() -> Sequence[tuple[Size, Settings]]:
    """Return the sizes that were measured, each with what was fastest."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    return [tuple(kind(*(row[f.name] for f in fields(kind))) for kind in (Size, Settings)) for row in rows]  # pyright: ignore[reportReturnType]


def chosen(size: Size) -> Settings:
    """Return how to run a kernel of some size: as at the nearest one measured, with as many programs."""
    nearest, found = min((row for row in table() if size.is_like(row[0])), key=lambda row: size.distance(row[0]))
    wanted = round(found.chunks * nearest.lanes / size.lanes)
    chunks = max(1, min(wanted, size.steps // _CHUNK)) if found.chunks > 1 else 1
    return replace(found, chunks=chunks)

"""The puzzle embedding of HRM and TRM."""

from typing import Annotated, Literal

from pydantic import PositiveInt

from hrmsearch.blocks.base import fail
from hrmsearch.blocks.prefix import Prefix
from hrmsearch.ir import Axis, Builder, Size, Value, axis
from hrmsearch.spec.fields import Init, OrNone, resolve


class Puzzle(Prefix):
    """An entry of `width` numbers (F) for every puzzle, with zeros behind it, as rows of the model's width.

    width: by default that of the model. positions: how many rows it fills, by default as many as `width` needs. init:
    what the table starts as. Source: Wang et al. 2025, arXiv:2506.21734 (HRM); 16 rows in Jolicoeur-Martineau 2025,
    arXiv:2510.04871 (TRM).
    """

    kind: Literal["puzzle"] = "puzzle"
    width: Annotated[PositiveInt | None, OrNone()] = None
    positions: Annotated[PositiveInt | None, OrNone()] = None
    init: Init = "zeros"

    def rows(self, dim: int) -> int:
        """Return `positions`, or as many as the width needs."""
        return self.positions or -(-(self.width or dim) // dim)

    def build(self, b: Builder, keys: Value) -> Value:
        """Return the entries of puzzles i32[B] as (B, P, D)."""
        dim = b.context.dim
        wide, room = self.width or dim, self.rows(dim) * dim
        if wide > room:
            raise fail(b, "positions", f"{self.positions} rows of {dim} hold no {wide} numbers; {-(-wide // dim)} do")
        width = axis("F", wide)
        table = b.param(
            "table",
            (Axis("I", Size.of(b.context.keys["puzzle"])), width),
            resolve(self.init, wide),
            keyed=self.lifetime.keyed,
        )
        x = b.gather(table, keys)
        if wide < room:
            x = b.op("pad", x, axis="F", before=0, size=room, value=0.0)
        return b.split(x, "F", axis("P", room // dim), axis("D", dim))

"""OACD: states of tokens are driven apart, and their centre to the origin."""

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat

from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.losses.base import Given, Objective

#: rows whose deviations are this small, squared and summed, are equal but for rounding, which the root would amplify
_EQUAL: Final = 1e-10


class Oacd(Objective):
    """-||C - mu||_F / n + centroid * ||mu||^2 over n rows: one for each token of the batch, mu their mean.

    read: the streams whose rows these are; several are joined along the width. centroid: how strongly the centre is
    held; published as 0.1, while at 0.01 it drifts and at 1.0 all rows collapse into the origin. No target is read.
    Source: github.com/rato-tokyo/new-llm, src/losses/diversity.py (origin-anchored centroid dispersion).
    """

    kind: Literal["oacd"] = "oacd"
    read: str | Annotated[tuple[str, ...], Field(min_length=1)]
    centroid: NonNegativeFloat = 0.1

    @property
    def reads(self) -> tuple[str, ...]:
        """What `read` names."""
        return (self.read,) if isinstance(self.read, str) else self.read

    def total(self, b: Builder, given: Given, place: str) -> Value:
        """Return the number for the streams that it reads."""
        return self.apply(b, "loss", *(given.streams[name] for name in self.reads), place=place)

    def build(self, b: Builder, *streams: Value) -> Value:
        """Return the number for streams (B, T, D)."""
        rows = b.cast(streams[0] if len(streams) == 1 else b.concat("D", *streams), DType.WIDE)
        centre = b.mean(rows, "B", "T")
        apart = rows - centre
        spread = b.op("maximum", b.sum(apart * apart, "B", "T", "D"), _EQUAL)
        count = b.sum(b.full(1.0, Type(DType.WIDE, rows.type.axes[:2])), "B", "T")
        return self.centroid * b.sum(centre * centre, "D") - b.op("sqrt", spread) / count

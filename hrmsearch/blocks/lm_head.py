"""The language-model head."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from hrmsearch.blocks.base import Head, Norm, project
from hrmsearch.ir import Builder, Value, axis
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice


class LMHead(Head):
    """Logits = norm(x) W + b; `tied` takes the embedding table, transposed, as W. A pre-norm core wants a `norm`."""

    kind: Literal["lm"] = "lm"
    bias: bool = False
    tied: bool = False
    norm: Annotated[Annotated[Norm, Choice("norm", "rms")] | None, OrNone()] = None

    @model_validator(mode="after")
    def _no_tied_bias(self) -> Self:
        if self.tied and self.bias:
            raise FieldProblem("a tied head has no bias", "bias")
        return self

    def logits(self, b: Builder, x: Value) -> Value:
        """Return the logits; a tied head is called under the embedding's prefix, so that it shares the table."""
        if not self.tied:
            return super().logits(b, x)
        if self.norm is not None:
            x = self.norm.apply(b, "head_norm", x, place=f"{b.place}.norm")
        return self.call(b, "embed", x, method="tied_logits", place=b.place)[0]

    def build(self, b: Builder, x: Value) -> Value:
        """Return the logits (B, T, C)."""
        classes = axis("C", b.context.vocabulary)
        if self.norm is not None:
            x = self.norm.apply(b, "norm", x)
        logits = project(b, x, "weight", classes)
        return logits + b.param("bias", (classes,), "zeros") if self.bias else logits

    def tied_logits(self, b: Builder, x: Value) -> Value:
        """Return x table^T, for the table whose initial rule the embedding declares."""
        table = b.param("table", (axis("C", b.context.vocabulary), x.type.axes[-1]), init=None)
        return b.einsum("B T D, C D -> B T C", x, table)

"""The norm of a block that normalises what its layers read, never the stream itself."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from hrmsearch.blocks.base import Norm
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice


def _placed(norm: Norm) -> Norm:
    """Return the norm with the only place it can have here; raises FieldProblem where the spec says another."""
    if norm.place == "post" and "place" in norm.model_fields_set:
        raise FieldProblem("this block is pre-norm; `kind: transformer` may have its norm after the sum", "place")
    return norm.model_copy(update={"place": "pre"})


#: declare a field of it as `norm: PreNorm = inherited("norm", place="pre")`
PreNorm: TypeAlias = Annotated[Norm, Choice("norm", "rms"), AfterValidator(_placed)]

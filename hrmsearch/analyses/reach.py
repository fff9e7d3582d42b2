"""A domain of marks: which leaves a value is made of, whatever lies between. Rules mark what they want to follow."""

from collections.abc import Sequence

from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.ir.graph import Op, Value

Marks = frozenset[str]
NONE: Marks = frozenset()


class Reach(Domain[Marks]):
    """Sets of marks that unite; leaves have none until a rule's own domain gives them some."""

    def leaf(self, op: Op, site: Site) -> Marks:
        """Return no mark."""
        return NONE

    def transfer(self, op: Op, result: Value, operands: Sequence[Marks], site: Site) -> Marks:
        """Unite."""
        return NONE.union(*operands)

    def join(self, first: Marks, second: Marks) -> Marks:
        """Unite."""
        return first | second

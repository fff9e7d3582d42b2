"""Names for the scalars of a step in a printed language."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from hrmsearch.ir.graph import Op, Value

#: the statement that computes an operation into a name, from those of its operands
Statement = Callable[[Op, str, Sequence[str]], str]


class Names:
    """Names for the values of a step: those given, then `prefix0`, `prefix1`, ... for what is computed."""

    def __init__(self, statement: Statement, prefix: str, given: Mapping[Value, str]) -> None:
        self._statement = statement
        self._prefix = prefix
        self._names = dict(given)

    def of(self, values: Iterable[Value]) -> list[str]:
        """Return the names of values that are given or printed."""
        return [self._names[value] for value in values]

    def lines(self, ops: Sequence[Op]) -> Iterator[str]:
        """Yield a statement per operation."""
        for op in ops:
            operands = self.of(op.operands)
            name = self._names[op.result] = f"{self._prefix}{len(self._names)}"
            yield self._statement(op, name, operands)

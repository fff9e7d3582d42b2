"""What emitted values are called: by their hints, by who makes and reads them, else by their kind."""

from hrmsearch.emission.scope import File, Scope, identifier
from hrmsearch.emission.tree import Class, snake
from hrmsearch.ir.graph import Op, Region, Value

#: kinds that move or convert a value: its name goes with it
_SAME_THING = frozenset(
    {"split", "merge", "transpose", "rename", "rope", "cast", "dropout", "slice", "broadcast", "pad", "detach"}
)
_STEMS = {
    "add": "total", "sub": "difference", "mul": "scaled", "div": "ratio", "where": "chosen", "sum": "total",
    "attention": "mixed", "softmax": "weights", "rms_norm": "normed", "layer_norm": "normed", "concat": "joined",
    "cross_entropy": "nll",
    "less": "mask", "equal": "mask", "and": "mask", "or": "mask", "not": "mask", "gather": "rows", "sigmoid": "gate",
    "silu": "gate", "gelu": "gate", "amax": "peak", "abs": "size", "cumsum": "running", "cummax": "running",
    "argmax": "best", "linear_scan": "states",
}  # fmt: skip


class Naming(Scope):
    """A scope that finds names.

    hints: the graph's names, which also ask for a statement. wishes: names of carries that values continue. given:
    names for values that have none of their own.
    """

    def __init__(self, file: File, owner: Class, buffers: dict[str, Op]) -> None:
        super().__init__(file, owner, buffers)
        self.given = dict(file.given)
        self.hints: dict[Value, str] = {}
        self.wishes: dict[Value, str] = {}
        self.renewals: set[Value] = set()

    def hint(self, region: Region) -> None:
        """Collect name hints; the hint of a value that is only moved goes to what it becomes."""
        for op in region.ops:
            for value in op.results:
                self.hints[value] = identifier(value.name)
            for inner in op.regions:
                self.hint(inner)
            source = op.operands[0] if op.kind in _SAME_THING else None
            if source is None or self.hints[op.result] or self.uses.reads[source] != 1:
                continue
            made = self.uses.producer.get(source)
            if made is not None and made.kind not in ("param", "state", "input") and made in region.ops:
                self.hints[op.result], self.hints[source] = self.hints[source], ""

    def stem(self, value: Value) -> str:
        """Return what a value would like to be called."""
        for known in (self.wishes, self.hints, self.given):
            if known.get(value):
                return known[value]
        if value.name or value not in self.uses.producer:
            return identifier(value.name) or "x"
        return self._stem(self.uses.producer[value], value)

    def _stem(self, op: Op, value: Value) -> str:
        """Return a name for a value that nobody named, from how it is made and read."""
        same = bool(op.operands) and op.operands[0].type == value.type
        if op.kind in _SAME_THING or (op.kind in ("add", "call") and same):
            return self.stem(op.operands[0])
        if op.kind == "call":
            return self._called(op, value)
        if op.kind == "repeat":
            return self.stem(op.operands[op.results.index(value)])
        if op.kind == "einsum":
            made = [self.uses.producer.get(operand) for operand in op.operands]
            paths = [other.attrs["path"] for other in made if other is not None and other.kind == "param"]
            return next((path[2:] for path in paths if path.startswith("w_")), "product")
        if op.kind == "const":
            rule: str = op.attrs["rule"]
            return {"iota": "positions", "full": "filled"}.get(rule, rule.removeprefix("rope_"))
        return _STEMS.get(op.kind, op.kind)

    def _called(self, op: Op, value: Value) -> str:
        """Return a name for a call's result: the callee's, the one its reader knows it by, or the prefix."""
        functions = self.graph.functions
        callee = functions[op.attrs["callee"]]
        name = identifier(callee.body.results[op.results.index(value)].name)
        for reader in self.uses.readers.get(value, []):
            if reader.kind == "call" and not name:
                name = identifier(functions[reader.attrs["callee"]].body.args[reader.operands.index(value)].name)
        last = op.attrs["prefix"].rpartition(".")[2]
        return name or (last if len(last) > 1 and last.isidentifier() else snake(callee.name))

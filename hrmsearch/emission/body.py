"""Writes the operations of one function as Python statements: what gets a name, what is written in place, and loops.

A value read once, without a name hint, is written where it is read, as long as the line stays readable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from hrmsearch.emission import syntax as py
from hrmsearch.emission.layout import Block, Line, Statement
from hrmsearch.emission.liveness import handed_on, returned, runs_once, uses_of
from hrmsearch.emission.naming import Naming
from hrmsearch.emission.operands import filled
from hrmsearch.emission.scope import identifier
from hrmsearch.emission.syntax import Expr
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op, Region, Value
from hrmsearch.ir.tokenwise import selects

Form = Callable[[Sequence[Expr]], Expr]
# an expression longer or deeper than this has its parts named
_LENGTH, _NESTING = 84, 4


class Body(Naming):
    """One function under translation."""

    def begin(self, region: Region, results: Iterable[Value]) -> None:
        """Take note of what is needed and how it is called, before the first statement."""
        self.uses = uses_of(region, results)
        self.hint(region)

    def statements(self) -> list[Statement]:
        """Return the function's statements, sizes first."""
        return [*self.sizes(), *self.block]

    def region(self, region: Region, ops: Iterable[Op] | None = None) -> None:
        """Write the needed operations of a region, or those given."""
        for op in region.ops if ops is None else ops:
            if op in self.uses.live:
                self.operation(op, region)

    def operation(self, op: Op, region: Region) -> None:
        """Write one operation, or keep its expression for the place that reads it."""
        structured = {"call": self._call, "repeat": self._repeat, "scan": self._scan}
        if op.kind == "param":
            self.bound[op.result] = self.access(op.attrs["path"].split("."))
        elif self._is_plain(op, region):
            self.bound[op.result] = py.lift(op.attrs["value"])
        elif op.kind in structured:
            structured[op.kind](op, region)
        elif op.kind in self.dialect.kinds:
            kind = self.dialect.kinds[op.kind]
            self._finish(op, self._build(op, lambda x: kind(self, op, x)), region)
        else:
            raise BackendError(f"{op.place}: {self.dialect.framework} has no form of the op {op.kind!r}")

    def _is_plain(self, op: Op, region: Region) -> bool:
        """Return whether a constant may stay a number: everything that reads it gives it a shape."""
        if op.kind != "const" or op.attrs["rule"] != "full" or op.result in region.results:
            return False
        readers = self.uses.readers.get(op.result, [])
        return bool(readers) and all(other.kind in ("broadcast", "state") for other in readers)

    # -- expressions -------------------------------------------------------------------------------------------------

    def _build(self, op: Op, form: Form) -> Expr:
        """Return an operation's expression, its operands read; parts get names until it is readable."""
        while True:
            expr = form([self.bound[value] for value in op.operands])
            parts = [value for value in op.operands if value in self.pending]
            if not parts or (len(py.source(expr)) <= _LENGTH and py.nesting(expr) <= _NESTING):
                break
            self.name(max(parts, key=lambda value: len(py.source(self.bound[value]))))
        for value in op.operands:
            self.read(value)
        return expr

    def settle(self, op: Op, expr: Expr, region: Region) -> None:
        """Keep an operation's expression for its only reader, or write it as a statement."""
        value = op.result
        lone = self.uses.reads[value] == 1 and self.uses.reader[value] is region
        self.bound[value] = expr
        if py.is_atom(expr):
            return
        self.pending[value] = op
        if not lone or value in self.wishes or self.hints.get(value):
            self.name(value)

    def name(self, value: Value) -> None:
        """Write a waiting expression as a statement of its own."""
        del self.pending[value]
        expr = self._renewed(value, self.bound.pop(value))
        self.assign(value, self.name_for(value, self.stem(value), carry=value in self.wishes), expr)

    def _renewed(self, value: Value, expr: Expr) -> Expr:
        """Return an expression, in the dialect's way where it is the next value of a recurrence's carry."""
        if value not in self.renewals:
            return expr
        self.renewals.remove(value)
        return self.dialect.renewed(expr)

    def named(self, value: Value) -> Expr:
        """Return an expression that may be written twice, and count the read."""
        if value in self.pending:
            self.name(value)
        return self.read(value)

    def tensor(self, value: Value, expr: Expr) -> Expr:
        """Return a value's expression as a tensor where it is a plain number."""
        return filled(self, value.type, expr)

    def _finish(self, op: Op, expr: Expr, region: Region) -> None:
        """Settle the expression of an operation, or unpack that of several results."""
        if len(op.results) == 1:
            self.settle(op, expr, region)
        else:
            self._unpack(op.results, expr)

    # -- structure ---------------------------------------------------------------------------------------------------

    def _call(self, op: Op, region: Region) -> None:
        parts = [part for part in op.attrs["prefix"].split(".") if part]
        place = self.owner.place
        for part in parts:
            place = place.children[part]
        called, method = self.access(parts), self.made[place].methods[op.attrs["callee"]]
        # a class that is called by `__call__` needs no name for it
        unnamed = method == self.dialect.forward and (parts or method == "__call__")
        called = called if unnamed else py.attr(called, method)
        selective, functions = self.dialect.selective, self.graph.functions
        if selective and selects(functions[op.attrs["callee"]], functions):
            through = [called]
            called = self.helper(selective)
        else:
            through = []

        def form(x: Sequence[Expr]) -> Expr:
            return py.call(called, *through, *map(self.tensor, op.operands, x))

        self._finish(op, self._build(op, form), region)

    def _unpack(self, results: Sequence[Value], expr: Expr) -> None:
        """Write `a, b = expr`; what nobody reads is `_`."""
        names: list[str] = []
        for value in results:
            if self.uses.reads[value]:
                names.append(self.name_for(value, self.stem(value), carry=value in self.wishes))
                self.bind(value, names[-1])
            else:
                names.append("_")
        shapes = ", ".join(f"({', '.join(value.type.names)})" for value in results)
        self.block.append(Line(f"{', '.join(names)} = ", expr, shapes))

    def _repeat(self, op: Op, region: Region) -> None:
        if runs_once(op):
            self._once(op)
        else:
            self._loop_over(op, region)

    def _once(self, op: Op) -> None:
        """Write a body in line; a free one without gradient."""
        (body,) = op.regions
        for value, arg in zip(op.operands, body.args, strict=True):
            if arg in self.uses.needed:
                self.bound[arg] = self.named(value)
        names = {i: py.source(self.bound[a]) for i, a in enumerate(body.args) if a in self.bound}
        self._wish(body, names, free=op.attrs["free"])
        outer = self._open(Block(self.dialect.free)) if op.attrs["free"] and self.dialect.free else None
        self.region(body)
        kept = returned(op, body, self.uses)
        for arg, inside, outside in zip(body.args, body.results, op.results, strict=True):
            if inside not in kept or outside not in self.uses.needed:
                continue
            detach = op.attrs["free"] and inside is not arg and self._escapes(inside, body)
            if inside in self.pending and not detach:
                self.name(inside)
            expr = self.read(inside)
            if detach and not py.is_literal(expr):
                self.assign(outside, self.name_for(outside, self.stem(outside)), py.method(expr, "detach"))
            else:
                self.bound[outside] = expr
        if outer is not None:
            self._close(outer)

    def _escapes(self, inside: Value, body: Region) -> bool:
        """Return whether what a free body returns still has a gradient."""
        return not self.dialect.free or handed_on(inside, body, self.graph.functions)

    def _wish(self, body: Region, names: Mapping[int, str], *, free: bool) -> None:
        """Let what a body returns take the name of the carry it continues; what is detached then needs none before."""
        inner = {value for op in body.ops for value in op.results}
        for i, name in names.items():
            value = body.results[i]
            if value not in inner:
                continue
            if free and not self.dialect.free:
                self.hints[value] = ""
            elif name.isidentifier():
                self.wishes.setdefault(value, name)

    def _open(self, block: Block) -> list[Statement]:
        """Start writing into a block; returns where writing goes on after it."""
        outer = self.block
        outer.append(block)
        self.block = block.body
        return outer

    def _close(self, outer: list[Statement]) -> None:
        """Go back to writing around a block; one that stayed empty is dropped."""
        if not self.block:
            outer.pop()
        self.block = outer

    def _loop_over(self, op: Op, region: Region) -> None:
        """Write a repeat as a loop."""
        del region
        (body,) = op.regions
        carries = self._carries(op.operands, body, op.results, len(body.args))
        outer = self.block
        if op.attrs["free"] and self.dialect.free:
            self._open(Block(self.dialect.free))
        self._open(Block(f"for _ in range({op.attrs['n']})"))
        self._loop_body(body, carries, [], free=op.attrs["free"])
        self.block = outer
        self.leave({name: op.results[i] for i, name in carries.items()})

    def _carries(self, operands: Sequence[Value], body: Region, results: Sequence[Value], n: int) -> dict[int, str]:
        """Bind a loop's carries before it; returns names by position. What the body hands on keeps its own name."""
        names: dict[int, str] = {}
        for i, (value, arg) in enumerate(zip(operands[:n], body.args, strict=False)):
            if body.results[i] is arg:
                expr = self.named(value)
                self.bound[arg] = self.bound[results[i]] = expr
                continue
            made = self.uses.producer.get(value)
            known = "carry" if made is not None and made.kind == "const" else self.stem(value)
            stem = self.hints.get(results[i]) or identifier(arg.name) or known
            expr = self.tensor(value, self.read(value))
            name = py.source(expr)
            # two carries may start from one value, which has the name of one of them
            other = identifier(arg.name) and self.hints.get(value, "") not in ("", identifier(arg.name))
            if not name.isidentifier() or not self.is_dead(name) or name in names.values() or other:
                name = self.name_for(arg, stem)
                self.assign(arg, name, expr)
            names[i] = name
            self.carry(name, arg, body)
        return names

    def _loop_body(
        self, body: Region, carries: Mapping[int, str], outs: Sequence[tuple[int, str]], *, free: bool
    ) -> None:
        """Write a loop's body: what it collects is appended, then every carry holds its new value."""
        self._wish(body, carries, free=free)
        self.enter(body)
        self.region(body)
        listed = dict(outs)
        moved: dict[str, Expr] = {}
        for i, value in enumerate(body.results):
            expr = self.tensor(value, self.read(value))
            if i in listed:
                self.block.append(Line("", py.method(py.ref(listed[i]), "append", expr)))
            elif i in carries:
                expr = self._renewed(value, expr)
                detach = free and self._escapes(value, body)
                if detach or py.source(expr) != carries[i]:
                    moved[carries[i]] = py.method(expr, "detach") if detach else expr
        self.assign_together(moved)

    def _scan(self, op: Op, region: Region) -> None:
        """Write a scan as a loop over slices, its results stacked."""
        (body,) = op.regions
        n, at = op.attrs["carries"], op.attrs["at"]
        carries = self._carries(op.operands, body, op.results, n)
        slices: list[Expr] = []
        targets: list[str] = []
        for value in op.operands[n:]:
            if value in self.pending:
                self.name(value)
        for value, arg in zip(op.operands[n:], body.args[n:], strict=True):
            stem = identifier(arg.name) or self.stem(value)
            suffix = f"_{op.attrs['axis'].lower()}"
            slices.append(self.dialect.slices(self, self.read(value), value.type.index(op.attrs["axis"])))
            targets.append(self.fresh(stem.removesuffix(suffix) + suffix))
            self.given[arg] = stem
            self.bind_inside(targets[-1], arg, body)
        outs = self._collected(op)
        for _, name in outs:
            self.block.append(Line(f"{name}: list[Tensor] = []"))
        over = slices[0] if len(slices) == 1 else py.call("zip", *slices, strict=True)
        outer = self._open(Block(f"for {', '.join(targets)} in ", value=over))
        made = {value for inner in body.ops for value in inner.results}
        self.renewals |= {body.results[i] for i in carries} & made
        self._loop_body(body, carries, outs, free=False)
        self.block = outer
        self.leave({name: op.results[i] for i, name in carries.items()})
        for i, name in outs:
            self._stack(op.results[i], self.dialect.stack(py.ref(name), at))

    def _collected(self, op: Op) -> list[tuple[int, str]]:
        """Return the results of a scan that something reads, each with a name for its list."""
        found: list[tuple[int, str]] = []
        for i in range(op.attrs["carries"], len(op.results)):
            value = op.results[i]
            if self.uses.reads[value]:
                stem = self.hints.get(value) or identifier(op.regions[0].results[i].name) or "stacked"
                self.hints[value] = stem
                found.append((i, self.fresh(f"{stem}s" if stem != "stacked" else "steps")))
                self.reserve(found[-1][1])
        return found

    def _stack(self, value: Value, expr: Expr) -> None:
        self.assign(value, self.name_for(value, self.stem(value)), expr)

"""Fuse: a recurrence and what is pointwise around it become a function, which a backend may run as one kernel.

    %keep = sigmoid(%forget)                        %y, %h = call(%forget, %x, %gate, %start) {callee="Recurrence"}
    %b = %keep * %x                      becomes
    %s, %h = linear_scan(%keep, %b, %start)         with the operations on the left as the function's body
    %y = %s * silu(%gate)

Taken along is what reads and makes one number per row, step and lane: elementwise operations, and those that mix an
axis of a few positions, such as the two levels of an H/L map. The function means what it says, so any backend can run
it as it stands. `hrmsearch.recurrence.describe` is the judge of what one loop can do. A scan whose form a spec names
stays where it is, and so does one for which a form was measured to be faster than a kernel (see `forms`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from hrmsearch.ir.definition import definition
from hrmsearch.ir.graph import Function, Graph, Nest, Op, Region, Value
from hrmsearch.ir.ops import einsum_words, lookup
from hrmsearch.ir.ops.elementwise import BINARY, COMPARE, LOGIC, UNARY
from hrmsearch.ir.types import Axis, DType
from hrmsearch.passes.forms import Target, beats_kernel
from hrmsearch.passes.rewrite import Rewriter
from hrmsearch.recurrence import TITLE, NoRecurrence, describe, is_titled

_CORES = frozenset({"scan", "linear_scan"})
_POINTWISE = frozenset({*UNARY, *BINARY, *COMPARE, *LOGIC, "where", "cast", "detach", "broadcast", "rename"})
_LAYOUT = frozenset({"split", "merge", "slice", "concat", "pad", "transpose"})
#: an axis that is rearranged has at most so many positions, and one that is summed away
_FEW, _SUMMED = 4, 16


def fuse(graph: Graph, target: Target | None = None) -> Graph:
    """Return the graph with recurrences as functions of their own; told a target, only where kernels are best there."""
    copy = Rewriter(graph).run()

    def pays(core: Op) -> bool:
        if core.attrs.get("form") is not None:
            return False
        return target is None or core.kind == "scan" or not beats_kernel(core, target, target.sizes(graph))

    functions: dict[str, Function] = {}
    taken = set(copy.functions)
    owners = [*copy.functions.values(), Function("", copy.main)]
    wanted = {*copy.outputs.values(), *copy.candidates.values()}
    for owner in owners:
        for region in () if is_titled(owner.name) and is_recurrence(owner.body) else _open(owner.body):
            for body in _outlined(region, wanted, taken, pays):
                functions[body.name] = body
        if owner.name:  # callees stand before their callers
            functions[owner.name] = owner
    copy.functions = functions
    return copy


def is_recurrence(region: Region) -> bool:
    """Return whether a region is a loop over lanes as a whole."""
    try:
        return any(op.kind in _CORES for op in region.ops) and bool(describe(region))
    except NoRecurrence:
        return False


def _open(region: Region) -> Iterator[Region]:
    """Yield a region and those in it that run as often as they are reached, which a scan's body is not."""
    yield region
    for op in region.ops:
        for inner in op.regions if op.kind != "scan" else ():
            yield from _open(inner)


def _outlined(region: Region, wanted: set[Value], taken: set[str], pays: Callable[[Op], bool]) -> Iterator[Function]:
    """Replace recurrences of a region, those for which it pays, by calls; yields the functions that they call."""
    for core in [op for op in region.ops if op.kind in _CORES and pays(op)]:
        if core not in region.ops:
            continue
        group = _Group(region, core, {*wanted, *region.results})
        if not group.found:
            continue
        name = next(n for n in (TITLE, *(f"{TITLE}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
        taken.add(name)
        yield group.outline(name)


class _Group:
    """The operations around a recurrence that become one function, in their order.

    found: none where the recurrence itself is no loop over lanes.
    """

    def __init__(self, region: Region, core: Op, wanted: set[Value]) -> None:
        self._region = region
        self._core = core
        self._wanted = wanted
        self._users: dict[Value, list[Op]] = {}
        self._makers = {value: op for op in region.ops for value in op.results}
        for op in region.ops:
            for value in _reads(op):
                self._users.setdefault(value, []).append(op)
        self._axis: str = core.attrs["axis"]
        along = core.operands[core.attrs["carries"] if core.kind == "scan" else 1].type
        self._frame = {*along.names}
        self._ops = {core}
        # what has to wait for the group, and so cannot be read by it
        self._late: set[Value] = set()
        self._take_consumers()
        self._take_producers()
        self.found = self._fitting()

    # -- what belongs together ---------------------------------------------------------------------------------------

    def _take_consumers(self) -> None:
        """Take in what reads the group and nothing that waits for it."""
        core = self._core
        inside = set(core.results[core.attrs["carries"] :] if core.kind == "scan" else core.results[:1])
        lasts = set(core.results) - inside
        for op in self._region.ops[self._region.ops.index(core) + 1 :]:
            reads = set(_reads(op))
            if reads & inside and not reads & (self._late | lasts) and self._pays(op):
                self._ops.add(op)
                inside.update(op.results)
            elif reads & (self._late | lasts | inside):
                self._late.update(op.results)
        self._leave(reversed(self._region.ops), lambda op: self._users.get(op.result, []))

    def _take_producers(self) -> None:
        """Take in what is made for the group alone."""
        for op in reversed(self._region.ops):
            users = [user for value in op.results for user in self._users.get(value, [])]
            alone = self._ops.issuperset(users) and self._wanted.isdisjoint(op.results)
            if users and alone and self._late.isdisjoint(op.results) and self._pays(op):
                self._ops.add(op)
        makers = self._makers
        self._leave(self._region.ops, lambda op: [makers[v] for v in op.operands if v in makers])

    def _leave(self, ops: Iterable[Op], neighbours: Callable[[Op], Iterable[Op]]) -> None:
        """Leave what only rearranges at the group's edge, which is as good outside."""
        for op in ops:
            if op in self._ops and op.kind in (*_LAYOUT, "rename") and self._ops.isdisjoint(neighbours(op)):
                self._ops.remove(op)

    def _pays(self, op: Op) -> bool:
        """Return whether an operation works on each row, step and lane alone, or mixes few positions of an axis."""
        values = (*op.operands, *op.results)
        if len(op.results) != 1 or not all(v.type.dtype.is_float or v.type.dtype == DType.BOOL for v in values):
            return False
        type_ = op.result.type
        foreign = [axis for axis in type_.axes if axis.name not in self._frame and not _at_most(_FEW, axis)]
        if self._axis not in type_.names or foreign:
            return False
        if op.kind in _LAYOUT or op.kind in ("einsum", "sum", "mean", "amax"):
            return _mixes_few(op)
        row = lookup(op.kind)
        pointwise = row.define is not None and all(one.kind in {*_POINTWISE, "const"} for one in definition(op).ops)
        return op.kind in _POINTWISE or pointwise

    def _fitting(self) -> list[Op]:
        """Return the operations that one loop can do: all of them, or the recurrence by itself, or none."""
        for ops in (self._ops, {self._core}):
            ordered = [op for op in self._region.ops if op in ops]
            self._ops = ops
            try:
                describe(self._function(ordered, "").body)
            except NoRecurrence:
                continue
            return ordered
        return []

    # -- the function ------------------------------------------------------------------------------------------------

    def outline(self, name: str) -> Function:
        """Put a call in place of the group; returns the function that it calls."""
        function = self._function(self.found, name)
        reads, starts = self._operands()
        attrs = {"callee": name, "prefix": ""}
        call = Op("call", (*reads, *starts), attrs, results=tuple(self._results()), place=self._core.place)
        waiting = {value for op in self.found for value in op.results}
        early, late = list[Op](), list[Op]()
        last = max(i for i, op in enumerate(self._region.ops) if op in self._ops)
        for op in self._region.ops[: last + 1]:
            if op not in self._ops:
                waits = not waiting.isdisjoint(_reads(op))
                (late if waits else early).append(op)
                waiting.update(op.results if waits else ())
        self._region.ops[: last + 1] = [*early, call, *late]
        return function

    def _function(self, ops: Sequence[Op], name: str) -> Function:
        """Return a function that does what some operations do."""
        reads, starts = self._operands()
        args = [Value(value.type, self._hint(value)) for value in (*reads, *starts)]
        copy = Rewriter(Graph(name, Nest()))
        copy.env.update(zip(reads, args, strict=False))
        for op in ops:
            for value in _reads(op):
                if self._is_number(value):
                    copy.env[value] = copy.env.get(value) or copy.copy(self._makers[value], ())[0]
            operands = [copy.env.get(value, value) for value in op.operands]
            if op is self._core:  # start values are arguments of their own, read elsewhere or equal or not
                first = 0 if op.kind == "scan" else 2
                operands[first : first + len(starts)] = args[len(reads) :]
            copied = copy.copy(op, tuple(operands))
            copy.env.update(zip(op.results, copied, strict=True))
        results = [copy.env[value] for value in self._results()]
        return Function(name, Region(args, copy.builder.region.ops, results), self._core.place)

    def _operands(self) -> tuple[list[Value], list[Value]]:
        """Return what the group reads, each once, and the start values."""
        core, made = self._core, {value for op in self._ops for value in op.results}
        starts = core.operands[: core.attrs["carries"]] if core.kind == "scan" else core.operands[2:]
        reads: dict[Value, None] = {}
        for op in self._region.ops:
            if op in self._ops:
                begins = len(starts) if op is core and core.kind == "scan" else 0
                read = _reads(op)[begins:] if op is not core or begins else [*core.operands[:2]]
                reads |= {value: None for value in read if value not in made and not self._is_number(value)}
        return list(reads), list(starts)

    def _hint(self, value: Value) -> str:
        """Return what an argument is called: as the value is, or the parameter behind it, or its part in the scan."""
        op = self._makers.get(value)
        if value.name or op is None:
            return value.name
        params = [maker for v in op.operands if (maker := self._makers.get(v)) is not None and maker.kind == "param"]
        if op.kind in ("cast", "einsum") and params:
            return params[0].attrs["path"].removeprefix("w_").replace(".", "_")
        if self._core.kind == "linear_scan" and value in self._core.operands[:1]:
            return "a"
        return ""

    def _is_number(self, value: Value) -> bool:
        op = self._makers.get(value)
        return op is not None and op.kind == "const" and op.attrs["rule"] == "full"

    def _results(self) -> list[Value]:
        """Return what others read of the group."""
        made = [value for op in self._region.ops if op in self._ops for value in op.results]
        return [v for v in made if v in self._wanted or not self._ops.issuperset(self._users.get(v, []))]


def _reads(op: Op) -> list[Value]:
    """Return what an operation reads; its operands, then what its regions see of those around them."""
    own = {value for region in op.regions for value in _defined(region)}
    inside = [value for region in op.regions for value in _read_in(region) if value not in own]
    return [*op.operands, *inside]


def _defined(region: Region) -> Iterator[Value]:
    yield from region.args
    for op in region.walk():
        yield from op.results
        for inner in op.regions:
            yield from inner.args


def _read_in(region: Region) -> Iterator[Value]:
    yield from region.results
    for op in region.walk():
        yield from op.operands
        for inner in op.regions:
            yield from inner.results


def _at_most(most: int, axis: Axis) -> bool:
    return axis.size.known is not None and axis.size.known <= most


def _mixes_few(op: Op) -> bool:
    """Return whether the axes that an operation rearranges are short, or those that it sums and makes none for."""
    if op.kind in ("einsum", "sum", "mean", "amax"):
        return _sums_few(op)
    if op.kind == "transpose":
        return True
    gone = op.attrs["axes"] if op.kind == "merge" else [op.attrs["axis"]]
    values = (*op.operands, op.result)
    touched = [axis for value in values for axis in value.type.axes if axis.name in gone]
    return all(_at_most(_FEW, axis) for axis in touched)


def _sums_few(op: Op) -> bool:
    summed = list(op.operands[0].type.axes)
    result: Sequence[str] = op.result.type.names
    if op.kind == "einsum":
        words, result = einsum_words(op)
        pairs = [
            pair for ws, value in zip(words, op.operands, strict=True) for pair in zip(ws, value.type.axes, strict=True)
        ]
        summed = [axis for word, axis in pairs if word not in result]
        makes = not any(set(result) <= set(ws) for ws in words)
    else:
        summed, makes = [axis for axis in summed if axis.name in op.attrs["axes"]], False
    return all(_at_most(_FEW if makes else _SUMMED, axis) for axis in summed)

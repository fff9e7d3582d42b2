"""Reads a function of a graph as a recurrence over lanes, or says why it is none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hrmsearch.ir.builder import Builder
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.graph import Graph, Nest, Region, Value
from hrmsearch.ir.types import DType
from hrmsearch.recurrence.axes import Axes, Spot, sizes
from hrmsearch.recurrence.flat import NoRecurrence as NoRecurrence
from hrmsearch.recurrence.flat import flatten
from hrmsearch.recurrence.model import Part, Port, Product, Recurrence, Role
from hrmsearch.recurrence.scalars import Scalarise, Scalars, filled, scalar_type

#: more parts of one value than this are no longer small: registers run out
_PARTS = 16


def describe(region: Region) -> Recurrence:
    """Return a function's body as a recurrence over lanes.

    Raises NoRecurrence where it is none: the body is not a scan whose steps are pointwise but for small axes, or a
    result depends on something else than the steps' outputs and the last carries.
    """
    return _Describe(region).recurrence()


class _Describe:
    def __init__(self, region: Region) -> None:
        self.region = region
        self.flat = flatten(region)
        self.axes = Axes(self.flat)
        values = [value for op in self.flat.ops for value in (*op.operands, *op.results)]
        sizes([*region.args, *values], self.axes, _PARTS)
        self.rows, self.lanes = self._frame()
        self.known: dict[Value, Scalars] = {}
        self.builder = Builder(Graph("", Nest()), OPS_ONLY)

    def recurrence(self) -> Recurrence:
        """Return the description."""
        starts = {self.flat.resolve(carry.start) for carry in self.flat.carries}
        self.matrices = {self.flat.resolve(one.matrix): one for one in self.axes.mixings.values()}
        operands = tuple(self._operand(arg, start=arg in starts) for arg in self.region.args)
        plain = [arg for arg in self.region.args if arg not in starts and arg not in self.matrices]
        now = [self._arg(carry.now) for carry in self.flat.carries]
        inputs = [
            Part(i, k)
            for i, (arg, port) in enumerate(zip(self.region.args, operands, strict=True))
            if arg in plain
            for k in range(port.parts)
        ]
        given = [self._arg(arg) for arg in plain]
        given += [self._arg(op.result) for op in self.flat.ops if op in self.axes.mixings]
        self._run()
        return self._finished(operands, inputs, now, given)

    def _finished(
        self, operands: tuple[Port, ...], inputs: Sequence[Part], now: Sequence[Scalars], given: Sequence[Scalars]
    ) -> Recurrence:
        carried = [value for carry in self.flat.carries for value in self._scalars(carry.next).flat]
        lasts = {carry.last: sum(a.size for a in now[:i]) for i, carry in enumerate(self.flat.carries)}
        results: list[Port] = []
        outputs: list[tuple[Part, Value]] = []
        last: list[tuple[Part, int]] = []
        for i, value in enumerate(self.region.results):
            found = self.flat.resolve(value)
            results.append(self._result(value, last=found in lasts))
            if found in lasts:
                last += [(Part(i, k), lasts[found] + k) for k in range(results[-1].parts)]
            else:
                outputs += [(Part(i, k), scalar) for k, scalar in enumerate(self._scalars(value).flat)]
        region = self.builder.region
        region.args = [value for array in (*now, *given) for value in array.flat]
        region.results = [*carried, *(value for _, value in outputs)]
        return Recurrence(
            self.axes.scanned[1],
            tuple(name for _, name in self.rows),
            tuple(name for _, name in self.lanes),
            operands,
            tuple(results),
            region,
            tuple(self._starts(operands)),
            tuple(inputs),
            tuple(part for part, _ in outputs),
            tuple(last),
            tuple(self._products(lasts)),
        )

    def _products(self, carries: Mapping[Value, int]) -> Iterator[Product]:
        """Yield the products; carries: the number of each one's first scalar, by the scan's last value."""
        numbers = {carry.now: carries[carry.last] for carry in self.flat.carries}
        for mixing in self.axes.mixings.values():
            vector, matrix = self.flat.resolve(mixing.vector), self.flat.resolve(mixing.matrix)
            if vector not in numbers or self.known[vector].shape or matrix not in self.region.args:
                raise NoRecurrence("a matrix of the step multiplies something else than a carry")
            if self.axes.of(mixing.vector, mixing.lane) != self.lanes[-1]:
                raise NoRecurrence("a matrix multiplies other lanes than the last")
            yield Product(numbers[vector], self.region.args.index(matrix), mixing.parts)

    # -- axes --------------------------------------------------------------------------------------------------------

    def _frame(self) -> tuple[list[Spot], list[Spot]]:
        """Return the classes of rows and of lanes, in the order of the longest value along the axis."""
        kept = list(max((self.axes.framed(value) for value, _ in self.flat.axes), key=len))
        at = kept.index(self.axes.scanned)
        if not kept[at + 1 :]:
            raise NoRecurrence("no axis follows the scanned one")
        return kept[:at], kept[at + 1 :]

    def _operand(self, value: Value, *, start: bool) -> Port:
        return self._matrix(value) if value in self.matrices else self._port(value, start=start)

    def _matrix(self, value: Value) -> Port:
        """Return how the matrix of a product lies in memory: heads, then its two own axes."""
        *heads, row, column = range(len(value.type.axes))
        at = {self.axes.of(value, value.type.names[i]): i for i in heads}
        lanes = tuple(at.get(spot) for spot in self.lanes[:-1])
        return Port(value.type, Role.SHARED, (), (), (), lanes, (row, column))

    def _port(self, value: Value, *, start: bool = False, last: bool = False) -> Port:
        """Return how an argument or a result lies in memory."""
        scalar_type(value.type.dtype)
        names = self.axes.framed(value)
        foreign = [name for spot, name in names.items() if spot not in self._classes]
        if foreign:
            raise NoRecurrence(f"{value.type} has other axes than rows, steps and lanes: {', '.join(foreign)}")
        role = self._role(names, start=start or last)
        at = {spot: value.type.index(name) for spot, name in names.items()}
        uniform = value.type.dtype == DType.BOOL and role == Role.ALONG and not any(spot in at for spot in self.lanes)
        first = min((at[spot] for spot in self.lanes if spot in at), default=0)
        folded = len(value.type.axes) - 1 if self.axes.folds(value) > 1 else None
        small = [value.type.index(name) for name in self.axes.small(value)]
        return Port(
            value.type,
            role,
            rows=tuple(at.get(spot) for spot in self.rows) if role != Role.SHARED else (),
            steps=(at[self.axes.scanned],) if role == Role.ALONG else (),
            before=tuple(i for i in small if i < first),
            lanes=() if uniform else tuple(at.get(spot) for spot in self.lanes),
            after=tuple(i for i in small if i >= first and i != folded),
            fold=self.axes.folds(value),
        )

    def _result(self, value: Value, *, last: bool) -> Port:
        port = self._port(value, last=last)
        if None in port.order or not (last or port.role == Role.ALONG) or not port.is_float:
            raise NoRecurrence(f"a result is {value.type}, not one real number per row, step and lane")
        return port

    @property
    def _classes(self) -> list[Spot]:
        return [*self.rows, self.axes.scanned, *self.lanes]

    def _role(self, names: Iterable[Spot], *, start: bool) -> Role:
        names = set(names)
        if self.axes.scanned in names:
            if start:
                raise NoRecurrence("a state has the scanned axis")
            return Role.ALONG
        return Role.ROW if start or names & set(self.rows) else Role.SHARED

    # -- scalars -----------------------------------------------------------------------------------------------------

    def _arg(self, value: Value) -> Scalars:
        """Return new scalars for an argument of a step."""
        type_ = scalar_type(value.type.dtype)
        shape = list(self.axes.unrolled(value).values())
        self.known[value] = filled(shape, lambda: Value(type_, value.name, self.builder))
        return self.known[value]

    def _scalars(self, value: Value) -> Scalars:
        found = self.flat.resolve(value)
        if found not in self.known:
            raise NoRecurrence(f"%{value.name or '?'} is not known at a step")
        return self.known[found]

    def _run(self) -> None:
        scalarise = Scalarise(self.builder, self.axes, self._scalars)
        for op in self.flat.ops:
            if op.result not in self.starting and op not in self.axes.mixings:
                self.known[op.result] = scalarise(op)

    @property
    def starting(self) -> set[Value]:
        """The constants that carries begin with; no step sees them."""
        return {self.flat.resolve(carry.start) for carry in self.flat.carries}

    def _starts(self, operands: Sequence[Port]) -> Iterable[Part | float]:
        made = {op.result: op for op in self.flat.ops}
        for carry in self.flat.carries:
            start = self.flat.resolve(carry.start)
            if start in self.region.args:
                at = self.region.args.index(start)
                yield from (Part(at, k) for k in range(operands[at].parts))
            elif start in made and made[start].attrs.get("rule") == "full":
                yield from [float(made[start].attrs["value"])] * self.known[carry.now].size
            else:
                raise NoRecurrence("a start is computed inside")

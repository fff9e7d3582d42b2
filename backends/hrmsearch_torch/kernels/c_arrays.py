"""Addresses in generated C: where a port's numbers lie for a row, a step and a lane.

The names `row`, `lane`, `T`, `L` and, where lanes are grouped in heads, `head` and `K` are those of the text around.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hrmsearch.recurrence import Part, Port, Role

#: as many parts side by side are read and written in whole vectors
_FEW = 4


@dataclass(frozen=True, slots=True)
class Array:
    """A port as C sees it. at: its address's position in the list. strides: of rows and steps, in numbers."""

    port: Port
    at: int
    strides: tuple[str, str]

    @classmethod
    def dense(cls, port: Port, at: int) -> "Array":
        """Return an array without gaps."""
        size = f"{port.parts} * L" if port.lanes else str(port.parts)
        return cls(port, at, (f"T * {size}", size) if port.role == Role.ALONG else (size, "0"))

    @property
    def is_along(self) -> bool:
        """Whether it has a number per step."""
        return self.port.role == Role.ALONG

    @property
    def step(self) -> int:
        """How far apart neighbouring lanes are."""
        return self.port.inner if self.port.lanes else 0

    def pointer(self, name: str, step: str = "first", const: str = "const ") -> str:
        """Return the declaration of a pointer to the lane at hand, in the row at hand, at a step."""
        kind = f"{const}{'real' if self.port.is_float else 'uint8_t'} *"
        row, along = self.strides
        where = {
            Role.ALONG: f" + row * {row} + {step} * {along}",
            Role.ROW: f" + row * {row}",
            Role.SHARED: "",
        }[self.port.role]
        lane = f" + lane * {self.step}" if self.port.lanes else ""
        folded = f" + head * {self.port.fold - 1} * K" if self.port.fold > 1 else ""
        return f"{kind}{name} = ({kind})p[{self.at}]{where}{lane}{folded};"

    def element(self, name: str, index: int) -> str:
        """Return the arguments that address one part: a pointer and how far apart its lanes are."""
        if self.port.fold > 1:
            return f"{name} + {index} * K, {self.step}"
        outer, inner = divmod(index, self.port.inner) if self.port.lanes else (0, index)
        return f"{self._block(name, outer)}{f' + {inner}' if inner else ''}, {self.step}"

    def _block(self, name: str, outer: int) -> str:
        """Return the address of the first of the parts that stand side by side."""
        return f"{name} + {outer * self.port.inner} * L" if outer else name

    def fetches(self, name: str, ahead: str, *, write: bool) -> Iterator[str]:
        """Yield the requests for all parts some steps ahead: a processor does not guess those, for steps lie apart."""
        starts = [f"{name} + {i} * K" for i in range(self.port.fold)]
        if self.port.fold == 1:
            starts = [self._block(name, outer) for outer in range(self.port.parts // self.port.inner)]
        for start in starts:
            for c in range(self.port.inner):
                side = f" + {c} * W" if c else ""
                yield f"__builtin_prefetch({start} + {ahead} * {self.strides[1]}{side}{', 1' if write else ''});"

    @property
    def _is_few(self) -> bool:
        """Whether parts stand side by side, so few that whole vectors of them are taken apart and put together."""
        return self.port.is_float and self.port.fold == 1 and bool(self.port.lanes) and 1 < self.port.inner <= _FEW

    def load(self, name: str, index: int) -> str:
        """Return the expression that reads one part."""
        if self._is_few:
            outer, inner = divmod(index, self.port.inner)
            return f"part({self._block(name, outer)}, {self.port.inner}, {inner}, w)"
        return f"{'load' if self.port.is_float else 'truth'}({self.element(name, index)}, w)"

    def stores(self, name: str, values: Sequence[str]) -> Iterator[str]:
        """Yield the statements that write all parts."""
        few = self.port.inner
        if not self._is_few:
            yield from (f"store({self.element(name, i)}, {value}, w);" for i, value in enumerate(values))
            return
        for outer in range(len(values) // few):
            side = ", ".join(values[outer * few : (outer + 1) * few])
            yield f"{{ const V s[] = {{{side}}}; store_parts({self._block(name, outer)}, {few}, s, w); }}"

    def store_row(self, part: Part, value: str) -> str:
        """Return the block that writes one part of what varies with rows alone."""
        return f"{{ {self.pointer('to', const='')} store({self.element('to', part.index)}, {value}, w); }}"

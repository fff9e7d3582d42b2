"""Addresses in generated C: where a port's numbers lie for a row, a step and a lane.

The names `row`, `lane`, `T`, `L` and, where lanes are grouped in heads, `head` and `K` are those of the text around.
"""

from dataclasses import dataclass

from hrmsearch.recurrence import Part, Port, Role


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
        far = f" + {outer * self.port.inner} * L" if outer else ""
        return f"{name}{far}{f' + {inner}' if inner else ''}, {self.step}"

    def load(self, name: str, index: int) -> str:
        """Return the expression that reads one part."""
        return f"{'load' if self.port.is_float else 'truth'}({self.element(name, index)}, w)"

    def store_row(self, part: Part, value: str) -> str:
        """Return the block that writes one part of what varies with rows alone."""
        return f"{{ {self.pointer('to', const='')} store({self.element('to', part.index)}, {value}, w); }}"

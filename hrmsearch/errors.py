"""The exceptions that a user may meet; every other exception is a bug.

HrmsearchError
├── SpecError          a spec, study or override says something impossible
├── FieldError         a part cannot be built as its fields say
├── UnsoundError       the analyses found an error that the spec does not accept
├── DataError          a corpus or data file is missing or unfit
├── GraphError         a graph breaks a rule of the IR
├── BackendError       a backend, device or compiler is missing or refuses
├── RunError           a run directory or checkpoint is missing, foreign or broken
└── DivergedError      training met NaN, infinity or a runaway loss
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class HrmsearchError(Exception):
    """Anything that the user can mend; the command line prints it and exits with `exit_code`."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text the user wrote: file (or `--set`), line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a spec: where, which field, what, and the line it stands in."""

    place: Place
    field: str
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        excerpt = f"\n{self.excerpt}" if self.excerpt else ""
        return f"{self.place}: {field}{self.message}{excerpt}"


class SpecError(HrmsearchError):
    """A spec cannot be read or means something impossible; lists every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class FieldError(HrmsearchError):
    """A part cannot be built as its fields say; the spec's loader turns it into a SpecError with the right line."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class UnsoundError(HrmsearchError):
    """The analyses found an error that the spec does not accept; nothing is trained."""

    exit_code: ClassVar[int] = 1


class DataError(HrmsearchError):
    """A corpus or data file is missing, empty or unfit for the task."""


class GraphError(HrmsearchError):
    """A graph breaks a rule of the IR; names the operation and, after a compiler pass, the pass."""


class BackendError(HrmsearchError):
    """A backend, a device or a compiler is missing, or cannot run this graph."""


class RunError(HrmsearchError):
    """A run directory or checkpoint is missing, truncated or belongs to another spec."""


class DivergedError(HrmsearchError):
    """Training met NaN, infinity or a runaway loss; the last good checkpoint is kept."""

    exit_code: ClassVar[int] = 3

"""A study as it was read: the file, and its arms with what is searched in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hrmsearch.spec.load import from_source
from hrmsearch.spec.model import Spec
from hrmsearch.spec.source import Source
from hrmsearch.study.files import StudyFile
from hrmsearch.study.spaces import Space


@dataclass(frozen=True)
class Arm:
    """One arm as it begins: its text with what the study sets, not yet matched.

    space: what is searched in it, by path below its root. by: integers that bring it to the budget, in order.
    controls: the arm it controls, if the study added it.
    """

    name: str
    source: Source
    space: Mapping[str, Space]
    by: tuple[str, ...] = ()
    controls: str = ""

    def spec(self, overrides: Sequence[str] = ()) -> Spec:
        """Return the arm's spec with overrides; raises SpecError where they do not fit."""
        return from_source(self.source, overrides)


@dataclass(frozen=True)
class Study:
    """A study file that was read, and its arms by name."""

    file: StudyFile
    source: Source
    arms: Mapping[str, Arm]

    @property
    def name(self) -> str:
        """The study's name, and that of its folder."""
        return self.file.study

"""Any mixer that recurs, as a memory."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from hrmsearch.blocks.base import Mixer, State
from hrmsearch.blocks.memory import Memory
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.ir import Builder, Type, Value
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, kinds

_WHEN = ("lifetime", "commit")


class RecurrentMemory(Memory):
    """The state of a mixer that recurs: readout x + mixer(x), update its state after the tokens that are written.

    residual adds the stream; without it the mixer's output replaces it. The memory's `lifetime` and `commit` decide
    when the state is kept, so the mixer's own may only agree with them. A mixer in a block carries its state for that
    block; as a memory it may stand at any place of the model.
    """

    kind: Literal["recurrent"] = "recurrent"
    mixer: Annotated[Mixer, Choice("mixer")]
    residual: bool = True

    @field_validator("mixer")
    @classmethod
    def _lives_as_the_memory_does(cls, mixer: Mixer, info: ValidationInfo) -> Mixer:
        if not isinstance(mixer, Recurrent):
            able = ", ".join(name for name, kind in kinds("mixer").items() if issubclass(kind, Recurrent))
            raise FieldProblem(f"{mixer.kind} keeps nothing of its tokens to remember; mixers that do: {able}", "kind")
        given = {field: info.data[field] for field in _WHEN if field in info.data}
        for field, value in given.items():
            own = getattr(mixer, field)
            if field in mixer.model_fields_set and own != value:
                raise FieldProblem(f"the memory's own {field} is {value}, and it decides; leave this out", field)
        return mixer.model_copy(update=given)

    @property
    def continues(self) -> bool:
        """A recurrence reads and writes token by token."""
        return True

    @property
    def _cell(self) -> Recurrent:
        assert isinstance(self.mixer, Recurrent)
        return self.mixer

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return the mixer's states."""
        with b.at(f"{b.place}.mixer"):
            return self._cell.init_state(b, x)

    def update(self, b: Builder, state: State, x: Value, write: Value | None = None) -> dict[str, Value]:
        """Return the mixer's states after the tokens that `write` lets through."""
        return self._run(b, state, x, write)[1]

    def readout(self, b: Builder, state: State, x: Value) -> Value:
        """Return what the mixer makes of the stream from its states on."""
        return self.step(b, state, x)[0]

    def step(self, b: Builder, state: State, x: Value, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the stream and the states after it, in one go."""
        y, new = self._run(b, state, x, write)
        return (x + y if self.residual else y), new

    def _run(self, b: Builder, state: State, x: Value, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        with b.at(f"{b.place}.mixer"):
            return self._cell.step(b, x, state, write)

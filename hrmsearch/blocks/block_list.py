"""A list of blocks, one after another: what the stack core and the stack block share."""

from collections.abc import Callable
from functools import cached_property
from itertools import cycle
from typing import Annotated, Self

from pydantic import Field, model_validator

from hrmsearch.blocks.base import Block, Leaf, Norm, State, below, inside
from hrmsearch.ir import Builder, Value
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part, alone

_MOST = 1024


class Where(Part):
    """Which layers of a list a block fills, written beside its own fields.

    Blocks without `positions` stand in their order, each `repeat` times in a row; that pattern repeats until the layers
    are full. positions: the layers, from 0, that a block takes out of the pattern.
    """

    repeat: int = Field(default=1, ge=1, le=_MOST)
    positions: tuple[Annotated[int, Field(ge=0, lt=_MOST)], ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.positions is not None and self.repeat != 1:
            raise FieldProblem("a block with positions takes those layers only; drop one of the two", "repeat")
        return self


class BlockList(Part):
    """Blocks in a row, each layer with weights of its own.

    blocks: by kind, each with where it stands: `{kind: residual, repeat: 7, mixer: ..}`. layers: how many blocks there
    are in all, by default one pattern and the blocks with positions. norm: after the last block; residual blocks leave
    the stream as large as it grew, so they want one. Seven in eight layers of one kind are `repeat: 7` and `repeat: 1`
    over `layers: 16`, or a block with `positions: [1, 9]` while another fills the rest.
    """

    blocks: tuple[Annotated[Block, Choice("block", beside=Where)], ...] = Field(min_length=1)
    layers: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    norm: Annotated[Annotated[Norm, Choice("norm", "rms")] | None, OrNone()] = None

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        taken = self._taken()
        count = self.layers or len(self._pattern) + len(taken)
        for number, where in enumerate(self._wheres):
            for i, position in enumerate(where.positions or ()):
                if position >= count:
                    message = f"there are {count} layers, so the last one is {count - 1}"
                    raise FieldProblem(message, "blocks", number, "positions", i)
        _fill(count, len(taken), len(self._pattern))
        return self

    def _taken(self) -> dict[int, int]:
        """Return the block at each layer that one takes out of the pattern."""
        taken: dict[int, int] = {}
        for number, where in enumerate(self._wheres):
            for i, position in enumerate(where.positions or ()):
                if position in taken:
                    message = f"layer {position} is taken by blocks[{taken[position]}] already"
                    raise FieldProblem(message, "blocks", number, "positions", i)
                taken[position] = number
        return taken

    @property
    def _wheres(self) -> list[Where]:
        return [block for block in self.blocks if isinstance(block, Where)]

    @property
    def _pattern(self) -> list[int]:
        """The blocks of the pattern, by their number in the list."""
        wheres = enumerate(self._wheres)
        return [number for number, where in wheres if where.positions is None for _ in range(where.repeat)]

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """The number in `blocks` of the block at each layer."""
        taken, pattern = self._taken(), self._pattern
        count = self.layers or len(pattern) + len(taken)
        rest = cycle(pattern)
        return tuple(taken[layer] if layer in taken else next(rest) for layer in range(count))

    def _block(self, layer: int) -> tuple[Block, str]:
        """Return the block of a layer and its spec path below the list's."""
        number = self.sequence[layer]
        return alone(self.blocks[number], Where), f"blocks[{number}]"

    def told(self, b: Builder) -> tuple[str, ...]:
        """Return what the blocks tell, by layer."""
        layers = range(len(self.sequence))
        return tuple(f"{layer}.{name}" for layer in layers for name in self._block(layer)[0].told(b))

    def list_leaves(self, b: Builder, x: Value, prefix: str) -> dict[str, Leaf]:
        """Return the states of all blocks: `c` of layer 0 is `0.c`."""
        found: dict[str, Leaf] = {}
        for layer in range(len(self.sequence)):
            block, field = self._block(layer)
            with b.at(f"{b.place}.{field}"):
                found |= below(str(layer), block.leaves(b, x, f"{prefix}.blocks.{layer}"))
        return found

    def through(
        self, b: Builder, x: Value, state: State, before: Callable[[str, Value], Value] | None = None
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """Return every stream, by layer and as `last`, and what the blocks leave, states and telemetry.

        before: what the input of a layer goes through first.
        """
        streams: dict[str, Value] = {}
        left: dict[str, Value] = {}
        for layer in range(len(self.sequence)):
            name, (block, field) = str(layer), self._block(layer)
            x = before(name, x) if before else x
            x, new = block.go_on(b, f"blocks.{layer}", x, inside(name, state), f"{b.place}.{field}")
            streams[name] = x
            left |= below(name, new)
        streams["last"] = x if self.norm is None else self.norm.apply(b, "norm", x)
        return streams, left


def _fill(count: int, taken: int, pattern: int) -> None:
    """Raise unless a pattern fills the layers that are not taken."""
    rest = count - taken
    if pattern == 0 and rest:
        raise FieldProblem(f"{count} layers, but positions name {taken} of them and no block fills the rest", "layers")
    if pattern and rest % pattern:
        of = f"{rest} of {count} layers" if taken else f"{count} layers"
        raise FieldProblem(f"{of} do not divide into a pattern of {pattern} blocks", "layers")
    if count > _MOST:
        raise FieldProblem(f"at most {_MOST} layers, not {count}", "blocks")

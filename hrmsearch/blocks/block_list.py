"""A list of blocks, one after another: what the stack core and the stack block share."""

from collections.abc import Callable
from functools import cached_property
from itertools import cycle
from typing import Annotated, Self

from pydantic import Field, model_validator

from hrmsearch.blocks.base import COST, Block, Leaf, Norm, State, below, call_with_state, inside
from hrmsearch.blocks.skipping import Halting, Skip, settle
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
    over `layers: 16`, or a block with `positions: [1, 9]` while another fills the rest. skip: lets tokens halt on the
    way, from the second layer on.
    """

    blocks: tuple[Annotated[Block, Choice("block", beside=Where)], ...] = Field(min_length=1)
    layers: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    norm: Annotated[Annotated[Norm, Choice("norm", "rms")] | None, OrNone()] = None
    # an absent one leaves the resolved spec, and so its hash, as it was
    skip: Skip | None = None

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
        if self.skip is not None and count < 2:
            raise FieldProblem("the first layer is for every token; there is no second one to skip", "skip")
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
        """Return what the blocks tell, by layer, and what is told of tokens that halt."""
        layers = range(len(self.sequence))
        found = [f"{layer}.{name}" for layer in layers for name in self._block(layer)[0].told(b)]
        if self.skip is not None:
            found += [name for name in ("ponder", *(f"open_{layer}" for layer in layers[1:])) if b.context.asks(name)]
            found += [COST] if self.skip.cost else []
        return tuple(found)

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
        halting = Halting(self.skip, b) if self.skip is not None else None
        for layer in range(len(self.sequence)):
            name, own = str(layer), inside(str(layer), state)
            if halting is None or layer == 0:
                x, new = self._layer(b, layer, before(name, x) if before else x, own)
            else:
                x, new = self._skipped(b, layer, x, own, halting, before)
            streams[name] = x
            left |= below(name, new)
        if halting is not None:
            left |= halting.cost() | halting.readings()
        streams["last"] = x if self.norm is None else self.norm.apply(b, "norm", x)
        return streams, left

    def _layer(self, b: Builder, layer: int, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        block, field = self._block(layer)
        return block.go_on(b, f"blocks.{layer}", x, state, f"{b.place}.{field}")

    def _skipped(
        self,
        b: Builder,
        layer: int,
        x: Value,
        state: State,
        halting: Halting,
        before: Callable[[str, Value], Value] | None,
    ) -> tuple[Value, dict[str, Value]]:
        """Return the stream after a layer that moves open tokens only, and what its block leaves."""
        block, field = self._block(layer)
        at = prefix, place = f"blocks.{layer}", f"{b.place}.{field}"
        with b.at(f"{b.place}.skip"):
            found = halting.layer(layer, x)
        read = before(str(layer), x) if before else x
        mixed, new = call_with_state(b, block, "mixed", block.mixed, prefix, read, state, place, block.told(b))
        return settle(b, block, at, found, x, read, mixed), new


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

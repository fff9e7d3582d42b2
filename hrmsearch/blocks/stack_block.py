"""A list of blocks as one block: for a level of an HRM, or to repeat a group of blocks in a stack."""

from typing import Literal

from hrmsearch.blocks.base import Block, Leaf, State
from hrmsearch.blocks.block_list import BlockList
from hrmsearch.ir import Builder, Value


class StackBlock(BlockList, Block):
    """Blocks one after another, seen from outside as one; its states are theirs, by layer."""

    kind: Literal["stack"] = "stack"

    def leaves(self, b: Builder, x: Value, prefix: str) -> dict[str, Leaf]:
        """Return the states of the blocks."""
        return self.list_leaves(b, x, prefix)

    def build(self, b: Builder, x: Value) -> Value:
        """Return the stream after the last block."""
        return self.step(b, x, {})[0]

    def step(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return the stream after the last block and what all of them leave."""
        streams, left = self.through(b, x, state)
        return streams["last"], left

"""The stack core: blocks one after another, each once in a pass."""

from collections.abc import Collection, Mapping
from typing import Literal

from hrmsearch.blocks.base import Core, Leaf, Ran
from hrmsearch.blocks.block_list import BlockList
from hrmsearch.blocks.memory import Placed
from hrmsearch.ir import Builder, Value


class Stack(BlockList, Core):
    """A list of blocks as the core. A head reads `last`, or a layer by its number; memories stand at `core.<layer>`.

    A stack has one tick in a pass and no state of its own; mixers that recur carry theirs as their lifetimes say.
    Source of the arrangement: Beck et al. 2024, arXiv:2405.04517 (xLSTM), whose [a:b] is a pattern here.
    """

    kind: Literal["stack"] = "stack"

    @property
    def streams(self) -> tuple[str, ...]:
        """The layers, and `last`: the last one's stream after the norm."""
        return (*self.places, "last")

    @property
    def places(self) -> tuple[str, ...]:
        """The layers."""
        return tuple(map(str, range(len(self.sequence))))

    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return the states of the blocks."""
        return self.list_leaves(b, x, "core")

    def run(
        self,
        b: Builder,
        x: Value,
        states: Mapping[str, Value],
        memories: Mapping[str, tuple[Placed, Mapping[str, Value]]],
        *,
        read: Collection[str],
        trace: bool = False,
    ) -> Ran:
        """Call the core's function on the stream, the blocks' states and the memories placed in it."""
        # the last layer's stream is given unread too: layers that serve nobody are HS102's to tell, not to be dropped
        wanted = [name for name in self.streams if trace or name in {*read, "last"}]
        told = self.told(b)
        names = [*states, *told]
        held = {layer: list(values) for layer, (_, values) in memories.items()}
        gives = {layer: [*held[layer], *memory.told(b)] for layer, (memory, _) in memories.items()}
        given = [*states.values(), *(value for _, values in memories.values() for value in values.values())]

        def build(inner: Builder, x: Value, *values: Value) -> tuple[Value, ...]:
            rest = iter(values)
            state = {name: next(rest) for name in states}
            before = {layer: {name: next(rest) for name in names} for layer, names in held.items()}
            proposed: dict[str, Mapping[str, Value]] = {}

            def through_memory(layer: str, x: Value) -> Value:
                if layer in before:
                    x, proposed[layer] = memories[layer][0].step(inner, x, before[layer])
                return x

            streams, left = self.through(inner, x, state, through_memory)
            kept = [proposed[layer][name] for layer, names in gives.items() for name in names]
            return (*(streams[name] for name in wanted), *(left[name] for name in names), *kept)

        placed = [(memory.prefix, memory.memory.model_dump_json()) for memory, _ in memories.values()]
        key = (type(self), self.model_dump_json(), *wanted, *placed)
        results = iter(b.call("core", build, x, *given, title="Stack", key=key, place=b.place))
        streams = {name: next(results) for name in wanted}
        left = {name: next(results) for name in names}
        proposed = {layer: {name: next(results) for name in names} for layer, names in gives.items()}
        traced = {f"trace.1.{layer}": streams[layer] for layer in self.places} if trace else {}
        candidates, telemetry = ({name: left[name] for name in some} for some in (states, told))
        return Ran(streams, candidates, telemetry, proposed, traced)

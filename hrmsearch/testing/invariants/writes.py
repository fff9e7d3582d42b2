"""A memory keeps nothing of the tokens that its write mask hides.

What masks a memory's writes is a policy that may let any token through, so this is tested below the executable: the
`update` and the `step` of every memory that the spec places become a graph of their own, with the mask as an input, and
run on the same backend.
"""

from collections.abc import Mapping

import numpy as np

from hrmsearch.blocks.memory import Memory
from hrmsearch.ir import Builder, Context, DType, Graph, Lifetime, Nest, Type, Value, axis, generator, verify
from hrmsearch.runtime import Array, Carry, Executable, Pass
from hrmsearch.testing.invariants.base import Violation, invariant, same
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Subject, enlarged


def _no_memory(subject: Subject) -> str:
    if subject.spec is None or subject.compile is None:
        return "an executable alone does not say which memories it was built from"
    return "" if _memories(subject) else "the spec places no memory"


def _memories(subject: Subject) -> list[Memory]:
    return [part for part in subject.spec.model.memory if isinstance(part, Memory)] if subject.spec else []


@invariant(
    "write-mask",
    "A memory written under a false mask stays exactly as it was, read meanwhile or not, whatever it hides.",
    unless=_no_memory,
)
def write_mask(subject: Subject, draws: Draws) -> None:
    """Update from a random state; rows without a written token keep their bits, hidden tokens change nothing."""
    index, update = _update(subject, draws)
    seed, tokens = draws.integer("data", 0, 2**16), subject.tokens(draws)
    rows = subject.rows(draws)
    mask = np.array(draws.integers("mask", 0, 1, rows * tokens), np.bool_).reshape(rows, tokens)
    update.set_params(enlarged(update.graph, seed, subject.enlarge))
    x, other = (_stream(update, seed, rows, tokens, i) for i in range(2))
    held = _random_state(update, seed, rows, tokens)
    hidden = np.where(mask[..., None], x, other)
    for written in (_updated, _stepped):
        new = written(update, x, mask, held)
        for row in np.flatnonzero(~mask.any(axis=1)):
            for path, array in new.items():
                same(f"memory {index}: nothing was written to row {row}, but {path} moved", array[row], held[path][row])
        for path, array in written(update, hidden, mask, held).items():
            same(f"memory {index}: hidden tokens changed, and so did {path}", array, new[path])
        _is_written(index, mask, held, new)


@invariant(
    "hidden-tail",
    "Tokens that are hidden at the end of a window leave a memory as if the window had ended before them, to rounding.",
    unless=lambda subject: _no_memory(subject) or ("" if subject.graph.nest.window > 1 else "a window has one token"),
)
def hidden_tail(subject: Subject, draws: Draws) -> None:
    """Write one window and a longer one that hides the rest: what fills up a chunk must not be written either."""
    index, update = _update(subject, draws)
    seed, tokens = draws.integer("data", 0, 2**16), subject.tokens(draws, 2)
    end, rows = draws.integer("end", 1, tokens - 1), subject.rows(draws)
    update.set_params(enlarged(update.graph, seed, subject.enlarge))
    x, held = _stream(update, seed, rows, tokens), _random_state(update, seed, rows, tokens)
    whole = _updated(update, x, np.arange(tokens) < end + np.zeros((rows, 1)), held)
    short = _updated(update, x[:, :end], np.ones((rows, end), np.bool_), held)
    for path, array in whole.items():
        what = f"memory {index}: {tokens - end} hidden tokens after {end}, and {path} is not that of {end} tokens"
        same(what, array, short[path], within=subject.rounding)


@invariant(
    "one-token",
    "A window of one token leaves in a memory what writing that token leaves, however the memory cuts windows.",
    unless=_no_memory,
)
def one_token(subject: Subject, draws: Draws) -> None:
    """Compare a pass with a write, so that what holds of writes holds of what passes do."""
    index, update = _update(subject, draws)
    seed, rows = draws.integer("data", 0, 2**16), subject.rows(draws)
    update.set_params(enlarged(update.graph, seed, subject.enlarge))
    held = _random_state(update, seed, rows, 1)
    x, mask = _stream(update, seed, rows, 1), np.ones((rows, 1), np.bool_)
    stepped = _stepped(update, x, mask, held)
    for path, array in _updated(update, x, mask, held).items():
        what = f"memory {index}: one token passed through leaves {path} other than that token written"
        same(what, stepped[path], array, within=subject.rounding)


def _is_written(index: int, mask: Array, held: dict[str, Array], new: dict[str, Array]) -> None:
    """Check that a written token does move the memory: a mask that is never open would pass all else."""
    for row in np.flatnonzero(mask.any(axis=1)):
        if all(np.array_equal(new[path][row], held[path][row]) for path in new):
            raise Violation(f"memory {index}: row {row} was written to, but no state moved")


def _update(subject: Subject, draws: Draws) -> tuple[int, Executable]:
    """Draw a memory; return its number and its update."""
    assert subject.spec is not None
    memories, dim = _memories(subject), subject.spec.model.dim
    index = draws.integer("memory", 0, len(memories) - 1)
    update = subject.keep(f"update {index}", lambda: update_graph(memories[index], dim, subject.graph.nest.window))
    return index, update


def _stream(update: Executable, seed: int, rows: int, tokens: int, index: int = 0) -> Array:
    shape = update.graph.inputs["x"].type.shape({"B": rows, "T": tokens})
    return generator(seed, "x", index).normal(size=shape)


def update_graph(memory: Memory, dim: int, window: int) -> Graph:
    """Return the graph of a memory's update alone: inputs `x` and `write` bool[B, T], its states as candidates.

    Its outputs `step.<state>` are the states as a pass proposes them under the same mask.
    """
    graph = Graph("update", Nest(window=window, causal=False))
    b = Builder(graph, Context(dim, window, vocabulary=2), graph.main, place="block")
    rows, tokens = axis("B"), axis("T")
    x = b.input("x", Type(DType.COMPUTE, (rows, tokens, axis("D", dim))))
    write, reset = b.input("write", Type(DType.BOOL, (rows, tokens))), b.input("reset", Type(DType.I8, (rows,)))
    leaves = memory.init_state(b, x)
    states = [b.state(n, t, start, reset, lifetime="stream", commit="every_pass") for n, (start, t) in leaves.items()]

    def update(inner: Builder, x: Value, write: Value, *held: Value) -> tuple[Value, ...]:
        new = memory.update(inner, dict(zip(leaves, held, strict=True)), x, write)
        return tuple(new[name] for name in leaves)

    def step(inner: Builder, x: Value, write: Value, *held: Value) -> tuple[Value, ...]:
        _, new = memory.step(inner, dict(zip(leaves, held, strict=True)), x, write)
        return tuple(new[name] for name in leaves)

    results = b.call("block", update, x, write, *states, title="Update", key="update", place="block")
    graph.candidates = dict(zip(leaves, results, strict=True))
    stepped = b.call("block", step, x, write, *states, title="Step", key="step", place="block")
    graph.outputs = {f"step.{name}": value for name, value in zip(leaves, stepped, strict=True)}
    return verify(graph)


def _random_state(update: Executable, seed: int, rows: int, tokens: int) -> dict[str, Array]:
    """Return states of numbers in [0.5, 1.5), which are sums of positive features as well as anything else."""
    zeros = update.carry_to_numpy(update.init_carry(rows, tokens))
    random = {path: generator(seed, "state", path).uniform(0.5, 1.5, array.shape) for path, array in zeros.items()}
    return {path: array.astype(zeros[path].dtype) for path, array in random.items()}


def _updated(update: Executable, x: Array, mask: Array, held: dict[str, Array]) -> dict[str, Array]:
    """Return the states after a write."""
    return update.carry_to_numpy(_forward(update, x, mask, held)[1])


def _stepped(update: Executable, x: Array, mask: Array, held: dict[str, Array]) -> dict[str, Array]:
    """Return the states after a pass that reads while it writes."""
    outputs, _ = _forward(update, x, mask, held)
    return {name.removeprefix("step."): array for name, array in outputs.items()}


def _forward(update: Executable, x: Array, mask: Array, held: dict[str, Array]) -> tuple[Mapping[str, Array], Carry]:
    return update.forward(Pass({"x": x, "write": mask}, int(Lifetime.NONE)), update.carry_from_numpy(held))

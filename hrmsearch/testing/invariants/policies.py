"""What a memory under a policy may say and keep.

The step of every governed memory that the spec places becomes a graph of its own, with the stream as an input, and runs
on the same backend; so does what a controller carries, with the rise of the energy as an input.
"""

from collections.abc import Mapping

import numpy as np

from hrmsearch.blocks.base import below
from hrmsearch.blocks.control import Control
from hrmsearch.blocks.gate import Hysteresis
from hrmsearch.blocks.governing import Governing, parted
from hrmsearch.blocks.memory import Memory, Placed
from hrmsearch.blocks.policy import Policy
from hrmsearch.blocks.tokenwise import Numbers, along_tokens
from hrmsearch.ir import Builder, Context, DType, Graph, Lifetime, Nest, Type, Value, axis, generator, verify
from hrmsearch.runtime import Array, Carry, Pass
from hrmsearch.testing.invariants.base import Rule, Violation, invariant, same
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Subject, enlarged

_AXES = (axis("B"), axis("T"))
#: rises of the energy far beyond any limit
_OVERLOAD = 1e9
_NOW = "every_pass"


def _governed(subject: Subject) -> list[tuple[int, Memory, Policy]]:
    parts = subject.spec.model.memory if subject.spec else ()
    memories = [part for part in parts if isinstance(part, Memory)]
    return [(i, part, part.policy) for i, part in enumerate(memories) if part.policy is not None]


def _without(part: str) -> Rule:
    """Return the rule that exempts models without a memory whose policy has a part."""

    def unless(subject: Subject) -> str:
        if subject.spec is None or subject.compile is None:
            return "an executable alone does not say which memories it was built from"
        there = any(getattr(policy, part) for _, _, policy in _governed(subject))
        return "" if there else f"no memory's policy has {part}"

    return unless


class _Step:
    """The step of a drawn memory whose policy has some part, its weights enlarged at random."""

    def __init__(self, subject: Subject, draws: Draws, part: str, *, shut: bool = False) -> None:
        assert subject.spec is not None
        able = [found for found in _governed(subject) if getattr(found[2], part)]
        self.index, self.memory, self.policy = able[draws.integer("memory", 0, len(able) - 1)]
        dim, window = subject.spec.model.dim, subject.graph.nest.window
        name, policy = f"step {self.index}{' shut' if shut else ''}", _shut(self.policy) if shut else self.policy
        self.executable = subject.keep(name, lambda: step_graph(self.memory, policy, dim, window))
        self.seed, self.tokens = draws.integer("data", 0, 2**16), subject.tokens(draws)
        self.rows = subject.rows(draws)
        self.executable.set_params(enlarged(self.executable.graph, self.seed, subject.enlarge))

    def window(self, number: int) -> Array:
        """Return the stream of a window."""
        shape = self.executable.graph.inputs["x"].type.shape({"B": self.rows, "T": self.tokens})
        return generator(self.seed, "x", number).normal(size=shape)

    def run(self, x: Array, carry: Carry | None) -> tuple[Mapping[str, Array], Carry]:
        """Run a window that goes on from a carry, or begins."""
        reset = Lifetime.STREAM if carry is None else Lifetime.NONE
        return self.executable.forward(Pass({"x": x}, int(reset)), self.fresh() if carry is None else carry)

    def fresh(self) -> Carry:
        """Return a carry of zeros, for a first window that restores it."""
        return self.executable.init_carry(self.rows, self.tokens)

    def moved(self, outputs: Mapping[str, Array], carry: Carry) -> Array:
        """Return in which rows the memory itself is no longer what the window began with."""
        states = self.executable.carry_to_numpy(carry)
        pairs = [(a, outputs[f"held.{path}"]) for path, a in parted(states)[0].items()]
        return np.array([any((now[row] != before[row]).any() for now, before in pairs) for row in range(self.rows)])


@invariant(
    "closed-gate",
    "A closed gate leaves the stream exactly as it came, and with it its energy.",
    unless=_without("gate"),
)
def closed_gate(subject: Subject, draws: Draws) -> None:
    """Let the gate open at 1 only, which alpha hardly is, and compare the stream before and after it where it is 0."""
    step = _Step(subject, draws, "gate", shut=True)
    carry = None
    for number in range(2):
        outputs, carry = step.run(step.window(number), carry)
        closed = outputs["alpha"] == 0.0
        what = f"memory {step.index}, window {number + 1}: a closed gate changed the stream"
        same(what, outputs["y"][closed], outputs["came"][closed], ("token", "channel"))


@invariant(
    "alpha-bounds",
    "Alpha stays in [0, 1], moves no faster than its rate, and only an open gate lets it rise.",
    unless=_without("gate"),
)
def alpha_bounds(subject: Subject, draws: Draws) -> None:
    """Follow alpha through two windows of a stream."""
    step = _Step(subject, draws, "gate")
    gate = step.policy.gate
    assert gate is not None
    first, carry = step.run(step.window(0), None)
    second, _ = step.run(step.window(1), carry)
    alpha = np.concatenate([np.zeros((step.rows, 1)), first["alpha"], second["alpha"]], axis=1)
    if alpha.min() < 0.0 or alpha.max() > 1.0:
        raise Violation(f"memory {step.index}: alpha lies in [{alpha.min():.4g}, {alpha.max():.4g}], not in [0, 1]")
    moves = np.abs(np.diff(alpha, axis=1))
    if gate.rate is not None and moves.max() > gate.rate + subject.rounding:
        raise Violation(f"memory {step.index}: alpha moves by {moves.max():.4g} at a token, its rate is {gate.rate}")
    if gate.hysteresis is not None and gate.rate is None:
        low = alpha[(alpha > 0.0) & (alpha < gate.hysteresis.close - subject.rounding)]
        if low.size and step.policy.control is None:
            raise Violation(f"memory {step.index}: alpha is {low.min():.4g} where the gate has to be closed")


@invariant(
    "scheduled-writes",
    "A memory changes at the tokens that its clock allows, at most so often in a commit window as its budget says.",
    unless=_without("clock"),
)
def scheduled_writes(subject: Subject, draws: Draws) -> None:
    """Run a stream token by token and watch the memory itself; the lifetime begins with the stream."""
    step = _Step(subject, draws, "clock")
    clock = step.policy.clock
    assert clock is not None
    tokens = np.concatenate([step.window(0), step.window(1)], axis=1)
    budget, spent = clock.budget, np.zeros(step.rows, np.int64)
    carry = None
    for time in range(tokens.shape[1]):
        outputs, carry = step.run(tokens[:, time : time + 1], carry)
        moved = step.moved(outputs, carry)
        if moved.any() and not clock.allows(time):
            raise Violation(f"memory {step.index}: something was written at token {time}, which the clock forbids")
        if budget is not None:
            spent = np.where(time % budget.window == 0, 0, spent) + moved
            if spent.max() > budget.writes:
                raise Violation(f"memory {step.index}: {spent.max()} writes by token {time}, the budget is {budget}")


@invariant(
    "controller",
    "A controller acts after an overload that lasts, never before one, and stops when it is over.",
    unless=_without("control"),
)
def controller(subject: Subject, draws: Draws) -> None:
    """Let the energy fall, raise it beyond any limit for as long as two decisions take, and let it fall for as long."""
    step = _Step(subject, draws, "control")
    control = step.policy.control
    assert control is not None
    watch = subject.keep(f"control {step.index}", lambda: control_graph(control))
    calm = draws.integer("calm_before", 0, control.window)
    lasts = 2 * control.window
    rises = np.repeat([-_OVERLOAD, _OVERLOAD, -_OVERLOAD], [calm, lasts, lasts])
    call = Pass({"rise": rises[None, :]}, int(Lifetime.STREAM))
    acts = watch.forward(call, watch.init_carry(1, len(rises)))[0]["acts"][0]
    if acts[: calm + 1].any():
        raise Violation(f"memory {step.index}: the controller acts before anything happened")
    if not acts[calm : calm + lasts].any():
        raise Violation(f"memory {step.index}: the controller lets {lasts} tokens of overload pass")
    if acts[-1]:
        raise Violation(f"memory {step.index}: the controller still acts {lasts} tokens after the overload")


def step_graph(memory: Memory, policy: Policy, dim: int, window: int) -> Graph:
    """Return the graph of a memory's step under a policy alone, over a stream that never ends.

    Input `x`; outputs `y`, `came` (the stream at the gate), `alpha` and `acts` wide[B, T] where there are any, and
    `held.<state>`, what the memory itself holds before.
    """
    graph = Graph("step", Nest(window=window, causal=False))
    b = Builder(graph, Context(dim, window, vocabulary=2), graph.main, place="block")
    x = b.input("x", Type(DType.COMPUTE, (*_AXES, axis("D", dim))))
    reset = b.input("reset", Type(DType.I8, _AXES[:1]))
    # whatever its lifetime, so that one of a pass holds something from call to call too
    placed = Placed(memory.model_copy(update={"policy": policy, "lifetime": "stream"}), "block", "block")
    states = {
        name: b.state(name, leaf.type, leaf.start, reset, lifetime="stream", commit="every_pass")
        for name, leaf in placed.leaves(b, x).items()
    }
    tokens: list[str] = []

    def step(inner: Builder, x: Value, *held: Value) -> tuple[Value, ...]:
        state = dict(zip(states, held, strict=True))
        governing = Governing(inner, memory, policy, *parted(state))
        y = governing.run(x)
        tokens[:] = governing.tokens
        return (y, governing.came, *(governing.left[name] for name in states), *governing.tokens.values())

    y, came, *rest = b.call("block", step, x, *states.values(), title="Step", key="step", place="block")
    graph.candidates = dict(zip(states, rest, strict=False))
    graph.outputs = {"y": y, "came": came, **dict(zip(tokens, rest[len(states) :], strict=True))}
    graph.outputs |= below("held", parted(states)[0])
    return verify(graph)


def control_graph(control: Control) -> Graph:
    """Return the graph of what a controller carries alone: input `rise` wide[B, T], output `acts`."""
    graph = Graph("control", Nest(window=1, causal=False))
    b = Builder(graph, Context(1, 1, vocabulary=2), graph.main, place="block")
    rise = b.input("rise", Type(DType.WIDE, _AXES))
    reset = b.input("reset", Type(DType.I8, _AXES[:1]))
    held = {
        name: b.state(name, one.type(rise), b.full(one.start, Type(DType.WIDE)), reset, lifetime="stream", commit=_NOW)
        for name, one in control.carries.items()
    }

    def step(before: Numbers, token: Numbers) -> tuple[Numbers, Numbers]:
        return control.watch(b, token["rise"], before), {"acts": before["acts"]}

    graph.outputs, graph.candidates = along_tokens(b, held, {"rise": rise}, step)
    return verify(graph)


def _shut(policy: Policy) -> Policy:
    """Return a policy whose gate opens at 1 only."""
    assert policy.gate is not None
    gate = policy.gate.model_copy(update={"hysteresis": Hysteresis(open=1.0, close=0.0)})
    return policy.model_copy(update={"gate": gate})

"""What a model costs: parameters, floating-point operations, state and activation bytes, all before it is built.

A pass is unrolled onto a tape: a node per primitive, composites by their definition, ticks one by one, a scan's body
once with the length of its axis as weight. A contraction costs its declared work forward. Backward it costs as much
again for each operand that needs a gradient, and only where its result reaches the loss; both are plain reachability on
the tape, which `detach`, free repeats and the ends of spans cut. So the numbers equal what a framework's own counter
sees around the forward and the backward pass, with attention in its plain form.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hrmsearch.analyses.amount import Amount, Term
from hrmsearch.analyses.interpreter import Facts, Interpreter
from hrmsearch.analyses.tape import Far, Node, Tape
from hrmsearch.analyses.walk import walk
from hrmsearch.ir.graph import Graph, moves
from hrmsearch.ir.ops import Work, lookup
from hrmsearch.ir.types import DType, Lifetime, Type

_BYTES: Mapping[DType, int] = {DType.COMPUTE: 4, DType.WIDE: 4, DType.I32: 4, DType.I8: 1, DType.BOOL: 1}


@dataclass(frozen=True, slots=True)
class PassCost:
    """What one pass costs.

    forward and backward: floating-point operations of contractions, a multiply-add as 2. elementwise: operations of
    everything else, forward. activations: bytes of what a backend without fusion or recomputation keeps for backward,
    in float32; an estimate.
    """

    forward: Amount
    backward: Amount
    elementwise: Amount
    activations: Amount

    @property
    def training(self) -> Amount:
        """Contractions, forward and backward."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Cost:
    """What a model costs; amounts depend on B rows and T tokens.

    params: entries of parameters that train. fixed: entries of those that never do. keyed: entries of tables of which a
    step moves the rows that occurred. fresh: a pass that restores every
    state, alone in its span. carried: a pass that restores none, alone in its span. window: every pass of the first
    window of a stream, with gradient as far as the nest's spans reach. state: bytes of the carry.
    """

    params: int
    fixed: int
    fresh: PassCost
    carried: PassCost
    passes: tuple[PassCost, ...]
    state: Amount
    tokens: int
    keyed: int = 0

    @cached_property
    def _symbols(self) -> dict[str, int]:
        return {"B": 1, "T": self.tokens}

    @property
    def flops_per_token(self) -> float:
        """Operations of contractions per token of training on one full window: all passes, forward and backward."""
        return sum(cost.training.at(self._symbols) for cost in self.passes) / self.tokens

    @property
    def state_bytes(self) -> int:
        """Bytes of one row's carry at a full window, in float32."""
        return self.state.at(self._symbols)

    @property
    def activation_bytes(self) -> int:
        """Bytes that one row keeps for the backward of its costliest pass at a full window; an estimate."""
        return max(cost.activations.at(self._symbols) for cost in self.passes)


def cost(graph: Graph) -> Cost:
    """Return what a graph costs as it stands: without what nothing needs, but with what it computes twice.

    Simplify it by the compiler passes first to learn what a backend will run. Training is that of the last phase;
    `phased` gives the graphs of those before it.
    """
    params = [(op, math.prod(op.result.type.shape({}))) for op in graph.params.values()]
    fresh, carried = _alone(graph, Lifetime.SAMPLE), _alone(graph, Lifetime.NONE)
    lone = graph.nest.backprop == ("passes", 1)
    passes = (fresh, *[carried] * (graph.nest.passes - 1)) if lone else _window(graph)
    return Cost(
        params=sum(n for op, n in params if moves(op) == "trained"),
        fixed=sum(n for op, n in params if moves(op) == "fixed"),
        fresh=fresh,
        carried=carried,
        passes=tuple(passes),
        state=Amount.of(Node().weigh(_bytes(op.result.type)) for op in graph.states.values()),
        tokens=graph.nest.window,
        keyed=sum(n for op, n in params if moves(op) == "keyed"),
    )


def _alone(graph: Graph, reset: Lifetime) -> PassCost:
    """Return the cost of one pass that is a span of its own."""
    tape = Tape(graph.nest.phases[-1])
    facts = Interpreter(graph, tape).run(reset, {path: tape.node(cut=True) for path in graph.states})
    return _costs(tape, [facts])[0]


def _window(graph: Graph) -> Sequence[PassCost]:
    """Return the cost of every pass of the first window; later windows of its span pull gradient through it."""
    tape = Tape(graph.nest.phases[-1])
    unit, length = graph.nest.backprop
    facts = walk(graph, tape, windows=length if unit == "windows" else 1)
    return _costs(tape, facts)[: graph.nest.passes]


def _costs(tape: Tape, facts: Sequence[Facts[int]]) -> list[PassCost]:
    """Return the cost of each pass on a tape; what no output and no state needs is not run."""
    needs, reach = tape.needing(), tape.reaching([fact.outputs["loss"] for fact in facts if "loss" in fact.outputs])
    used = tape.used([end for fact in facts for end in (*fact.outputs.values(), *fact.candidates.values())])
    return [_cost(tape, [n for n in nodes if n in used], needs, reach) for nodes in tape.passes()]


def _cost(tape: Tape, nodes: Sequence[int], needs: Mapping[int, Far], reach: Mapping[int, Far]) -> PassCost:
    """Return the sum over nodes; a backward skips the positions of a scan that need no gradient or reach no loss."""
    forward, backward, elementwise, kept = list[Term](), list[Term](), list[Term](), list[Term]()
    for number in nodes:
        node = tape.nodes[number]
        if node.op is None:
            continue
        row = lookup(node.op.kind)
        work = row.contraction(node.op)
        forward += map(node.weigh, work)
        elementwise += map(node.weigh, row.elementwise(node.op))
        if number not in reach or number not in needs:
            continue
        if work or row.elementwise(node.op):
            kept.append(node.weigh(_bytes(node.op.result.type)))
        without = [tape.seen(p, node, needs) + reach[number] for p in node.parents if p in needs]
        backward += [node.weigh(w, but) for but in without for w in work]
    return PassCost(*(Amount.of(terms) for terms in (forward, backward, elementwise, kept)))


def _bytes(type_: Type) -> Work:
    return Work(_BYTES[type_.dtype], type_.sizes)

"""Graphs that do not mean what their spec says: a block writes them wrong, or a compiler pass breaks them."""

from collections.abc import Mapping, Sequence
from typing import Any

from hrmsearch.blocks import clock, ticking
from hrmsearch.blocks.base import COST
from hrmsearch.blocks.clock import Slots, Ticked
from hrmsearch.blocks.control import EnergyBudget
from hrmsearch.blocks.gate import Gate
from hrmsearch.blocks.governing import Governing
from hrmsearch.blocks.infini import Infini
from hrmsearch.blocks.skipping import Halting
from hrmsearch.blocks.ticks import Tick
from hrmsearch.ir import Axis, Builder, DType, Graph, Op, Size, Type, Value
from hrmsearch.ir.chunks import chunked
from tests.soundness.planting import (
    SKIPS,
    Bug,
    after,
    attribute,
    candidate,
    compiled_wrong,
    ending,
    lowered_wrong,
    reading,
    rewritten_wrong,
    written_wrong,
)  # fmt: skip

_EMBED, _MEMORY, _CORE = "model.embed", "model.memory[0]", "model.core"
_MIXER, _FAST = "model.core.levels.L.block.mixer", "model.core.levels.L.block"
_WINDOW = 4
_LEARNED = ("model.core.gradient=full", "model.core.state.start={kind: learned, init: {normal: 0.5}}")
_CYCLES = ("model.core.cycles=3",)
_NO_MEMORY = ("model.memory=[]",)
_CHUNKS = ("model.memory[0].chunk=3",)
_RECURRENT = ("recurrent",)
_cost = Halting.cost
_POLICY = "model.memory[0].policy="
_BUDGET = (f"{_POLICY}{{clock: {{every: 2, budget: {{writes: 1, window: 4}}}}}}",)
_CLOCK = (f"{_POLICY}{{clock: {{every: 3}}}}",)
_GATE = (f"{_POLICY}{{gate: {{width: 3, bias: 1.0, hysteresis: {{open: 0.6, close: 0.5}}}}}}",)
_RATE = (f"{_POLICY}{{gate: {{width: 3, rate: 0.05}}}}",)
_CONTROL = (f"{_POLICY}{{gate: {{width: 3}}, control: {{window: 3, limit: 0.001, clamp: 0.1, deny: false}}}}",)


def _ahead(b: Builder, x: Value) -> Value:
    longer = b.op("pad", x, axis="T", before=0, size="T+1", value=0.0)
    return b.slice(longer, "T", 1, Size.of("T"))


def _with_window_mean(b: Builder, x: Value) -> Value:
    return x + b.mean(x, "T")


def _less_batch_mean(b: Builder, x: Value) -> Value:
    return x - b.mean(x, "B")


def _normed_over_rows(b: Builder, x: Value) -> Value:
    return b.transpose(b.op("rms_norm", b.transpose(x, "T", "D", "B"), eps=1e-6), "B", "T", "D")


def _detached(b: Builder, x: Value) -> Value:
    return b.op("detach", x)


def _cost_as_a_number(halting: Halting) -> dict[str, Value]:
    return {COST: halting.b.op("detach", _cost(halting)[COST])}


def _shared(b: Builder, graph: Graph, new: Value) -> Value:
    del graph
    return b.broadcast(b.mean(new, "B"), new.type)


def _stale(b: Builder, graph: Graph, new: Value) -> Value:
    del b, new
    return graph.states["memory_0.M"].result


def _kept(b: Builder, graph: Graph, new: Value) -> Value:
    del b, new
    return graph.states["h"].result


def _with_targets(b: Builder, graph: Graph) -> None:
    graph.outputs["logits"] = graph.outputs["logits"] + b.cast(graph.inputs["targets"], DType.COMPUTE)


def _emptied(b: Builder, x: Value) -> Value:
    return x * 0.0


def _late(b: Builder, operands: Sequence[Value]) -> Sequence[Value]:
    """Return keys and the angles of the positions after theirs."""
    tables = (_late_table(b, rule, x.type) for rule, x in zip(("rope_cos", "rope_sin"), operands[1:], strict=True))
    return [operands[0], *tables]


def _late_table(b: Builder, rule: str, of: Type) -> Value:
    longer = Type(of.dtype, (Axis("W", Size.of(_WINDOW + 1)), of.axes[1]))
    table = b.append(Op("const", (), {"rule": rule, "base": 10000.0}), type=longer).result
    return b.slice(table, "W", 1, Size.of("T"), "T")


def _unbounded(b: Builder, x: Value) -> Value:
    return b.op("exp", x)


def _off_by_one(periods: dict[str, int], cycles: int) -> list[Tick]:
    """Tick the levels at the start of their periods, not at the end."""
    order, last = sorted(periods, key=lambda level: periods[level]), cycles * max(periods.values())
    return [tuple(level for level in order if (i + 1) % periods[level] == 0) for i in range(1, last + 1)]


_write: Any = vars(Infini)["_write"]
_there: Any = vars(Infini)["_there"]
_spent: Any = vars(Slots)["spent"]
_count: Any = vars(clock)["_count"]
_follow: Any = vars(Gate)["follow"]
_said: Any = vars(Governing)["_said"]
_watch: Any = vars(EnergyBudget)["watch"]


def _unmasked(self: Infini, b: Builder, write: Value, keys: Value) -> Value:
    del self, write
    ones = b.op("equal", keys, keys)
    return b.broadcast(ones, keys.type.with_dtype(DType.BOOL))


def _filled(self: Infini, b: Builder, x: Value, size: int, write: Value | None) -> Value:
    """Take what fills up the last chunk for tokens; what the mask hides is hidden."""
    there = _there(self, b, x, size, write)
    if write is None:
        return b.op("equal", there, there)
    hidden = chunked(b, b.where(write, b.full(0.0, Type(DType.COMPUTE)), 1.0), size)
    return b.op("less", hidden, 0.5)


def _write_first(
    self: Infini, b: Builder, state: Mapping[str, Value], x: Value, write: Value | None = None
) -> tuple[Value, Mapping[str, Value]]:
    new = self.update(b, state, x, write)
    return self.readout(b, new, x), new


def _delta_of_new(
    self: Infini, b: Builder, state: Mapping[str, Value], k: Value, v: Value, write: Value | None
) -> Mapping[str, Value]:
    """Correct by what the memory says after the write."""
    new = _write(self, b, state, k, v, write)
    return _write(self, b, {"M": new["M"], "z": state["z"]}, k, v, write)


def _overspent(
    self: Slots, b: Builder, proposed: Value, ticked: Ticked, held: Mapping[str, Value]
) -> tuple[Value, Mapping[str, Value]]:
    """Let one write more through than the budget has."""
    assert self.budget is not None
    larger = self.budget.model_copy(update={"writes": self.budget.writes + 1})
    return _spent(self.model_copy(update={"budget": larger}), b, proposed, ticked, held)


def _counted_twice(b: Builder, value: Value, one: Value, length: int) -> Value:
    return _count(b, _count(b, value, one, length), one, length)


def _ajar(
    self: Gate, b: Builder, wanted: Value, before: Mapping[str, Value], cap: Value | None
) -> tuple[Value, Mapping[str, Value]]:
    """Leave a closed gate open a little."""
    alpha, left = _follow(self, b, wanted, before, cap)
    return b.op("maximum", alpha, 0.01), left


def _at_once(
    self: Gate, b: Builder, wanted: Value, before: Mapping[str, Value], cap: Value | None
) -> tuple[Value, Mapping[str, Value]]:
    """Take alpha for what is wanted."""
    return wanted, {**_follow(self, b, wanted, before, cap)[1], "alpha": wanted}


def _leaking(self: Governing, x: Value, y: Value) -> Value:
    """Let some of what the memory says pass beside the gate."""
    return _said(self, x, y) + (y - x) * 0.01


def _asleep(self: EnergyBudget, b: Builder, rise: Value, before: Mapping[str, Value]) -> Mapping[str, Value]:
    """Never act."""
    return {**_watch(self, b, rise, before), "acts": before["acts"]}


def _latched(self: EnergyBudget, b: Builder, rise: Value, before: Mapping[str, Value]) -> Mapping[str, Value]:
    """Never stop acting."""
    left = _watch(self, b, rise, before)
    return {**left, "acts": b.op("maximum", left["acts"], before["acts"])}


BUGS: Sequence[Bug] = (
    Bug(
        "tokens-ahead-by-one",
        "the stream is shifted so that every token stands one place too early",
        ("HS101", "causality"),
        lowered_wrong(after("call", _EMBED, _ahead)),
    ),
    Bug(
        "mean-over-tokens",
        "the mean of the window is added to the stream",
        ("HS101", "causality"),
        lowered_wrong(after("call", _EMBED, _with_window_mean)),
    ),
    Bug(
        "targets-in-logits",
        "the logits know what they are to predict",
        ("HS101", "unseen-targets"),
        lowered_wrong(ending(_with_targets)),
    ),
    Bug(
        "memory-read-after-write",
        "the memory is written before it is read, so it says what the window's later tokens are",
        ("HS101", "causality"),
        written_wrong(Infini, "step", _write_first),
    ),
    Bug(
        "batch-mean-subtracted",
        "the stream loses the mean over the rows of its batch",
        ("HS104", "row-independence"),
        lowered_wrong(after("call", _EMBED, _less_batch_mean)),
    ),
    Bug(
        "norm-over-rows",
        "a norm divides by the size over rows instead of widths",
        ("HS104", "row-independence"),
        lowered_wrong(after("call", _EMBED, _normed_over_rows)),
    ),
    Bug(
        "memory-shared-by-rows",
        "every row commits the mean of all rows' memories",
        ("HS104", "row-independence", "reset-rows"),
        lowered_wrong(candidate("memory_0.M", _shared)),
    ),
    Bug(
        "memory-never-written",
        "the memory commits what it held before",
        ("HS108",),
        lowered_wrong(candidate("memory_0.M", _stale)),
    ),
    Bug(
        "mask-ignored",
        "the memory writes what its mask hides, such as the padding of the last chunk",
        ("write-mask",),
        written_wrong(Infini, "_over_heads", _unmasked),
        _CHUNKS,
    ),
    Bug(
        "padding-written",
        "the padding of the last chunk counts as tokens, whoever writes it",
        ("hidden-tail",),
        written_wrong(Infini, "_there", _filled),
        _CHUNKS,
    ),
    Bug(
        "ticks-off-by-one",
        "the slow level ticks at the start of its period",
        ("ticks",),
        written_wrong(ticking, "schedule", _off_by_one),
        _CYCLES,
    ),
    Bug(
        "unbounded-decay",
        "a recurrence multiplies by what may exceed one",
        ("HS105",),
        lowered_wrong(after("sigmoid", "model.decay", _unbounded)),
        _RECURRENT,
    ),
    Bug(
        "stream-detached",
        "gradient ends between the core and what comes before it",
        ("HS102", "gradients"),
        compiled_wrong(after("call", _MEMORY, _detached)),
    ),
    Bug(
        "start-detached",
        "gradient ends at the learned start",
        ("HS102", "gradients"),
        compiled_wrong(after("param", _CORE, _detached)),
        _LEARNED,
    ),
    Bug(
        "free-repeat",
        "ticks that gradient should cross run without",
        ("HS102", "gradients"),
        compiled_wrong(attribute("repeat", _CORE, free=True)),
        (*_LEARNED, *_CYCLES),
    ),
    Bug(
        "detached-between-ticks",
        "gradient misses one tick of several, so every parameter still has some",
        ("derivative",),
        compiled_wrong(after("call", _FAST, _detached, nth=-2)),
    ),
    Bug(
        "ponder-cost-a-number",
        "what halting is charged has no gradient, so it teaches nobody to halt",
        ("derivative",),
        rewritten_wrong(Halting, "cost", _cost_as_a_number),
        SKIPS,
    ),
    Bug(
        "reset-forgotten",
        "one of two levels is not restored with its window",
        ("reset-rows", "window-order"),
        compiled_wrong(attribute("state", _CORE, lifetime="stream")),
        _NO_MEMORY,
    ),
    Bug(
        "commit-too-early",
        "one of the memory's two leaves commits every pass",
        ("commits", "values"),
        compiled_wrong(attribute("state", _MEMORY, nth=1, commit="every_pass")),
    ),
    Bug(
        "one-cycle-too-many",
        "a repeat runs once more than the schedule says",
        ("traced-pass", "values"),
        compiled_wrong(attribute("repeat", _CORE, n=2)),
    ),
    Bug(
        "positions-off-by-one",
        "keys are rotated by the angles of the next position",
        ("values",),
        compiled_wrong(reading("rope", _MIXER, _late, nth=1)),
    ),
    Bug(
        "padding-present",
        "the padding of the last chunk counts as tokens",
        ("values",),
        compiled_wrong(attribute("pad", _MEMORY, nth=3, value=1.0)),
        _CHUNKS,
    ),
    Bug(
        "delta-of-new-memory",
        "the delta rule corrects by the memory after its write",
        ("values",),
        rewritten_wrong(Infini, "_write", _delta_of_new),
        ("model.memory[0].update=delta",),
    ),
    Bug(
        "recurrence-begins-anew",
        "a recurrence starts every piece of a window from nothing",
        ("step-chunk-whole", "values"),
        compiled_wrong(after("state", "model", _emptied)),
        _RECURRENT,
    ),
    Bug(
        "recurrence-end-lost",
        "a recurrence does not hand on its end",
        ("HS108", "step-chunk-whole"),
        compiled_wrong(candidate("h", _kept)),
        _RECURRENT,
    ),
    Bug(
        "budget-overspent",
        "a clock lets one write more through than the budget of a commit window has",
        ("HS110", "scheduled-writes"),
        written_wrong(Slots, "spent", _overspent),
        _BUDGET,
    ),
    Bug(
        "slots-skipped",
        "a clock counts every token twice, so other slots write",
        ("scheduled-writes",),
        written_wrong(clock, "_count", _counted_twice),
        _CLOCK,
    ),
    Bug(
        "clock-restarts",
        "a clock begins anew with every window, though its memory goes on",
        ("values",),
        compiled_wrong(attribute("state", _MEMORY, nth=2, lifetime="window")),
        _CLOCK,
    ),
    Bug(
        "gate-ajar",
        "a closed gate stays open a little",
        ("alpha-bounds",),
        written_wrong(Gate, "follow", _ajar),
        _GATE,
    ),
    Bug(
        "rate-ignored",
        "alpha is at once what it wants to be",
        ("alpha-bounds",),
        written_wrong(Gate, "follow", _at_once),
        _RATE,
    ),
    Bug(
        "gate-passed-by",
        "some of what the memory says passes beside its gate",
        ("closed-gate",),
        written_wrong(Governing, "_said", _leaking),
        _GATE,
    ),
    Bug(
        "controller-asleep",
        "a controller never acts",
        ("controller",),
        written_wrong(EnergyBudget, "watch", _asleep),
        _CONTROL,
    ),
    Bug(
        "controller-latched",
        "a controller that acts never stops",
        ("controller",),
        written_wrong(EnergyBudget, "watch", _latched),
        _CONTROL,
    ),
)

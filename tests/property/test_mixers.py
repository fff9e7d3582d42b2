"""What holds of every recurrent mixer, whatever its equations."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.analyses import validate
from hrmsearch.blocks.hl_kernel import HLKernel
from hrmsearch.blocks.hrm_state import HRMState
from hrmsearch.blocks.mlstm import MLSTM
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.blocks.s4d import S4D
from hrmsearch.blocks.slstm import SLSTM
from hrmsearch.runtime import Array
from hrmsearch.spec.registry import kinds
from hrmsearch.testing.check import examine, prepare
from hrmsearch.testing.invariants import invariants
from hrmsearch.testing.spec_parts import recurring
from hrmsearch_torch.kernels import scans
from tests.mixers import ENGINES, after, close, in_pieces, starts, streamed

DIM, ROWS = 4, 2
MIXERS: dict[str, Callable[[], Recurrent]] = {
    "slstm": lambda: SLSTM(heads=2),
    "slstm without conv": lambda: SLSTM(heads=1, conv=None),
    "hl_kernel": lambda: HLKernel(period=3, cycles=2),
    "hl_kernel complex": lambda: HLKernel(period=2, channels="complex", order="simultaneous", inject=("L", "H")),
    "hl_kernel gated": lambda: HLKernel(cycles=2, gated=True, discretize="bilinear", timescale=(0.5, 8.0)),
    "hrm_state": lambda: HRMState(period=3),
    "mlstm": lambda: MLSTM(heads=2, width=8),
    "mlstm in chunks": lambda: MLSTM(heads=2, width=8, block=2, chunk=3),
    "mlstm by tokens": lambda: MLSTM(heads=1, width=8, conv=None, chunk=1, start="zero"),
    "s4d": lambda: S4D(state=4),
    "s4d bilinear": lambda: S4D(state=6, discretize="bilinear", init="inv", form="chunk"),
}
#: those whose recurrence is one over lanes, which a generated kernel can run
LANES = ("slstm", "slstm without conv", "hl_kernel", "hl_kernel complex", "hl_kernel gated", "hrm_state", "s4d")
mixers = pytest.mark.parametrize(
    ("name", "engine"), [(name, engine) for name in MIXERS for engine in ENGINES if engine == "torch" or name in LANES]
)
seeds = st.integers(0, 2**16)


class Case:
    """A mixer with weights, and streams for it."""

    def __init__(self, name: str, seed: int) -> None:
        self.mixer, self.seed = MIXERS[name](), seed
        self.step = streamed(self.mixer, DIM)
        self.params = self.step.params(seed, 0.3)

    def begun(self, rows: int, tokens: int, scale: float = 1.0) -> dict[str, Array]:
        """Return a stream that begins."""
        x = scale * np.random.default_rng(self.seed).normal(size=(rows, tokens, DIM))
        return {"x": x, **starts(self.mixer, DIM, rows)}

    def going_on(self, rows: int, tokens: int) -> dict[str, Array]:
        """Return a stream that goes on from a state which a few tokens have left."""
        return self.begun(rows, tokens) | after(self.step.run(self.params, self.begun(rows, 3, 2.0)))


def test_every_mixer_that_recurs_is_here() -> None:
    # other tests may have registered kinds of their own
    ours = {name for name in recurring() if kinds("mixer")[name].__module__.startswith("hrmsearch.")}
    assert {make().kind for make in MIXERS.values()} == ours


@pytest.mark.skipif("kernels" not in ENGINES, reason="no C compiler")
@pytest.mark.parametrize("name", MIXERS)
def test_every_recurrence_over_lanes_runs_by_a_kernel(name: str) -> None:
    assert bool(scans(streamed(MIXERS[name](), DIM).fused)) == (name in LANES)


@mixers
@settings(max_examples=8)
@given(st.integers(1, 9), st.data(), seeds)
def test_a_stream_cut_anywhere_is_the_stream(
    name: str, engine: str, tokens: int, data: st.DataObject, seed: int
) -> None:
    case = Case(name, seed)
    inputs = case.begun(ROWS, tokens)
    cuts = sorted(data.draw(st.sets(st.integers(1, tokens - 1), max_size=4))) if tokens > 1 else []
    for dtype, within in (("float64", 1e-9), ("float32", 2e-5)):
        whole = case.step.run(case.params, inputs, engine, dtype)
        close(in_pieces(case.step, case.params, inputs, cuts, dtype, engine), whole, within)


@mixers
def test_tokens_one_by_one_are_the_stream(name: str, engine: str) -> None:
    case = Case(name, 0)
    inputs = case.begun(ROWS, 7)
    for backend in (engine, "reference"):
        whole = case.step.run(case.params, inputs, backend)
        close(in_pieces(case.step, case.params, inputs, range(1, 7), backend=backend), whole)


@mixers
@settings(max_examples=8)
@given(st.integers(1, 6), st.lists(st.booleans(), min_size=6, max_size=6), seeds)
def test_a_hidden_token_leaves_the_state_as_it_was(
    name: str, engine: str, tokens: int, mask: list[bool], seed: int
) -> None:
    case = Case(name, seed)
    masked = streamed(case.mixer, DIM, write=True)
    write = np.array([mask[:tokens], [False] * tokens])
    for inputs in (case.begun(ROWS, tokens), case.going_on(ROWS, tokens)):
        states = masked.run(case.params, inputs | {"write": write}, engine)
        for state, held in inputs.items():
            if state != "x":
                assert np.array_equal(states[f"{state[:-1]}1"][1], held[1]), state
        if write.any():
            seen = {n: array[:1] for n, array in inputs.items()} | {"x": inputs["x"][:1, write[0]]}
            wanted = case.step.run(case.params, seen)
            close({n: array[:1] for n, array in states.items()}, {n: v for n, v in wanted.items() if n != "out"})


@mixers
def test_a_mask_that_hides_nothing_changes_nothing(name: str, engine: str) -> None:
    case = Case(name, 0)
    masked, inputs = streamed(case.mixer, DIM, write=True), case.going_on(ROWS, 5)
    got = masked.run(case.params, inputs | {"write": np.ones((ROWS, 5), np.bool_)}, engine)
    close(got, case.step.run(case.params, inputs), 1e-12)


@mixers
@settings(max_examples=5)
@given(seeds)
def test_rows_do_not_know_of_each_other(name: str, engine: str, seed: int) -> None:
    case = Case(name, seed)
    begins, goes_on = case.begun(1, 4), case.going_on(1, 4)
    both = {state: np.concatenate([array, goes_on[state]]) for state, array in begins.items()}
    together = case.step.run(case.params, both, engine)
    for row, inputs in enumerate((begins, goes_on)):
        alone = case.step.run(case.params, inputs, engine)
        close({n: array[row : row + 1] for n, array in together.items()}, alone, 1e-12)


@mixers
@settings(max_examples=5)
@given(st.integers(1, 5), seeds)
def test_gradient_goes_through_the_states_both_ways(name: str, engine: str, tokens: int, seed: int) -> None:
    case, rng = Case(name, seed), np.random.default_rng(seed)
    inputs = case.going_on(1, tokens)
    weights = {n: rng.normal(size=array.shape) for n, array in case.step.run(case.params, inputs).items()}
    gradients = case.step.gradients(case.params, inputs, weights, engine=engine)
    along = {n: rng.normal(size=array.shape) for n, array in {**case.params, **inputs}.items()}

    def total(step: float) -> float:
        params, moved = ({n: v + step * along[n] for n, v in arrays.items()} for arrays in (case.params, inputs))
        there = case.step.run(params, moved)
        return sum(float((weight * there[n]).sum()) for n, weight in weights.items())

    # Richardson's correction of central differences
    wide, narrow = ((total(h) - total(-h)) / (2 * h) for h in (2e-4, 1e-4))
    terms = [float((gradients[n] * along[n]).sum()) for n in along]
    assert abs(sum(terms) - (4 * narrow - wide) / 3) <= 1e-6 * max(1.0, *map(abs, terms))


@mixers
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
def test_long_streams_and_large_gates_stay_finite_in_float32(name: str, engine: str, scale: float) -> None:
    case = Case(name, 0)
    inputs = case.begun(1, 300, scale)
    outputs = case.step.run(case.params, inputs, engine, "float32")
    ones = {n: np.ones_like(v) for n, v in outputs.items()}
    gradients = case.step.gradients(case.params, inputs, ones, "float32", engine)
    for array in (*outputs.values(), *gradients.values()):
        assert np.isfinite(array).all()


STREAMING = ("model.core.blocks[0].mixer.lifetime=stream", "task.loader=contiguous")
TINY = ("model.dim=8", "model.core.blocks[0].repeat=1", "task.window=6")


@pytest.mark.parametrize("spec", ["slstm", "mlstm", "s4d", "hl_kernel", "hl_kernel_gated"])
def test_a_shipped_mixer_is_sound_as_a_stream_and_may_be_cut_anywhere(spec: str) -> None:
    tiny = hs.load(spec, [*STREAMING, *TINY])
    assert not validate(hs.lower(tiny), tiny)
    subject = prepare(tiny)
    for name in ("step-chunk-whole", "causality", "reset-rows", "commits"):
        assert examine(subject, invariants()[name]).verdict == "held", name


@pytest.mark.parametrize("mixer", [HLKernel(form="fft"), S4D(form="fft")], ids=lambda mixer: mixer.kind)
def test_a_mask_takes_the_fft_form_from_a_recurrence(mixer: Recurrent) -> None:
    for write, form in ((False, "fft"), (True, None)):
        graph = streamed(mixer, DIM, write=write).graph
        assert [op.attrs["form"] for op in graph.main.ops if op.kind == "linear_scan"] == [form]

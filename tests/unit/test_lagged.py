"""Lagged cache training: the cache is the recurrence it stands for, one token a pass, and is kept window by window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch.analyses import validate
from hrmsearch.errors import SpecError
from hrmsearch.ir import Lifetime, parse, text
from hrmsearch.ir.checkpoint import read_arrays
from hrmsearch.runtime import Executable, Options, Pass, backend_names, load_backend, prepared
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train.kept import Kept
from hrmsearch.train.scoring import score
from tests.backends import usable
from tests.training import Silent, Stopping, outcome, tiny, train

Array = NDArray[Any]
MEMORY = "model.memory=[{kind: lagged, of: L}]"
# one level of one block without mixing over tokens but through the cache
LEVEL = "{kind: transformer, mixer: {kind: attention, heads: 1, position: none}}"
CORE = f"model.core={{kind: hrm, state: {{lifetime: pass}}, levels: {{L: {{block: {LEVEL}}}}}}}"
SHUFFLED = ("task.loader=shuffled", "nest.passes=1", "model.head.read=L")
ROWS, TOKENS = 3, 5


def lagged(*more: str) -> Spec:
    return tiny(MEMORY, CORE, *SHUFFLED, *more)


def compiled(spec: Spec, backend: str = "reference") -> Executable:
    made = load_backend(backend).compile(prepared(hs.lower(spec), backend), Options(dtype="float64", brief=True))
    made.init(3)
    return made


def text_of(rows: int = ROWS) -> dict[str, Array]:
    tokens = np.random.default_rng(0).integers(0, 9, (rows, TOKENS), dtype=np.int32)
    return {"tokens": tokens, "targets": np.roll(tokens, -1, 1)}


def visits(executable: Executable, inputs: dict[str, Array], count: int) -> list[Array]:
    """Return what was kept after each of several visits of the same windows."""
    carry, found = executable.init_carry(len(inputs["tokens"]), TOKENS), list[Array]()
    for i in range(count):
        _, carry = executable.forward(Pass(inputs, 3 if i == 0 else 2), carry)
        found.append(executable.carry_to_numpy(carry)["memory_0.kept"])
    return found


def silu(x: Array) -> Array:
    return x / (1.0 + np.exp(-x))


def norm(x: Array, gain: Array) -> Array:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * gain


def sequential(p: dict[str, Array], tokens: Array, project: bool) -> Array:
    """Return h[B, T, D] by the definition, one token after another: h_t = Block(x_t + h_(t-1), what came before)."""
    block = {name.removeprefix("core.levels.L.0."): array for name, array in p.items()}
    x, h = p["embed.table"][tokens], np.zeros((*tokens.shape, p["embed.table"].shape[1]))
    e = np.zeros_like(h)
    for t in range(tokens.shape[1]):
        before = h[:, t - 1] if t else np.zeros_like(h[:, 0])
        e[:, t] = x[:, t] + (before @ p["memory_0.w_lag"] if project else before)
        q, k, v = e[:, t] @ block["mixer.w_q"], e[:, : t + 1] @ block["mixer.w_k"], e[:, : t + 1] @ block["mixer.w_v"]
        scores = np.einsum("bd,bsd->bs", q, k) / np.sqrt(q.shape[-1])
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        y = norm(e[:, t] + np.einsum("bs,bsd->bd", share, v) @ block["mixer.w_o"], block["mixer_norm.gain"])
        ffn = (silu(y @ block["ffn.w_gate"]) * (y @ block["ffn.w_up"])) @ block["ffn.w_down"]
        h[:, t] = norm(y + ffn, block["ffn_norm.gain"])
    return h


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("backend", usable([name for name in backend_names() if name != "tinygrad"]))
def test_n_visits_have_the_first_n_tokens_of_the_sequential_definition(backend: str, project: bool) -> None:
    executable, inputs = compiled(lagged(f"model.memory[0].project={str(project).lower()}"), backend), text_of()
    wanted = sequential(executable.params, inputs["tokens"], project)
    for n, kept in enumerate(visits(executable, inputs, TOKENS + 1), start=1):
        np.testing.assert_allclose(kept[:, :n], wanted[:, :n], rtol=1e-9, atol=1e-12)
        if n < TOKENS:
            assert not np.allclose(kept[:, n:], wanted[:, n:])


def test_settling_passes_fill_what_a_window_that_is_scored_never_had() -> None:
    losses: list[float] = []
    for settle in (0, 5, 6, 9):
        spec = lagged(f"nest.settle={settle}", "task.valid_chars=100")
        split = spec.task.load().splits["valid"]
        (found,) = score(compiled(spec, "torch"), split, spec.task, batch=4)
        losses.append(found.loss)
    # windows have 6 tokens: the scored pass is the sixth, or one that changes nothing more
    assert losses[1] == pytest.approx(losses[2], rel=1e-12)
    assert losses[2] == pytest.approx(losses[3], rel=1e-12)
    assert abs(losses[0] - losses[1]) > 1e-6


def test_an_entry_belongs_to_its_window_whatever_batch_it_comes_in(tmp_path: Path) -> None:
    executable = compiled(lagged())
    kept, inputs = Kept(executable.graph), text_of(4)

    def visit(windows: list[int]) -> Array:
        which = np.array(windows)
        batch = Batch({name: array[which] for name, array in inputs.items()}, Lifetime.WINDOW, which)
        carry = kept.enter(executable, batch, executable.init_carry(len(windows), TOKENS))
        _, carry = executable.forward(Pass(batch.arrays, int(batch.reset)), carry)
        kept.leave(executable, which, carry)
        return executable.carry_to_numpy(carry)["memory_0.kept"]

    visit([0, 1])
    visit([2, 3])
    got = visit([3, 0])
    once, twice = visits(executable, inputs, 2)
    np.testing.assert_array_equal(got, twice[[3, 0]])
    np.testing.assert_array_equal(visit([1, 2]), twice[[1, 2]])
    assert not np.array_equal(once, twice)


@pytest.mark.parametrize("at", [1, 7, 20, 21, 33])
def test_a_run_with_a_cache_resumes_with_the_same_bits(at: int, tmp_path: Path) -> None:
    changes = ("nest.settle=2", "train.epochs=8", "model.defaults.dropout=0.1", "train.accumulate=2", "train.batch=2")
    expected = train(lagged(*changes), tmp_path / "whole")
    often = lagged(*changes, "train.checkpoint=0")
    with pytest.raises(KeyboardInterrupt):
        train(often, tmp_path / "broken", Stopping(at))
    assert outcome(train(often, tmp_path / "broken", resume=True).run_dir) == outcome(expected.run_dir)


class Entries(Silent):
    """Keeps what was kept at every checkpoint."""

    def __init__(self) -> None:
        self.kept: list[Array] = []

    def checkpoint(self, path: Path, step: int) -> None:
        found = read_arrays(path).get("kept/entry/memory_0.kept")
        self.kept += [] if found is None else [found]


def test_entries_outlive_epochs(tmp_path: Path) -> None:
    heard = Entries()
    train(lagged("train.epochs=3", "train.optimizer.lr=1.0e-12"), tmp_path, heard)
    # parameters stand still, so each epoch has one token more right and leaves those before it
    for n in (1, 2):
        np.testing.assert_allclose(heard.kept[n][:, :n], heard.kept[n - 1][:, :n], atol=1e-6)
        assert np.abs(heard.kept[n][:, n:] - heard.kept[n - 1][:, n:]).max() > 1e-3


# -- what the analyses make of it ------------------------------------------------------------------------------------


def codes(*changes: str) -> list[str]:
    spec = tiny("accept={}", *changes)
    return [one.code for one in validate(hs.lower(spec), spec)]


def test_the_cache_holds_the_past_of_its_window_and_no_future() -> None:
    assert codes(MEMORY, CORE, *SHUFFLED) == []
    assert codes(MEMORY, CORE, *SHUFFLED, "nest.passes=3") == []


def test_what_looks_ahead_in_one_epoch_leaks_into_the_next_one() -> None:
    spec = tiny("accept={}", MEMORY, CORE, *SHUFFLED, "model.core.levels.L.block.mixer.causal=false")
    (leak,) = [one for one in validate(hs.lower(spec), spec) if one.code == "HS101"]
    assert leak.severity == "error"


def test_lifetimes_and_settling_come_back_from_text() -> None:
    graph = hs.lower(lagged("nest.settle=3"))
    assert graph.states["memory_0.kept"].attrs["lifetime"] == "sample"
    assert parse(text(graph)).nest == graph.nest
    assert graph.nest.settle == 3


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ((MEMORY, CORE, *SHUFFLED, "model.memory[0].of=X"), "model.memory[0].of", "nothing called 'X' to read"),
        (("nest.settle=2",), "nest.settle", "nothing is kept by sample"),
        (
            ("model.memory=[{kind: lagged, of: L}, {at: output, kind: infini, heads: 2, lifetime: stream}]",),
            "model.memory[0]",
            "another order than memory_1",
        ),
        ((MEMORY, "nest.backprop={windows: 2}"), "nest.backprop.windows", "a window at a time"),
        ((MEMORY, CORE, *SHUFFLED, "model.memory[0].at=output"), "model.memory[0].at", "it stands at 'input'"),
    ],
)
def test_what_a_cache_cannot_do_is_told_at_its_place(changes: tuple[str, ...], place: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(tiny(*changes))
    (problem,) = error.value.problems
    assert problem.field == place
    assert message in problem.message

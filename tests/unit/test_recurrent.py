"""Mixers that recur, in every place that may carry their state: what is carried, read and written there."""

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.analyses import validate
from hrmsearch.errors import SpecError
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.testing.check import examine, prepare
from hrmsearch.testing.invariants import invariants
from tests.leaky import leaky

LEVEL = "block: {{kind: transformer, norm: {{place: pre}}, mixer: {{kind: leaky, {}}}}}"
STREAM = "lifetime: stream, commit: {}"


def hrm(mixer: str, *, cycles: int = 1, state: str = "pass", more: str = "") -> str:
    level = LEVEL.format(mixer)
    return (
        f"{{kind: hrm, cycles: {cycles}, state: {{lifetime: {state}}}, {more} "
        f"levels: {{L: {{period: 1, layers: 2, {level}}}, H: {{period: 2, layers: 2, {level}}}}}}}"
    )


def compiled(spec: Spec, backend: str = "reference") -> Executable:
    executable = load_backend(backend).compile(hs.lower(spec), Options(dtype="float64"))
    executable.init(0)
    return executable


def tokens(rows: int = 2, count: int = 8) -> Array:
    return np.random.default_rng(0).integers(0, 5, (rows, count), dtype=np.int32)


def call(piece: Array, reset: int = 0, *, last: bool = True) -> Pass:
    return Pass({"tokens": piece, "targets": piece}, reset, last)


def streamed(spec: Spec, lengths: list[int]) -> tuple[Array, dict[str, Array]]:
    """Return the logits of 8 tokens in windows of some lengths, and what is carried after them."""
    executable = compiled(spec)
    carry, logits = executable.init_carry(2, 4), list[Array]()
    for i, end in enumerate(np.cumsum(lengths)):
        outputs, carry = executable.forward(call(tokens()[:, end - lengths[i] : end], 0 if i else 3), carry)
        logits.append(outputs["logits"])
    return np.concatenate(logits, axis=1), executable.carry_to_numpy(carry)


MEMORY = "{{at: {}, kind: recurrent, lifetime: stream, commit: last_pass, mixer: {{kind: leaky}}}}"
ONE_TICK = hrm(STREAM.format("last_pass")).replace("period: 2", "period: 1")
STACK = "{kind: stack, norm: {}, blocks: [{kind: residual, repeat: 2, mixer: {kind: leaky, lifetime: stream}}]}"


@pytest.mark.parametrize(
    ("core", "read", "places"),
    [
        (ONE_TICK, "H", []),
        (STACK, "last", []),
        (ONE_TICK, "H", ["input", "core.H", "output"]),
        (STACK, "last", ["input", "core.1", "output"]),
    ],
)
def test_a_stream_in_windows_of_any_length_is_one_run(core: str, read: str, places: list[str]) -> None:
    spec = leaky(core, f"memory=[{', '.join(map(MEMORY.format, places))}]", read=read)
    (whole, end), (pieces, last) = (streamed(spec, lengths) for lengths in ([4, 4], [1, 3, 2, 1, 1]))
    np.testing.assert_allclose(pieces, whole, rtol=1e-12, atol=1e-12)
    assert end.keys() == last.keys() == hs.lower(spec).states.keys()
    for path, state in end.items():
        np.testing.assert_allclose(last[path], state, rtol=1e-12, atol=1e-12)


def test_levels_that_share_weights_carry_states_of_their_own() -> None:
    graph = hs.lower(leaky(hrm(STREAM.format("last_pass"), more="share: true,"), read="H"))
    assert list(graph.states) == ["core.L.0.h", "core.L.1.h", "core.H.0.h", "core.H.1.h"]
    assert [path for path in graph.params if path.endswith("mixer.w_in")] == [
        "core.levels.shared.0.mixer.w_in",
        "core.levels.shared.1.mixer.w_in",
    ]


def test_a_state_is_placed_at_the_mixer_that_says_how_long_it_lives() -> None:
    graph = hs.lower(leaky(hrm(STREAM.format("last_pass"), state="window"), read="H"))
    places = {path: op.place for path, op in graph.states.items()}
    assert places["core.z_H"] == "model.core"
    assert places["core.H.1.h"] == "model.core.levels.H.block.mixer"


@pytest.mark.parametrize("cycles", [1, 3])
def test_every_tick_begins_with_the_state_as_the_pass_began(cycles: int) -> None:
    executable = compiled(leaky(hrm(STREAM.format("last_pass"), cycles=cycles), read="H"))
    gains = {path: value for path, value in executable.params.items() if path.endswith("mixer_norm.gain")}
    # mixers that hear nothing only forget: by a half at each of four tokens, once in a pass of any number of ticks
    executable.set_params({**executable.params, **{path: np.zeros_like(gain) for path, gain in gains.items()}})
    ones = {path: np.ones((2, 4)) for path in executable.graph.states}
    _, carry = executable.forward(call(tokens()[:, :4]), executable.carry_from_numpy(ones))
    for path, state in executable.carry_to_numpy(carry).items():
        np.testing.assert_array_equal(state, np.full((2, 4), 0.5**4), err_msg=path)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_passes_before_the_last_leave_a_last_pass_state_alone_and_not_an_every_pass_one(backend: str) -> None:
    for commit, moves in (("last_pass", False), ("every_pass", True)):
        executable = compiled(leaky(hrm(STREAM.format(commit)), read="H", passes=2), backend)
        window = tokens()[:, :4]
        _, carry = executable.forward(call(window, 3), executable.init_carry(2, 4))
        before = executable.carry_to_numpy(carry)
        _, carry = executable.forward(call(window, 1, last=False), carry)
        after = executable.carry_to_numpy(carry)
        assert {path: not np.array_equal(after[path], before[path]) for path in after} == dict.fromkeys(after, moves)


def test_a_mixer_of_the_lifetime_pass_carries_nothing() -> None:
    assert not hs.lower(leaky(hrm("lifetime: pass"), read="H")).states


@pytest.mark.parametrize("residual", [True, False])
def test_a_memory_adds_what_its_mixer_says_to_the_stream_or_replaces_it(residual: bool) -> None:
    without, with_ = compiled(leaky(STACK)), compiled(leaky(STACK, f"memory=[{MEMORY.format('output')}]"))
    if not residual:
        memory = MEMORY.format("output").replace("kind: recurrent", "kind: recurrent, residual: false")
        with_ = compiled(leaky(STACK, f"memory=[{memory}]"))
    silent = {"memory_0.w_in": np.zeros((4, 4)), "memory_0.decay": np.zeros(4)}
    with_.set_params(without.params | silent)
    window = call(tokens()[:, :4], 3)
    plain, through = (e.forward(window, e.init_carry(2, 4))[0]["logits"] for e in (without, with_))
    np.testing.assert_array_equal(through, plain if residual else np.zeros_like(plain))


@pytest.mark.parametrize(
    ("mixer", "field", "message"),
    [
        ("{kind: attention}", "mixer.kind", "attention keeps nothing of its tokens to remember; mixers that do: "),
        ("{kind: leaky, lifetime: pass}", "mixer.lifetime", "the memory's own lifetime is stream, and it decides"),
        ("{kind: leaky, commit: every_pass}", "mixer.commit", "the memory's own commit is last_pass, and it decides"),
    ],
)
def test_a_memory_refuses_a_mixer_that_contradicts_it(mixer: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        leaky(STACK, f"memory=[{MEMORY.format('input').replace('{kind: leaky}', mixer)}]")
    (problem,) = error.value.problems
    assert problem.field == f"model.memory[0].{field}"
    assert message in problem.message


def test_a_memory_renders_with_the_lifetime_that_its_mixer_takes_from_it() -> None:
    spec = leaky(STACK, f"memory=[{MEMORY.format('input')}]")
    assert spec.model.memory[0].mixer.lifetime == "stream"
    assert resolved(hs.loads(hs.render(spec))) == resolved(spec)


@pytest.mark.parametrize(
    ("mixer", "loader", "codes"),
    [
        ("lifetime: stream, commit: every_pass", "contiguous", {"HS101": "commit", "HS106": "commit"}),
        ("lifetime: stream, commit: last_pass", "shuffled", {"HS103": "lifetime"}),
        ("lifetime: window, commit: last_pass", "contiguous", {"HS108": "commit", "HS109": "lifetime"}),
        ("lifetime: pass", "shuffled", {}),
    ],
)
def test_what_is_wrong_with_a_mixers_state_is_said_at_its_mixer(mixer: str, loader: str, codes: dict[str, str]) -> None:
    blocks = f"{{kind: stack, blocks: [{{kind: residual, repeat: 2, mixer: {{kind: leaky, {mixer}}}}}]}}"
    levels = f"{{kind: hrm, inject: [H], state: {{lifetime: pass}}, levels: {{H: {{{LEVEL.format(mixer)}}}}}}}"
    for core, read, place in ((blocks, "last", "blocks[0]"), (levels, "H", "levels.H.block")):
        spec = leaky(core, f"task.loader={loader}", read=read, passes=2)
        found = {one.code: one.field for one in validate(hs.lower(spec), spec)}
        assert found == {code: f"model.core.{place}.mixer.{field}" for code, field in codes.items()}


@pytest.mark.parametrize("name", ["write-mask", "hidden-tail", "one-token"])
def test_a_memory_pinned_to_fft_keeps_the_claims_about_masks(name: str) -> None:
    mixer = "{kind: hl_kernel, form: fft}"
    spec = leaky(STACK, f"memory=[{MEMORY.format('input').replace('{kind: leaky}', mixer)}]")
    outcome = examine(prepare(spec, "reference"), invariants()[name], examples=5, seed=0)
    assert outcome.verdict == "held", str(outcome)

"""What the analyses say of the shipped specs and of small changes to them, and how it is told."""

import time
from collections.abc import Callable

import pytest

import hrmsearch as hs
from hrmsearch.analyses import Diagnostic, page, rules, validate
from hrmsearch.errors import GraphError
from hrmsearch.ir import parse, text
from hrmsearch.spec.load import shipped

EXPECTED = {
    "transformer": [],
    "slstm": [],
    "mlstm": [],
    "xlstm_hrm": [],
    "preserve_gate": [],
    "hrm_state": [],
    "cube": [],
    "maps": [],
    "s4d": [],
    "hl_kernel": [],
    "hl_kernel_gated": [],
    "deepsup_transformer": [],
    "hrm": ["HS102"],
    "hrm_act_v1": [],
    "trm": [],
    "trm_mlp": [],
    "sudoku4": [],
    "sudoku9": [],
    "maze": [],
    "maze_hard": [],
    "arc": [],
    "hrm_simultaneous": ["HS102"],
    "hrm_memory": ["HS101", "HS102", "HS106", "HS109"],
    "infini_hrm": [],
    "infini_hrm_as_published": ["HS101", "HS102", "HS106", "HS107", "HS109"],
}
LEAK = ("memory[0] commits every_pass", "pass 2 reads memory[0]", "logits[t] sees input[t+k]")


def found(name: str, *overrides: str) -> list[Diagnostic]:
    spec = hs.load(name, overrides)
    return validate(hs.lower(spec), spec)


def codes(name: str, *overrides: str) -> list[str]:
    return sorted({diagnostic.code for diagnostic in found(name, *overrides)})


def only(code: str, name: str, *overrides: str) -> Diagnostic:
    (diagnostic,) = (one for one in found(name, *overrides) if one.code == code)
    return diagnostic


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_specs_have_the_expected_codes(name: str) -> None:
    assert codes(name) == EXPECTED[name]


def test_every_shipped_spec_is_in_the_table() -> None:
    assert set(EXPECTED) <= set(shipped())


#: what `spin` takes on a quiet core of the kind that 100 ms are promised for
SPIN = 0.0071


def spin() -> None:
    """Take as long as this machine, with what else runs on it, takes for some Python."""
    held: dict[int, tuple[int, str]] = {}
    for i in range(100_000):
        held[i % 97] = (i, str(i))


def taken(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("name", EXPECTED)
def test_validating_a_shipped_spec_takes_under_100_ms(name: str) -> None:
    spec = hs.load(name)
    graph = hs.lower(spec)
    validate(graph, spec)
    # a core that is shared or slow takes longer for both
    ratios = [taken(lambda: validate(graph, spec)) / taken(spin) for _ in range(5)]
    assert min(ratios) * SPIN < 0.1


def test_the_published_memory_leaks_by_the_path_that_was_measured() -> None:
    leak = only("HS101", "infini_hrm_as_published")
    assert leak.path == LEAK
    assert leak.field == "model.memory[0].commit"
    assert leak.stops or leak.accepted


def test_the_published_memory_leaks_when_it_is_carried_too() -> None:
    assert {"HS101", "HS103"} <= set(codes("infini_hrm_as_published", "memory[0].lifetime=stream"))


@pytest.mark.parametrize(
    ("name", "never", "later"),
    [
        ("hrm", "4,224 of 152,064", "8,320 in pass 2"),
        ("hrm_simultaneous", "69,888 of 152,064", "73,984 in pass 2"),
        ("infini_hrm_as_published", "69,888 of 168,452", "73,984 in pass 2"),
    ],
)
def test_untrained_parameters_are_counted(name: str, never: str, later: str) -> None:
    untrained = only("HS102", name)
    assert never in untrained.message
    assert later in untrained.notes[-1]


def test_sequential_order_trains_the_level_that_simultaneous_order_does_not() -> None:
    assert any("65,664 at core.levels.L:" in note for note in only("HS102", "hrm_simultaneous").notes)
    assert not any("levels" in note for note in only("HS102", "hrm_simultaneous", "core.order=sequential").notes)


def test_a_longer_span_trains_what_writes_a_memory() -> None:
    one = ["memory[0].local=false", "nest.backprop={passes: 1}"]
    whole = ["memory[0].local=false", "nest.backprop={windows: 2}"]
    assert codes("infini_hrm", *one) == ["HS102"]
    assert codes("infini_hrm", *whole) == []


def test_a_stream_needs_a_contiguous_loader() -> None:
    assert codes("infini_hrm", "task.loader=shuffled") == ["HS103"]


def test_a_memory_committed_after_every_pass_is_re_read_and_leaks() -> None:
    assert codes("infini_hrm", "memory[0].commit=every_pass") == ["HS101", "HS106"]


def test_a_read_of_an_empty_memory_sees_nothing() -> None:
    empty = ["memory[0].local=false", "memory[0].residual=false", "nest.passes=1", "memory[0].lifetime=window"]
    assert "HS101" not in codes("infini_hrm", *empty, "core.levels.H.block.mixer.causal=false")


def test_one_pass_cannot_leak_through_its_own_window() -> None:
    assert codes("infini_hrm", "memory[0].commit=every_pass", "nest.passes=1") == ["HS108"]


def test_a_mixer_that_is_not_causal_leaks_at_its_own_place() -> None:
    leak = only("HS101", "hrm", "core.levels.H.block.mixer.causal=false")
    assert leak.field == "model.core.levels.H.block.mixer"
    assert leak.path == ("core.levels.H.block.mixer sees later tokens", "logits[t] sees input[t+k]")
    assert "pass 1" in leak.message


def test_a_leak_that_needs_two_passes_names_the_state_it_travels_by() -> None:
    leak = only("HS101", "hrm_simultaneous", "core.levels.L.block.mixer.causal=false", "core.levels.H.period=1")
    assert "pass 2" in leak.message
    assert leak.path[1:3] == ("core.z_L commits every_pass", "pass 2 reads core.z_L")


def test_chunks_read_earlier_chunks_only() -> None:
    assert codes("infini_hrm", "memory[0].chunk=16") == []
    assert codes("infini_hrm", "memory[0].chunk=16", "memory[0].update=delta") == []


def test_a_memory_of_a_window_committed_after_its_last_pass_is_dead() -> None:
    assert "HS108" in codes("infini_hrm", "memory[0].lifetime=window")


def test_a_level_that_nothing_reads_is_dead() -> None:
    dead = [one.message for one in found("hrm", "core.state.lifetime=window", "nest.passes=1") if one.code == "HS108"]
    assert dead == [
        f"core.z_{level} has no effect: a window has one pass, which restores it before reading" for level in "LH"
    ]


def test_identity_needs_a_path_around_the_memory() -> None:
    lost = only("HS107", "infini_hrm", "memory[0].residual=false")
    assert lost.field == "model.memory[0]"
    assert codes("infini_hrm", "memory[0].residual=false", "memory[0].gate=token") == []


OVER_POSITIONS = [f"core.levels.{level}.block.mixer={{kind: mlp}}" for level in "LH"]
ALONG_TOKENS = [f"core.levels.{level}.block.mixer_norm={{kind: rms_tokens}}" for level in "LH"]


@pytest.mark.parametrize("override", [*OVER_POSITIONS, *ALONG_TOKENS])
def test_what_works_along_the_stream_sees_the_future(override: str) -> None:
    assert "HS101" in codes("hrm", override)


def test_a_norm_along_tokens_keeps_each_token() -> None:
    assert "HS107" not in codes("trm_mlp")
    assert "HS107" not in codes("hrm", *OVER_POSITIONS, *ALONG_TOKENS)


def test_a_model_that_never_sees_its_input_has_no_identity_path() -> None:
    assert "HS107" in codes("hrm", "core.inject=[]")


def test_a_task_that_is_not_causal_cannot_leak() -> None:
    graph = hs.lower(hs.load("infini_hrm_as_published"))
    sighted = parse(text(graph).replace("causal=true window", "causal=false window"))
    assert "HS101" not in {one.code for one in validate(sighted)}


def test_a_spec_accepts_a_code_with_a_reason() -> None:
    spec = hs.load("hrm", ["accept={HS102: as published}"])
    (one,) = validate(hs.lower(spec), spec)
    assert one.accepted == "as published"
    assert not one.stops
    assert one.as_json()["accepted"] == "as published"


def test_without_a_spec_places_are_those_that_the_graph_remembers() -> None:
    graph = hs.lower(hs.load("infini_hrm_as_published"))
    leak = next(one for one in validate(graph) if one.code == "HS101")
    assert leak.place.file.endswith("infini_hrm_as_published.yaml")
    assert leak.place.line > 1


def test_a_graph_read_from_text_has_no_places_but_the_same_codes() -> None:
    graph = hs.lower(hs.load("infini_hrm_as_published"))
    bare = validate(parse(text(graph)))
    assert [one.code for one in bare] == [one.code for one in validate(graph)]
    assert str(bare[0].place) == "infini_hrm_as_published:1:1"


@pytest.mark.parametrize("code", rules())
def test_every_code_has_a_page_with_an_example(code: str) -> None:
    assert page(code).startswith(f"# {code} {rules()[code].name} ({rules()[code].severity}")
    assert "## Example" in page(code)


def test_an_unknown_code_has_no_page() -> None:
    with pytest.raises(GraphError, match="HS999"):
        page("HS999")


def test_a_diagnostic_reads_like_a_compilers(golden: Callable[[str, str], None]) -> None:
    leak = only("HS101", "infini_hrm_as_published", "accept={HS101: as published}")
    golden("diagnostic.txt", str(leak).replace(leak.place.file, "infini_hrm_as_published.yaml") + "\n")

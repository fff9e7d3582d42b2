"""Memories at places and for lifetimes that make no sense are refused where it is said, with the reason."""

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.errors import SpecError
from hrmsearch.runtime import Array, Options, Pass, load_backend
from tests.part_models import stack

ATTENTION = "kind: transformer, mixer: {kind: attention, heads: 2}"
INFINI = "kind: infini, heads: 2"
SLSTM = "kind: recurrent, mixer: {kind: slstm, heads: 2, eps: 0.1}"


def spec_of(memory: str) -> str:
    return stack(ATTENTION, memory=memory)


@pytest.mark.parametrize(
    ("memory", "field", "message"),
    [
        (f"at: input, {INFINI}, lifetime: pass", "lifetime", "with 'pass' it would always be empty"),
        (f"at: input, {INFINI}, lifetime: {{keyed: puzzle}}", "lifetime", "written by tokens, not looked up by key"),
        (f"at: prepend, {SLSTM}", "at", "what is prepended is looked up by key, and this is not"),
        ("at: input, kind: puzzle, optimizer: {lr: 0.1}", "at", "it stands at 'prepend'"),
        (
            "at: prepend, kind: puzzle, optimizer: {lr: 0.1}, lifetime: stream",
            "lifetime",
            "outlives passes, windows and streams",
        ),
        ("at: prepend, kind: puzzle, optimizer: {lr: 0.1}, commit: last_pass", "commit", "is written by its optimizer"),
    ],
)
def test_a_memory_that_makes_no_sense_is_refused_with_the_reason(memory: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(hs.loads(spec_of(memory)))
    (problem,) = error.value.problems
    assert problem.field == f"model.memory[0].{field}"
    assert message in problem.message


@pytest.mark.parametrize("memory", [f"{INFINI}, chunk: 2", SLSTM])
@pytest.mark.parametrize("place", ["input", "core.0", "output"])
def test_a_memory_of_a_pass_is_that_of_a_stream_at_its_start(memory: str, place: str) -> None:
    logits: list[Array] = []
    for lifetime in ("pass", "stream"):
        graph = hs.lower(hs.loads(spec_of(f"at: {place}, {memory}, lifetime: {lifetime}, commit: last_pass")))
        assert bool(graph.states) == (lifetime == "stream")
        executable = load_backend("reference").compile(graph, Options(dtype="float64"))
        executable.init(0)
        tokens = np.arange(8, dtype=np.int32).reshape(2, 4) % 5
        outputs, _ = executable.forward(Pass({"tokens": tokens, "targets": tokens}, 3), executable.init_carry(2, 4))
        logits.append(outputs["logits"])
    np.testing.assert_array_equal(logits[0], logits[1])

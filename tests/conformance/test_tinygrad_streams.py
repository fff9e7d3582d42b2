"""Mixers that recur, on tinygrad in float32: a stream token by token, in chunks and whole gives the same numbers."""

from itertools import accumulate

import numpy as np
import pytest

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from hrmsearch.runtime import Array, Executable, Pass
from tests.part_models import MIXERS
from tests.tinygrad_cpu import Arrays, beside, graph_of, near, needs_tinygrad, plain_kernels

pytestmark = [needs_tinygrad, pytest.mark.usefixtures(plain_kernels.__name__)]
ROWS = 2


def pieces(tokens: int) -> dict[str, list[int]]:
    """Return the lengths of the pieces that a stream is cut into, for every way to take it."""
    return {"whole": [tokens], "chunks": [2] * (tokens // 2), "steps": [1] * tokens}


def stream(lengths: list[int]) -> list[Pass]:
    """Return a stream cut into pieces of these lengths, each going on from the one before."""
    rng = np.random.default_rng(0)
    whole = {name: rng.integers(0, 5, (ROWS, sum(lengths)), dtype=np.int32) for name in ("tokens", "targets")}
    calls: list[Pass] = []
    for length, end in zip(lengths, accumulate(lengths), strict=True):
        piece = {name: array[:, end - length : end] for name, array in whole.items()}
        calls.append(Pass(piece, np.full(ROWS, 0 if calls else 3, np.int8)))
    return calls


def logits(executable: Executable, calls: list[Pass]) -> Arrays:
    """Return the logits of a stream, and by path the states after it."""
    carry, found = executable.init_carry(ROWS, calls[0].inputs["tokens"].shape[1]), list[Array]()
    for call in calls:
        outputs, carry = executable.forward(call, carry)
        found.append(outputs["logits"])
    return {"logits": np.concatenate(found, 1), **executable.carry_to_numpy(carry)}


@pytest.mark.parametrize("name", MIXERS)
def test_a_stream_in_any_pieces_has_the_values_of_the_reference(name: str) -> None:
    ours, reference = beside(graph_of(MIXERS[name]), "reference")
    wanted = logits(reference, stream([4]))
    for form, lengths in pieces(4).items():
        near(logits(ours, stream(lengths)), wanted, form)


def gradients(executable: Executable, calls: list[Pass]) -> Arrays:
    """Return the gradient of a stream's mean loss, which crosses the cuts between its equal pieces."""
    carry = executable.init_carry(ROWS, calls[0].inputs["tokens"].shape[1])
    _, found = executable.loss_and_grads(calls, carry)
    return {path: gradient / len(calls) for path, gradient in found.items()}


# every piece adds kernels, and those of its gradient
@pytest.mark.parametrize("tokens", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MIXERS)
def test_a_stream_in_any_pieces_has_the_gradient_of_torch(name: str, tokens: int) -> None:
    ours, torch = beside(graph_of(MIXERS[name]), "torch")
    wanted = gradients(torch, stream([tokens]))
    for form, lengths in pieces(tokens).items():
        near(gradients(ours, stream(lengths)), wanted, form)

"""Binding: symbols get their sizes from arrays, and every backend restores and commits by one rule."""

from typing import Any

import numpy as np
import pytest

from hrmsearch.errors import BackendError
from hrmsearch.ir.binding import bind_sizes, reset_rows, restores, takes_candidate
from hrmsearch.testing.examples import structured_graph

GRAPH = structured_graph()
CARRY = {"z": np.zeros((2, 3, 4)), "m": np.zeros((2, 4))}
TOKENS = np.zeros((2, 3), np.int32)


def test_symbols_come_from_inputs_and_states() -> None:
    assert bind_sizes(GRAPH, {"tokens": TOKENS}, CARRY) == {"B": 2, "T": 3}
    assert bind_sizes(GRAPH, {}, CARRY) == {"B": 2, "T": 3}


@pytest.mark.parametrize(
    ("inputs", "carry", "reason"),
    [
        ({"token": TOKENS}, CARRY, "input 'token' is unknown; the graph takes: tokens, targets, reset"),
        ({"tokens": TOKENS[0]}, CARRY, r"input 'tokens' has shape \[3\], its type is i32\[B, T\]"),
        ({"tokens": TOKENS, "targets": TOKENS[:, :2]}, CARRY, "input 'targets' has shape"),
        ({"tokens": TOKENS}, {"m": CARRY["m"]}, "the carry lacks state 'z'"),
        ({"tokens": TOKENS}, CARRY | {"m": np.zeros((3, 4))}, "state 'm' has shape"),
        ({"tokens": TOKENS}, CARRY | {"m": np.zeros((2, 5))}, "state 'm' has shape"),
    ],
)
def test_shapes_that_contradict_are_named(inputs: dict[str, Any], carry: dict[str, Any], reason: str) -> None:
    with pytest.raises(BackendError, match=reason):
        bind_sizes(GRAPH, inputs, carry)


def test_one_reset_stands_for_all_rows() -> None:
    assert reset_rows(2, 3).tolist() == [2, 2, 2]
    assert reset_rows(np.asarray([0, 3]), 2).dtype == np.int8


def test_a_reset_reaches_the_lifetimes_up_to_its_own() -> None:
    window, stream = GRAPH.states["z"], GRAPH.states["m"]
    assert [restores(window, reset) for reset in range(4)] == [False, False, True, True]
    assert [restores(stream, reset) for reset in range(4)] == [False, False, False, True]


def test_a_last_pass_commit_waits_for_the_last_pass() -> None:
    every, last = GRAPH.states["z"], GRAPH.states["m"]
    assert (takes_candidate(every, False), takes_candidate(every, True)) == (True, True)
    assert (takes_candidate(last, False), takes_candidate(last, True)) == (False, True)

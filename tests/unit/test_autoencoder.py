"""The autoencoder head: all it answers comes from the last token."""

import numpy as np

import hrmsearch as hs
from hrmsearch.analyses import validate
from hrmsearch.runtime import Array, Options, Pass
from hrmsearch_reference import Backend
from tests.training import tiny

HEAD = "model.head={kind: autoencoder, read: H}"


def test_logits_depend_on_the_last_position_only_and_differ_by_position() -> None:
    graph = hs.lower_block(tiny(HEAD, "task=mad_compression/baseline").model.head, 6, window=8, vocabulary=5)
    executable = Backend().compile(graph, Options())
    executable.init(0)
    x = np.random.default_rng(0).normal(size=(2, 7, 6))

    def logits(of: Array) -> Array:
        return executable.forward(Pass({"x": of}, reset=0), {})[0]["y"]

    moved = x.copy()
    moved[:, :-1] += 1.0
    assert np.array_equal(logits(x), logits(moved))
    moved[:, -1] += 1.0
    assert (np.abs(logits(x) - logits(moved)) > 1e-6).any(axis=(1, 2)).all()
    assert len(np.unique(logits(x)[0, :, 0])) == 7


def test_in_a_causal_task_it_is_a_leak() -> None:
    spec = tiny(HEAD, "accept={}")
    (leak,) = [found for found in validate(hs.lower(spec), spec) if found.code == "HS101"]
    assert leak.field == "model.head"

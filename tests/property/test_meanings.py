"""NumPy meanings against formulas written directly, at random shapes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import Example, example_graph, example_inputs
from hrmsearch_reference import Backend

Array = NDArray[np.float64]
shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.sampled_from([2, 4, 6]), st.integers(0, 2**31))


def run(example: Example, batch: int, tokens: int, seed: int) -> tuple[list[Array], list[Array]]:
    """Return an op's operands and results."""
    graph = example_graph(example)
    inputs = example_inputs(graph, {"B": batch, "T": tokens}, np.random.default_rng(seed))
    outputs, _ = Backend().compile(graph, Options()).forward(Pass(inputs, reset=0), {})
    return list(inputs.values()), list(outputs.values())


UNARY: dict[str, Callable[[Array], Array]] = {
    "rsqrt": lambda x: x**-0.5,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "softplus": lambda x: np.log(1.0 + np.exp(x)),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
    "erf": special.erf,
    "gelu": lambda x: x * special.ndtr(x),
    "log1p": lambda x: np.log(1.0 + x),
    "expm1": lambda x: np.exp(x) - 1.0,
}


@pytest.mark.parametrize("kind", UNARY)
@given(shapes)
def test_elementwise_functions(kind: str, shape: tuple[int, int, int, int]) -> None:
    batch, tokens, d, seed = shape
    (x,), (y,) = run(Example(kind, (f"compute[B, T, D:{d}]",)), batch, tokens, seed)
    np.testing.assert_allclose(y, UNARY[kind](x), rtol=1e-12, atol=1e-12)


@given(shapes, st.booleans())
def test_attention_is_a_weighted_mean_of_the_values_it_sees(shape: tuple[int, int, int, int], causal: bool) -> None:
    batch, tokens, d, seed = shape
    types = (f"compute[B, T, K:{d}]", f"compute[B, U:T, K:{d}]", "compute[B, U:T, V:3]")
    (q, k, v), (y,) = run(Example("attention", types, {"causal": causal, "scale": 0.7}), batch, tokens, seed)
    for row in range(batch):
        for t in range(tokens):
            seen = t + 1 if causal else tokens
            weights = np.exp(0.7 * k[row, :seen] @ q[row, t])
            np.testing.assert_allclose(y[row, t], weights @ v[row, :seen] / weights.sum(), rtol=1e-12)


@given(shapes)
def test_rms_norm_divides_by_the_root_mean_square(shape: tuple[int, int, int, int]) -> None:
    batch, tokens, d, seed = shape
    (x, gain), (y,) = run(
        Example("rms_norm", (f"compute[B, T, D:{d}]", f"compute[D:{d}]"), {"eps": 0.1}), batch, tokens, seed
    )
    np.testing.assert_allclose(y, x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.1) * gain, rtol=1e-12)


@given(shapes, st.integers(0, 2))
def test_layer_norm_centres_and_divides_by_the_deviation(shape: tuple[int, int, int, int], affine: int) -> None:
    batch, tokens, d, seed = shape
    operands = (f"compute[B, T, D:{d}]", *[f"compute[D:{d}]"] * affine)
    (x, *more), (y,) = run(Example("layer_norm", operands, {"eps": 0.1}), batch, tokens, seed)
    gain, bias = (*more, 1.0, 0.0)[:2] if affine != 1 else (more[0], 0.0)
    want = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.1) * gain + bias
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)


@given(shapes, st.integers(1, 3))
def test_a_slice_may_count_from_the_end(shape: tuple[int, int, int, int], n: int) -> None:
    batch, tokens, d, seed = shape
    tokens += 2
    (x,), (y,) = run(
        Example("slice", (f"compute[B, T, D:{d}]",), {"axis": "T", "start": -n, "size": n, "into": "J"}),
        batch,
        tokens,
        seed,
    )
    assert np.array_equal(y, x[:, tokens - n :])


@given(shapes)
def test_rope_turns_pairs_by_their_angle(shape: tuple[int, int, int, int]) -> None:
    batch, tokens, d, seed = shape
    table = f"compute[T, K:{d}]"
    (x, cos, sin), (y,) = run(Example("rope", (f"compute[B, T, K:{d}]", table, table)), batch, tokens, seed)
    half = d // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], -1)
    np.testing.assert_allclose(y, x * cos + turned * sin, rtol=1e-12)


def test_rope_keeps_lengths_and_depends_on_distance_only() -> None:
    tables = [
        run(Example("const", (), {"rule": f"rope_{name}", "base": 100.0}, "compute[T:5, K:4]"), 1, 5, 0)[1][0]
        for name in ("cos", "sin")
    ]
    cos, sin = tables
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 4))
    rotated = [[x * cos[t] + np.concatenate([-x[2:], x[:2]]) * sin[t] for t in range(5)] for x in (q, k)]
    np.testing.assert_allclose(np.linalg.norm(rotated[0][4]), np.linalg.norm(q))
    np.testing.assert_allclose(rotated[0][4] @ rotated[1][2], rotated[0][3] @ rotated[1][1])


@given(shapes)
def test_cross_entropy_skips_ignored_targets(shape: tuple[int, int, int, int]) -> None:
    batch, tokens, d, seed = shape
    types = (f"compute[B, T, C:{d + 1}]", "i32[B, T]")
    (logits, targets), (loss,) = run(Example("cross_entropy", types, {"ignore": 1}), batch, tokens, seed)
    log_z = np.log(np.exp(logits).sum(-1))
    picked = np.take_along_axis(logits, targets.astype(np.int64)[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss, np.where(targets == 1, 0.0, log_z - picked), rtol=1e-12, atol=1e-12)


@given(shapes)
def test_argmax_is_the_first_of_the_largest(shape: tuple[int, int, int, int]) -> None:
    batch, tokens, d, seed = shape
    graph = example_graph(Example("argmax", (f"compute[B, T, C:{d}]",), {"axis": "C"}))
    x = np.random.default_rng(seed).integers(0, 3, (batch, tokens, d)).astype(float)  # few values: many ties
    (found,) = Backend().compile(graph, Options()).forward(Pass({"x0": x}, reset=0), {})[0].values()
    assert found.dtype == np.int32
    assert np.array_equal(found, x.argmax(-1))


@given(shapes, st.booleans(), st.booleans())
def test_linear_scan_is_the_loop(shape: tuple[int, int, int, int], varying: bool, mixing: bool) -> None:
    batch, tokens, d, seed = shape
    lead = "B, T, " if varying else ""
    a_type = f"compute[{lead}D:{d}{f', N:{d}' if mixing else ''}]"
    types = (a_type, f"compute[B, T, D:{d}]", f"compute[B, D:{d}]")
    example = Example("linear_scan", types, {"axis": "T", "mix": ["D", "N"] if mixing else None, "form": None})
    (a, b, h), (states, last) = run(example, batch, tokens, seed)
    for t in range(tokens):
        now = a[:, t] if varying else np.broadcast_to(a, (batch, *a.shape))
        h = (np.einsum("bij,bj->bi", now, h) if mixing else now * h) + b[:, t]
        np.testing.assert_allclose(states[:, t], h, rtol=1e-12)
    np.testing.assert_allclose(last, h, rtol=1e-12)


@given(shapes)
def test_splitting_and_merging_are_inverse(shape: tuple[int, int, int, int]) -> None:
    batch, tokens, d, seed = shape
    into = [["A", d // 2], ["K", 2]]
    (x,), (y,) = run(Example("split", (f"compute[B, T, D:{d}]",), {"axis": "D", "into": into}), batch, tokens, seed)
    assert np.array_equal(y, x.reshape(batch, tokens, d // 2, 2))
    merge = Example("merge", (f"compute[B, T, A:{d // 2}, K:2]",), {"axes": ["A", "K"], "into": "D"})
    (x,), (y,) = run(merge, batch, tokens, seed)
    assert np.array_equal(y, x.reshape(batch, tokens, d))


@given(shapes)
def test_integers_stay_integers(shape: tuple[int, int, int, int]) -> None:
    batch, tokens, _, seed = shape
    (ids,), (y,) = run(Example("cumsum", ("i8[B, T]",), {"axis": "T"}), batch, tokens, seed)
    assert y.dtype == np.int8
    assert np.array_equal(y, np.cumsum(ids, 1))

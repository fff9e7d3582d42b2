"""The MLP over positions and the norm along them against their equations, with fewer tokens than there are weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.blocks.mlp import MLP
from hrmsearch.blocks.rms_tokens import RMSTokens
from hrmsearch.blocks.swiglu import WidthRule
from hrmsearch.ir import initial_params
from hrmsearch.lowering import lower_block
from hrmsearch.runtime import Array, Options, Pass, load_backend
from tests.backends import QUICK


def swiglu(p: dict[str, Array], x: Array) -> Array:
    """Along the last axis."""
    gate = x @ p["block.w_gate"]
    return (gate / (1 + np.exp(-gate)) * (x @ p["block.w_up"])) @ p["block.w_down"]


@pytest.mark.parametrize("backend", ["reference", *QUICK])
@settings(max_examples=10)
@given(rows=st.integers(1, 3), window=st.integers(1, 6), less=st.integers(0, 5), width=st.integers(1, 4))
def test_every_channel_goes_through_swiglu_over_the_window(
    backend: str, rows: int, window: int, less: int, width: int
) -> None:
    tokens, rng = max(window - less, 1), np.random.default_rng(window + less)
    graph = lower_block(MLP(width=width), 5, window=window)
    x, params = rng.normal(size=(rows, tokens, 5)), initial_params(graph, 0)
    whole = np.pad(x, ((0, 0), (0, window - tokens), (0, 0)))  # as if zeros followed
    wanted = swiglu(params, whole.transpose(0, 2, 1)).transpose(0, 2, 1)[:, :tokens]
    executable = load_backend(backend).compile(graph, Options(dtype="float64"))
    executable.set_params(params)
    np.testing.assert_allclose(executable.forward(Pass({"x": x}, reset=0), {})[0]["y"], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", *QUICK])
@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_the_norm_is_over_the_tokens_of_each_channel(backend: str, tokens: int) -> None:
    x = np.random.default_rng(tokens).normal(size=(2, tokens, 3))
    executable = load_backend(backend).compile(lower_block(RMSTokens(eps=0.1), 3), Options(dtype="float64"))
    wanted = x / np.sqrt((x**2).mean(1, keepdims=True) + 0.1)
    np.testing.assert_allclose(executable.forward(Pass({"x": x}, reset=0), {})[0]["y"], wanted, rtol=0, atol=1e-12)


def test_the_published_width_follows_from_the_window() -> None:
    assert MLP().inner(97) == 512
    assert MLP(width=WidthRule(expansion=4.0, multiple=1)).inner(97) == 259

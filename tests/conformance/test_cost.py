"""The cost of a graph is what PyTorch's own counter sees when the emitted model runs it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.analyses import cost
from hrmsearch.ir import Graph, parse, verify
from hrmsearch.ir.ops import LINEAR_SCAN_FORMS, einsum_words, op_kinds
from hrmsearch.ir.tokenwise import selects
from hrmsearch.ir.types import Lifetime
from hrmsearch.passes import expand, phased
from hrmsearch.passes import run as simplify
from hrmsearch.passes.forms import in_form
from hrmsearch.runtime import Carry, Options, Pass, load_backend
from hrmsearch.spec.load import shipped
from hrmsearch.spec.model import Spec
from hrmsearch.testing import specs
from hrmsearch.testing.inputs import random_inputs
from tests.shipping import brief

torch = pytest.importorskip("torch")

PARAMS = {
    "transformer": 78_080,
    "slstm": 146_624,
    "mlstm": 148_128,
    "xlstm_hrm": 146_832,
    "preserve_gate": 146_889,
    "s4d": 153_280,
    "hl_kernel": 149_952,
    "hl_kernel_gated": 149_696,
    "deepsup_transformer": 82_176,
    "hrm": 152_064,
    "hrm_simultaneous": 152_064,
    "infini_hrm": 160_132,
    "infini_hrm_as_published": 168_452,
    "hrm_memory": 193_024,
    "hrm_act_v1": 27_275_266,
    "trm": 6_827_521,
    "trm_mlp": 5_028_353,
    "sudoku4": 55_105,
    "lct": 78_080,
    "sudoku9": 1_730_561,
    "maze": 153_293,
    "maze_hard": 887_233,
    "arc": 54_849,
    "lct_oacd_1layer": 78_080,
    "lct_oacd_2layer": 149_952,
}


def call(graph: Graph, batch: int, tokens: int, reset: Lifetime) -> Pass:
    rng = np.random.default_rng(0)
    return Pass(random_inputs(graph, {"B": batch, "T": tokens}, lambda _: rng), int(reset))


def counted(model: Any, span: Sequence[Pass], carry: Carry) -> tuple[int, int]:
    """Return what the counter sees around the forward of an emitted model over a span, and around the backward too."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    losses: list[Any] = []
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            for one in span:
                inputs = {name: torch.tensor(array) for name, array in one.inputs.items()}
                outputs, carry = model(**inputs, state=carry, reset=one.reset, last=one.last)
                losses.append(outputs["loss"])
        with FlopCounterMode(display=False) as backward:
            torch.stack(losses).sum().backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


def compiled(graph: Graph, batch: int, tokens: int) -> tuple[Any, Carry]:
    """Return an emitted model and a carry; recurrences as loops, whose products the counter sees in no other form."""
    others = {row.kind for row in op_kinds() if row.define is not None} - {"linear_scan"}
    executable: Any = load_backend("torch").compile(expand(graph, keep=others), Options())
    for path, param in executable.model.named_parameters(remove_duplicate=False):
        param.requires_grad_(param.requires_grad and graph.nest.phases[-1].trains(path))
    return executable.model, executable.init_carry(batch, tokens)


def is_counted(graph: Graph) -> bool:
    """Return whether the counter sees every product.

    Torch calls it no product where a sum has one term, and runs what selects positions at these alone.
    """
    if any(selects(function, graph.functions) for function in graph.functions.values()):
        return False
    for op in (op for region in graph.regions() for op in region.walk() if op.kind == "einsum"):
        operands, result = einsum_words(op)
        for words, value in zip(operands, op.operands, strict=True):
            summed = [size for word, size in zip(words, value.type.sizes, strict=True) if word not in result]
            if any(size.known == 1 for size in summed):
                return False
    return True


@pytest.mark.parametrize("name", sorted(shipped()))
@pytest.mark.parametrize(("batch", "tokens"), [(1, 64), (3, 16), (2, 5)])
def test_shipped_specs_cost_what_the_counter_sees(name: str, batch: int, tokens: int) -> None:
    lowered = hs.lower(brief(name))
    phases = [simplify(phased(lowered, i)) for i in range(len(lowered.nest.phases))]
    for graph in (*phases, phased(lowered, -1)):
        tokens = min(tokens, graph.nest.window)
        (model, carry), price, sizes = compiled(graph, batch, tokens), cost(graph), {"B": batch, "T": tokens}
        for one, reset in ((price.fresh, Lifetime.STREAM), (price.carried, Lifetime.NONE)):
            seen = counted(model, [call(graph, batch, tokens, reset)], carry)
            assert (one.forward.at(sizes), one.training.at(sizes)) == seen


@settings(max_examples=25)
@given(spec=specs(), batch=st.integers(1, 2), data=st.data())
def test_drawn_specs_cost_what_the_counter_sees(spec: Spec, batch: int, data: st.DataObject) -> None:
    graph = simplify(hs.lower(spec))
    assume(is_counted(graph))
    tokens = data.draw(st.integers(1, graph.nest.window))
    (model, carry), price, sizes = compiled(graph, batch, tokens), cost(graph), {"B": batch, "T": tokens}
    for one, reset in ((price.fresh, Lifetime.STREAM), (price.carried, Lifetime.NONE)):
        seen = counted(model, [call(graph, batch, tokens, reset)], carry)
        assert (one.forward.at(sizes), one.training.at(sizes)) == seen


@settings(max_examples=25)
@given(spec=specs(), data=st.data())
def test_a_window_trained_in_one_span_costs_what_the_counter_sees(spec: Spec, data: st.DataObject) -> None:
    graph = simplify(hs.lower(spec))
    assume(is_counted(graph))
    tokens = data.draw(st.integers(1, graph.nest.window))
    graph.nest = replace(graph.nest, backprop=("passes", graph.nest.passes))
    (model, carry), price, sizes = compiled(graph, 1, tokens), cost(graph), {"B": 1, "T": tokens}
    resets = [Lifetime.STREAM] + [Lifetime.NONE] * (graph.nest.passes - 1)
    span = [call(graph, 1, tokens, reset) for reset in resets]
    span = [Pass(one.inputs, one.reset, last=i == len(span) - 1) for i, one in enumerate(span)]
    _, seen = counted(model, span, carry)
    assert sum(one.training.at(sizes) for one in price.passes) == seen


@pytest.mark.parametrize(("name", "params"), PARAMS.items())
def test_parameters_are_counted_as_published(name: str, params: int) -> None:
    assert cost(hs.lower(hs.load(name))).params == params


@pytest.mark.parametrize("name", sorted(shipped()))
def test_symbolic_amounts_are_the_numeric_ones(name: str) -> None:
    price = cost(hs.lower(hs.load(name)))
    for amount in (price.fresh.training, price.carried.elementwise, price.fresh.activations, price.state):
        symbolic = amount.symbolic()
        values = {symbol: {"B": 3, "T": 17}[symbol.name] for symbol in symbolic.free_symbols}
        assert symbolic.subs(values) == amount.at({"B": 3, "T": 17})


SCAN = """
graph "scan" {
  nest passes=1 backprop=passes:1 step=span loader=contiguous causal=true window=20
  main {
    at ""
    %tokens = input() {name="tokens"} : i32[B, T]
    %reset = input() {name="reset"} : i8[B]
    %table = param() {path="table", init={"normal": 1.0}, trainable=true} : compute[C:5, D:6, N:3]
    %start = param() {path="start", init="zeros", trainable=true} : compute[D:6, N:3]
    %gates = param() {path="gates", init="zeros", trainable=true} : compute[C:5, A]
    %a = TRANSITION : compute[A]
    %x = gather(%table, %tokens) : compute[B, T, D:6, N:3]
    %h = state(%start, %reset) {path="h", lifetime="stream", commit="every_pass"} : compute[B, D:6, N:3]
    %y, %last = linear_scan(%a, %x, %h) {axis="T", mix=MIX, form=null} : compute[B, T, D:6, N:3]; compute[B, D:6, N:3]
    %loss = sum(%y) {axes=["B", "T", "D", "N"]} : compute[]
    output "loss" = %loss
    commit "h" = %last
  }
}
"""


def scan(axes: str, mix: str, *, varying: bool) -> Graph:
    """Return a graph that is little more than one linear scan with a learned transition."""
    transition = "gather(%gates, %tokens)" if varying else 'param() {path="a", init="zeros", trainable=true}'
    text = SCAN.replace("compute[C:5, A]", f"compute[C:5, {axes}]").replace("TRANSITION", transition)
    return verify(parse(text.replace("compute[A]", f"compute[{'B, T, ' * varying}{axes}]").replace("MIX", mix)))


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(("axes", "mix"), [("D:6, N:3", "null"), ("D:6, N:3, M:3", '["N", "M"]')])
def test_a_linear_scan_costs_its_recurrence_in_every_form(axes: str, mix: str, varying: bool) -> None:
    graph, sizes = scan(axes, mix, varying=varying), {"B": 2, "T": 7}
    price, entries = cost(graph), 2 * 7 * 6 * 3
    products = 0 if mix == "null" else 2 * entries * 3
    assert [price.fresh.forward.at(sizes), price.carried.forward.at(sizes)] == [products] * 2
    # one gradient for the transition and one for the state before it, which a carried start does not need
    assert price.fresh.backward.at(sizes) == 2 * products
    assert price.carried.backward.at(sizes) == 2 * products - products // 7
    # an elementwise transition multiplies and adds, matrices only add what their products do not; and the loss is a sum
    assert price.fresh.elementwise.at(sizes) == entries * (3 if mix == "null" else 2)
    for form in LINEAR_SCAN_FORMS:
        assert cost(in_form(graph, form)) == price
    model, carry = compiled(graph, 2, 7)
    for one, reset in ((price.fresh, Lifetime.STREAM), (price.carried, Lifetime.NONE)):
        assert (one.forward.at(sizes), one.training.at(sizes)) == counted(model, [call(graph, 2, 7, reset)], carry)

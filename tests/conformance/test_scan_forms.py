"""Every form of `linear_scan` that torch has: the values and gradients of the definition, whatever the shape."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.emission import load_source
from hrmsearch.emission.helpers import named, needed
from hrmsearch.ir import parse, verify
from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import Example, example_graph
from hrmsearch_reference import Backend as Reference
from hrmsearch_torch import TorchExecutable, emit
from hrmsearch_torch.helpers import HELPERS
from hrmsearch_torch.scans import FORMS

Array = NDArray[np.float64]
WIDTHS = {"B": 2, "A": 1, "D": 3}
#: what entries of a transition are like; the last are those that a division by their products would not survive
RANGES: Mapping[str, Callable[[np.random.Generator, Sequence[int]], Array]] = {
    "inside the unit circle": lambda rng, shape: rng.uniform(-0.7, 0.7, shape),
    "a little above one": lambda rng, shape: rng.uniform(0.9, 1.05, shape),
    "one": lambda _, shape: np.ones(shape),
    "minus one": lambda _, shape: -np.ones(shape),
    "zero": lambda _, shape: np.zeros(shape),
    "zero now and then": lambda rng, shape: rng.choice([0.0, 1.0, -0.5], shape),
    "tiny": lambda rng, shape: rng.uniform(-1e-30, 1e-30, shape),
}


@st.composite
def scans(draw: st.DrawFn) -> Example:
    """Draw a scan: axes in any order, a transition that lacks some, elementwise or by matrices over N."""
    names = [*draw(st.permutations(sorted(WIDTHS)))[: draw(st.integers(0, 3))]]
    names.insert(draw(st.integers(0, len(names))), "T")
    kept = [name for name in names if draw(st.booleans())]
    mix = draw(st.sampled_from([None, ["N", "M"]]))
    if mix:
        names.insert(draw(st.integers(0, len(names))), "N")
        kept = draw(st.permutations([*kept, *mix]))
    width = draw(st.sampled_from([1, 2, 4]))
    sizes = {**WIDTHS, "N": width, "M": width}
    a, b, h = (_type(part, sizes) for part in (kept, names, [name for name in names if name != "T"]))
    return Example("linear_scan", (a, b, h), {"axis": "T", "mix": mix, "form": None})


def _type(names: Sequence[str], sizes: Mapping[str, int]) -> str:
    return f"compute[{', '.join(name if name == 'T' else f'{name}:{sizes[name]}' for name in names)}]"


def operands(example: Example, steps: int, entries: str, seed: int) -> list[Array]:
    """Return a, b and the start of a scan over so many steps."""
    rng = np.random.default_rng(seed)
    shapes = [value.type.shape({"T": steps}) for value in example_graph(example).inputs.values()]
    a = RANGES[entries](rng, shapes[0])
    # so that no matrix makes anything longer by more than an entry of its range would
    return [a / rows_of(example), *(rng.normal(size=shape) for shape in shapes[1:])]


def rows_of(example: Example) -> int:
    """Return how many rows the transition's matrices have, 1 where it is elementwise."""
    return example_graph(example).inputs["x0"].type.width("N") if example.attrs["mix"] else 1


def forms(example: Example) -> list[str]:
    """Return the forms that torch has for a scan."""
    return [form for form in FORMS if form != "fft" or "T" not in example_graph(example).inputs["x0"].type.names]


def module(example: Example, form: str | None, define: Sequence[str] = ()) -> torch.nn.Module:
    """Return the emitted model of a scan in a form."""
    attrs = {**example.attrs, "form": form}
    return load_source(emit(example_graph(Example("linear_scan", example.operands, attrs)), define), "scan").Model()


def results(model: torch.nn.Module, arrays: Sequence[Array], dtype: torch.dtype = torch.float64) -> list[Array]:
    """Return every state, the last one, and the gradient of a fixed function of both in each operand."""
    leaves = [torch.tensor(array, dtype=dtype, requires_grad=True) for array in arrays]
    outputs, _ = model(*leaves)
    weights = np.random.default_rng(0)
    total = sum(
        (value * torch.tensor(weights.normal(size=value.shape), dtype=dtype)).sum() for value in outputs.values()
    )
    assert isinstance(total, torch.Tensor)
    found = [*outputs.values(), *torch.autograd.grad(total, leaves)]
    return [value.detach().double().numpy() for value in found]


def near(got: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], within: float, what: str) -> None:
    """Compare results, all or the first few, to a share of the largest entry, at least one."""
    assert len(got) == len(wanted)
    for name, a, b in zip(("states", "last", "d a", "d b", "d start"), got, wanted, strict=False):
        assert a.shape == b.shape, f"{what}: {name}"
        gap = np.abs(a - b).max()
        assert gap <= within * max(1.0, np.abs(b).max()), f"{what}: {name} differs by {gap}"


shapes = st.tuples(scans(), st.integers(1, 40), st.sampled_from(sorted(RANGES)), st.integers(0, 2**31))


@settings(max_examples=60)
@given(shapes)
def test_every_form_has_the_values_and_gradients_of_the_definition(drawn: tuple[Example, int, str, int]) -> None:
    example, steps, entries, seed = drawn
    arrays = operands(example, steps, entries, seed)
    wanted = results(module(example, None, ["linear_scan"]), arrays)
    for form in forms(example):
        near(results(module(example, form), arrays), wanted, 1e-9, form)


@settings(max_examples=30)
@given(shapes)
def test_every_form_has_the_values_of_the_reference(drawn: tuple[Example, int, str, int]) -> None:
    example, steps, entries, seed = drawn
    arrays = operands(example, steps, entries, seed)
    call = Pass({f"x{i}": array for i, array in enumerate(arrays)}, reset=0)
    wanted, _ = Reference().compile(example_graph(example), Options()).forward(call, {})
    for form in forms(example):
        near(results(module(example, form), arrays)[:2], [wanted["y0"], wanted["y1"]], 1e-9, form)


@settings(max_examples=30)
@given(shapes)
def test_float32_stays_close_to_float64(drawn: tuple[Example, int, str, int]) -> None:
    example, steps, entries, seed = drawn
    arrays = [array.astype(np.float32).astype(np.float64) for array in operands(example, steps, entries, seed)]
    wanted = results(module(example, "step"), arrays)
    for form in forms(example):
        near(results(module(example, form), arrays, torch.float32), wanted, 2e-5, form)


@settings(max_examples=30)
@given(shapes, st.data())
def test_a_scan_in_pieces_is_the_whole_scan(drawn: tuple[Example, int, str, int], data: st.DataObject) -> None:
    example, steps, entries, seed = drawn
    a, b, start = operands(example, steps, entries, seed)
    ends = sorted({*data.draw(st.lists(st.integers(1, steps), max_size=3)), steps})
    (a_type, b_type, _) = (value.type for value in example_graph(example).inputs.values())
    at = b_type.index("T")
    for form in forms(example):
        model, last, pieces = module(example, form), start, list[Array]()
        for first, end in zip([0, *ends], ends, strict=False):
            now = np.arange(first, end)
            a_now = a.take(now, a_type.index("T")) if "T" in a_type.names else a
            states, last, *_ = results(model, [a_now, b.take(now, at), last])
            pieces.append(states)
        near([np.concatenate(pieces, at), last], results(model, [a, b, start])[:2], 1e-9, form)


ROTATION = Example(
    "linear_scan", ("compute[D:5, N:2, M:2]", "compute[B:2, T, N:2, D:5]", "compute[B:2, N:2, D:5]"),
    {"axis": "T", "mix": ["N", "M"], "form": None},
)  # fmt: skip


@pytest.mark.parametrize("radius", [1.0, 0.9999, -1.0])
def test_complex_pairs_that_hardly_decay_keep_their_phase(radius: float) -> None:
    rng, steps = np.random.default_rng(0), 300
    angles = np.array([0.0, 1e-3, 0.1, 1.0, np.pi])
    turn = radius * np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    arrays = [turn.transpose(2, 0, 1), rng.normal(size=(2, steps, 2, 5)), rng.normal(size=(2, 2, 5))]
    z, poles = arrays[2][:, 0] + 1j * arrays[2][:, 1], radius * np.exp(1j * angles)
    wanted: list[NDArray[np.complex128]] = []
    for x in arrays[1].swapaxes(0, 1):
        z = poles * z + (x[:, 0] + 1j * x[:, 1])
        wanted.append(z)
    for form in FORMS:
        states = results(module(ROTATION, form), arrays)[0]
        near([states[:, :, 0] + 1j * states[:, :, 1]], [np.stack(wanted, 1)], 1e-9, form)


PARAMETERS = """
graph "scan" {
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=false window=4
  main {
    at ""
    %a = param() {path="a", init={"normal": 0.7}, trainable=true} : AXES
    %b = param() {path="b", init={"normal": 1.0}, trainable=true} : compute[T:5, N:2, D:3]
    %h = param() {path="h", init={"normal": 1.0}, trainable=true} : compute[N:2, D:3]
    %y, %last = linear_scan(%a, %b, %h) {axis="T", mix=MIX, form="step"} : compute[T:5, N:2, D:3]; compute[N:2, D:3]
    %wave = sin(%y) : compute[T:5, N:2, D:3]
    %loss = sum(%wave) {axes=["T", "N", "D"]} : compute[]
    output "loss" = %loss
  }
}
"""


@pytest.mark.parametrize(
    ("axes", "mix"),
    [("D:3", "null"), ("T:5, D:3", "null"), ("D:3, N:2, M:2", '["N", "M"]'), ("N:2, M:2, T:5", '["N", "M"]')],
)
def test_the_step_form_has_the_gradient_of_finite_differences(axes: str, mix: str) -> None:
    graph = verify(parse(PARAMETERS.replace("AXES", f"compute[{axes}]").replace("MIX", mix)))
    reference, torch_ = Reference().compile(graph, Options()), TorchExecutable(graph, Options(dtype="float64"))
    torch_.set_params(reference.params)
    _, wanted = reference.loss_and_grads([Pass({}, reset=0)], {})
    _, got = torch_.loss_and_grads([Pass({}, reset=0)], {})
    assert got.keys() == wanted.keys()
    for path, gradient in wanted.items():
        np.testing.assert_allclose(got[path], gradient, rtol=1e-6, atol=1e-7, err_msg=path)


SMALL = Example(
    "linear_scan", ("compute[T, D:2]", "compute[T, D:2]", "compute[D:2]"), {"axis": "T", "mix": None, "form": None}
)
TURNS = Example(
    "linear_scan",
    ("compute[N:2, M:2]", "compute[T, N:2]", "compute[N:2]"),
    {"axis": "T", "mix": ["N", "M"], "form": None},
)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_have_gradients(form: str) -> None:
    example = TURNS if form == "fft" else SMALL
    model, arrays = module(example, form), operands(example, 3, "one", 0)
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    assert torch.autograd.gradgradcheck(lambda *x: model(*x)[0]["y0"], leaves)


@pytest.mark.parametrize("form", FORMS)
def test_mixed_precision_leaves_the_scan_in_its_operands_dtype(form: str) -> None:
    rng = np.random.default_rng(0)
    model = module(ROTATION, form)
    arrays = [
        torch.tensor(rng.uniform(-0.4, 0.4, (5, 2, 2))),
        *(torch.tensor(rng.normal(size=s)) for s in ((2, 20, 2, 5), (2, 2, 5))),
    ]
    single = [array.float() for array in arrays]
    with torch.no_grad():
        plain = model(*single)[0]["y0"]
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model(*single)[0]["y0"], plain)
            half = model(*(array.bfloat16() for array in arrays))[0]["y0"]
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), plain, atol=0.15)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_come_back_in_the_operands_dtypes(form: str) -> None:
    rng = np.random.default_rng(0)
    leaves = [
        torch.tensor(rng.normal(size=shape) / 2, dtype=dtype, requires_grad=True)
        for shape, dtype in (((5, 2, 2), torch.float32), ((2, 20, 2, 5), torch.bfloat16), ((2, 2, 5), torch.float32))
    ]
    with torch.autocast("cpu", torch.bfloat16):
        total = sum(value.float().sum() for value in module(ROTATION, form)(*leaves)[0].values())
    assert isinstance(total, torch.Tensor)
    gradients = torch.autograd.grad(total, leaves)
    assert [gradient.dtype for gradient in gradients] == [leaf.dtype for leaf in leaves]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_helper_needs_only_what_is_printed_before_it() -> None:
    printed: set[str] = set()
    for name, source in HELPERS.items():
        assert named(source) & HELPERS.keys() <= {*printed, name}, name
        printed.add(name)


def test_a_file_has_no_form_that_it_does_not_use() -> None:
    source = emit(example_graph(Example(ROTATION.kind, ROTATION.operands, {**ROTATION.attrs, "form": "fft"})))
    defined = {line.split("(")[0].split()[1] for line in source.splitlines() if line.startswith(("def ", "class "))}
    assert defined == {"wide", "multiply_add", "multiply", "by_fft", "LinearScan", "matrix_scan", "Model"}
    assert len(needed(HELPERS, ["by_step"])) == 1

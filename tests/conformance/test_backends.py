"""Every backend against the reference: the same graph, the same weights, the same numbers."""

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph, Lifetime
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend
from hrmsearch.spec.load import shipped
from hrmsearch.spec.model import Spec
from hrmsearch.testing import specs
from hrmsearch.testing.inputs import random_inputs
from hrmsearch_reference import ReferenceExecutable
from tests.backends import COMPILING, QUICK, offers, usable
from tests.shipping import brief

# finite differences of the reference, with Richardson's correction, in float64
GRADIENT = 1e-6


def compiled(backend: str, graph: Graph) -> Executable:
    try:
        return load_backend(backend).compile(graph, Options(dtype="float64"))
    except BackendError as error:
        pytest.skip(str(error))


def windows(graph: Graph, rows: int, seed: int, n: int = 2) -> list[Pass]:
    """Return every pass over n consecutive windows; the second window may be shorter than the first."""
    rng = np.random.default_rng(seed)
    calls: list[Pass] = []
    for window in range(n):
        inputs = random_inputs(graph, {"B": rows, "T": graph.nest.window}, lambda _: rng)
        for i in range(graph.nest.passes):
            first = Lifetime.STREAM if window == 0 else Lifetime.WINDOW
            calls.append(Pass(inputs, first if i == 0 else Lifetime.NONE, last=i == graph.nest.passes - 1))
    return calls


def run(executable: Executable, calls: list[Pass], rows: int) -> list[dict[str, Array]]:
    carry = executable.init_carry(rows, executable.graph.nest.window)
    outputs: list[dict[str, Array]] = []
    for call in calls:
        out, carry = executable.forward(call, carry)
        outputs.append({**out, **executable.carry_to_numpy(carry)})
    return outputs


def assert_near(
    got: list[dict[str, Array]], reference: Executable, calls: list[Pass], rows: int, within: float
) -> None:
    """Compare with the reference, whose carried levels may amplify a last bit a million times.

    Where more differs than rounding, the reference runs again with weights moved by 1e-13, and ten times what that
    changes is allowed.
    """
    wanted, shaken = run(reference, calls, rows), None
    for i, (expected, found) in enumerate(zip(wanted, got, strict=True)):
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            if not np.isfinite(value).all():
                # a drawn model that overflows leaves nothing to compare from here on
                assert not np.isfinite(found[name]).all(), f"{name} of pass {i + 1}: finite where the reference is not"
                return
            far = np.abs(found[name] - value)
            if (far <= within * (1 + np.abs(value))).all():
                continue
            shaken = shaken or run(moved(reference), calls, rows)
            allowed = 10 * np.abs(shaken[i][name] - value).max()
            assert far.max() <= allowed, f"{name} of pass {i + 1}: {far.max():.3g}, where {allowed:.3g} is rounding"


def moved(executable: Executable) -> Executable:
    """Return an executable, every weight of which is moved by a rounding error."""
    rng = np.random.default_rng(0)
    executable.set_params({p: array * rng.normal(1.0, 1e-13, array.shape) for p, array in executable.params.items()})
    return executable


def assert_same(graph: Graph, backend: str, *, rows: int, seed: int) -> None:
    reference, other = compiled("reference", graph), compiled(backend, graph)
    reference.init(seed)
    other.init(seed)
    calls = windows(graph, rows, seed)
    assert_near(run(other, calls, rows), reference, calls, rows, within=1e-10)


@pytest.mark.parametrize("backend", QUICK)
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_gives_the_same_values_and_carries_on_every_backend(name: str, backend: str) -> None:
    assert_same(passes.run(hs.lower(brief(name))), backend, rows=2, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", COMPILING)
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_gives_the_same_values_and_carries_where_it_is_compiled_first(name: str, backend: str) -> None:
    assert_same(passes.run(hs.lower(brief(name))), backend, rows=2, seed=0)


@pytest.fixture(scope="module")
def compilers() -> list[str]:
    """Import what compiles graphs before Hypothesis runs, which watches the recursion limit that an import may set."""
    return usable(COMPILING)


@pytest.mark.slow
@pytest.mark.parametrize("backend", COMPILING)
@pytest.mark.usefixtures(compilers.__name__)
@settings(max_examples=3, phases=[Phase.generate])
@given(spec=specs(), rows=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_any_spec_gives_the_same_values_and_carries_where_it_is_compiled_first(
    backend: str, spec: Spec, rows: int, seed: int
) -> None:
    graph = passes.run(hs.lower(spec))
    assume(offers(backend, graph))
    assert_same(graph, backend, rows=rows, seed=seed)


@pytest.mark.parametrize("backend", QUICK)
@settings(max_examples=25)
@given(spec=specs(), rows=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_any_spec_gives_the_same_values_and_carries_on_every_backend(
    backend: str, spec: Spec, rows: int, seed: int
) -> None:
    assert_same(passes.run(hs.lower(spec)), backend, rows=rows, seed=seed)


@settings(max_examples=10)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_the_pipeline_keeps_the_values_of_the_reference(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    before, after = compiled("reference", graph), compiled("reference", passes.run(graph))
    before.init(seed)
    after.set_params({path: before.params[path] for path in after.params})
    calls = windows(graph, 2, seed)
    assert_near(run(after, calls, 2), before, calls, 2, within=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("backend", QUICK)
@settings(max_examples=4)
@given(spec=specs(smooth=True), seed=st.integers(0, 2**16), span=st.integers(1, 2))
def test_gradients_are_the_differences_of_the_reference_and_absent_where_it_has_none(
    backend: str, spec: Spec, seed: int, span: int
) -> None:
    assert_gradients(spec, backend, seed, span)


@pytest.mark.parametrize("backend", QUICK)
@settings(max_examples=15)
@given(spec=specs(smooth=True), seed=st.integers(0, 2**16), span=st.integers(1, 2))
def test_gradients_along_a_direction_are_the_derivative_of_the_reference(
    backend: str, spec: Spec, seed: int, span: int
) -> None:
    graph = passes.run(hs.lower(spec))
    reference, other = compiled("reference", graph), compiled(backend, graph)
    assert isinstance(reference, ReferenceExecutable)
    reference.init(seed)
    other.init(seed)
    rng = np.random.default_rng(seed)
    direction = {path: rng.normal(size=value.shape) for path, value in reference.params.items()}
    calls = windows(graph, 1, seed)[:span]
    wanted = reference.directional(calls, reference.init_carry(1, graph.nest.window), direction)
    _, gradients = other.loss_and_grads(calls, other.init_carry(1, graph.nest.window))
    terms = [float((gradients[path] * direction[path]).sum()) for path in gradients]
    # the sum may cancel, so its error is held to the size of its terms
    assert abs(sum(terms) - wanted) <= GRADIENT * max(1e-3, *map(abs, terms), 1e-3)


def assert_gradients(spec: Spec, backend: str, seed: int, span: int) -> None:
    """Compare a first span of passes, and the one after it."""
    graph = passes.run(hs.lower(spec))
    reference, other = compiled("reference", graph), compiled(backend, graph)
    reference.init(seed)
    other.init(seed)
    calls = windows(graph, 1, seed)
    carry, carried = (e.init_carry(1, graph.nest.window) for e in (reference, other))
    for start in range(0, min(len(calls), 2 * span), span):
        expected, differences = reference.loss_and_grads(calls[start : start + span], carry)
        got, gradients = other.loss_and_grads(calls[start : start + span], carried)
        carry, carried = expected.carry, got.carry
        np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-10)
        assert gradients.keys() == differences.keys()
        for path, value in differences.items():
            largest = max(float(np.abs(value).max()), 1e-3)
            np.testing.assert_allclose(gradients[path], value, rtol=0, atol=GRADIENT * largest, err_msg=path)

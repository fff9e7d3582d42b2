"""What a planted bug changes, and whether a check notices."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hrmsearch import passes
from hrmsearch.analyses import validate
from hrmsearch.ir import Graph, Lifetime, generator
from hrmsearch.runtime import Array, Carry, Executable, Options, Pass, Span
from hrmsearch.tasks.loaders import Batch, train_batches
from hrmsearch.testing import Toy
from hrmsearch.testing.check import examine
from hrmsearch.testing.invariants import invariants
from hrmsearch.train.nest import group_length, groups, spans
from hrmsearch.train.nest import passes as passes_over
from hrmsearch_reference.backend import Backend
from tests.soundness.planting import Model

ROWS = 2
#: a bug counts from here on
COUNTS = 1e-6
EXAMPLES = 15
# as in the conformance tests: rounding in float64, and finite differences with Richardson's correction
_VALUES, _GRADIENT = 1e-10, 1e-6

#: arrays by what they are: `logits` of which window after which pass, `gradient` of which span
Record = dict[tuple[Any, ...], Array]


# -- what a model gives ----------------------------------------------------------------------------------------------


def _batches(graph: Graph, loader: str) -> Iterator[Batch]:
    split = Toy(window=graph.nest.window).load().splits["train"]
    for batch in train_batches([split], loader, ROWS, 0, 0):
        yield Batch({name: array for name, array in batch.arrays.items() if name in graph.inputs}, batch.reset)


def _calls(graph: Graph) -> Iterator[Pass]:
    """Yield the passes of an epoch as the loader deals it, then one that restarts a single row."""
    batches = list(_batches(graph, graph.nest.loader))
    for batch in batches:
        yield from passes_over(batch, graph.nest.passes)
    levels = np.array([Lifetime.NONE, Lifetime.STREAM], np.int8)
    yield Pass(batches[0].arrays, levels)


def walked(executable: Executable, graph: Graph) -> Record:
    """Return, for every window and pass, the rows of outputs and of the carries before and after."""
    found: Record = {}
    carry = executable.init_carry(ROWS, graph.nest.window)
    for number, call in enumerate(_calls(graph)):
        given = carry
        outputs, carry = executable.forward(call, given)
        arrays = {name: a for name, a in outputs.items() if graph.outputs[name].type.names[:1] == ("B",)}
        arrays |= {f"after {path}": a for path, a in executable.carry_to_numpy(carry).items()}
        # a model may not change what it was given either
        arrays |= {f"given {path}": a for path, a in executable.carry_to_numpy(given).items()}
        masked = np.ndim(call.reset) > 0
        for row, tokens in enumerate(call.inputs["tokens"]):
            key = (tokens.tobytes(), "masked" if masked else number % graph.nest.passes)
            found |= {(*key, name): array[row] for name, array in arrays.items()}
    return found


def _spans(graph: Graph) -> list[Span]:
    """Return the spans of an epoch in the text's order."""
    dealt = groups(_batches(graph, "contiguous"), group_length(graph.nest))
    return [span for group in dealt for span in spans(group, graph.nest)]


def _trained(executable: Executable, graph: Graph) -> Iterator[tuple[Span, Carry, list[float], dict[str, Array]]]:
    """Yield each span, the carry before it, its losses and gradients; nothing is updated."""
    if "loss" not in graph.outputs:
        return
    carry = executable.init_carry(ROWS, graph.nest.window)
    for span in _spans(graph):
        result, gradients = executable.loss_and_grads(span, carry)
        yield span, carry, result.losses, gradients
        carry = result.carry


def recorded(model: Model) -> Record:
    """Return all that a model gives: values, carries, losses and gradients."""
    executable = model.subject.executable
    found = walked(executable, model.declared)
    for i, (_, _, losses, gradients) in enumerate(_trained(executable, model.declared)):
        found[i, "losses"] = np.array(losses)
        found |= {(i, "gradient", path): gradient for path, gradient in gradients.items()}
    return found


def moved(one: Mapping[Any, Array], two: Mapping[Any, Array]) -> float:
    """Return the largest difference between two records; what is lacking in one counts as zero."""
    zero = np.zeros(())
    return max(float(np.abs(one.get(key, zero) - two.get(key, zero)).max(initial=0.0)) for key in {*one, *two})


# -- checks ----------------------------------------------------------------------------------------------------------


def codes(model: Model) -> set[str]:
    """Return the diagnostics of the graph that is compiled."""
    return {one.code for one in validate(model.built, model.spec)}


def _diagnosed(model: Model, code: str) -> str:
    return next((one.message for one in validate(model.built, model.spec) if one.code == code), "")


def _violated(model: Model, name: str) -> str:
    outcome = examine(model.subject, invariants()[name], EXAMPLES, seed=0)
    assert outcome.verdict != "not applicable", f"{name} says nothing about the model: {outcome.reason}"
    return outcome.reason


def _reference(model: Model) -> Any:
    reference = Backend().compile(passes.run(model.declared), Options(dtype="float64"))
    reference.set_params(model.subject.weights)
    return reference


def _values(model: Model, name: str) -> str:
    """Compare outputs, carries and losses with the reference."""
    reference, executable = _reference(model), model.subject.executable
    wanted, got = (walked(one, model.declared) for one in (reference, executable))
    for span, carry, losses, _ in _trained(executable, model.declared):
        carried = reference.carry_from_numpy(executable.carry_to_numpy(carry))
        for i, call in enumerate(span):
            outputs, carried = reference.forward(call, carried)
            got[name, i], wanted[name, i] = np.array(losses[i]), outputs["loss"]
    gap = moved(got, wanted)
    return f"values differ by {gap}" if gap > _VALUES else ""


def _derivative(model: Model, name: str) -> str:
    """Compare gradients along a direction with the derivative of the reference."""
    reference, executable = _reference(model), model.subject.executable
    direction = {path: generator(0, name, path).normal(size=a.shape) for path, a in model.subject.weights.items()}
    for span, carry, _, gradients in _trained(executable, model.declared):
        carried = reference.carry_from_numpy(executable.carry_to_numpy(carry))
        wanted = reference.directional(span, carried, direction)
        terms = [float((gradient * direction[path]).sum()) for path, gradient in gradients.items()]
        # the sum may cancel, so its error is held to the size of its terms
        if abs(sum(terms) - wanted) > _GRADIENT * max(1e-3, *map(abs, terms), 1e-3):
            return f"the derivative is {sum(terms)}, not {wanted}"
    return ""


_CONFORMANCE: Mapping[str, Callable[[Model, str], str]] = {"values": _values, "derivative": _derivative}


def noticed(model: Model, check: str) -> str:
    """Return what a check has to say against a model, "" for nothing."""
    run = _diagnosed if check.startswith("HS") else _CONFORMANCE.get(check, _violated)
    with model.around():
        return run(model, check)

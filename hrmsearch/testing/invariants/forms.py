"""Every form of a linear scan that the backend has gives the same."""

from collections.abc import Sequence
from dataclasses import replace

from hrmsearch.passes.forms import in_form
from hrmsearch.runtime import Array, load_backend
from hrmsearch.testing.invariants.base import invariant, near
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Case, Subject

# a transform of the whole window rounds to its largest entry
_ROUNDING = 1e-9


def _one_form(subject: Subject) -> str:
    kinds = {op.kind for region in subject.graph.regions() for op in region.walk()}
    if "linear_scan" not in kinds:
        return "the graph has no linear scan"
    if subject.compile is None:
        return "an executable alone cannot be compiled in another form"
    return "" if _forms(subject) else f"{subject.backend} has one way to run a linear scan"


def _forms(subject: Subject) -> Sequence[str]:
    """Return the forms that the backend has on this device."""
    return sorted(load_backend(subject.backend).target(subject.executable.options.device).offered or ())


@invariant(
    "scan-forms",
    "In whatever form linear scans run, outputs, states and gradients are the same, to 1e-9.",
    unless=_one_form,
)
def scan_forms(subject: Subject, draws: Draws) -> None:
    """Run two windows with every linear scan in one form, and as the model was compiled."""
    case, forms = subject.case(draws), _forms(subject)
    form = forms[draws.integer("form", 0, len(forms) - 1)]
    other = subject.keep(f"scans by {form}", lambda: in_form(subject.graph, form))
    other.set_params(subject.weights)
    got = _seen(Case(replace(subject, executable=other), case.seed, case.rows, case.tokens))
    near(f"with every scan in the form {form}, ", got, subject, lambda: _seen(case), _ROUNDING)


def _seen(case: Case) -> dict[str, Array]:
    """Return the outputs of every pass of two windows, the carry after them, and the gradient of the first window."""
    windows = case.windows(2)
    outputs, carry = case.stream(windows)
    seen = {f"the state {path}": array for path, array in case.numpy(carry).items()}
    for i, passes in enumerate(outputs):
        for j, found in enumerate(passes):
            seen |= {f"{name} of pass {j + 1} of window {i + 1}": array for name, array in found.items()}
    if "loss" in case.subject.graph.outputs:
        _, gradients = case.subject.executable.loss_and_grads(case.calls(windows[0], first=True), case.fresh())
        seen |= {f"the gradient of {path}": array for path, array in gradients.items()}
    return seen

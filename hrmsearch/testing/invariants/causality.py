"""No output sees what comes after it, through every pass, state and commit."""

from collections.abc import Mapping, Sequence

from hrmsearch.runtime import Array
from hrmsearch.testing.invariants.base import invariant, same
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Outputs, Subject

# A `linear_scan` that goes through a transform of the whole window rounds the future into the past, and a backend may
# choose to; everything else multiplies it by an exact zero or never touches it.
_TRANSFORMED = 1e-9


def _not_causal(subject: Subject) -> str:
    graph = subject.graph
    if "logits" not in graph.outputs or "tokens" not in graph.inputs:
        return "the graph does not turn tokens into logits"
    if subject.classes < 2:
        return "there is one token only, so none can change"
    if graph.nest.window < 2:
        return "a window has one token"
    return "" if graph.nest.causal else "the task lets outputs see later tokens"


def _untargeted(subject: Subject) -> str:
    graph = subject.graph
    return "" if {"logits"} <= graph.outputs.keys() and "targets" in graph.inputs else "the graph takes no targets"


@invariant(
    "causality",
    "Changing a token leaves every earlier logit exactly as it was, in every pass and window.",
    unless=_not_causal,
    code="HS101",
)
def causality(subject: Subject, draws: Draws) -> None:
    """Change one token, or it and all after it in its row, and compare the logits before it.

    No optimiser step stands between the passes. With a state that outlives windows, the changed token may stand in a
    later window, and everything before that window is compared too. Where states are kept by sample, the same window is
    met several times.
    """
    case = subject.case(draws, tokens=2)
    before = case.windows(draws.integer("windows", 1, 2 if subject.states("stream") else 1))
    changed = draws.integer("changed_window", 0, len(before) - 1)
    row = draws.integer("row", 0, case.rows - 1)
    position = draws.integer("position", 0 if changed else 1, case.tokens - 1)
    end = case.tokens if draws.flag("all_after") else position + 1
    after = [dict(window) for window in before]
    tokens = after[changed]["tokens"] = before[changed]["tokens"].copy()
    by = draws.integer("by", 1, subject.classes - 1)
    tokens[row, position:end] = (tokens[row, position:end] + by) % subject.classes
    what = f"token {position} of row {row} in window {changed + 1} changed"
    visits = draws.integer("visits", 1, 3) if subject.states("sample") else 1
    old, new = (case.stream([*windows] * visits)[0] for windows in (before, after))
    for visit in range(0, visits * len(before), len(before)):
        seen = slice(visit, visit + len(before))
        _unmoved(subject, what, old[seen], new[seen], changed, position)


def _unmoved(
    subject: Subject,
    what: str,
    before: Sequence[Sequence[Outputs]],
    after: Sequence[Sequence[Outputs]],
    changed: int,
    position: int,
) -> None:
    for window in range(changed + 1):
        for i, (old, new) in enumerate(zip(before[window], after[window], strict=True)):
            end = position if window == changed else None
            where = f"{what}, and so did logits before it in pass {i + 1} of window {window + 1}"
            got, wanted = (outputs["logits"][:, :end] for outputs in (new, old))
            same(where, got, wanted, ("row", "token", "class"), _allowed(subject))


def _allowed(subject: Subject) -> float:
    ran = (op for region in subject.executable.graph.regions() for op in region.walk())
    transformed = any(op.kind == "linear_scan" and op.attrs["form"] in (None, "fft") for op in ran)
    return max(_TRANSFORMED if transformed else 0.0, subject.displaced)


@invariant("unseen-targets", "Changing targets leaves every logit and state exactly as it was.", unless=_untargeted)
def unseen_targets(subject: Subject, draws: Draws) -> None:
    """Compare two runs whose targets differ everywhere."""
    case = subject.case(draws)
    windows = case.windows(draws.integer("windows", 1, 2))
    others = [_other_targets(window, subject.classes) for window in windows]
    (old, carry), (new, moved) = case.stream(windows), case.stream(others)
    for i, (first, second) in enumerate(zip(old, new, strict=True)):
        for j, (a, b) in enumerate(zip(first, second, strict=True)):
            where = f"targets changed, and so did logits in pass {j + 1} of window {i + 1}"
            same(where, b["logits"], a["logits"], ("row", "token", "class"))
    kept, wanted = case.numpy(moved), case.numpy(carry)
    for path, array in kept.items():
        same(f"targets changed, and so did the state {path}", array, wanted[path])


def _other_targets(window: Mapping[str, Array], classes: int) -> dict[str, Array]:
    return {**window, "targets": (window["targets"] + 1) % max(classes, 2)}

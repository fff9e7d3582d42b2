"""Tables of a study: what its arms were matched to, how far it is, and how they rank."""

from collections.abc import Sequence

from hrmsearch.report.numbers import count, duration, measured, measured_spread, metric, scaled, size
from hrmsearch.report.table import Table
from hrmsearch.study.comparing import RunComparison
from hrmsearch.study.contract import ArmPlan, Contract
from hrmsearch.study.matching import measure
from hrmsearch.study.progress import ArmProgress, Progress
from hrmsearch.study.results import StudyResults
from hrmsearch.study.statistics import Difference
from hrmsearch.study.verdicts import probability


def plan_table(contract: Contract) -> Table:
    """Return a row per arm: its sizes as matched, what was changed for that, and what is searched in it."""
    match = contract.file.match
    titles = ["arm", "parameters", "FLOPs/token", "state", "off budget", "matched by", "searched"]
    budget = f", {match.of} {match.budget:,.0f} within {100 * match.within:g} %" if match else ""
    per_arm = f"{contract.file.trials} trial{'s' if contract.file.trials > 1 else ''} an arm"
    trials = f"{per_arm}, seeds {', '.join(map(str, contract.file.fresh_seeds))}"
    rows = [_plan(contract, arm) for arm in contract.arms]
    return Table(titles, "lrrrrll", [rows], f"study {contract.name}{budget}; {trials}")


def _plan(contract: Contract, arm: ArmPlan) -> Sequence[str]:
    from hrmsearch.lowering import lower

    spec = contract.candidate(arm, {})
    graph = lower(spec)
    params, flops, state = (measure(what, spec, graph) for what in ("params", "flops_per_token", "state_bytes"))
    match = contract.file.match
    off = f"{100 * (arm.size - match.budget) / match.budget:+.1f} %" if match and arm.size is not None else ""
    changed = ", ".join(f"{path}={value}" for path, value in arm.values.items()) or ("as written" if match else "")
    return arm.name, count(params), scaled(flops), size(state), off, changed, ", ".join(arm.space) or "nothing"


def progress_table(contract: Contract, found: Progress) -> Table:
    """Return a row per arm: trials by what came of them, the best value, and the finalist's seeds."""
    titles = [
        "arm",
        "trials",
        "pruned",
        "not trained",
        "diverged",
        "running",
        f"best valid {contract.file.leading}",
        "seeds",
    ]
    rows = [_progress(contract, arm) for arm in found.arms]
    left = "" if found.left is None or found.is_finished else f", about {duration(found.left)} left"
    title = f"study {contract.name}: {found.done} of {found.total} trials{left}"
    return Table(titles, "lrrrrlrr", [rows], title)


def _progress(contract: Contract, arm: ArmProgress) -> Sequence[str]:
    untrained = sum(arm.ended.get(what, 0) for what in ("unsound", "unbuildable", "over_budget", "lost"))
    best = "" if arm.best is None else measured(contract.file.leading, arm.best)
    counts = [arm.ended.get("pruned", 0), untrained, arm.ended.get("diverged", 0)]
    shown = [str(number) if number else "" for number in counts]
    seeds = f"{arm.seeds}/{len(contract.file.fresh_seeds)}"
    return arm.arm, f"{arm.done}/{contract.file.trials}", *shown, ", ".join(arm.running), best, seeds


def ranking(results: StudyResults) -> Table | None:
    """Return the arms by their mean over fresh seeds, the best first, beside what needs no neural model.

    None where nothing can be compared. A difference is the arm minus the control.
    """
    found = results.comparison
    if found is None:
        return None
    name = found.metric.name
    titles = ["", "arm", "parameters", f"valid {name} of the search", f"{found.metric}, mean ± sd"]
    titles += [f"minus {found.comparison.control}", "interval", "p adjusted", "verdict"]
    means = [arm.mean for arm in found.comparison.arms]
    sign = 1.0 if found.metric.better == "lower" else -1.0
    # what has no mean, since a seed diverged, comes last
    order = sorted(range(len(means)), key=lambda i: (means[i] is None, sign * (means[i] or 0.0)))
    rows = [_ranked(results, found, i, place) for place, i in enumerate(order, 1)]
    floors = [("", floor, "", "", measured(name, value), "", "", "", "") for floor, value in found.floors.items()]
    seeds = f"{len(found.seeds)} fresh paired seeds"
    return Table(titles, "rlrrrrrrl", [rows, floors] if floors else [rows], f"study {results.contract.name}, {seeds}")


def _ranked(results: StudyResults, found: RunComparison, index: int, place: int) -> Sequence[str]:
    arm, summary = found.arms[index], found.comparison.arms[index]
    search = [t for t in results.trials if t.item.kind == "search" and t.item.arm == arm.name]
    chosen = [t.values[0] for t in search if t.item.number == results.finalists[arm.name].number and t.values]
    name = found.metric.name
    mean = (
        f"{len(summary.diverged)} diverged" if summary.mean is None else measured_spread(name, summary.mean, summary.sd)
    )
    valid = metric(chosen[0]) if chosen else ""
    others = {one.arm: one for one in found.comparison.differences}
    compared = _compared(others[arm.name], found) if arm.name in others else ("", "", "", "control")
    return str(place), arm.name, count(arm.first["budget"]["params"]), valid, mean, *compared


def _compared(one: Difference, found: RunComparison) -> tuple[str, str, str, str]:
    number = found.metric.measure.number(one)
    mean = "" if one.mean is None else number(one.mean)
    bounds = "" if one.interval is None else " to ".join(map(number, one.interval))
    p = "" if one.p_adjusted is None else probability(one.p_adjusted).removeprefix("= ")
    return mean, bounds, p, one.verdict or f"none: {one.reason}"

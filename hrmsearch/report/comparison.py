"""Tables of a comparison: the arms with their budgets, and their differences from the control."""

from collections.abc import Sequence

from hrmsearch.report.numbers import count, measured, measured_spread, scaled, size
from hrmsearch.report.table import Table
from hrmsearch.study.comparing import RunComparison
from hrmsearch.study.runs import RunArm
from hrmsearch.study.statistics import ArmSummary, Comparison, Difference
from hrmsearch.study.verdicts import Measure, confidence, probability


def arms_table(found: RunComparison) -> Table:
    """Return a row per arm, the control first, with what it may spend, and the controls that need no neural model."""
    metric = found.metric
    titles = ["arm", "parameters", "FLOPs/token", "state", "seeds", str(metric)]
    arms = [_arm(*pair, metric.name) for pair in zip(found.arms, found.comparison.arms, strict=True)]
    controls = [(name, "", "", "", "", measured(metric.name, value)) for name, value in found.floors.items()]
    first = found.arms[0].first
    title = f"{metric} on {first['data']['corpus']}, {metric.better} is better"
    return Table(titles, "l" + "r" * (len(titles) - 1), [section for section in (arms, controls) if section], title)


def differences_table(comparison: Comparison, measure: Measure) -> Table:
    """Return a row per arm but the control: its difference, the interval, p, and what follows."""
    titles = ["arm", "difference", "sd", "interval", "at", "p", "p adjusted", "verdict", "seeds needed"]
    rows = [_difference(one, measure) for one in comparison.differences]
    seeds = comparison.arms[0].seeds
    unit = f" in{measure.unit}" if measure.unit else ""
    title = f"{measure.name} minus {comparison.control}'s{unit}, {seeds} paired seed{'s' if seeds > 1 else ''}"
    return Table(titles, "lrrrrrrlr", [rows], title)


def page(found: RunComparison) -> str:
    """Return the whole comparison as Markdown."""
    tables = [arms_table(found), differences_table(found.comparison, found.metric.measure)]
    lines = [*found.sentences(), *(f"warning: {text}" for text in found.warnings)]
    return "\n".join([*(table.markdown() for table in tables), "".join(f"- {line}\n" for line in lines)])


def _arm(arm: RunArm, summary: ArmSummary, metric: str) -> Sequence[str]:
    budget = arm.first["budget"]
    spent = count(budget["params"]), scaled(budget["flops_per_token"]), size(budget["state_bytes"])
    if summary.mean is None:
        return arm.name, *spent, str(summary.seeds), f"{len(summary.diverged)} diverged"
    return arm.name, *spent, str(summary.seeds), measured_spread(metric, summary.mean, summary.sd)


def _difference(one: Difference, measure: Measure) -> Sequence[str]:
    number = measure.number(one)
    mean, sd = ("" if value is None else number(value) for value in (one.mean, one.sd))
    p, adjusted = ("" if value is None else probability(value).removeprefix("= ") for value in (one.p, one.p_adjusted))
    bounds = "" if one.interval is None else " to ".join(map(number, one.interval))
    needed = "" if one.seeds_needed is None else count(one.seeds_needed)
    return one.arm, mean, sd, bounds, confidence(one), p, adjusted, one.verdict or f"none: {one.reason}", needed

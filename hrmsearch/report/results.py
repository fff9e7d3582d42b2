"""Tables of trained results: the seeds of one spec, or many specs side by side, with controls on the same text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hrmsearch.ir import TELEMETRY
from hrmsearch.report.numbers import count, measured, measured_spread, spread
from hrmsearch.report.table import Table
from hrmsearch.tasks.base import Control
from hrmsearch.train import Evaluation, SeedResult, Spread, Summary, summarise
from hrmsearch.train.scoring import HALTED

# With more passes than this, only the first and the last get a column.
_MOST_PASSES = 4
_LAST = -1
#: splits of which every metric and pass is shown
_WHOLE = ("valid", "test")

#: spreads by pass and metric
Passes = Sequence[Mapping[str, Spread]]


@dataclass(frozen=True, slots=True)
class _Column:
    """A metric on one split after one pass: an index from 0, or _LAST."""

    title: str
    split: str
    metric: str
    index: int = _LAST

    def of_seed(self, result: SeedResult) -> str:
        """Return the cell of a seed."""
        return measured(self.metric, result.scores[self.split][self.index][self.metric])

    def of_summary(self, summary: Summary) -> str:
        """Return the cell of all seeds."""
        passes = summary.metrics.get(self.split)
        if not passes or self.metric not in passes[self.index]:
            return ""
        value = passes[self.index][self.metric]
        return measured_spread(self.metric, value.mean, value.sd)

    def of_control(self, control: Control) -> str:
        """Return the cell of a control, which has no passes and stands beside the last."""
        found = control.metrics.get(self.split, {})
        return measured(self.metric, found[self.metric]) if self.index == _LAST and self.metric in found else ""


def seeds_table(results: Sequence[SeedResult]) -> Table:
    """Return one spec's results: a row per seed, mean ± standard deviation, and the controls.

    Raises RunError where the results are not seeds of one spec on one corpus.
    """
    summary = summarise(results)
    columns = [column for split, passes in summary.metrics.items() for column in _passes(split, passes)]
    titles = ["seed", *(column.title for column in columns), "best epoch", "s/epoch"]
    seeds = [
        (str(r.seed), *(c.of_seed(r) for c in columns), str(r.best_epoch), f"{r.seconds_per_epoch:.2f}")
        for r in results
    ]
    means = [("mean ± sd", *(c.of_summary(summary) for c in columns), *_epochs(summary))] if len(seeds) > 1 else []
    controls = [(control.name, *(c.of_control(control) for c in columns), "", "") for control in summary.controls]
    title = f"{summary.name} on {summary.identity.corpus}, {count(summary.params)} parameters"
    title += f", accepted {' '.join(summary.accepted)}" if summary.accepted else ""
    return Table(titles, "l" + "r" * (len(titles) - 1), _filled(seeds, means, controls), title)


def specs_table(summaries: Sequence[Summary]) -> Table:
    """Return the results of several specs on one corpus: a row per spec, mean ± standard deviation, and the controls.

    Scores are those after the last pass, except where the title says pass 1; `accepted` names the diagnostics that a
    spec was trained in spite of.
    """
    names = _names(summaries[0].metrics["valid"])
    columns = [_Column(f"valid {names[0]}, pass 1", "valid", names[0], 0)]
    columns += [
        _Column(f"{split} {name}", split, name) for split in _splits(summaries) for name in _shown(split, names)
    ]
    titles = ["spec", "parameters", "seeds", "passes", *(column.title for column in columns), "best epoch", "s/epoch"]
    titles += ["accepted"]
    specs = [
        (*_head(s), *(column.of_summary(s) for column in columns), *_epochs(s), " ".join(s.accepted)) for s in summaries
    ]
    controls = [
        (c.name, "", "", "", *(col.of_control(c) for col in columns), "", "", "") for c in summaries[0].controls
    ]
    title = f"on {summaries[0].identity.corpus}"
    return Table(titles, "l" + "r" * (len(titles) - 2) + "l", _filled(specs, controls), title)


def telemetry_table(summaries: Sequence[Summary]) -> Table | None:
    """Return what models told of themselves after the last pass, a row per spec and output; None where none told."""
    splits = _splits(summaries)
    rows: list[tuple[str, ...]] = []
    for summary in summaries:
        last = {split: passes[_LAST] for split, passes in summary.telemetry.items() if passes}
        for name in dict.fromkeys(name for told in last.values() for name in told):
            cells = (spread(it.mean, it.sd) if (it := last.get(split, {}).get(name)) else "" for split in splits)
            rows.append((summary.name, name.removeprefix(TELEMETRY), *cells))
    title = f"telemetry on {summaries[0].identity.corpus}, mean over windows"
    return Table(["spec", "output", *splits], "ll" + "r" * len(splits), [rows], title) if rows else None


def evaluation_table(evaluation: Evaluation) -> Table:
    """Return the scores of one split by pass, and the controls on the same data; also who halted, where rows do."""
    names = ["loss", *evaluation.scores[0].metrics]
    told = [HALTED] if HALTED in evaluation.scores[0].telemetry else []
    passes = [
        (
            f"pass {score.number}",
            *(measured(name, score[name]) for name in names),
            *(f"{100 * score.telemetry[name]:.2f} %" for name in told),
        )
        for score in evaluation.scores
    ]
    found = [(c.name, c.metrics[evaluation.split]) for c in evaluation.controls if evaluation.split in c.metrics]
    controls = [
        (name, *(measured(key, metrics[key]) if key in metrics else "" for key in names), *("" for _ in told))
        for name, metrics in found
    ]
    title = f"{evaluation.split} of {evaluation.identity.corpus}, {count(evaluation.targets)} targets"
    columns = ["", *names, *("rows halted" for _ in told)]
    return Table(columns, "l" + "r" * (len(columns) - 1), _filled(passes, controls), title)


def _passes(split: str, scores: Passes) -> list[_Column]:
    """Return the columns of a split: its leading metric after each pass, and the others after the last."""
    if not scores:
        return []
    first, *others = _shown(split, _names(scores))
    if split not in _WHOLE:
        return [_Column(f"{split} {first}", split, first)]
    passes = len(scores)
    shown = range(passes) if passes <= _MOST_PASSES else (0, passes - 1)
    indices = [_LAST if number == passes - 1 else number for number in shown]
    named = [f"{split} {first}" + (f", pass {number + 1}" if passes > 1 else "") for number in shown]
    columns = [_Column(title, split, first, index) for title, index in zip(named, indices, strict=True)]
    return [*columns, *(_Column(f"{split} {name}", split, name) for name in others)]


def _names(scores: Passes) -> list[str]:
    """Return the metrics of a split, the leading one first."""
    return [name for name in scores[_LAST] if name != "loss"]


def _shown(split: str, names: Sequence[str]) -> Sequence[str]:
    """Return the metrics that get a column: of splits beyond valid and test the leading one only."""
    return names if split in _WHOLE else names[:1]


def _head(summary: Summary) -> tuple[str, ...]:
    return summary.name, count(summary.params), str(len(summary.seeds)), str(len(summary.metrics["valid"]))


def _splits(summaries: Sequence[Summary]) -> list[str]:
    found = {split: None for summary in summaries for split, passes in summary.metrics.items() if passes}
    return list(found)


def _filled(*sections: Sequence[tuple[str, ...]]) -> list[Sequence[tuple[str, ...]]]:
    return [section for section in sections if section]


def _epochs(summary: Summary) -> tuple[str, str]:
    best, seconds = summary.best_epoch, summary.seconds_per_epoch
    return spread(best.mean, best.sd, digits=1), spread(seconds.mean, seconds.sd, digits=2)

"""The report on runs: what was scored, how it was learnt, what stands behind each number."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from hrmsearch.errors import RunError
from hrmsearch.report.diagnostics import tally
from hrmsearch.report.differences import differences
from hrmsearch.report.document import Document, Findings, Item, Section, Text, anchor, listed
from hrmsearch.report.evidence import LeftOut
from hrmsearch.report.halting import halting_picture, halting_table
from hrmsearch.report.numbers import measured, measured_spread
from hrmsearch.report.plots import best_control, best_on_valid, of_learning, of_scores, scored_split
from hrmsearch.report.probed import of_probes
from hrmsearch.report.provenance import budget_table, commands, conditions_table, manifests_table, rendered_spec
from hrmsearch.report.puzzles import kept
from hrmsearch.report.results import seeds_table, specs_table, telemetry_table
from hrmsearch.report.runs import Compared, Trained
from hrmsearch.report.telling import of_steps
from hrmsearch.tasks.judging import is_better

# With more specs than this, a title counts them.
_NAMED = 3
#: what a reader should know of every number
READING = (
    "Scores are those after the last pass, unless a pass is named. Valid chose the epoch of each seed; test chose "
    "nothing. mean ± sd is over seeds, the sample standard deviation. Every number of a seed stands in its manifest, "
    "which is named below by file and SHA-256."
)


def document(
    compared: Sequence[Compared],
    others: Sequence[LeftOut] = (),
    *,
    control: str | None = None,
    figures: bool = True,
) -> Document:
    """Return the report on runs, a part per data set and one per spec.

    others: runs without a result. control: the spec that others are judged against; without one, differences from the
    best on valid are shown and not judged. Raises RunError for a control that was not trained.
    """
    labels = [spec.label for one in compared for spec in one.specs]
    if control is not None and control not in labels:
        raise RunError(f"{control}: is none of the specs here, which are {', '.join(labels)}")
    places = anchors(compared)
    sections = [
        *(results_section(one, control, figures=figures) for one in compared),
        *(spec_section(one, spec, places[one.corpus, spec.label]) for one in compared for spec in one.specs),
    ]
    names = listed(labels) if len(labels) <= _NAMED else f"{len(labels)} specs"
    title = f"{names} on {listed([one.corpus for one in compared])}"
    lead = [*(line for one in compared for line in headlines(one)), READING]
    lead += [f"{one}." for one in others]
    once = {name: where for (_, name), where in places.items() if labels.count(name) == 1}
    return Document(title, lead, sections, once)


def anchors(compared: Sequence[Compared]) -> Mapping[tuple[str, str], str]:
    """Return a name for links for each spec on each data set."""
    places = [(one.corpus, spec.label) for one in compared for spec in one.specs]
    named = [f"spec-{anchor(f'{label} {corpus}')}" for corpus, label in places]
    used = Counter(named)
    return {
        place: name if used[name] == 1 else f"{name}-{i}"
        for i, (place, name) in enumerate(zip(places, named, strict=True))
    }


def headlines(compared: Compared) -> Iterator[str]:
    """Yield what is best, and what the best control says to it."""
    split, metric, label = scored_split(compared), compared.metric, best_on_valid(compared)
    (value,) = [spec.summary.metrics[split][-1][metric] for spec in compared.specs if spec.label == label]
    scored = f"{measured_spread(metric, value.mean, value.sd)} ({value.n} seed{'s' if value.n > 1 else ''})"
    chosen = f"{label}, best of {len(compared.specs)} specs on valid," if len(compared.specs) > 1 else label
    yield f"On {compared.corpus}, {chosen} has a {split} {metric} of {scored}."
    control = best_control(compared, split)
    if control is not None:
        says = "which is better" if is_better(metric, control[1], value.mean) else "which is worse"
        yield f"The best control there, {control[0]}, has a {split} {metric} of {measured(metric, control[1])}, {says}."


def results_section(compared: Compared, control: str | None, *, figures: bool) -> Section:
    """Return the part on one data set: scores, differences, and how scores came about."""
    here = [spec.label for spec in compared.specs]
    scores = replace(specs_table(compared.summaries), title="scores, mean ± sd over seeds")
    tables = [scores, telemetry_table(compared.summaries), halting_table(compared.summaries)]
    found: list[Item] = [table for table in tables if table is not None]
    found += of_scores(compared) if figures else []
    found += differences(compared, control if control in here else None, figures=figures)
    if figures:
        halted = halting_picture(f"{anchor(compared.corpus)}-halted", compared.summaries)
        found += [*of_learning(compared), *halted, *of_steps(compared), *of_probes(compared)]
    if any(not one.lines for spec in compared.specs for one in spec.seeds):
        found.append(Text("Runs of which only the manifest was kept have no learning curves."))
    return Section(f"Results on {compared.corpus}", f"results-{anchor(compared.corpus)}", found)


def spec_section(compared: Compared, trained: Trained, name: str) -> Section:
    """Return the part on one spec: scores by seed, diagnostics, and what stands behind them."""
    scores = replace(seeds_table([one.result for one in trained.seeds]), title="scores by seed")
    puzzles = kept(trained.seeds[0].file.parent)
    items = [
        *_about(trained),
        scores,
        *puzzles,
        *_diagnostics(trained.seeds[0].manifest),
        manifests_table(trained.seeds),
    ]
    items += [commands(trained), budget_table(trained), conditions_table(trained), rendered_spec(trained)]
    return Section(f"{trained.label} on {compared.corpus}", name, items)


def _about(trained: Trained) -> Iterator[Item]:
    """Yield what a spec says of itself, and which seeds no mean holds."""
    about = cast("str | None", trained.seeds[0].manifest["spec"].get("about"))
    yield from [Text(about)] if about else []
    ran_away = [str(one.seed) for one in trained.diverged]
    yield from [Text(f"Diverged, and in no mean here: seed {listed(ran_away)}.")] if ran_away else []


def _diagnostics(manifest: Mapping[str, Any]) -> Iterator[Item]:
    found: Sequence[Mapping[str, Any]] = manifest["diagnostics"]
    said = tally([(one["severity"], one["accepted"]) for one in found])
    yield Text(f"Static analysis: {said}.")
    if found:
        yield Findings(found)

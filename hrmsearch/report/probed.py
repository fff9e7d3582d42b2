"""What a carry knows of its input: as a table, as a file beside the run, and as pictures over passes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hrmsearch.errors import RunError
from hrmsearch.files import write
from hrmsearch.report.document import anchor
from hrmsearch.report.evidence import Evidence
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.bands import Level, Series, band_chart
from hrmsearch.report.runs import Compared
from hrmsearch.report.table import Table
from hrmsearch.train import Reconstruction
from hrmsearch.train.files import MANIFEST, RunFolder

_NOTE: Final = "A linear probe, fitted to every other window and judged on those between, names the token."


@dataclass(frozen=True, slots=True)
class Probed:
    """What was read back from the states of a run: the token `back` places before each, on a split."""

    split: str
    back: int
    states: Sequence[Reconstruction]

    def record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {"split": self.split, "back": self.back, "states": [asdict(one) for one in self.states]}

    def keep(self, folder: Path) -> Path:
        """Write it into a run's folder, in place of what was there; return the file."""
        file = RunFolder(folder).probe
        write(file, json.dumps(self.record(), indent=1) + "\n")
        return file

    @property
    def about(self) -> str:
        """What was asked for, in words."""
        asked = f", {self.back} before" if self.back else ""
        return f"{asked}, {self.split}"


def kept(one: Evidence) -> Probed | None:
    """Return what a run's folder keeps of a probe; raises RunError for a file that holds none."""
    file = RunFolder(one.file.parent).probe
    if one.file.name != MANIFEST or not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return Probed(found["split"], found["back"], [Reconstruction(**state) for state in found["states"]])
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"{file}: holds no probe that a run kept ({error!r})") from error


def probe_table(found: Probed) -> Table:
    """Return how well tokens are read back, a row per state and pass."""
    rows = [
        (one.state, str(one.number), f"{one.accuracy:.1%}", f"{one.guess:.1%}", f"{one.r2:.3f}", str(one.tokens))
        for one in found.states
    ]
    title = f"tokens read back from the carry by a linear probe{found.about}"
    return Table(("state", "pass", "accuracy", "most frequent", "R²", "tokens"), "lrrrrr", [rows], title)


def of_probes(compared: Compared) -> Iterator[Picture]:
    """Yield, for each state that runs were probed for, the share of tokens read back after each pass."""
    found = {
        (spec.label, one.seed): probed
        for spec in compared.specs
        for one in spec.seeds
        if (probed := kept(one)) is not None
    }
    asked = dict.fromkeys((p.split, p.back, each.state) for p in found.values() for each in p.states)
    for split, back, state in asked:
        same = {key: p for key, p in found.items() if (p.split, p.back) == (split, back)}
        yield _picture(compared, same, state)


def _picture(compared: Compared, found: Mapping[tuple[str, int], Probed], state: str) -> Picture:
    series: list[Series] = []
    for number, spec in enumerate(compared.specs):
        own = {one.seed: found[spec.label, one.seed] for one in spec.seeds if (spec.label, one.seed) in found}
        seeds = {seed: by_pass for seed, probed in own.items() if (by_pass := _by_pass(probed, state))}
        if seeds:
            series.append(Series(spec.label, number, seeds))
    one = next(iter(found.values()))
    guess = next(r.guess for p in found.values() for r in p.states if r.state == state)
    name = f"{anchor(compared.corpus)}-probe-{anchor(f'{state} {one.split} {one.back}')}"
    title = f"tokens read back from {state}{one.about}"
    levels = [Level("the most frequent token", 100 * guess)]
    y = "tokens read back, %"
    return band_chart(name, title, series, x="pass", y=y, note=_NOTE, levels=levels, points=True)


def _by_pass(found: Probed, state: str) -> dict[float, float]:
    return {one.number: 100 * one.accuracy for one in found.states if one.state == state}

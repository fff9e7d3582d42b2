"""A study's folder read back: what was asked, every trial of its search, and the runs of its finalists."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hrmsearch.errors import RunError
from hrmsearch.report.evidence import Evidence, LeftOut, gather, sha256_of
from hrmsearch.report.runs import Compared, Trained, compare
from hrmsearch.tasks.judging import METRICS
from hrmsearch.train.files import MANIFEST

_FILE: Final = "study.json"
_FORMAT: Final = "hrmsearch study 1"
_FINALISTS: Final = "finalists"


@dataclass(frozen=True, slots=True)
class Trial:
    """A point of an arm's search and what came of it.

    what: a word such as `trained` or `pruned`; why: a sentence, where it was not trained to its end. values: of the
    objectives; none unless trained. repeats: whether an earlier trial had the same point, whose outcome this is.
    """

    arm: str
    number: int
    what: str
    why: str
    point: Mapping[str, Any]
    values: Sequence[float]
    sizes: Mapping[str, float]
    repeats: bool

    @property
    def counts(self) -> bool:
        """Whether it is a result of its own, with finite values."""
        return (
            self.what == "trained" and not self.repeats and bool(self.values) and all(map(math.isfinite, self.values))
        )


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """A study as far as it went.

    file: `study.json`, with the SHA-256 of its bytes. objectives: `min` or `max` by metric on valid, the leading one
    first. chosen: the number of the trial that valid chose, by arm; none without trials. finalists: their runs on fresh
    seeds; None where none is finished. others: runs of finalists without a result. why: there is no comparison, in the
    study's own words.
    """

    file: Path
    sha256: str
    name: str
    question: str
    control: str
    objectives: Mapping[str, str]
    arms: Sequence[str]
    trials: Sequence[Trial]
    chosen: Mapping[str, int]
    finalists: Compared | None
    others: Sequence[LeftOut]
    why: str

    @property
    def leading(self) -> str:
        """The metric that decides."""
        return next(iter(self.objectives)).rpartition(".")[2]

    @property
    def is_searched(self) -> bool:
        """Whether any arm has something to search; otherwise its one trial is the arm as written."""
        return any(trial.point for trial in self.trials)

    def of_arm(self, arm: str) -> list[Trial]:
        """Return the trials of an arm, in order."""
        return sorted((trial for trial in self.trials if trial.arm == arm), key=lambda trial: trial.number)


def is_study(folder: Path) -> bool:
    """Return whether a folder is that of a study."""
    return (folder / _FILE).is_file()


def studies_below(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of studies that lie below folders, by path."""
    return sorted({file.parent for above in folders for file in above.rglob(_FILE)})


def read(folder: Path) -> StudyFolder:
    """Return what a study came to; raises RunError where its file is foreign or its finalists cannot be compared."""
    file = folder / _FILE
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if found.get("format") != _FORMAT:
            raise RunError(f"{file}: no file of a study, or one of another version; this one reads {_FORMAT!r}")
        return _read(folder, file, found)
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{file}: no file of a study ({error})") from error
    except (KeyError, TypeError) as error:
        raise RunError(f"{file}: the file of a study is unfinished or foreign ({error!r})") from error


def _read(folder: Path, file: Path, found: Mapping[str, Any]) -> StudyFolder:
    asked, arms = found["file"], [arm["name"] for arm in found["arms"]]
    leading = next(iter(asked["objectives"])).rpartition(".")[2]
    runs, others = _finalists(folder, arms)
    return StudyFolder(
        file=file,
        sha256=sha256_of(file),
        name=asked["study"],
        question=asked["question"],
        control=asked["control"],
        objectives=asked["objectives"],
        arms=arms,
        trials=[_trial(one) for one in found["trials"] if "seed" not in one],
        chosen={arm: one["trial"] for arm, one in found["finalists"].items() if one["trial"] is not None},
        finalists=_compared(file, runs, others, leading),
        others=[one for left in others.values() for one in left],
        why=found["why"],
    )


def _trial(record: Mapping[str, Any]) -> Trial:
    outcome: Mapping[str, Any] = record["outcome"] or {}
    return Trial(
        arm=record["arm"],
        number=record["number"],
        what=outcome.get("what", record["state"]),
        why=outcome.get("why", ""),
        point=record["point"],
        values=[math.inf if value is None else value for value in record["values"]],
        sizes=outcome.get("sizes", {}),
        repeats=outcome.get("same_as") is not None,
    )


def _finalists(folder: Path, arms: Sequence[str]) -> tuple[dict[str, list[Evidence]], dict[str, list[LeftOut]]]:
    """Return the runs of every arm's finalist."""
    places = {arm: folder / _FINALISTS / arm for arm in arms}
    found = {arm: gather([place]) for arm, place in places.items() if any(place.rglob(MANIFEST))}
    return {arm: runs for arm, (runs, _) in found.items()}, {arm: left for arm, (_, left) in found.items()}


def _compared(
    file: Path, runs: Mapping[str, Sequence[Evidence]], others: Mapping[str, Sequence[LeftOut]], leading: str
) -> Compared | None:
    """Return the finalists side by side, under the names of their arms; raises RunError where they differ in data."""
    specs: list[Trained] = []
    corpora: dict[str, None] = {}
    for arm, seeds in runs.items():
        for group in compare(seeds, others[arm]):
            corpora[group.corpus] = None
            specs += [replace(one, summary=replace(one.summary, name=arm)) for one in group.specs]
    if len(corpora) > 1 or len(specs) > len([arm for arm, seeds in runs.items() if seeds]):
        raise RunError(f"{file}: the runs of its finalists are not one spec for each arm on the same data")
    known = leading if leading in METRICS else ""
    return Compared(next(iter(corpora)), specs, known) if specs else None

"""Results as tidy CSV: one value a row, in full precision, with the manifest it stands in."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from hrmsearch.report.evidence import Evidence
from hrmsearch.report.runs import Compared, Trained
from hrmsearch.train import Score

Row = Sequence[Any]

_OF_RUN = ("corpus", "spec", "spec_hash", "seed")
#: what a line of `metrics.jsonl` says besides its values
_PLACE = ("epoch", "step", "split", "pass")


def curves(compared: Sequence[Compared]) -> str:
    """Return every value logged while training; infinite ones are empty."""
    head = (*_OF_RUN, *_PLACE, "metric", "value")
    rows = (
        (*_of_run(one, trained, seed), *(line[key] for key in _PLACE), name, value)
        for one, trained, seed in _seeds(compared)
        for line in seed.lines
        for name, value in line.items()
        if name not in _PLACE
    )
    return _csv(head, rows)


def scores(compared: Sequence[Compared]) -> str:
    """Return the final scores of every seed: on valid of its best epoch, on other splits with the same parameters."""
    head = (*_OF_RUN, "best_epoch", "split", "pass", "metric", "value", "manifest", "manifest_sha256")
    rows = (
        (*_of_run(one, trained, seed), seed.result.best_epoch, split, *place, seed.file, seed.sha256)
        for one, trained, seed in _seeds(compared)
        for split, passes in seed.result.scores.items()
        for score in passes
        for place in _values(score)
    )
    return _csv(head, rows)


def controls(compared: Sequence[Compared]) -> str:
    """Return what controls score on the same data; only the head where a task has none."""
    rows = (
        (one.corpus, control.name, split, name, value)
        for one in compared
        for control in one.controls
        for split, metrics in control.metrics.items()
        for name, value in metrics.items()
    )
    return _csv(("corpus", "control", "split", "metric", "value"), rows)


def _seeds(compared: Sequence[Compared]) -> Iterator[tuple[Compared, Trained, Evidence]]:
    yield from ((one, trained, seed) for one in compared for trained in one.specs for seed in trained.seeds)


def _of_run(compared: Compared, trained: Trained, seed: Evidence) -> Row:
    return compared.corpus, trained.label, trained.summary.identity.spec, seed.seed


def _values(score: Score) -> Iterator[Row]:
    record = score.record()
    yield from ((score.number, name, value) for name, value in record.items() if name != "pass")


def _csv(head: Sequence[str], rows: Iterator[Row]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return stream.getvalue()

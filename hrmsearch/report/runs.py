"""Finished runs found in folders, grouped into what may share a table."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from hrmsearch.report.results import specs_table, telemetry_table
from hrmsearch.report.table import Table
from hrmsearch.train import SeedResult, manifest, summarise


def results_in(folders: Sequence[Path]) -> tuple[list[SeedResult], list[Path]]:
    """Return the finished runs in or below folders, each once, and the folders of unfinished ones.

    Raises RunError for a folder that is missing or holds no run.
    """
    finished: list[SeedResult] = []
    unfinished: list[Path] = []
    for path in dict.fromkeys(path for above in folders for path in manifest.below(above)):
        found = manifest.read(path)
        if found.get("status") == manifest.FINISHED:
            finished.append(SeedResult.of(path.parent, found))
        else:
            unfinished.append(path.parent)
    return finished, unfinished


def tables(results: Sequence[SeedResult]) -> list[Table]:
    """Return a table per corpus, with a row per spec, each followed by one of telemetry where models tell any."""
    summaries = [summarise(seeds) for seeds in _groups(results)]
    corpora = [list(group) for _, group in groupby(summaries, key=lambda s: (s.identity.corpus, s.identity.data))]
    made = ((specs_table(corpus), telemetry_table(corpus)) for corpus in corpora)
    return [table for pair in made for table in pair if table]


def _groups(results: Sequence[SeedResult]) -> Iterator[list[SeedResult]]:
    """Yield the seeds of each spec on each corpus."""

    def key(result: SeedResult) -> tuple[str, ...]:
        return result.identity.corpus, result.identity.data, result.name, result.identity.spec

    for _, seeds in groupby(sorted(results, key=lambda r: (key(r), r.seed)), key=key):
        yield list(seeds)

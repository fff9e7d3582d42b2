"""Finished runs grouped into what may share a table: the seeds of a spec, and the specs on the same data."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from hrmsearch.report.evidence import Evidence, LeftOut
from hrmsearch.report.halting import halting_table
from hrmsearch.report.results import specs_table, telemetry_table
from hrmsearch.report.table import Table
from hrmsearch.tasks.base import Control
from hrmsearch.train import Identity, Summary, summarise


@dataclass(frozen=True, slots=True)
class Trained:
    """A spec and what its seeds came to, in the order of the seeds.

    summary: its name is told apart from those of other specs on the same data. diverged: further seeds, which no mean
    holds.
    """

    summary: Summary
    seeds: Sequence[Evidence]
    diverged: Sequence[LeftOut] = ()

    @property
    def label(self) -> str:
        """What the spec is called here."""
        return self.summary.name


@dataclass(frozen=True, slots=True)
class Compared:
    """The specs that were trained on the same data.

    corpus: its name, told apart from that of other data. judged: the metric that a study asked for.
    """

    corpus: str
    specs: Sequence[Trained]
    judged: str = ""

    @property
    def summaries(self) -> list[Summary]:
        """What each spec came to."""
        return [trained.summary for trained in self.specs]

    @property
    def controls(self) -> tuple[Control, ...]:
        """What is achieved on the data without a neural model."""
        return self.specs[0].summary.controls

    @property
    def metric(self) -> str:
        """What specs are compared by: bits per character where the task has them, or what it is judged by first."""
        if self.judged:
            return self.judged
        names = [name for name in self.specs[0].summary.metrics["valid"][-1] if name != "loss"]
        return "bpc" if "bpc" in names else names[0]


def compare(found: Iterable[Evidence], others: Sequence[LeftOut] = ()) -> list[Compared]:
    """Return a group per data set, each with its specs and their seeds; others: runs without a result.

    Raises RunError where a seed of a spec occurs twice.
    """
    specs = [
        Trained(summarise([one.result for one in seeds]), seeds, _diverged(seeds[0].result.identity, others))
        for seeds in _by_spec(found)
    ]
    groups = groupby(specs, key=lambda s: (s.summary.identity.corpus, s.summary.identity.data))
    told_apart = [(key, _told_apart(list(group))) for key, group in groups]
    used = Counter(corpus for (corpus, _), _ in told_apart)
    return [
        Compared(corpus if used[corpus] == 1 else f"{corpus} ({data[:6]})", group)
        for (corpus, data), group in told_apart
    ]


def tables(compared: Sequence[Compared]) -> list[Table]:
    """Return a table per data set, with a row per spec, each followed by those of telemetry and of halting, if any."""
    kinds = (specs_table, telemetry_table, halting_table)
    made = (kind(one.summaries) for one in compared for kind in kinds)
    return [table for table in made if table]


def _by_spec(found: Iterable[Evidence]) -> Iterator[list[Evidence]]:
    """Yield the seeds of each spec on each data set."""

    def key(one: Evidence) -> tuple[str, ...]:
        identity = one.result.identity
        return identity.corpus, identity.data, one.result.name, identity.spec

    for _, seeds in groupby(sorted(found, key=lambda one: (key(one), one.seed)), key=key):
        yield list(seeds)


def _diverged(identity: Identity, others: Sequence[LeftOut]) -> list[LeftOut]:
    """Return the runs of a spec that diverged."""
    return [
        one
        for one in others
        if one.diverged
        and (one.manifest["spec_hash"], one.manifest["data"]["sha256"]) == (identity.spec, identity.data)
    ]


def _told_apart(specs: Sequence[Trained]) -> list[Trained]:
    """Return specs of different names: the hash follows a name that several have."""
    used = Counter(spec.label for spec in specs)
    return [spec if used[spec.label] == 1 else _hashed(spec) for spec in specs]


def _hashed(spec: Trained) -> Trained:
    label = f"{spec.label} ({spec.summary.identity.spec[:6]})"
    return replace(spec, summary=replace(spec.summary, name=label))

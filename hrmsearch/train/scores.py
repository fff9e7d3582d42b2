"""What a model scored: per pass, per seed, over seeds, and never over two corpora."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from hrmsearch.errors import RunError
from hrmsearch.ir import TELEMETRY
from hrmsearch.tasks.base import Control


@dataclass(frozen=True, slots=True)
class Score:
    """What came of a split after a pass: `number` counts from 1, loss in nats per target.

    metrics: what the task is judged by, by name, the first one leading; see `hrmsearch.tasks.judging`. telemetry: what
    the model told of itself, by output name, as the mean over windows.
    """

    number: int
    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    telemetry: Mapping[str, float] = field(default_factory=dict[str, float])

    def __getitem__(self, metric: str) -> float:
        return self.loss if metric == "loss" else self.metrics[metric]

    def record(self) -> dict[str, Any]:
        """Return the score in the words of `metrics.jsonl`; an infinite perplexity is null."""
        more = {**self.metrics, **self.telemetry}
        finite = {name: value if math.isfinite(value) else None for name, value in more.items()}
        return {"pass": self.number, "loss": self.loss, **finite}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Score":
        """Return the score that a record holds."""
        more = {name: math.inf if v is None else v for name, v in record.items() if name not in ("pass", "loss")}
        telemetry = {name: more.pop(name) for name in list(more) if name.startswith(TELEMETRY)}
        return cls(record["pass"], record["loss"], more, telemetry)


#: what a record of a result holds beside the scores by split
_COUNTS: Final = ("best_epoch", "epochs", "steps")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which results may be put side by side: the corpus by name and content, and the spec by hash."""

    corpus: str
    data: str
    spec: str


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed came to.

    scores: by split and pass. `valid` is of the best epoch, which it chose; the others, `test` among them, are the same
    parameters on data that chose nothing. epochs: trained, counting those after the best. accepted: codes of
    diagnostics that stand because the spec accepts them. halted: how many rows halted in all of training after one
    pass, two, and so on; none where rows do not halt one by one.
    """

    name: str
    seed: int
    run_dir: Path
    identity: Identity
    params: int
    best_epoch: int
    epochs: int
    steps: int
    scores: Mapping[str, tuple[Score, ...]]
    controls: tuple[Control, ...]
    seconds_per_epoch: float
    accepted: tuple[str, ...] = ()
    halted: tuple[int, ...] = ()

    @property
    def valid(self) -> tuple[Score, ...]:
        """Scores on valid."""
        return self.scores["valid"]

    @property
    def test(self) -> tuple[Score, ...]:
        """Scores on test; empty without such a split."""
        return self.scores.get("test", ())

    @property
    def metrics(self) -> dict[str, Any]:
        """The result as JSON values: `metrics["valid"][-1]["ppl"]` is the last pass on valid."""
        return {
            "best_epoch": self.best_epoch,
            "epochs": self.epochs,
            "steps": self.steps,
            **{split: [score.record() for score in passes] for split, passes in self.scores.items()},
        }

    @classmethod
    def of(cls, run_dir: Path, manifest: Mapping[str, Any]) -> "SeedResult":
        """Return the result that a finished manifest holds.

        Raises RunError where the manifest is unfinished or foreign.
        """
        try:
            metrics = manifest["metrics"]
            return cls(
                name=manifest["name"],
                seed=manifest["seed"],
                run_dir=run_dir,
                identity=Identity(manifest["data"]["corpus"], manifest["data"]["sha256"], manifest["spec_hash"]),
                params=manifest["params"],
                best_epoch=metrics["best_epoch"],
                epochs=metrics["epochs"],
                steps=metrics["steps"],
                scores={name: tuple(map(Score.of, metrics[name])) for name in metrics if name not in _COUNTS},
                controls=tuple(Control(**control) for control in manifest["controls"]),
                seconds_per_epoch=manifest["seconds_per_epoch"],
                accepted=tuple(sorted({d["code"] for d in manifest["diagnostics"] if d["accepted"]})),
                halted=tuple(manifest.get("halted", ())),
            )
        except (KeyError, TypeError) as error:
            raise RunError(f"{run_dir}: the manifest is unfinished or foreign ({error!r})") from error


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of n values; the deviation of one value is None."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values, of which there is at least one."""
        n = len(values)
        mean = math.fsum(values) / n
        sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else None
        return cls(mean, sd, n)


@dataclass(frozen=True, slots=True)
class Summary:
    """A spec's results over seeds on one corpus.

    metrics: `metrics[split][pass - 1][metric]` for `loss` and those of the task. telemetry: in the same way, what the
    model told of itself. best_epoch: over seeds. controls: what is achieved on the same data without a neural model.
    accepted: codes of diagnostics that the spec accepts. halted: rows that halted in training by pass, of all seeds.
    """

    name: str
    identity: Identity
    params: int
    seeds: tuple[int, ...]
    metrics: Mapping[str, Sequence[Mapping[str, Spread]]]
    telemetry: Mapping[str, Sequence[Mapping[str, Spread]]]
    best_epoch: Spread
    seconds_per_epoch: Spread
    controls: tuple[Control, ...]
    accepted: tuple[str, ...] = ()
    halted: tuple[int, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)


def summarise(results: Sequence[SeedResult]) -> Summary:
    """Return mean and spread over the seeds of one spec on one corpus.

    Raises RunError for no results, a seed that occurs twice, and results of several corpora or specs.
    """
    if not results:
        raise RunError("there are no results to summarise")
    _check_alike(results)
    first = results[0]
    return Summary(
        name=first.name,
        identity=first.identity,
        params=first.params,
        seeds=tuple(result.seed for result in results),
        metrics={split: _by_pass(results, split, _judged) for split in first.scores},
        telemetry={split: _by_pass(results, split, lambda score: score.telemetry) for split in first.scores},
        best_epoch=Spread.of([result.best_epoch for result in results]),
        seconds_per_epoch=Spread.of([result.seconds_per_epoch for result in results]),
        controls=first.controls,
        accepted=first.accepted,
        halted=tuple(map(sum, zip_longest(*(result.halted for result in results), fillvalue=0))),
    )


def _check_alike(results: Sequence[SeedResult]) -> None:
    corpora = {(r.identity.corpus, r.identity.data) for r in results}
    if len(corpora) > 1:
        names = ", ".join(sorted({f"{corpus} ({sha[:8]})" for corpus, sha in corpora}))
        raise RunError(f"results on different corpora never share a table: {names}")
    if len({r.identity.spec for r in results}) > 1:
        raise RunError(f"results of different specs are not seeds of one: {', '.join(str(r.run_dir) for r in results)}")
    seeds = [result.seed for result in results]
    if len(set(seeds)) != len(seeds):
        raise RunError(f"a seed occurs twice among {seeds}")


def _judged(score: Score) -> Mapping[str, float]:
    return {"loss": score.loss, **score.metrics}


def _by_pass(
    results: Sequence[SeedResult], split: str, values: Callable[[Score], Mapping[str, float]]
) -> list[dict[str, Spread]]:
    """Return the spread over seeds of each of a split's values, by pass."""
    passes = zip(*(map(values, result.scores[split]) for result in results), strict=True)
    return [{name: Spread.of([seed[name] for seed in seeds]) for name in seeds[0]} for seeds in passes]

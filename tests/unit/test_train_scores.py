"""Scores and summaries: the arithmetic, and that corpora are never mixed."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hrmsearch.errors import RunError
from hrmsearch.tasks.base import Control
from hrmsearch.tasks.judging import of_loss
from hrmsearch.train import Identity, Score, SeedResult, Spread, metrics, summarise


def scored(number: int, loss: float) -> Score:
    return Score(number, loss, of_loss(loss))


def result(seed: int, loss: float) -> SeedResult:
    return SeedResult(
        name="m",
        seed=seed,
        run_dir=Path(f"runs/m/seed-{seed}"),
        identity=Identity("pydoc", "d" * 64, "s" * 64),
        params=10,
        best_epoch=seed + 1,
        epochs=5,
        steps=50,
        scores={split: (scored(1, loss), scored(2, 2 * loss)) for split in ("valid", "test")},
        controls=(Control("unigram", "", {"valid": {"ppl": 23.0}}),),
        seconds_per_epoch=1.0,
    )


def test_perplexity_and_bits_follow_from_the_loss() -> None:
    score = scored(1, math.log(8))
    assert score["ppl"] == pytest.approx(8)
    assert score["bpc"] == pytest.approx(3)
    assert scored(1, 1e4).record()["ppl"] is None
    assert Score.of(scored(1, 1e4).record()) == scored(1, 1e4)


def test_telemetry_is_recorded_and_read_back_apart_from_what_judges() -> None:
    score = replace(scored(1, 2.0), telemetry={"telemetry.core.ponder": 4.0, "telemetry.core.energy_L": math.inf})
    assert Score.of(score.record()) == score
    assert score.record()["telemetry.core.energy_L"] is None


def test_a_summary_has_mean_deviation_and_number_for_every_pass() -> None:
    summary = summarise([result(0, 1.0), result(1, 2.0), result(2, 3.0)])
    assert summary.seeds == (0, 1, 2)
    assert summary.metrics["valid"][0]["loss"] == Spread(2.0, 1.0, 3)
    assert summary.metrics["test"][1]["loss"] == Spread(4.0, 2.0, 3)
    assert summary.controls[0].name == "unigram"


def test_a_summary_spreads_telemetry_apart_from_what_judges() -> None:
    first, second = result(0, 1.0), result(1, 2.0)
    told = replace(second.scores["valid"][0], telemetry={"telemetry.core.ponder": 3.0})
    results = [replace(one, scores={"valid": (told,)}) for one in (first, second)]
    assert summarise(results).telemetry == {"valid": [{"telemetry.core.ponder": Spread(3.0, 0.0, 2)}]}
    assert "telemetry.core.ponder" not in summarise(results).metrics["valid"][0]


def test_one_seed_has_no_deviation() -> None:
    assert summarise([result(0, 1.0)]).metrics["valid"][0]["loss"] == Spread(1.0, None, 1)


def test_results_on_two_corpora_are_refused_even_under_one_name() -> None:
    first, second = result(0, 1.0), result(1, 1.0)
    for identity in (Identity("wikitext2", "e" * 64, "s" * 64), Identity("pydoc", "e" * 64, "s" * 64)):
        with pytest.raises(RunError, match="different corpora never share a table"):
            summarise([first, replace(second, identity=identity)])


def test_results_of_two_specs_or_twice_of_one_seed_are_refused() -> None:
    first = result(0, 1.0)
    with pytest.raises(RunError, match="different specs"):
        summarise([first, replace(result(1, 1.0), identity=Identity("pydoc", "d" * 64, "t" * 64))])
    with pytest.raises(RunError, match="twice"):
        summarise([first, first])
    with pytest.raises(RunError, match="no results"):
        summarise([])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("5", "the line is no JSON object; a run writes one a score"),
        ("[]", "the line is no JSON object; a run writes one a score"),
        ("", "the line is no JSON (Expecting value at column 1)"),
        ('{"loss": }', "the line is no JSON (Expecting value at column 10)"),
    ],
)
def test_a_line_of_a_log_that_holds_no_score_is_named_by_its_number(tmp_path: Path, line: str, words: str) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text(f'{{"loss": 1.0}}\n{{"loss": 0.5}}\n{line}\n{{"loss": 0.4}}\n')
    with pytest.raises(RunError) as caught:
        metrics.read(log)
    assert str(caught.value) == f"{log}:3: {words}"

"""What a run tells: lines for a pipe, JSON for a program, a bar for a terminal, and the table at its end."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hrmsearch.cli.lines import JsonLines, Lines
from hrmsearch.cli.live import Live
from hrmsearch.report.results import seeds_table, specs_table, telemetry_table
from hrmsearch.tasks.base import Control
from hrmsearch.tasks.judging import of_loss
from hrmsearch.train import EpochDone, Identity, Score, SeedResult, SeedStarted, Step, Watcher, summarise

RUN = Path("runs/hrm/seed-0")
STARTED = SeedStarted(0, RUN, False, 152064, 10**9, passes=2, epochs=12, batches=19, steps=456, step=0)
STEP = Step(0, step=7, total=456, epoch=1, loss=3.14159, lr=1e-3, grad_norm=1.0, seconds=0.5)


def scored(number: int, loss: float) -> Score:
    return Score(number, loss, of_loss(loss))


EPOCH = EpochDone(0, 3, 12, 57, (scored(1, 2.6), scored(2, 2.5)), (scored(1, 2.5), scored(2, 2.4)), True, 1.84)
RESULT = SeedResult(
    name="hrm",
    seed=0,
    run_dir=RUN,
    identity=Identity("wikitext2", "d" * 64, "s" * 64),
    params=152064,
    best_epoch=3,
    epochs=4,
    steps=76,
    scores={"valid": (scored(1, 2.5), scored(2, 2.4)), "test": (scored(1, 2.6), scored(2, 2.5))},
    controls=(Control("unigram", "", {s: {"loss": 3.1, "ppl": 22.2, "bpc": 4.47} for s in ("valid", "test")}),),
    seconds_per_epoch=1.84,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tell(watcher: Watcher) -> None:
    watcher.headline("corpus wikitext2 (train 19968 targets)")
    watcher.note("HS102 is accepted")
    watcher.started(STARTED)
    watcher.step(STEP)
    watcher.epoch(EPOCH)
    watcher.checkpoint(RUN / "checkpoint.safetensors", 57)
    watcher.stopped_early(0, 4, 3)
    watcher.finished(RESULT)


def test_a_pipe_gets_a_line_per_event_worth_one(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Lines(Clock()))
    assert capsys.readouterr().out.splitlines() == [
        "corpus wikitext2 (train 19968 targets)",
        "note: HS102 is accepted",
        "seed 0 starts: 152,064 parameters, 19 batches an epoch, at most 12 epochs; runs/hrm/seed-0",
        "seed 0  epoch  3/12  train loss 2.5000  valid ppl 11.023  bpc 3.462  1.8 s  best",
        "seed 0 stops after epoch 4: no better since epoch 3",
        "seed 0 done: valid ppl 11.023, test ppl 12.182 (best of 4 epochs: 3)",
    ]


def test_a_resumed_seed_says_where_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(clock=Clock()).started(replace(STARTED, resumed=True, step=57))
    assert capsys.readouterr().out.startswith("seed 0 goes on after step 57: ")


def test_a_long_epoch_shows_a_step_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    watcher = Lines(clock=clock)
    watcher.started(STARTED)
    capsys.readouterr()
    for number in range(1, 100):
        clock.now += 1.0
        watcher.step(replace(STEP, step=number))
    assert capsys.readouterr().out.splitlines() == [
        f"seed 0  epoch 1  step {number}/456  loss 3.1416" for number in (30, 60, 90)
    ]


def test_a_program_gets_one_object_a_line_and_the_corpus_first(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    watcher = JsonLines(clock=clock)
    clock.now = 2.0
    tell(watcher)
    events: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = ["corpus", "note", "started", "step", "epoch", "checkpoint", "stopped_early", "finished"]
    assert [event["event"] for event in events] == kinds
    assert events[2]["run_dir"] == "runs/hrm/seed-0"
    assert events[4]["valid"][-1] == {"pass": 2, "loss": 2.4, **of_loss(2.4)}
    assert events[-1]["metrics"]["best_epoch"] == 3


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    watcher = JsonLines(clock=clock)
    clock.now = 2.0
    watcher.step(replace(STEP, loss=float("nan")))
    assert json.loads(capsys.readouterr().out)["loss"] is None


def drawn(**options: Any) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, **options)
    with Live(console) as live:
        live.headline("corpus wikitext2")
        live.note("HS102 is accepted")
        live.started(STARTED)
        live.step(STEP)
        live.epoch(EPOCH)
        live.step(replace(STEP, step=58))
        console.file.flush()
        live._progress.refresh()  # pyright: ignore[reportPrivateUsage]
        live.finished(RESULT)
    return screen.getvalue()


def test_a_terminal_gets_a_bar_with_loss_and_best_score() -> None:
    screen = drawn()
    assert "epoch 1  loss 3.142  valid ppl 11.023" in screen
    assert "━" in screen
    assert "note: HS102 is accepted" in screen
    assert "seed 0 done: valid ppl 11.023" in screen


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[33m" in drawn(color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in drawn(color_system="standard")


def test_the_table_of_a_run_has_a_row_per_seed_their_mean_and_the_controls() -> None:
    second = replace(RESULT, seed=1, scores={**RESULT.scores, "valid": (scored(1, 2.6), scored(2, 2.5))})
    table = seeds_table([RESULT, second])
    assert table.title == "hrm on wikitext2, 152,064 parameters"
    valid = ["valid ppl, pass 1", "valid ppl, pass 2", "valid bpc"]
    test = ["test ppl, pass 1", "test ppl, pass 2", "test bpc"]
    assert table.columns == ["seed", *valid, *test, "best epoch", "s/epoch"]
    seeds, (mean,), (control,) = table.sections
    assert seeds[0] == ("0", "12.182", "11.023", "3.462", "13.464", "12.182", "3.607", "3", "1.84")
    assert mean[:4] == ("mean ± sd", "12.823 ± 0.906", "11.603 ± 0.820", "3.535 ± 0.102")
    assert mean[-2:] == ("3.0 ± 0.0", "1.84 ± 0.00")
    assert control == ("unigram", "", "22.200", "4.470", "", "22.200", "4.470", "", "")


def test_one_seed_has_no_mean() -> None:
    assert [len(section) for section in seeds_table([RESULT]).sections] == [1, 1]


def test_specs_are_compared_by_their_last_pass() -> None:
    table = specs_table([summarise([RESULT])])
    assert table.columns[:5] == ["spec", "parameters", "seeds", "passes", "valid ppl, pass 1"]
    assert table.sections[0][0][:6] == ("hrm", "152,064", "1", "2", "12.182", "11.023")
    assert table.sections[1][0][:6] == ("unigram", "", "", "", "", "22.200")


def test_what_models_tell_of_themselves_has_a_table_of_its_own() -> None:
    told = [replace(scored(1, 2.5), telemetry={"telemetry.core.ponder": ponder}) for ponder in (2.0, 4.0)]
    results = [replace(RESULT, seed=seed, scores={"valid": (score,), "test": ()}) for seed, score in enumerate(told)]
    table = telemetry_table([summarise([replace(RESULT, name="silent")]), summarise(results)])
    assert table is not None
    assert list(table.columns) == ["spec", "output", "valid", "test"]
    assert table.rows == [("hrm", "core.ponder", "3.000 ± 1.414", "")]
    assert telemetry_table([summarise([RESULT])]) is None

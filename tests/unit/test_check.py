"""`hs.check` and `hrmsearch check`: what they report, and that replays repeat."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner, Result

import hrmsearch as hs
from hrmsearch.cli.app import app
from hrmsearch.runtime import Options, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.testing.check import check, examine, prepare, replay
from hrmsearch.testing.invariants import ReplayError, invariants

TINY = [
    "model.dim=8",
    "model.defaults.ffn.width=12",
    "model.core.levels.L.block.mixer.heads=2",
    "model.core.levels.H.block.mixer.heads=2",
    "task.window=4",
]
LEAKY = [*TINY, "memory[0].heads=2", "accept={}"]
ACCEPTED = [*TINY, "memory[0].heads=2", "accept={HS101: as published, HS102: as published}"]


def tiny(name: str = "infini_hrm", *overrides: str) -> Spec:
    memory = ["memory[0].heads=2"] if "infini" in name else []
    return hs.load(name, [*TINY, *memory, *overrides])


# -- reports ---------------------------------------------------------------------------------------------------------


def test_a_sound_spec_passes_every_invariant_that_applies() -> None:
    report = check(tiny(), backend="reference", examples=3)
    assert report.ok
    assert [outcome.name for outcome in report.outcomes] == list(invariants())
    assert all(outcome.reason for outcome in report.outcomes if outcome.verdict == "not applicable")
    assert {outcome.name for outcome in report.outcomes if outcome.verdict == "held"} >= {"causality", "commits"}


def test_a_leak_is_told_in_words_and_repeats() -> None:
    spec = tiny("infini_hrm_as_published")
    (failed,) = check(spec, backend="reference", examples=2).failed
    assert failed.name == "causality"
    assert "pass 2 of window 1" in failed.reason
    again = replay(spec, failed.replay, backend="reference")
    assert (again.verdict, again.reason) == ("failed", failed.reason)


def test_a_counterexample_is_small() -> None:
    failed = examine(prepare(tiny("infini_hrm_as_published"), "reference"), invariants()["causality"])
    assert {name: failed.values[name] for name in ("rows", "tokens", "position")} == {
        "rows": 1,
        "tokens": 2,
        "position": 1,
    }


def test_a_replay_holds_once_the_spec_is_mended() -> None:
    failed = examine(prepare(tiny("infini_hrm_as_published"), "reference"), invariants()["causality"])
    mended = tiny("infini_hrm_as_published", "memory[0].commit=last_pass")
    assert replay(mended, failed.replay, backend="reference").verdict == "held"


def test_a_failure_that_the_spec_accepts_stops_nothing() -> None:
    report = check(hs.load("infini_hrm_as_published", ACCEPTED), backend="reference", examples=3)
    (failed,) = report.failed
    assert failed.accepted == "as published"
    assert report.ok


def test_the_same_seed_draws_the_same_examples() -> None:
    spec, causality = tiny("infini_hrm_as_published"), invariants()["causality"]
    one, two = (examine(prepare(spec, "reference"), causality, examples=4, seed=3) for _ in range(2))
    assert one.replay
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("casuality {}", "no invariant is called 'casuality'"),
        ("causality", "does not go on with a JSON object"),
        ("causality []", "not with a JSON object"),
        ("causality {}", "the replay lacks 'weights'"),
        ('causality {"weights": 0, "data": 0, "tokens": 9}', "'tokens' is 9, not an integer from 2 to 4"),
        ('causality {"weights": true}', "'weights' is True, not an integer"),
        ('causality {"enlarge": -1}', "not a number from 0"),
    ],
)
def test_a_replay_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ReplayError, match=message.replace("(", r"\(")):
        replay(tiny(), text, backend="reference")


# -- executables -----------------------------------------------------------------------------------------------------


def test_an_executable_is_checked_and_keeps_its_weights() -> None:
    executable = load_backend("reference").compile(hs.lower(tiny()), Options())
    executable.init(5)
    before = executable.params
    report = check(executable, backend="reference", examples=2)
    assert report.ok
    assert all(np.array_equal(array, before[path]) for path, array in executable.params.items())


def test_what_needs_the_spec_or_the_backend_says_so() -> None:
    executable = load_backend("reference").compile(hs.lower(tiny()), Options())
    reasons = {outcome.name: outcome.reason for outcome in check(executable, examples=1).outcomes}
    assert "backend is not named" in reasons["interrupted-stream"]
    assert "executable alone" in reasons["ticks"]
    assert "executable alone" in reasons["write-mask"]


# -- the command -----------------------------------------------------------------------------------------------------


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments, "--backend", "reference"])


def settings(overrides: list[str]) -> list[str]:
    return [word for one in overrides for word in ("--set", one)]


def test_the_command_passes_a_sound_spec() -> None:
    result = command("infini_hrm", *settings(LEAKY), "--examples", "2")
    assert result.exit_code == 0, result.output
    assert "held" in result.output
    assert "not applicable" in result.output


def test_the_command_fails_a_leak_and_prints_how_to_replay_it() -> None:
    result = command("infini_hrm_as_published", *settings(LEAKY), "--examples", "3")
    assert result.exit_code == 1
    assert "error[HS101]" in result.output
    assert "--set model.dim=8" in result.output
    assert "--replay 'causality {" in result.output


def test_the_command_replays() -> None:
    arguments = ["infini_hrm_as_published", *settings(LEAKY)]
    report = json.loads(command(*arguments, "--examples", "3", "--json").output)
    (failed,) = [it for it in report["invariants"] if it["verdict"] == "failed"]
    result = command(*arguments, "--replay", failed["replay"])
    assert result.exit_code == 1
    assert failed["reason"] in result.output
    mended = command(*arguments, "--set", "memory[0].commit=last_pass", "--replay", failed["replay"], "--json")
    assert mended.exit_code == 0
    assert json.loads(mended.output)["verdict"] == "held"


def test_the_command_passes_what_the_spec_accepts() -> None:
    result = command("infini_hrm_as_published", *settings(ACCEPTED), "--examples", "2", "--json")
    report = json.loads(result.output)
    assert result.exit_code == 0
    assert report["ok"]
    assert [it["accepted"] for it in report["invariants"] if it["verdict"] == "failed"] == ["as published"]


@pytest.mark.parametrize(
    "arguments",
    [["no_such_spec"], ["hrm", "--set", "model.dmi=8"], ["hrm", "--replay", "causality {"], ["hrm", "--examples", "0"]],
)
def test_bad_input_exits_with_2(arguments: list[str]) -> None:
    assert command(*arguments).exit_code == 2

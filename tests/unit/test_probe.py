"""What a carry knows of its input: tokens that a linear probe reads back, on windows it has not seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hrmsearch.cli.app import app
from hrmsearch.errors import DataError, RunError
from hrmsearch.report.evidence import gather
from hrmsearch.report.probed import of_probes
from hrmsearch.report.runs import compare
from hrmsearch.train import LoadedRun, load_run, reconstruct
from hrmsearch.train.reconstructing import judged
from tests.training import tiny, train

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Return a short run whose levels are carried, at widths that hold the alphabet of its text."""
    more = ("model.dim=32", "task.valid_chars=600", "train.epochs=1")
    return load_run(train(tiny(*more), tmp_path_factory.mktemp("runs")).run_dir)


def test_features_that_spell_the_token_give_all_of_it_and_noise_gives_nothing() -> None:
    rng = np.random.default_rng(0)
    tokens, fit = rng.integers(0, 7, 4000), np.arange(4000) % 2 == 0
    spelt = judged("z", 1, rng.normal(size=(7, 16))[tokens], tokens, fit, 7)
    assert spelt.accuracy == 1.0
    assert spelt.r2 > 0.99
    noise = judged("z", 1, rng.normal(size=(4000, 16)), tokens, fit, 7)
    assert noise.r2 < 0.01
    assert abs(noise.accuracy - 1 / 7) < 0.05
    assert spelt.tokens == noise.tokens == 2000


def test_a_probe_is_judged_on_windows_that_it_was_not_fitted_to() -> None:
    """As many features as tokens fit anything; held out they say nothing."""
    rng = np.random.default_rng(1)
    found = judged("z", 1, rng.normal(size=(200, 150)), rng.integers(0, 7, 200), np.arange(200) < 150, 7)
    assert found.accuracy < 0.4


def test_levels_know_their_own_token_better_than_those_before(run: LoadedRun) -> None:
    own, before = ({(one.state, one.number): one for one in reconstruct(run, back=back)} for back in (0, 1))
    assert {state for state, _ in own} == set(run.executable.graph.states)
    assert {number for _, number in own} == {1, 2}
    here, there = own["core.z_L", 1], before["core.z_L", 1]
    assert here.accuracy > max(here.guess, there.accuracy) + 0.2
    assert here.r2 > max(there.r2, 0.0)


@pytest.mark.parametrize(
    ("split", "back", "message"), [("vald", 0, "there is no split 'vald'"), ("valid", 6, "6 places")]
)
def test_what_cannot_be_asked_is_refused(run: LoadedRun, split: str, back: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        reconstruct(run, split, back=back)


def test_a_model_without_a_carry_has_nothing_to_read(tmp_path: Path) -> None:
    without = tiny("model.memory=[]", "model.core.state.lifetime=pass", "train.epochs=1")
    with pytest.raises(RunError, match="carries no state"):
        reconstruct(load_run(train(without, tmp_path).run_dir))


def test_the_command_prints_a_row_per_state_and_pass(run: LoadedRun) -> None:
    done = CliRunner().invoke(app, ["probe", str(run.run_dir)])
    assert done.exit_code == 0, done.output
    assert "core.z_H" in done.output
    told = CliRunner().invoke(app, ["probe", str(run.run_dir), "--json", "--back", "1"])
    states = json.loads(told.stdout)["states"]
    assert len(states) == 2 * len(run.executable.graph.states)
    assert {*states[0]} == {"state", "number", "accuracy", "r2", "guess", "tokens"}


def test_a_kept_probe_is_drawn_over_passes(run: LoadedRun) -> None:
    folder = run.run_dir
    before = {path.name for path in folder.iterdir()}
    for back in ("0", "1"):
        told = CliRunner().invoke(app, ["probe", str(folder), "--json", "--keep", "--back", back])
        assert told.exit_code == 0, told.output
    assert {path.name for path in folder.iterdir()} - before == {"probe.json"}
    (compared,) = compare(gather([folder])[0])
    pictures = list(of_probes(compared))
    assert [one.title for one in pictures] == [
        f"tokens read back from {state}, 1 before, valid" for state in sorted(run.executable.graph.states)
    ]
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    assert "<svg" in pictures[0].svg
    (folder / "probe.json").write_text("{}")
    with pytest.raises(RunError, match="holds no probe"):
        list(of_probes(compared))
    (folder / "probe.json").unlink()
    assert not list(of_probes(compared))

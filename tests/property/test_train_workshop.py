"""Runs that share a process: the same bits as runs alone, whatever ran before."""

from pathlib import Path

import pytest

from hrmsearch.errors import UnsoundError
from hrmsearch.train import RunOptions, Silent, Workshop, run, run_seed
from hrmsearch.train.files import RunFolder
from hrmsearch.train.interrupting import Wish
from hrmsearch.train.job import Job
from tests.training import outcome, tiny

pytest.importorskip("torch")

#: all that an executable remembers: dropout's random state, an average, slots of the optimiser
STATEFUL = ("model.defaults.dropout=0.1", "train.ema=0.9", "train.clip=0.5")


def into(folder: Path, shop: Workshop, *overrides: str, seed: int = 0) -> Path:
    job = Job(shop.plan(tiny(*STATEFUL, *overrides)), seed, RunFolder(folder))
    return run_seed(job, shop, Silent(), Wish()).run_dir


def test_a_run_after_others_ends_with_the_same_bits(tmp_path: Path) -> None:
    alone = run(tiny(*STATEFUL), RunOptions(out=tmp_path / "alone"), Silent())[0].run_dir
    shop = Workshop(RunOptions())
    into(tmp_path / "other-seed", shop, seed=5)
    into(tmp_path / "other-rate", shop, "train.optimizer.lr=0.1", "train.epochs=1")
    into(tmp_path / "other-decay", shop, "train.optimizer.weight_decay=0.3")
    assert outcome(into(tmp_path / "last", shop)) == outcome(alone)


def test_specs_that_differ_in_the_rate_share_their_executables() -> None:
    shop = Workshop(RunOptions())
    plans = [shop.plan(tiny(*changes)) for changes in ([], ["train.optimizer.lr=0.5"], ["train.clip=none"])]
    first, second, third = map(shop.trainer, plans)
    assert first is second
    assert first is not third
    assert shop.judge(plans[0]) is shop.judge(plans[2])


def test_what_was_found_of_a_structure_is_found_once() -> None:
    shop = Workshop(RunOptions())
    first = shop.plan(tiny())
    second = shop.plan(tiny("train.epochs=5"))
    assert second.controls is first.controls
    assert second.cost is first.cost
    assert second.graph is first.graph
    assert second.data is first.data
    assert second.spec.train.epochs == 5
    assert shop.plan(tiny("model.dim=8")).data is first.data


def test_an_unsound_spec_has_no_plan() -> None:
    leaky = tiny("accept={}", "model.core.levels.L.block.mixer.causal=false")
    with pytest.raises(UnsoundError, match="HS10"):
        Workshop(RunOptions()).plan(leaky)

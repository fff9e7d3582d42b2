"""What `--optimize` compiles trains as the plain source does."""

import shutil
from pathlib import Path

import pytest

import hrmsearch as hs
from hrmsearch.train import RunOptions, Silent, run
from hrmsearch.train.metrics import read
from tests.training import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++"),
    # torch warns of its own parts
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


#: a nest that halts, a loss in float64, an average: what a puzzle is trained with
HALTING = (
    *("model.dim=16", "model.defaults.ffn.width=16", "nest.passes=3"),
    *("task.train_rows=48", "task.valid_rows=16", "task.test_rows=16", "train.batch=16", "train.epochs=4", "seeds=[0]"),
)
SPECS = {
    "adamw": lambda: tiny("train.epochs=1", "train.optimizer={kind: adamw, lr: 0.01}"),
    "adam_atan2": lambda: tiny("train.epochs=1", "train.optimizer={kind: adam_atan2, lr: 0.01}"),
    "halting": lambda: hs.load("sudoku4", HALTING),
}


@pytest.mark.parametrize("spec", SPECS)
def test_an_optimised_run_learns_what_a_plain_one_learns(tmp_path: Path, spec: str) -> None:
    found: list[list[float]] = []
    for optimize in (False, True):
        (result,) = run(SPECS[spec](), RunOptions(out=tmp_path / str(optimize), optimize=optimize), Silent())
        lines = read(result.run_dir / "metrics.jsonl")
        found.append([line["loss"] for line in lines])
    assert found[1] == pytest.approx(found[0], rel=1e-3)
